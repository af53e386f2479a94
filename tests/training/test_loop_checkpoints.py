"""A loop of the user's own goes on from the state that it yielded."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pandas as pd
import pytest
from called import called
from loops import LINE, RESUMED, engine_of, spec, train
from support import sweep

from sweep.schedules.schedule import SHAPES, Schedule
from sweep.training.contract import (
    TrialError,
)


@pytest.mark.slow
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


KILLED = """
import multiprocessing, os, signal
def killed(schedule, epochs, seed, state=None):
    kept = pathlib.Path("studies/train/checkpoints")
    for told in train(schedule, epochs, seed, state):
        yield told
        in_second = len(pathlib.Path("trained.txt").read_text().splitlines()) > 30
        if in_second and any(kept.glob("*")) and not os.path.exists("was_killed"):
            open("was_killed", "w").close()
            os.kill(multiprocessing.parent_process().pid, signal.SIGKILL)
            time.sleep(1000)
"""
"""Kills the sweep once the second of two trials, of 30 epochs each, has a checkpoint."""


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_sweep_killed_in_the_middle_of_a_trial_goes_on_there(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(RESUMED.replace("WAIT", "0.05") + KILLED)
    command = ["run", "--loop", "train.py:killed", "--epochs", "30"]
    command += ["--trials", "2", "--workers", "1", "--pruner", "none", "--no-confirm"]
    assert sweep(*command, cwd=tmp_path).returncode == -signal.SIGKILL
    trained = tmp_path / "trained.txt"
    before = trained.read_text().splitlines()
    assert len(list((tmp_path / "studies/train/checkpoints").iterdir())) == 1

    done = called(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = trained.read_text().splitlines()[len(before) :]
    assert "resuming trials that were interrupted: 1" in done.stdout
    (epoch,) = map(int, re.findall(r"trial 1 goes on after its epoch (\d+)", done.stdout))
    assert 0 < epoch <= len(before) - 30
    assert [int(line.split()[0]) for line in after] == list(range(epoch + 1, 31))
    results = pd.read_csv(tmp_path / "studies/train/results.csv")
    assert list(results["state"]) == ["COMPLETE"] * 2
    epochs = pd.read_csv(tmp_path / "studies/train/epochs.csv")
    assert list(epochs["epoch"]) == [*range(1, 31)] * 2
    assert not (tmp_path / "studies/train/checkpoints").exists()

    (tmp_path / "train.py").write_text(RESUMED.replace("WAIT", "0"))
    command[2] = "train.py:train"
    assert called(*command, "--out", "whole", cwd=tmp_path).returncode == 0
    whole = pd.read_csv(tmp_path / "whole/epochs.csv")
    pd.testing.assert_series_equal(epochs["val_mse"], whole["val_mse"])
