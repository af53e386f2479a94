"""The process that sends to a tracker: how it starts, fails and ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from made_studies import CONFIG, mixed_study
from tracked import HANGING, LINES, SILENT, lines_of

from sweep.base.errors import TrackerError
from sweep.report.trackers.contract import Study, TrialRun
from sweep.report.trackers.process import Sender
from sweep.report.trackers.runs import trial_run
from sweep.search.trials import StudyReader
from sweep.study.registries.trackers import TRACKERS

pytestmark = pytest.mark.slow

STUDY = Study("shop", "0a1b2c3d", 0.0, {}, "val_mse", False)
LARGE = Study("shop", "0a1b2c3d", 0.0, {"key": "v" * 200_000}, "val_mse", False)


@pytest.fixture(autouse=True)
def trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    for tracker in (LINES, SILENT, HANGING):
        monkeypatch.setitem(TRACKERS, tracker.name, tracker)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "lines").touch()
    return tmp_path / "lines"


def run(number: int) -> TrialRun:
    return trial_run(StudyReader(mixed_study(), CONFIG).trials[number], CONFIG)


def test_one_that_never_comes_to_an_end_can_be_ended(place: Path) -> None:
    sender = Sender("hanging", str(place), STUDY)
    sender.send(run(0))
    closing = threading.Thread(target=sender.close, daemon=True)
    closing.start()
    while not Path(f"{place}.closing").exists():
        time.sleep(0.01)
    sender.end()
    closing.join(60)
    assert not closing.is_alive()


def test_one_that_is_ended_as_it_starts_does_not_go_on(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender("silent", str(place), STUDY)
    start, ended, problems = subprocess.Popen, threading.Event(), list[str]()

    def end() -> None:
        sender.end()
        ended.set()

    def starting(*given: Any, **named: Any) -> subprocess.Popen[bytes]:
        process = start(*given, **named)
        threading.Thread(target=end, daemon=True).start()
        ended.wait(0.5)  # one that waits for the start to be over is right, too
        return process

    def send() -> None:
        try:
            sender.send(run(1))  # it would not be answered for 600 s
        except TrackerError as problem:
            problems.append(str(problem))

    monkeypatch.setattr(subprocess, "Popen", starting)
    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    sending.join(60)
    assert len(problems) == 1 and "has ended" in problems[0]
    with pytest.raises(TrackerError, match="nothing is sent any more"):
        sender.send(run(1))


@pytest.mark.parametrize(
    ("python", "problem"),
    [
        ("/bin/false", "the process that sends has ended"),
        ("/no/such/python", "no process can be started: No such file"),
    ],
)
@pytest.mark.parametrize("study", [STUDY, LARGE])
def test_one_that_dies_or_cannot_start_is_tried_again(
    place: Path, python: str, problem: str, study: Study
) -> None:
    sender = Sender("lines", str(place), study)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", python)
        with pytest.raises(TrackerError, match=f"^lines {place}: {problem}"):
            sender.send(run(0))
    sender.send(run(0))
    sender.close()
    assert lines_of(place) == [[0, "completed"]]
