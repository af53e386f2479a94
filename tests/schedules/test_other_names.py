"""Names from elsewhere lead to ours."""

from __future__ import annotations

import inspect
import re

import pytest
import torch

from sweep.base.errors import ScheduleError
from sweep.schedules.from_torch import TorchCall, read_torch
from sweep.schedules.other_names import scheduler_here, setting_here
from sweep.schedules.schedule import SHAPES, Schedule

CLASSES = [
    name
    for name, each in vars(torch.optim.lr_scheduler).items()
    if inspect.isclass(each)
    and issubclass(each, torch.optim.lr_scheduler.LRScheduler)
    and each is not torch.optim.lr_scheduler.LRScheduler
    and not name.startswith("_")
] + ["SWALR"]


@pytest.mark.parametrize("name", CLASSES)
def test_every_scheduler_of_torchs_leads_somewhere(name: str) -> None:
    assert scheduler_here(name).startswith(f"; torch's {name} ")
    assert scheduler_here(f"torch.optim.lr_scheduler.{name}(optimizer)") == scheduler_here(name)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        *((s.torch_class, s.name) for s in SHAPES.values() if s.torch_class != "LambdaLR"),
        ("PolynomialLR", "polynomial"),
        ("cosine_annealing", "cosine"),
        ("reduce_on_plateau", "plateau"),
        ("reduce_lr_on_plateau", "plateau"),
        ("get_linear_schedule_with_warmup", "linear"),
        ("get_cosine_with_hard_restarts_schedule_with_warmup", "cosine_restarts"),
        ("cosine_with_restarts", "cosine_restarts"),
        ("constant_with_warmup", "constant"),
        ("warmup_stable_decay", "wsd"),
        ("CosineDecay", "cosine"),
        ("CosineDecayRestarts", "cosine_restarts"),
        ("ExponentialDecay", "exponential"),
        ("PiecewiseConstantDecay", "multistep"),
        ("CosineLRScheduler", "cosine"),
        ("PlateauLRScheduler", "plateau"),
        ("fit_one_cycle", "onecycle"),
        ("1cycle", "onecycle"),
        ("SGDR", "cosine_restarts"),
        ("exp", "exponential"),
        ("none", "constant"),
        ("WSD", "wsd"),
    ],
)
def test_names_of_schedulers(name: str, ours: str) -> None:
    assert re.search(rf" is {ours} here(, with warmup beside it)?$", scheduler_here(name))
    with pytest.raises(ScheduleError, match=f"is {ours} here"):
        Schedule(name, lr=0.1)


@pytest.mark.parametrize("name", ["cosin", "stp", "my_schedule", "", "lr", "(", "optimizer."])
def test_other_words_lead_nowhere(name: str) -> None:
    assert scheduler_here(name) == ""


@pytest.mark.parametrize("name", ["SequentialLR", "LambdaLR", "SWALR"])
def test_those_without_a_like_here_say_what_to_do_instead(name: str) -> None:
    assert re.search(
        r"has no like here: .*(warmup = 0\.05|\[custom\]|averaged)", scheduler_here(name)
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("T_max", "whose length is epochs"),
        ("step_size", "step.drops = epochs / step_size - 1"),
        ("gamma", "gamma ** drops"),
        ("eta_min", "decay = eta_min / lr"),
        ("max_lr", "max_lr is lr here"),
        ("warmup_steps", "is warmup here"),
        ("pct_start", "pct_start is onecycle.pct_start here"),
        ("drops", "drops is step.drops or multistep.drops here"),
        ("T_mult", "T_mult is cosine_restarts.t_mult here"),
        ("milestones", "multistep.drops here"),
    ],
)
def test_names_of_numbers(name: str, expected: str) -> None:
    assert setting_here(name).startswith("; ") and expected in setting_here(name)
    with pytest.raises(ScheduleError, match=re.escape(expected)):
        Schedule("cosine", lr=0.1, params={name: 3})


def test_what_is_said_of_drops_is_what_torchs_becomes() -> None:
    """`step.drops = epochs / step_size - 1`, and the decay `gamma ** drops`."""
    read = read_torch(TorchCall("StepLR(step_size=30, gamma=0.1)"), 0.2, 90)
    assert read.params["drops"] == 90 / 30 - 1
    assert read.decay == pytest.approx(0.1 ** (90 / 30 - 1))


def test_a_warmup_in_steps() -> None:
    with pytest.raises(ScheduleError, match=r"share of all steps: 100 of 2000 are 0\.05"):
        Schedule("cosine", lr=0.1, warmup=500)
