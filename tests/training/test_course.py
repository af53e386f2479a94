"""What is seen of an optimizer's steps and rates in training code of the user's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from sweep.base.errors import ScheduleError
from sweep.schedules.schedule import SHAPES, Schedule
from sweep.study.metric import Metric
from sweep.training.own_loop.advice import StepsSeen, remarks, warnings
from sweep.training.own_loop.course import Course, LoopSchedule

pytestmark = pytest.mark.filterwarnings("ignore:Detected call of", "ignore:Seems like")

EPOCHS, BATCHES = 4, 12
COSINE = Schedule("cosine", 0.5, warmup=0.1)


class Training:
    """Training code, an epoch of twelve batches at a time.

    Args:
        schedule: Its schedule.
        told: What attach is told.
        epochs: How many are trained of those that the trial has.
    """

    def __init__(self, schedule: Schedule = COSINE, epochs: int = EPOCHS, **told: Any) -> None:
        self.course = Course(EPOCHS, None, Metric())
        self.schedule = LoopSchedule.of(schedule, self.course)
        self.optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        self.scheduler = self.schedule.attach(self.optimizer, **told)
        self.epochs = epochs

    def run(
        self,
        accumulate: int = 1,
        skipped: tuple[int, ...] = (),
        skips_both: bool = False,
        steps: Callable[[int], bool] = lambda batch: True,
        after_epoch: Callable[[], None] = lambda: None,
    ) -> StepsSeen:
        """What was seen of it.

        Args:
            accumulate: Batches a step.
            skipped: The batches of the first epoch that mixed precision takes no step with.
            skips_both: Whether the scheduler takes none then, either.
            steps: After which batches the scheduler is stepped.
            after_epoch: What else happens.
        """
        for epoch in range(self.epochs):
            for batch in range(1, BATCHES + 1):
                if batch % accumulate:
                    continue
                skips = epoch == 0 and batch in skipped
                if not skips:
                    self.optimizer.step()
                if steps(batch) and not (skips and skips_both):
                    self.scheduler.step()
            after_epoch()
            self.course.end_epoch()
        seen = self.course.seen()
        assert seen is not None
        return seen


@pytest.mark.parametrize("epochs", [1, 2, EPOCHS])
@pytest.mark.parametrize("scheduler", SHAPES)
def test_steps_as_told_are_well(scheduler: str, epochs: int) -> None:
    seen = Training(Schedule(scheduler, 0.5), epochs, steps_per_epoch=BATCHES).run()
    assert (seen.told, seen.taken) == (EPOCHS * BATCHES, (BATCHES,) * epochs)
    assert not warnings(seen) and not remarks(seen)


@pytest.mark.parametrize("epochs", [1, 2, EPOCHS])
def test_accumulation_that_attach_was_not_told(epochs: int) -> None:
    (told,) = warnings(Training(epochs=epochs, steps_per_epoch=BATCHES).run(accumulate=4))
    assert "attach was told 48 optimizer steps, but a trial takes 12" in told
    assert "cut off after 25 % of their course" in told and "accumulation" in told
    assert not warnings(Training(epochs=epochs, steps_per_epoch=3).run(accumulate=4))


@pytest.mark.parametrize("epochs", [1, 2, EPOCHS])
@pytest.mark.parametrize("per_epoch", [6, 11])
def test_a_horizon_that_is_too_short(per_epoch: int, epochs: int) -> None:
    (told,) = warnings(Training(epochs=epochs, steps_per_epoch=per_epoch).run())
    assert f"attach was told {4 * per_epoch} optimizer steps, but a trial takes 48" in told
    assert "some rise again" in told


def test_a_last_batch_that_is_dropped_is_seen_after_two_epochs() -> None:
    (told,) = warnings(Training(epochs=2, steps_per_epoch=BATCHES + 1).run())
    assert "told 52 optimizer steps, but a trial takes 48" in told and "drop_last" in told


@pytest.mark.parametrize("epochs", [1, 2, EPOCHS])
@pytest.mark.parametrize("skips_both", [True, False])
def test_steps_that_mixed_precision_skips_are_well(skips_both: bool, epochs: int) -> None:
    training = Training(epochs=epochs, steps_per_epoch=BATCHES)
    seen = training.run(skipped=(1,), skips_both=skips_both)
    assert seen.taken[0] == BATCHES - 1
    assert not warnings(seen)


@pytest.mark.parametrize("epochs", [1, 2, EPOCHS])
def test_a_scheduler_that_is_stepped_once_an_epoch(epochs: int) -> None:
    def last(batch: int) -> bool:
        return batch == BATCHES

    well = Training(epochs=epochs, total_steps=EPOCHS).run(steps=last)
    assert not warnings(well)
    named = "once an epoch, and attach was told 4 steps"
    assert (named in " ".join(remarks(well))) == (epochs > 1)
    wrong = warnings(Training(epochs=epochs, steps_per_epoch=BATCHES).run(steps=last))
    said = "4 times in a trial, but attach was told 48 steps" in " ".join(wrong)
    assert said == (epochs > 1)


def test_a_scheduler_that_is_never_stepped() -> None:
    def never(batch: int) -> bool:
        return False

    (told,) = warnings(Training(steps_per_epoch=BATCHES).run(steps=never))
    assert "call scheduler.step() after every optimizer.step()" in told


@pytest.mark.parametrize("schedule", [COSINE, Schedule("constant", 0.5)], ids=str)
def test_a_scheduler_that_was_left_in_is_found(schedule: Schedule) -> None:
    training = Training(schedule, steps_per_epoch=BATCHES)
    old = CosineAnnealingLR(training.optimizer, EPOCHS)
    (told,) = warnings(training.run(after_epoch=old.step))
    assert "(from epoch 2 on): something else sets it" in told


class Wrapper(torch.optim.Optimizer):
    """As Accelerate wraps an optimizer: one of torch's by its class alone."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> Any:  # type: ignore[override]
        """Those of the other."""
        return self.optimizer.param_groups

    def step(self, closure: Any = None) -> Any:
        """A step of the other."""
        return self.optimizer.step(closure)


def test_an_optimizer_that_wraps_another() -> None:
    course = Course(2, None, Metric())
    inner = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1.0)
    wrapped = Wrapper(inner)
    scheduler = LoopSchedule.of(COSINE, course).attach(wrapped, steps_per_epoch=3)
    for _ in range(2):
        for _ in range(3):
            wrapped.step()
            scheduler.step()
        course.end_epoch()
    seen = course.seen()
    assert seen is not None and seen.taken == (3, 3) and not warnings(seen)


def test_layer_decay_is_kept() -> None:
    parameters = [torch.zeros(1, requires_grad=True) for _ in range(3)]
    scales = (0.36, 0.6, 1.0)
    groups = [{"params": [p], "lr_scale": s} for p, s in zip(parameters, scales, strict=True)]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    for _ in range(2):  # the second finds the factors applied
        course = Course(2, None, Metric())
        scheduler = LoopSchedule.of(COSINE, course).attach(optimizer, steps_per_epoch=4)
        first = COSINE.rates(8)[0]
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([scale * first for scale in scales])
        for _ in range(2):
            for _ in range(4):
                optimizer.step()
                scheduler.step()
            course.end_epoch()
        seen = course.seen()
        assert seen is not None and not warnings(seen)


def test_a_second_optimizer_at_another_scale() -> None:
    training = Training(epochs=2, steps_per_epoch=BATCHES)
    own, other = training.optimizer, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = training.schedule.attach(other, steps_per_epoch=BATCHES, scale=4)
    assert other.param_groups[0]["lr"] == pytest.approx(4 * own.param_groups[0]["lr"])

    def both(batch: int) -> bool:
        other.step()
        scheduler.step()
        return True

    seen = training.run(steps=both)
    assert seen.taken == (BATCHES,) * 2 and not warnings(seen)
    other.param_groups[0]["lr"] = 1.0
    seen = training.run(steps=both)
    assert seen.strayed == 3 and "something else sets it" in " ".join(warnings(seen))
    with pytest.raises(ScheduleError, match="scale must be positive and finite"):
        COSINE.attach(other, total_steps=3, scale=0)


@pytest.mark.parametrize("scheduler", [name for name in SHAPES if name != "plateau"])
def test_last_epoch_is_the_last_step_that_was_taken(scheduler: str) -> None:
    schedule = Schedule(scheduler, 0.5)
    expected = schedule.rates(20)
    for last_epoch in (-1, 0, 12):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        schedule.attach(optimizer, total_steps=20, last_epoch=last_epoch)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected[last_epoch + 1], rel=1e-6)
    with pytest.raises(ScheduleError, match="last_epoch must be at least -1"):
        schedule.attach(optimizer, total_steps=20, last_epoch=-2)


def test_rates_that_are_set_by_hand() -> None:
    course = Course(4, 8, Metric())
    schedule = LoopSchedule.of(COSINE, course)
    assert not course.is_known
    rates = schedule.rates()
    np.testing.assert_array_equal(rates, COSINE.rates(8))
    assert course.is_known and course.total_steps == 8 and course.seen() is None
    assert [course.end_epoch() for _ in range(4)] == [
        (rates[first], rates[first + 1]) for first in (0, 2, 4, 6)
    ]
    resumed = Course(4, 8, Metric(), ended=3)
    LoopSchedule.of(COSINE, resumed).rates()
    assert resumed.end_epoch() == (rates[6], rates[7])
    with pytest.raises(ScheduleError, match="rates needs the optimizer steps"):
        LoopSchedule.of(COSINE, Course(4, None, Metric())).rates()


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("value", [1.0, -1.0, 0.0])
def test_plateau_drops_at_the_same_epochs_whatever_the_sign(value: float, maximize: bool) -> None:
    course = Course(8, None, Metric("m", maximize))
    schedule = Schedule("plateau", 0.1, 1e-4, params={"factor": 0.5, "patience": 2})
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    LoopSchedule.of(schedule, course).attach(optimizer, steps_per_epoch=2)
    rates = []
    for epoch in range(8):
        for _ in range(2):
            optimizer.step()
        rates.append(course.end_epoch()[0])
        worse = 1e-5 * epoch * (-1 if maximize else 1)
        course.report(value + worse)  # hardly worse is no progress
    assert rates == [0.1] * 4 + [0.05] * 3 + [0.025]


@pytest.mark.slow
def test_it_needs_neither_torch_nor_a_package_of_the_tool() -> None:
    code = """
import sys
sys.modules.update(dict.fromkeys(["torch", "optuna", "pandas", "pydantic", "tomlkit"]))
import sweep.training.own_loop.advice, sweep.training.own_loop.course
import sweep.training.own_loop.trial
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
