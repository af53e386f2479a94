"""Sweeps of commands that are interrupted or killed: no process is left, and they go on."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pandas as pd
import psutil
import pytest
from command_server import Command
from commands import wait_for, wait_until_gone
from support import start_sweep

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

SCRIPT = """
import json, os, subprocess, sys, time
import sweep
trial = sweep.current_trial()
trial.schedule.rates(40)
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
with open("pids.txt", "a") as file:
    print(trial.number, os.getpid(), child.pid, file=file)
first = json.loads(trial.checkpoint.read_text())["epoch"] if trial.checkpoint.exists() else 0
for epoch in range(first, trial.epochs):
    with open(f"trained-{trial.number}.txt", "a") as file:
        print(epoch + 1, file=file)
    if os.path.exists("slowly"):
        time.sleep(1000 if epoch == 2 else 0)
    trial.report(trial.schedule.lr / (epoch + 1), epoch=epoch + 1)
    new = trial.checkpoint.with_suffix(".new")
    new.write_text(json.dumps({"epoch": epoch + 1}))
    new.replace(trial.checkpoint)
child.kill()
"""
"""Hangs in its third epoch as long as there is a file `slowly`; has a child in its own session."""


def start(folder: Path, *more: str) -> Command:
    """`sweep run` in a group of its own, as a terminal starts it."""
    options = ["--epochs", "4", "--trials", "3", "--workers", "2", "--no-confirm"]
    options += ["--pruner", "none", *more]
    return start_sweep("run", *options, "--", sys.executable, "train.py", cwd=folder)


def said(command: Command) -> str:
    """All that it has said, once it and its workers have ended."""
    return "".join(command.communicate(timeout=200))


def pids_of(folder: Path, number: int | None = None) -> list[int]:
    """The processes of all trials, or of one: scripts, and their children."""
    lines = [line.split() for line in (folder / "pids.txt").read_text().splitlines()]
    return [
        int(pid) for trial, *pids in lines for pid in pids if number is None or int(trial) == number
    ]


def started(folder: Path) -> list[int]:
    """The processes of two trials that are in their third epoch, and their children."""
    for number in (0, 1):
        wait_for(folder / f"trained-{number}.txt", 3)
    return pids_of(folder)


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "slowly").touch()
    return tmp_path


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM", "the coordinator", "a worker", "everything"])
def test_nothing_is_left_and_it_goes_on(how: str, slow: Path) -> None:
    process = start(slow)
    pids = started(slow)
    family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    if how == "a worker":
        worker = psutil.Process(pids_of(slow, 0)[0]).parent()
        assert worker is not None
        (slow / "slowly").unlink()
        worker.kill()
        wait_until_gone(pids_of(slow, 0))
        psutil.Process(pids_of(slow, 1)[0]).kill()  # the other one's script: that trial has failed
    elif how == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)
    elif how == "SIGTERM":
        os.kill(process.pid, signal.SIGTERM)
    elif how == "the coordinator":
        os.kill(process.pid, signal.SIGKILL)
    else:
        for pid in (process.pid, *family):
            os.kill(pid, signal.SIGKILL)
    if how != "a worker":
        output = said(process)
        assert process.returncode == (130 if how in ("ctrl-c", "SIGTERM") else -9), output
        wait_until_gone([*pids, *family])
        (slow / "slowly").unlink()
        process = start(slow)
    output = said(process)
    assert process.returncode == 0, output
    results = pd.read_csv(slow / "studies/train/results.csv").set_index("number")
    assert len(results) == 3
    assert list(results["state"]).count("COMPLETE") == (2 if how == "a worker" else 3)
    trained = (slow / "trained-0.txt").read_text().split()
    assert trained == ["1", "2", "3", "3", "4"]  # on from its checkpoint, after two epochs
    epochs = pd.read_csv(slow / "studies/train/epochs.csv")
    assert list(epochs[epochs["number"] == 0]["epoch"]) == [1, 2, 3, 4]
    if how == "a worker":
        assert "was killed by SIGKILL; the trial is retried" in output
    assert "trial 0 goes on after its epoch 2" in output
    wait_until_gone(pids_of(slow))


def test_a_timeout_ends_in_time_and_the_rest_goes_on(slow: Path) -> None:
    process = start(slow, "--timeout", "3")
    output = said(process)
    assert "longer --timeout" in output  # nothing has completed
    (slow / "pids.txt").touch()
    wait_until_gone(pids_of(slow))
    (slow / "slowly").unlink()
    process = start(slow)
    output = said(process)
    assert process.returncode == 0, output
    assert set((slow / "trained-0.txt").read_text().split()) == {"1", "2", "3", "4"}
