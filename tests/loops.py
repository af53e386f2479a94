"""Training loops as a user writes them, and what the engine makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric
from sweep.study.space import Value
from sweep.training.contract import (
    EpochResult,
    LoopSettings,
    OptimizerSettings,
    TrialError,
    TrialSpec,
)
from sweep.training.own_loop.engine import LoopEngine
from sweep.training.own_loop.loading import load_loop

CPU = torch.device("cpu")

EPOCHS, STEPS = 4, 10

HEAD = """
import math, pathlib, torch
"""

LINE = (
    HEAD
    + """
def train(schedule, *, epochs, seed, device):
    x = torch.linspace(-1, 1, 80)
    weight = torch.randn((), requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=10)
    for epoch in range(epochs):
        for rows in torch.randperm(80).view(10, 8):
            loss = ((weight * x[rows] - 2 * x[rows]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        error = float(((weight.detach() * x - 2 * x) ** 2).mean())
        yield {"val_mse": error, "train_mse": float(loss.detach())}
"""
)

CLASSES = (
    HEAD
    + """
def train(schedule, epochs, seed):
    data = torch.Generator().manual_seed(1)
    x = torch.randn(200, 6, generator=data)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + torch.randn(200, generator=data) / 2 > 0).long()
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = schedule.attach(optimizer, steps_per_epoch=5)
    epoch = 0
    try:
        for epoch in range(1, epochs + 1):
            for rows in torch.randperm(100).view(5, 20):
                loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            right = model(x[100:]).argmax(1) == y[100:]
            yield {"val_accuracy": right.float().mean()}
    finally:
        with open("ended.txt", "a") as file:
            file.write(f"{epoch}\\n")
"""
)


def engine_of(folder: Path, code: str, **settings: object) -> LoopEngine:
    (folder / "train.py").write_text(code)
    given = {"reference": "train.py:train", "metric": Metric(), "epochs": EPOCHS, **settings}
    shared = LoopSettings(**given)  # type: ignore[arg-type]
    return LoopEngine(load_loop(shared, (folder,), CPU), shared)


def spec(
    schedule: Schedule | None = None,
    number: int = 0,
    seed: int = 3,
    params: Mapping[str, Value] = MappingProxyType({}),
) -> TrialSpec:
    return TrialSpec(
        number,
        seed,
        schedule or Schedule("cosine", lr=0.2, decay=0.1),
        OptimizerSettings(),
        dict(params),
    )


def train(engine: LoopEngine, epochs: int = EPOCHS) -> list[EpochResult]:
    results = [result for _ in range(epochs) for result in engine.train_epoch()]
    for result in results:
        assert isinstance(result, EpochResult), result
    return [result for result in results if isinstance(result, EpochResult)]


def error_of(engine: LoopEngine, epochs: int = EPOCHS) -> TrialError:
    engine.add(spec())
    results = [result for _ in range(epochs) for result in engine.train_epoch()]
    assert isinstance(results[-1], TrialError)
    assert engine.train_epoch() == []
    return results[-1]


RESUMED = (
    HEAD
    + """
import time
def train(schedule, epochs, seed, state=None):
    torch.manual_seed(seed)
    x = torch.randn(64, 4)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = schedule.attach(optimizer, steps_per_epoch=4)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    first = 0
    if state:
        first = state["epoch"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    for epoch in range(first, epochs):
        order = torch.randperm(64, generator=torch.Generator().manual_seed(epoch))
        for rows in order.view(4, 16):
            loss = (model(x[rows]).squeeze(1) - x[rows].sum(1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        time.sleep(WAIT)
        with open("trained.txt", "a") as file:
            file.write(f"{epoch + 1} {schedule.lr}\\n")
        error = (model(x).squeeze(1) - x.sum(1)).square().mean()
        state = {name: part.state_dict() for name, part in parts.items()}
        yield {"val_mse": error, "state": {"epoch": epoch + 1, **state}}
"""
)
