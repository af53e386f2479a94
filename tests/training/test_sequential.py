"""The plain engine against a loop written out by hand, and against itself in other company."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import fields
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from sweep.schedules.schedule import Schedule
from sweep.study.registries.models import MODELS, Model
from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.study.sections import ModelConfig, Objective
from sweep.training.contract import (
    EpochResult,
    OptimizerSettings,
    TrainingData,
    TrainingSettings,
    TrialError,
    TrialSpec,
)
from sweep.training.models import build_model
from sweep.training.randomness import dropout_key, dropout_mask, row_order
from sweep.training.seeds import mix
from sweep.training.sequential import SequentialEngine

SCALE = 3.0


def some_data(rows: int = 70, features: int = 3) -> TrainingData:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows + 20, features, generator=generator)
    y = x.sum(1).sin() + 0.1 * torch.randn(rows + 20, generator=generator)
    return TrainingData(x[:rows], y[:rows], x[rows:], y[rows:], SCALE)


def engine_for(
    model: str = "mlp",
    epochs: int = 4,
    clip: float | None = None,
    objective: Objective = "best",
) -> SequentialEngine:
    config = ModelConfig(name=model, hidden=[8])
    data = some_data()
    settings = TrainingSettings(epochs, 32, clip, objective)
    return SequentialEngine(data, lambda seed: build_model(config, 3, seed), settings)


def spec(
    number: int = 0,
    seed: int = 5,
    lr: float = 0.1,
    optimizer: str = "sgd",
    scheduler: str = "cosine",
) -> TrialSpec:
    settings = OptimizerSettings(optimizer, weight_decay=0.01)
    return TrialSpec(number, seed, Schedule(scheduler, lr=lr), settings)


def course(engine: SequentialEngine, epochs: int = 4) -> dict[int, list[EpochResult]]:
    courses: dict[int, list[EpochResult]] = {}
    for _ in range(epochs):
        for result in engine.train_epoch():
            assert isinstance(result, EpochResult)
            courses.setdefault(result.number, []).append(result)
    return courses


def numbers(results: list[EpochResult]) -> list[tuple[float, ...]]:
    """Everything but the time, and what only a loop of the user's own tells."""
    left_out = ("number", "seconds", "total_steps", "metrics", "steps", "advice")
    names = [field.name for field in fields(EpochResult) if field.name not in left_out]
    return [tuple(getattr(result, name) for name in names) for result in results]


@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_trial_is_what_a_plain_loop_makes_of_it(clip: float | None) -> None:
    data, epochs, batch_size = some_data(), 4, 32
    model = build_model(ModelConfig(name="mlp", hidden=[8]), 3, 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
    rates = Schedule("cosine", lr=0.1).rates(epochs * 3)
    averages = [p.detach().double().numpy().copy() for p in model.parameters()]
    step, expected = 0, []
    for epoch in range(1, epochs + 1):
        losses, norms, used = 0.0, [], []
        model.train()
        for batch in torch.split(row_order(5, epoch, 70), batch_size):
            optimizer.param_groups[0]["lr"] = rates[step]
            used.append(rates[step])
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(data.x_train[batch])[:, 0], data.y_train[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf)
            optimizer.step()
            d = min(1 - 1 / 3, (1 + step) / (10 + step))  # of 3 steps an epoch
            for average, p in zip(averages, model.parameters(), strict=True):
                average[...] = d * average + (1 - d) * p.detach().double().numpy()
            losses += loss.item() * len(batch)
            norms.append(norm.item())
            step += 1
        averaged = copy.deepcopy(model)
        for p, average in zip(averaged.parameters(), averages, strict=True):
            p.data = torch.from_numpy(average).float()
        mse = []
        for each in (model, averaged):
            with torch.no_grad():
                errors = (each.eval()(data.x_validation)[:, 0] - data.y_validation) ** 2
            mse.append(errors.mean().item() * SCALE**2)
        train_mse = losses / 70 * SCALE**2
        expected.append((epoch, *mse, train_mse, used[0], used[-1], sum(norms) / 3))

    engine = engine_for(clip=clip)
    engine.add(spec())
    got = numbers(course(engine)[0])
    assert np.allclose(got, expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "optimizer"),
    [("order-pre", "sgd"), *(("mlp", optimizer) for optimizer in OPTIMIZERS), ("linear", "adam")],
)
def test_a_course_depends_on_the_spec_alone(model: str, optimizer: str) -> None:
    alone = engine_for(model)
    alone.add(spec(3, optimizer=optimizer))
    expected = numbers(course(alone)[3])

    beside = engine_for(model)
    beside.add(spec(0, seed=8, lr=0.3, optimizer=optimizer))
    beside.train_epoch()
    torch.rand(7)
    beside.add(spec(3, optimizer=optimizer))
    beside.add(spec(4, lr=0.01, scheduler="linear", optimizer=optimizer))
    assert numbers(course(beside)[3]) == expected


def test_equal_seeds_give_equal_weights_and_other_seeds_others() -> None:
    engine = engine_for("order-pre")
    for number, seed in enumerate((5, 5, 6)):
        engine.add(spec(number, seed))
    first, same, other = course(engine).values()
    assert numbers(first) == numbers(same)
    assert numbers(first) != numbers(other)


def test_the_product_is_what_the_objective_says() -> None:
    for objective in get_args(Objective):
        engine = engine_for(epochs=6, objective=objective)
        engine.add(spec(lr=0.5, scheduler="constant"))
        curve = course(engine, 6)[0]
        values = [r.value for r in curve]
        averaged = [r.averaged or math.nan for r in curve]
        model = build_model(ModelConfig(name="mlp", hidden=[8]), 3, 0)
        model.load_state_dict(engine.weights(0))
        assert min(values) < values[-1]
        assert min(averaged) < averaged[-1]
        assert min(averaged) != min(values)
        expected = {"best": min(values), "final": values[-1], "averaged": min(averaged)}[objective]
        assert engine._validate(model).value == pytest.approx(expected, rel=1e-6)


def test_a_plateau_is_fed_with_the_validation_mse() -> None:
    engine = engine_for(epochs=12)
    schedule = Schedule("plateau", lr=2.0, decay=0.01, params={"factor": 0.5, "patience": 1})
    engine.add(TrialSpec(0, 5, schedule, OptimizerSettings()))
    rates = [(r.lr_first, r.lr_last) for r in course(engine, 12)[0]]
    assert all(first == last for first, last in rates)
    assert rates[0][0] == 2.0
    assert rates[-1][0] < 2.0


class Raises(nn.Module):
    """Works for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > 5:
            raise RuntimeError("enough")
        output: torch.Tensor = self.layer(x)
        return output


def test_a_trial_that_raises_leaves_the_others_alone() -> None:
    data, settings = some_data(), TrainingSettings(4, 32)
    models = {5: Raises(), 6: nn.Linear(3, 1)}
    engine = SequentialEngine(data, lambda seed: copy.deepcopy(models[seed]), settings)
    engine.add(spec(0, seed=5))
    engine.add(spec(1, seed=6))
    first = engine.train_epoch()
    second = engine.train_epoch()
    third = engine.train_epoch()
    assert [type(r) for r in first] == [EpochResult, EpochResult]
    assert second[0] == TrialError(0, 2, "RuntimeError: enough")
    assert isinstance(second[1], EpochResult)
    assert [r.number for r in third] == [1]


class Noisy(nn.Module):
    """Draws from Python's and NumPy's random numbers, when it is built and in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.shift = random.random() + float(np.random.randn())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            x = x * (1 + random.random()) + float(np.random.randn())
        output: torch.Tensor = self.layer(x) + self.shift
        return output


def test_every_random_number_is_the_trials_own(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = Model("linear", "Noisy", lambda settings, features, outputs: [Noisy()])
    monkeypatch.setitem(MODELS, "linear", noisy)
    random.seed(3)
    alone = engine_for("linear", epochs=3)
    alone.add(spec(0, seed=5))
    expected = course(alone, 3)[0]
    beside = engine_for("linear", epochs=3)
    for number, seed in enumerate((7, 5, 9)):
        beside.add(spec(number, seed=seed))
    seen = []
    for _ in range(3):
        np.random.rand()  # what others draw is nothing to a trial
        seen += course(beside, 1)[1]
    assert numbers(seen) == numbers(expected)


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
def test_weights_that_are_computed_are_trained() -> None:
    def build(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 8)), nn.ReLU(), nn.Linear(8, 1))

    engine = SequentialEngine(some_data(), build, TrainingSettings(5, 32))
    engine.add(spec())
    curve = course(engine, 5)[0]
    first, last = curve[0].training, curve[-1].training
    assert first is not None and last is not None and last < 0.9 * first
    assert "0.weight_g" in engine.weights(0)


def test_divergence_shows_in_the_numbers() -> None:
    engine = engine_for(epochs=10)
    engine.add(spec(lr=1e4, scheduler="constant"))
    assert not math.isfinite(course(engine, 10)[0][-1].value)


def test_dropout_masks_are_fair_and_reproducible() -> None:
    shape, p = torch.Size([4000, 24]), 0.3
    keys = [dropout_key(seed, step, 0) for seed in range(2) for step in range(2)]
    masks = [dropout_mask(torch.tensor(k, dtype=torch.int32), shape, p).float() for k in keys]
    for mask in masks:
        assert mask.mean().item() == pytest.approx(1 - p, abs=0.01)
        assert mask.mean(0).std().item() < 0.02
        assert mask.mean(1).std().item() == pytest.approx(math.sqrt(p * (1 - p) / 24), abs=0.01)
    for first in range(len(masks)):
        for second in range(first):
            both = torch.stack([masks[first].flatten(), masks[second].flatten()])
            assert abs(torch.corrcoef(both)[0, 1].item()) < 0.02
    lanes = torch.tensor(keys, dtype=torch.int32).view(-1, 1, 1)
    stacked = dropout_mask(lanes, shape, p)
    assert all(torch.equal(lane.float(), mask) for lane, mask in zip(stacked, masks, strict=True))


def test_seeds_mix_without_collisions() -> None:
    mixed = {mix(seed, epoch) for seed in range(100) for epoch in range(100)}
    assert len(mixed) > 9_990
