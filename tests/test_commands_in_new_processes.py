"""A forked command (see `command_server.py`) does what one in a new Python does."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support import sweep, sweep_anew

pytestmark = pytest.mark.slow

LOOP = """
import os
import torch

def train(schedule, *, epochs, seed):
    weight = torch.nn.Parameter(torch.rand(()))
    scheduler = schedule.attach(torch.optim.SGD([weight], lr=1.0), steps_per_epoch=1)
    for epoch in range(epochs):
        yield {"val_mse": weight.item() + schedule.lr / (epoch + 1)}
"""
RUN = ("run", "--loop", "train.py:train", "--trials", "6", "--epochs", "2", "--workers", "1")


@pytest.mark.parametrize(
    "command",
    [
        *(("report",), ("report", "nowhere"), ("export", "--format", "json")),
        *(("schedules", "cosine"), ("run", "--trials", "none"), ("nothing",)),
    ],
)
def test_they_say_the_same(command: tuple[str, ...], tiny_study: Path) -> None:
    folder = tiny_study.parent.parent
    forked, new = sweep(*command, cwd=folder), sweep_anew(*command, cwd=folder)
    assert (forked.returncode, forked.stderr) == (new.returncode, new.stderr)
    assert forked.stdout == new.stdout


def test_they_train_the_same(tmp_path: Path) -> None:
    tables = []
    for run in (sweep, sweep_anew):
        folder = tmp_path / run.__name__
        folder.mkdir()
        (folder / "train.py").write_text(LOOP)
        done = run(*RUN, cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        tables.append(pd.read_csv(folder / "studies/train/epochs.csv").drop(columns="seconds"))
    forked, new = tables
    pd.testing.assert_frame_equal(forked, new)


def test_a_worker_of_a_forked_command_is_found_dead(tmp_path: Path) -> None:
    kills = LOOP.replace("weight =", "os.kill(os.getpid(), 9)\n    weight =")
    (tmp_path / "train.py").write_text(kills)
    done = sweep(*RUN, cwd=tmp_path)
    assert done.returncode == 1
    assert "killed by SIGKILL" in done.stdout + done.stderr
