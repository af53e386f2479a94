"""Training loops of the user's own: what the engine makes of them."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from loops import EPOCHS, LINE, STEPS, engine_of, error_of, spec, train

from sweep.base.errors import InputError
from sweep.schedules.schedule import SHAPES, Schedule
from sweep.study.metric import Metric


@pytest.mark.parametrize("scheduler", SHAPES)
def test_recorded_rates_are_those_of_the_schedule(scheduler: str, tmp_path: Path) -> None:
    shape = SHAPES[scheduler]
    warmup = 0.1 if shape.uses_warmup else 0.0
    schedule = Schedule(scheduler, lr=0.2, warmup=warmup)
    engine = engine_of(tmp_path, LINE)
    engine.add(spec(schedule))
    results = train(engine)
    assert [r.epoch for r in results] == [1, 2, 3, 4]
    assert {r.total_steps for r in results} == {EPOCHS * STEPS}
    assert not any(r.advice for r in results)
    if scheduler == "plateau":
        return
    rates = schedule.rates(EPOCHS * STEPS).reshape(EPOCHS, STEPS)
    np.testing.assert_allclose([r.lr_first for r in results], rates[:, 0], rtol=1e-6)
    np.testing.assert_allclose([r.lr_last for r in results], rates[:, -1], rtol=1e-6)


def test_what_it_yields_is_what_is_recorded(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, LINE)
    engine.add(spec())
    results = train(engine)
    assert results[-1].value < 0.1 * results[0].value
    assert all(r.training is not None and r.training > 0 for r in results)
    assert all(r.averaged is None and r.grad_norm is None for r in results)


def test_a_seed_alone_decides_what_is_random(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, LINE)
    values = []
    for seed in (3, 4, 3):
        engine.add(spec(seed=seed))
        values.append([r.value for r in train(engine)])
        engine.remove(0)
    assert values[0] == values[2] != values[1]


@pytest.mark.parametrize("yielded", ["0.5", "torch.tensor([0.5])", "{'val_mse': 0.5}"])
def test_numbers_of_any_kind(yielded: str, tmp_path: Path) -> None:
    code = f"""
import torch
def train(schedule, epochs):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    scheduler = schedule.attach(optimizer, total_steps=epochs)
    for _ in range(epochs):
        optimizer.step()
        scheduler.step()
        yield {yielded}
"""
    engine = engine_of(tmp_path, dedent(code))
    engine.add(spec())
    assert [r.value for r in train(engine)] == [0.5] * EPOCHS


def test_what_is_yielded_beside_the_metric(tmp_path: Path) -> None:
    more = '"averaged_val_mse": 7, "mae": torch.tensor(2.0), "model": [],'
    code = LINE.replace('"val_mse": error,', f'"val_mse": error, {more}')
    engine = engine_of(tmp_path, code, wants_averaged=True)
    engine.add(spec())
    results = train(engine)
    assert [r.averaged for r in results] == [7.0] * EPOCHS
    assert [r.metrics for r in results] == [{"mae": 2.0}] * EPOCHS
    assert engine.notes == ["the loop also yields model, which are no numbers: not used"]


def test_a_loop_without_averages_is_compared_by_its_metric_and_says_so_once(
    tmp_path: Path,
) -> None:
    engine = engine_of(tmp_path, LINE, wants_averaged=True)
    for number in (0, 1):
        engine.add(spec(number=number))
    train(engine)
    assert engine.notes == [
        "the loop yields no averaged_val_mse, so trials are compared by val_mse itself"
    ]


def test_a_removed_trial_is_closed(tmp_path: Path) -> None:
    code = (
        LINE.replace("for epoch in range(epochs):", "for epoch in guarded(epochs):")
        + f"""
def guarded(epochs):
    try:
        yield from range(epochs)
    finally:
        pathlib.Path({str(tmp_path / "closed")!r}).touch()
"""
    )
    engine = engine_of(tmp_path, code)
    engine.add(spec())
    train(engine, 2)
    assert not (tmp_path / "closed").exists()
    engine.remove(0)
    assert (tmp_path / "closed").exists()
    assert engine.train_epoch() == []


def test_a_finally_that_raises_is_told(tmp_path: Path) -> None:
    code = """
import torch
def train(schedule, epochs):
    schedule.attach(torch.optim.SGD([torch.zeros(1)], lr=1), total_steps=8)
    try:
        while True:
            yield 1.0
    finally:
        raise OSError("disk full")
"""
    engine = engine_of(tmp_path, dedent(code))
    engine.add(spec())
    train(engine, 1)
    engine.remove(0)
    assert (
        engine.notes[-1]
        == "trial 0 raised when it was closed: OSError: disk full (train.py, line 9)"
    )


@pytest.mark.parametrize(
    ("old", "new", "epoch", "text"),
    [
        (
            "range(epochs)",
            "range(0)",
            1,
            "the loop ended before it yielded anything; it must yield its metric once an epoch",
        ),
        (
            "scheduler = schedule.attach(optimizer, steps_per_epoch=10)",
            "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)",
            1,
            "the loop has not attached its schedule: scheduler = schedule.attach(optimizer, "
            "steps_per_epoch=len(loader))",
        ),
        (
            "steps_per_epoch=10)",
            ")",
            1,
            "ScheduleError: attach needs steps_per_epoch: schedule.attach(optimizer, "
            "steps_per_epoch=len(loader)) (train.py, line 8)",
        ),
        (
            '"val_mse": error',
            '"val_mce": error',
            1,
            "the loop yielded a dict without 'val_mse', the study's metric (it has val_mce, "
            "train_mse); did you mean 'val_mce'?",
        ),
        (
            '{"val_mse": error, "train_mse": float(loss.detach())}',
            "'good'",
            1,
            "the loop yielded 'good' (str) as val_mse; expected a number, or a dict with the key "
            "'val_mse'",
        ),
        (
            "error = float(",
            "x[100]; error = float(",
            1,
            "IndexError: index 100 is out of bounds for dimension 0 with size 80 "
            "(train.py, line 16)",
        ),
    ],
)
def test_what_is_wrong_ends_the_trial_and_says_where(
    old: str, new: str, epoch: int, text: str, tmp_path: Path
) -> None:
    assert old in LINE
    error = error_of(engine_of(tmp_path, LINE.replace(old, new)))
    assert (error.number, error.epoch, error.error) == (0, epoch, text)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "train = 3",
            "train.py:train: expected a generator function train(schedule, *, epochs, seed, "
            "device) that yields its validation metric once an epoch, but it is 3",
        ),
        (
            "def train(): yield 1.0",
            "train.py:train: must take a schedule as its first argument: train(schedule, *, "
            "epochs, seed, device)",
        ),
        (
            "def train(schedule, *, epoch): yield 1.0",
            "train.py:train: has the parameter 'epoch' without a default; did you mean 'epochs'?; "
            "a loop is given device, epochs, seed, state, "
            "trial",
        ),
        (
            "def trian(schedule): yield 1.0",
            "'train.py:train': module 'train.py' has no 'train'; did you mean 'trian'?",
        ),
    ],
)
def test_a_loop_that_cannot_be_called_is_refused(code: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        engine_of(tmp_path, code)
    assert str(refused.value) == text


def test_loops_of_other_forms_are_called(tmp_path: Path) -> None:
    code = (
        LINE
        + """
import functools
class Trainer:
    def __call__(self, schedule, **given):
        assert sorted(given) == ["device", "epochs", "seed"]
        yield from train(schedule, **given)
@functools.wraps(train)
def wrapped(*args, **kwargs):
    return train(*args, **kwargs)
trainer, partial = Trainer(), functools.partial(train)
"""
    )
    values = set()
    for name in ("train", "trainer", "partial", "wrapped"):
        engine = engine_of(tmp_path, code, reference=f"train.py:{name}")
        engine.add(spec())
        values.add(train(engine)[-1].value)
    assert len(values) == 1


@pytest.mark.parametrize("maximize", [False, True])
def test_plateau_follows_what_is_yielded(maximize: bool, tmp_path: Path) -> None:
    values = (1, 2, 3, 3, 3, 3, 4, 4) if maximize else (4, 3, 2, 2, 2, 2, 1, 1)
    code = f"""
import torch
def train(schedule, epochs):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    scheduler = schedule.attach(optimizer, total_steps=epochs)
    for value in {values}:
        optimizer.step()
        scheduler.step()
        yield value
"""
    engine = engine_of(tmp_path, dedent(code), epochs=8, metric=Metric("gain", maximize))
    schedule = Schedule("plateau", 1.0, decay=0.01, params={"factor": 0.5, "patience": 1})
    engine.add(spec(schedule))
    assert [r.lr_first for r in train(engine, 8)] == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("old", ["            scheduler.step()\n", "lr=0.1"])
def test_a_rate_that_does_not_follow_the_schedule_is_said(old: str, tmp_path: Path) -> None:
    engine = engine_of(tmp_path, LINE.replace(old, "" if "step" in old else old))
    engine.add(spec())
    advice = " ".join(train(engine)[-1].advice)
    assert ("call scheduler.step() after every optimizer.step()" in advice) == ("step" in old)


def test_groups_keep_their_ratio(tmp_path: Path) -> None:
    code = """
import torch
def train(schedule, epochs):
    one, two = (torch.zeros(1, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [one], "lr": 0.3}, {"params": [two], "lr": 0.03}])
    scheduler = schedule.attach(optimizer, steps_per_epoch=1)
    for _ in range(epochs):
        first, second = (group["lr"] for group in optimizer.param_groups)
        optimizer.step()
        scheduler.step()
        yield second / first
"""
    engine = engine_of(tmp_path, dedent(code))
    engine.add(spec())
    assert [r.value for r in train(engine)] == pytest.approx([0.1] * EPOCHS)


def test_metrics() -> None:
    accuracy = Metric("val_accuracy", maximize=True)
    assert accuracy.loss(accuracy.loss(0.25)) == 0.25
    assert accuracy.is_better(0.9, 0.8) and not accuracy.is_better(accuracy.worst, 0.8)
    assert accuracy.lead(0.9, 0.8) == pytest.approx(0.125)
    assert Metric().lead(0.7, 0.8) == pytest.approx(0.125)
    likelihood = Metric("log_likelihood", maximize=True)
    assert likelihood.lead(-8.0, -10.0) == pytest.approx(0.2)
    assert Metric().lead(0.5, 0.0) is None
    assert Metric().worst == math.inf and accuracy.worst == -math.inf
