"""Twice the same settings, with workers whose pace is chance: the same to the last digit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import sweep

from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.study.file import load_study
from sweep.study.locations import Location

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

LOOP = """
import os, time
import torch

def train(schedule, *, epochs, seed):
    time.sleep(os.urandom(1)[0] / 5000)
    x = torch.randn(32, 3)
    y = x.sum(1, keepdim=True) + torch.randn(32, 1)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters())
    scheduler = schedule.attach(optimizer, total_steps=4 * epochs)
    for _ in range(epochs):
        for _ in range(4):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
        time.sleep(os.urandom(1)[0] / 20_000)
        yield loss.item()
"""

MODEL = """
import os, time
import torch
from torch import nn

class Residual(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.first, self.last = nn.Linear(features, 4), nn.Linear(4, 1)
    def forward(self, x):
        time.sleep(os.urandom(1)[0] / 100_000)
        hidden = self.first(x)
        return self.last(hidden + torch.tanh(hidden))
"""

TIMES = ["started", "finished", "duration", "seconds"]


def tables(folder: Path) -> list[pd.DataFrame]:
    """All that a study's tables hold, but for times."""
    read = [pd.read_csv(folder / f"{name}.csv", dtype=str) for name in ("results", "epochs")]
    if (folder / "confirm.csv").exists():
        read.append(pd.read_csv(folder / "confirm.csv", dtype=str))
    return [table.drop(columns=TIMES, errors="ignore") for table in read]


def assert_same(one: Path, other: Path) -> None:
    for first, second in zip(tables(one), tables(other), strict=True):
        pd.testing.assert_frame_equal(first, second)


def test_two_runs_with_several_workers(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LOOP)
    for out in ("one", "two"):
        settings = "--trials 24 --epochs 6 --workers 2 --seed 3 --deterministic --quiet".split()
        done = sweep("run", "--loop", "train.py:train", *settings, "--out", out, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "one", tmp_path / "two")
    results, _, confirmation = tables(tmp_path / "one")
    assert {"COMPLETE", "PRUNED"} <= set(results["state"])
    assert len(confirmation) > 6


@pytest.mark.parametrize("sampler", ["auto", "qmc", "grid"])
def test_trials_that_are_trained_side_by_side(sampler: str, tmp_path: Path) -> None:
    (tmp_path / "residual.py").write_text(MODEL)
    settings: dict[str, Any] = {
        "epochs": 6,
        "trials": 16,
        "workers": 2,
        "lanes": 2,
        "deterministic": True,
        "sampler.name": sampler,
        "confirm.enabled": False,
        "data.source": "diabetes",
        "model.name": "residual:Residual",
        "optimizer.batch_size": "full",
    }
    for out in ("one", "two"):
        location = Location("small", tmp_path / "small.toml", tmp_path / out)
        study = run_sweep(location, load_study(None, settings), Listener())
        assert len({trial.state for trial in study.trials}) > 1
    assert_same(tmp_path / "one", tmp_path / "two")
