"""torch's schedulers read as ours: against torch's own."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from sweep.base.errors import ScheduleError
from sweep.schedules.from_torch import TorchCall, as_text, read_torch
from sweep.schedules.schedule import Schedule

LR = 0.2


def torch_rates(call: TorchCall, units: int) -> list[float]:
    """What torch's scheduler does, stepped once a unit."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(()))], lr=LR)
    scheduler = getattr(torch.optim.lr_scheduler, call.name)(optimizer, **call.arguments)
    rates: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(units):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
    return rates


def read(text: str, units: int, unit: str = "epoch") -> Schedule:
    return read_torch(TorchCall(text), LR, units, unit)


@pytest.mark.parametrize(
    ("text", "units", "expected"),
    [
        ("StepLR(step_size=30, gamma=0.1)", 90, "step, lr=0.2, decay=0.01, drops=2"),
        (
            "lr_scheduler.StepLR(optimizer, 2, gamma=0.97)",
            12,
            "step, lr=0.2, decay=0.858734, drops=5",
        ),
        ("MultiStepLR(opt, milestones=[30, 60])", 90, "step, lr=0.2, decay=0.01, drops=2"),
        ("MultiStepLR([100, 150], gamma=0.2)", 200, "multistep, lr=0.2, decay=0.04, drops=2"),
        ("ExponentialLR(0.95)", 20, "exponential, lr=0.2, decay=0.377354"),
        ("ConstantLR(1.0)", 20, "constant, lr=0.2"),
        ("ConstantLR(0.5, total_iters=99)", 20, "constant, lr=0.1"),
    ],
)
def test_the_same_course_is_the_same_at_every_unit(text: str, units: int, expected: str) -> None:
    schedule = read(text, units)
    assert as_text(schedule) == expected
    np.testing.assert_allclose(
        schedule.rates(units), torch_rates(TorchCall(text), units), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("text", "units", "scheduler"),
    [
        ("CosineAnnealingLR(T_max=90)", 90, "cosine"),
        ("CosineAnnealingLR(89, eta_min=1e-3)", 90, "cosine"),
        ("CosineAnnealingLR(89)", 90, "cosine"),
        ("LinearLR(1.0, 0.1, total_iters=30)", 30, "linear"),
        ("PolynomialLR(30, power=0.9)", 30, "polynomial"),
        ("CosineAnnealingWarmRestarts(10)", 30, "cosine_restarts"),
        ("CosineAnnealingWarmRestarts(10, T_mult=2, eta_min=0.01)", 70, "cosine_restarts"),
        ("CosineAnnealingWarmRestarts(30)", 30, "cosine"),
    ],
)
def test_a_smooth_course_lies_within_a_unit_of_torchs(
    text: str, units: int, scheduler: str
) -> None:
    schedule = read(text, units)
    assert schedule.scheduler == scheduler
    ours, theirs = schedule.rates(units), torch_rates(TorchCall(text), units)
    for unit, rate in enumerate(ours):
        around = theirs[max(unit - 1, 0) : unit + 2]
        assert min(around) - 1e-6 <= rate <= max(around) + 1e-6, unit


def test_onecycle_brings_its_rate_and_its_horizon() -> None:
    expected = Schedule("onecycle", 0.1, 4e-6, params={"pct_start": 0.25})
    for horizon in ("total_steps=300", "epochs=300, steps_per_epoch=7"):
        call = TorchCall(f"OneCycleLR(max_lr=0.1, {horizon}, pct_start=0.25)")
        assert read_torch(call, None, 300) == expected
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(()))], lr=LR)
    torchs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 300, pct_start=0.25)
    rates: list[float] = []
    for _ in range(300):
        rates.append(float(torchs.get_last_lr()[0]))
        optimizer.step()
        torchs.step() if len(rates) < 300 else None
    np.testing.assert_allclose(expected.rates(300), rates, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "units", "told"),
    [
        (
            "StepLR(30)",
            100,
            "the nearest is step, lr=0.2, decay=0.001, drops=3, whose rate is 0.02 in",
        ),
        ("StepLR(30)", 100, "epoch 26 where torch has 0.2: give that one if it will do"),
        ("CosineAnnealingLR(T_max=50)", 90, "a course that no schedule here has; the nearest is"),
        ("StepLR(11730)", 90, "say how many an epoch has: steps_per_epoch=391"),
        ("CosineAnnealingLR(35190)", 90, "say how many an epoch has: steps_per_epoch=391"),
        ("LinearLR(0.1, total_iters=5)", 90, "a warm-up is a number of ours, warmup=0.05"),
        ("OneCycleLR(0.2, total_steps=99)", 90, "is over 99 epochs, and a trial has 90"),
        (
            "OneCycleLR(0.2, total_steps=90, div_factor=10)",
            90,
            "onecycle, its like here, has div_factor",
        ),
        ("OneCycleLR(0.1, total_steps=90)", 90, "has its peak rate in max_lr: leave lr=0.2 out"),
        ("StepLR(step_siz=3)", 9, "step_siz is not known; did you mean 'step_size'?"),
        ("StepLR(3, step_size=3)", 9, "the argument step_size is given twice"),
        ("StepLR(optimizer)", 9, "the argument step_size is missing"),
        ("StepLR(0)", 9, "torch would not take this: expected a whole number of at least 1"),
        ("MultiStepLR(3)", 9, "torch would not take this"),
        ("ExponentialLR(-1.0)", 9, "not finite, or below 0"),
        ("StepLR(3)", 1, "can be read over 2 epochs or more"),
        ("ReduceLROnPlateau()", 9, "is plateau here, with parameters of its own"),
        ("LambdaLR(f)", 9, "torch's LambdaLR has no like here: a formula of your own is"),
        ("OneCycleLR(0.2)", 90, "its length is missing: total_steps=90"),
        ("StepLr(3)", 9, "did you mean 'StepLR'?"),
        ("StepLR", 9, "expected a scheduler of torch's with its arguments"),
        ("StepLR(3", 9, "expected a scheduler of torch's with its arguments"),
    ],
)
def test_what_is_not_ours_is_refused_in_words(text: str, units: int, told: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        read(text, units)
    assert told in str(refused.value)


def test_nothing_is_evaluated(capfd: pytest.CaptureFixture[str]) -> None:
    for text in (
        "StepLR(print('evaluated'))",
        "StepLR(3, gamma=print('evaluated'))",
        "print('evaluated')",
    ):
        with pytest.raises(ScheduleError):
            read(text, 9)
    assert capfd.readouterr().out == ""


def test_numbers_of_steps_are_read_as_steps() -> None:
    assert read("StepLR(11730)", 90 * 391, "step") == read("StepLR(30)", 90)
