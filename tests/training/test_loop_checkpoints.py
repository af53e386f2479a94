"""A loop of the user's own goes on from the state that it yielded."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from loops import LINE, RESUMED, engine_of, spec, train
from support import sweep

from sweep.schedules.schedule import SHAPES, Schedule
from sweep.training.contract import (
    TrialError,
)


@pytest.mark.parametrize("scheduler", SHAPES)
def test_a_trial_that_is_resumed_takes_the_same_course(scheduler: str, tmp_path: Path) -> None:
    code = RESUMED.replace("WAIT", "0").replace(
        'open("trained.txt", "a")', 'open("/dev/null", "w")'
    )
    warmup = 0.1 if SHAPES[scheduler].uses_warmup else 0.0
    given = spec(
        Schedule(scheduler, lr=0.05, decay=1.0 if scheduler == "constant" else 0.01, warmup=warmup)
    )
    whole = engine_of(tmp_path, code, epochs=8)
    whole.add(given)
    expected = train(whole, 8)
    for stop in (1, 3, 6):
        folder = tmp_path / str(stop)
        killed = engine_of(tmp_path, code, epochs=8, checkpoints=folder)
        killed.add(given)
        killed._checkpoints._next = -1e9  # type: ignore[union-attr]
        for _ in range(stop):
            train(killed, 1)
            killed._checkpoints._next = -1e9  # type: ignore[union-attr]
        resumed = engine_of(tmp_path, code, epochs=8, checkpoints=folder)
        resumed.add(given)
        assert resumed.notes == [f"trial 0 goes on after its epoch {stop}"]
        results = train(resumed, 8 - stop)
        for ours, theirs in zip(results, expected, strict=True):
            assert ours.epoch == theirs.epoch
            assert ours.value == theirs.value
            assert (ours.lr_first, ours.lr_last) == (theirs.lr_first, theirs.lr_last)
        other = engine_of(tmp_path, code, epochs=8, checkpoints=folder)
        other.add(spec(given.schedule, seed=4))
        assert other.notes == []
        resumed.remove(0)
        assert list(folder.iterdir()) == []


def test_a_state_that_nobody_takes_is_said(tmp_path: Path) -> None:
    code = LINE.replace('"val_mse": error', '"val_mse": error, "state": {}')
    engine = engine_of(tmp_path, code, checkpoints=tmp_path / "kept")
    engine.add(spec())
    train(engine)
    assert engine.notes == ["the loop yields a state but takes none back: give it a `state=None`"]
    assert not (tmp_path / "kept").exists()


def test_a_trial_whose_checkpoint_is_damaged_is_trained_from_its_start(tmp_path: Path) -> None:
    code = RESUMED.replace("WAIT", "0").replace("trained.txt", "/dev/null")
    folder = tmp_path / "kept"
    engine = engine_of(tmp_path, code, epochs=3, checkpoints=folder)
    engine.add(spec())
    expected = train(engine, 1)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:200])
    again = engine_of(tmp_path, code, epochs=3, checkpoints=folder)
    again.add(spec())
    (note,) = again.notes
    assert note.startswith(f"trial 0 is trained from its start: {path} is damaged")
    assert [r.value for r in train(again, 1)] == [r.value for r in expected]


def test_a_state_that_cannot_be_kept_ends_its_trial(tmp_path: Path) -> None:
    code = RESUMED.replace("WAIT", "0").replace("trained.txt", "/dev/null")
    code = code.replace("**state}", "**state, 'at': __import__('pathlib').Path()}")
    engine = engine_of(tmp_path, code, epochs=3, checkpoints=tmp_path / "kept")
    engine.add(spec())
    (error,) = engine.train_epoch()
    assert isinstance(error, TrialError) and "cannot be kept, for it holds pathlib" in error.error


def test_a_sweep_killed_in_the_middle_of_a_trial_goes_on_there(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(RESUMED.replace("WAIT", "0.15"))
    command = [sys.executable, "-m", "sweep", "run", "--loop", "train.py:train", "--epochs", "30"]
    command += ["--trials", "2", "--workers", "1", "--pruner", "none", "--no-confirm"]
    process = subprocess.Popen(
        command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL
    )
    trained = tmp_path / "trained.txt"
    deadline = time.monotonic() + 200
    while not trained.exists() or len(trained.read_text().splitlines()) < 40:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = trained.read_text().splitlines()
    assert len(list((tmp_path / "studies/train/checkpoints").iterdir())) == 1

    done = sweep(*command[3:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = trained.read_text().splitlines()[len(before) :]
    assert "resuming trials that were interrupted: 1" in done.stdout
    assert "trial 1 goes on after its epoch" in done.stdout
    assert len(before) + len(after) <= 2 * 30 + 2
    assert int(after[0].split()[0]) > 5
    results = pd.read_csv(tmp_path / "studies/train/results.csv")
    assert list(results["state"]) == ["COMPLETE"] * 2
    epochs = pd.read_csv(tmp_path / "studies/train/epochs.csv")
    assert list(epochs["epoch"]) == [*range(1, 31)] * 2
    assert not (tmp_path / "studies/train/checkpoints").exists()

    shutil.rmtree(tmp_path / "studies")
    (tmp_path / "train.py").write_text(RESUMED.replace("WAIT", "0"))
    assert sweep(*command[3:], cwd=tmp_path).returncode == 0
    whole = pd.read_csv(tmp_path / "studies/train/epochs.csv")
    pd.testing.assert_series_equal(epochs["val_mse"], whole["val_mse"])
