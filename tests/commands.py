"""Scripts as users write them, most without torch so that they start quickly, and their engine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric
from sweep.training.contract import (
    EpochResult,
    OptimizerSettings,
    TrialEnd,
    TrialError,
    TrialNews,
    TrialSpec,
)
from sweep.training.own_command.engine import CommandEngine
from sweep.training.own_command.settings import CommandSettings

EPOCHS = 3

PLAIN = """
import sweep
trial = sweep.current_trial()
rates = trial.schedule.rates(trial.epochs * 4)
for epoch in range(trial.epochs):
    trial.report(float(rates[0]) / (epoch + 1), train_mse=0.5)
    print("reported", epoch + 1)
"""
"""A script that sets its rates by hand."""


def settings_of(folder: Path, code: str, *arguments: str, **given: Any) -> CommandSettings:
    """Those of a script in a folder."""
    (folder / "train.py").write_text(code)
    shared: dict[str, Any] = {
        "words": (sys.executable, "train.py", *arguments),
        "working_folder": folder,
        "metric": Metric(),
        "epochs": EPOCHS,
        "folders": folder / "trials",
        "environment": os.environ,
        "stop_secs": 2.0,
    }
    return CommandSettings(**{**shared, **given})


@contextmanager
def engine_of(folder: Path, code: str, *arguments: str, **given: Any) -> Iterator[CommandEngine]:
    """An engine for such a script; whatever it has started is gone in the end."""
    engine = CommandEngine(settings_of(folder, code, *arguments, **given))
    try:
        yield engine
    finally:
        engine.close()


def spec(number: int = 0, seed: int = 3, lr: float = 0.2, name: str = "") -> TrialSpec:
    schedule = Schedule("cosine", lr=lr, decay=0.1)
    return TrialSpec(number, seed, schedule, OptimizerSettings(), {"width": 4}, name)


def trained(engine: CommandEngine, given: TrialSpec | None = None) -> list[TrialNews]:
    """All that a trial has to say until its last epoch or its end."""
    given = given or spec()
    engine.add(given)
    news: list[TrialNews] = []
    while not news or (isinstance(news[-1], EpochResult) and news[-1].epoch < EPOCHS):
        news += engine.train_epoch()
    engine.remove(given.number)
    return news


def values(news: list[TrialNews]) -> list[float]:
    return [each.value for each in news if isinstance(each, EpochResult)]


def error_of(engine: CommandEngine) -> TrialError:
    news = trained(engine)
    assert isinstance(news[-1], TrialError), news
    return news[-1]


def end_of(news: list[TrialNews]) -> TrialEnd:
    assert isinstance(news[-1], TrialEnd), news
    return news[-1]


def wait_for(path: Path, lines: int = 1, secs: float = 60.0) -> list[str]:
    """The lines of a file, once it has so many."""
    deadline = time.monotonic() + secs
    while True:
        found = path.read_text().splitlines() if path.is_file() else []
        if len(found) >= lines:
            return found
        assert time.monotonic() < deadline, f"{path}: {found}"
        time.sleep(0.02)


def wait_until_gone(pids: list[int], secs: float = 30.0) -> None:
    """Until none of some processes is alive."""
    deadline = time.monotonic() + secs
    while alive := [pid for pid in pids if _is_alive(pid)]:
        assert time.monotonic() < deadline, f"still running: {alive}"
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
