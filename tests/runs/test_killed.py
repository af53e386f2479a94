"""Sweeps that are killed: real processes, real signals, a real journal."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import optuna
import pandas as pd
import pytest
from command_server import Command
from optuna.trial import TrialState
from support import drawn, start_sweep, sweep

from sweep.search.storage.opening import load_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("no_page"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads processes from /proc"),
]

Start = Callable[..., Command]

MANY = 20_000
"""Trials, more than can have ended while a test runs."""

KILLS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts `sweep run`; what still runs at the end of the test is killed."""
    started = []

    def run(trials: int) -> Command:
        study = ("run", "diabetes", "--epochs", "20", "--batch-size", "1", "--workers", "2")
        small = ("--model", "linear", "--no-confirm", "--trials", str(trials))
        started.append(start_sweep(*study, *small, cwd=folder))
        return started[-1]

    yield run
    for command in started:
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)


def session(leader: int) -> dict[int, int]:
    """Process and parent of everything alive in a session."""
    members = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            continue
        state, parent, sid = fields[0], int(fields[1]), int(fields[3])
        if sid == leader and state != "Z":
            members[int(entry.name)] = parent
    return members


def workers(leader: int) -> list[int]:
    """The processes that train: grandchildren of the command."""
    members = session(leader)
    return [pid for pid, parent in members.items() if members.get(parent) == leader]


def wait_until_gone(leader: int, secs: float = 60.0) -> None:
    deadline = time.monotonic() + secs
    while session(leader):
        assert time.monotonic() < deadline, f"still running: {session(leader)}"
        time.sleep(0.02)


def wait_for_reports(journal: Path, start_size: int, secs: float = 120.0) -> float:
    """Seconds until a trial reports an epoch, as seen in the journal's new part."""
    begun = time.monotonic()
    while time.monotonic() < begun + secs:
        if journal.exists() and journal.stat().st_size > start_size:
            with open(journal, "rb") as file:
                file.seek(start_size)
                if b'"op_code":7' in file.read():
                    return time.monotonic() - begun
        time.sleep(0.02)
    raise AssertionError("nothing was trained")


def finished(journal: Path) -> dict[int, float | None]:
    study = load_study("diabetes", str(journal))
    return {t.number: t.value for t in study.get_trials(deepcopy=False) if t.state.is_finished()}


def kill(process: Command, target: str, chance: random.Random) -> bool:
    """Kill -9 one worker, the command alone, or everything; whether the command is gone."""
    if target == "worker":
        alive = workers(process.pid)
        if alive:
            os.kill(chance.choice(alive), signal.SIGKILL)
        return False
    if target == "all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until_gone(process.pid)
    return True


@pytest.mark.timeout(300)
def test_twenty_kills_lose_nothing(folder: Path, start: Start) -> None:
    chance = random.Random(0)
    journal = folder / "studies" / "diabetes" / "study.journal"
    targets = ["worker", "coordinator", "worker", "worker", "all"] * (KILLS // 5)
    process = start(MANY)
    first_start = wait_for_reports(journal, 0)
    slowest = 0.0
    done: dict[int, float | None] = {}
    for place, target in enumerate(targets, start=1):
        time.sleep(chance.uniform(0.0, 0.5))
        if not kill(process, target, chance):
            continue
        if chance.random() < 0.5:
            with open(journal, "ab") as file:
                file.write(b'{"op_code":7,"worker_id":"x","trial_')
        if chance.random() < 0.5:
            Path(f"{journal}.lock").unlink(missing_ok=True)
            os.symlink(journal, f"{journal}.lock")
        now = finished(journal)
        assert done.items() <= now.items(), "a finished trial was lost or changed"
        done = now
        if place < KILLS:
            size = journal.stat().st_size
            process = start(MANY)
            slowest = max(slowest, wait_for_reports(journal, size - 40))
    assert slowest < first_start + 20  # Optuna would wait 30 s for what a killed one has locked

    total = len(drawn(load_study("diabetes", str(journal)).get_trials(deepcopy=False))) + 2
    process = start(total)
    output = "".join(process.communicate(timeout=200))
    assert process.returncode == 0, output
    wait_until_gone(process.pid)
    study = load_study("diabetes", str(journal))
    trials = study.get_trials(deepcopy=False)
    assert done.items() <= {t.number: t.value for t in trials}.items()
    assert len(drawn(trials)) == total
    assert all(t.state.is_finished() for t in trials)
    results = pd.read_csv(journal.parent / "results.csv")
    assert sorted(results["number"]) == [trial.number for trial in trials]
    failed = [t for t in trials if t.state == TrialState.FAIL]
    assert all("its worker was killed by SIGKILL" in t.user_attrs["reason"] for t in failed)
    for line in journal.read_text().splitlines():
        json.loads(line)


LOOP = """
import os, pathlib, signal, torch

def train(schedule, epochs):
    schedule.attach(torch.optim.SGD([torch.zeros(1)], lr=1.0), steps_per_epoch=1)
    for epoch in range(epochs):
        if epoch == 2 and not pathlib.Path("killed").exists():
            pathlib.Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield schedule.lr
"""


def test_a_dead_worker_costs_one_retry(folder: Path) -> None:
    (folder / "train.py").write_text(LOOP)
    study = ("run", "--loop", "train.py:train", "--trials", "6", "--epochs", "3", "--workers", "2")
    done = sweep(*study, "--no-confirm", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("was killed by SIGKILL; the trial is retried") == 1
    results = pd.read_csv(folder / "studies" / "train" / "results.csv")
    assert results["completes"].isna().sum() == 6
    assert "FAIL" not in set(results["state"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_says_so_and_goes_on(
    folder: Path, start: Start, number: signal.Signals
) -> None:
    process = start(MANY)
    journal = folder / "studies" / "diabetes" / "study.journal"
    wait_for_reports(journal, 0)
    os.killpg(process.pid, number)  # as a terminal does: to every process of the group
    output = "".join(process.communicate(timeout=100))
    assert process.returncode == 130, output
    assert "The same command goes on with the rest" in output
    assert "Traceback" not in output
    wait_until_gone(process.pid)
    saved = pd.read_csv(journal.parent / "results.csv")
    assert set(saved["number"]) == set(finished(journal))

    total = len(drawn(load_study("diabetes", str(journal)).trials)) + 2
    process = start(total)
    output = "".join(process.communicate(timeout=200))
    assert process.returncode == 0, output
    results = pd.read_csv(journal.parent / "results.csv")
    assert results["completes"].isna().sum() == total
    both = saved.merge(results, on="number", suffixes=("", "_now"))
    pd.testing.assert_series_equal(both["val_mse"], both["val_mse_now"], check_names=False)


def test_a_second_run_leaves_the_first_alone(folder: Path, start: Start) -> None:
    first = start(MANY)
    journal = folder / "studies" / "diabetes" / "study.journal"
    wait_for_reports(journal, 0)
    second = start(MANY)
    out, err = second.communicate(timeout=120)
    assert (second.returncode, out) == (1, "")
    assert err.strip() == (
        "error: studies/diabetes: this study is being run by another process; "
        "wait for it, stop it, or give --out another folder"
    )
    assert first.is_running()
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    wait_until_gone(first.pid)
