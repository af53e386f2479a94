"""What cannot be written ends a command in one sentence, and the same command goes on later.

The kernel's limit on the size of a file stands for a disk that is full: like it, it stops a write
in its middle; unlike a small file system, it needs no rights.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from small_runs import sweep as run
from support import drawn, sweep

from sweep.base.files import described, write_whole
from sweep.runs.listener import Listener
from sweep.search.status import Status
from sweep.search.storage.opening import load_study
from sweep.search.trials import Trial

FULL = "File too large"
GOES_ON = "the same command goes on once it can be written"


def limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    limit(size)
    try:
        yield
    finally:
        limit(before)


SMALL = ("run", "diabetes", "--model", "linear", "--workers", "1", "--no-confirm")


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_journal_that_cannot_grow(tmp_path: Path) -> None:
    study = (*SMALL, "--trials", "60", "--epochs", "5")
    stopped = sweep(*study, cwd=tmp_path, largest_file=60_000)
    journal = Path("studies/diabetes/study.journal")
    assert stopped.returncode == 1
    assert stopped.stderr == f"error: {journal}: {FULL}; {GOES_ON}\n"
    assert sweep(*study, cwd=tmp_path).returncode == 0
    trials = load_study("diabetes", str(tmp_path / journal)).trials
    assert len(drawn(trials)) == 60
    assert all(trial.state.is_finished() for trial in trials)


@pytest.mark.slow
def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    done = sweep(*SMALL, *("--trials", "3", "--epochs", "2"), cwd=tmp_path, largest_file=250_000)
    assert done.returncode == 1
    assert done.stderr == f"error: studies/diabetes/report.html: {FULL}; {GOES_ON}\n"
    assert "best_schedule.py" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_model_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(
        "from torch import nn\n"
        "def net(features):\n"
        "    return nn.Sequential(nn.Linear(features, 9000), nn.Tanh(), nn.Linear(9000, 1))\n"
    )
    small = ("--trials", "2", "--epochs", "1", "--lr", "1e-6", "--workers", "1", "--no-confirm")
    done = sweep(
        "run", "diabetes", "--model", "wide:net", *small, cwd=tmp_path, largest_file=200_000
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "best_model.pt" in line and "the same command goes on once they can" in line


@pytest.mark.slow
def test_an_output_that_cannot_be_written() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sweep", "schedules"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


@pytest.mark.parametrize("name", ["results.csv", "epochs.csv"])
def test_a_file_is_left_as_it_was(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_whole(path, "before")
    with largest_file(1000), pytest.raises(OSError, match=FULL) as raised:
        write_whole(path, "after" * 1000)
    assert described(raised.value) == f"{path}: {FULL}; {GOES_ON}"
    assert path.read_text() == "before" and os.listdir(tmp_path) == [name]


class TakesAway(Listener):
    """Removes the results folder after the second trial, as an unmounted disk does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_finished(self, trial: Trial, status: Status) -> None:
        if status.endings.ended == 2:
            shutil.rmtree(self.folder)


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as raised:
        run(tmp_path, TakesAway(tmp_path / "small"), trials=8)
    assert described(raised.value).startswith(f"{tmp_path / 'small' / 'study.journal'}: No such")


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_table_that_cannot_grow(tmp_path: Path) -> None:
    """The tables are rewritten as a whole, so the old ones stay."""
    _, _, location = run(tmp_path, trials=3)
    before = pd.read_csv(location.folder / "epochs.csv")
    journal = location.folder / "study.journal"
    with largest_file(2 * journal.stat().st_size), pytest.raises(OSError, match=FULL):
        run(tmp_path, trials=40)
    after = pd.read_csv(location.folder / "epochs.csv")
    assert set(before["number"]) <= set(after["number"])
    study, *_ = run(tmp_path, trials=40)
    assert len(drawn(study.trials)) == 40
