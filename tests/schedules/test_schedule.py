"""The rates of a schedule: the same in every form, within bounds, and after a resume."""

from __future__ import annotations

import itertools
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from schedule_forms import (
    CURVES,
    CUSTOM,
    HORIZONS,
    NAMES,
    attached_rates,
    corners,
    make,
    make_optimizer,
    pasted_rates,
    recorded,
)
from torch.optim import Optimizer, lr_scheduler

from sweep.base.errors import ScheduleError
from sweep.schedules.schedule import SHAPES, Schedule


@pytest.mark.parametrize("name", CURVES)
def test_every_form_of_a_schedule_has_the_same_rates(name: str) -> None:
    for decay, warmup, params in itertools.product((1, 0.1, 1e-4), (0, 0.1, 0.5), corners(name)):
        schedule = make(name, lr=0.3, decay=decay, warmup=warmup, params=params)
        code = schedule.to_code()
        again = Schedule.from_json(schedule.to_json())
        assert again == schedule
        long = (decay, warmup) == (1e-4, 0.1)  # 1000 steps take longer than all others
        for steps in HORIZONS if long else HORIZONS[:-1]:
            rates = schedule.rates(steps)
            where = f"{schedule.describe()}, {steps} steps"
            assert rates.shape == (steps,) and rates.dtype == np.float64
            np.testing.assert_array_equal(again.rates(steps), rates, where)
            for form in (attached_rates(schedule, steps), pasted_rates(code, steps)):
                np.testing.assert_allclose(form[:, 0], rates, rtol=1e-7, err_msg=where)


@pytest.mark.parametrize("name", SHAPES)
def test_rates_keep_their_bounds(name: str) -> None:
    if name == "plateau":
        return
    for decay, warmup, params in itertools.product((1, 0.1, 1e-4), (0, 0.1, 0.5), corners(name)):
        schedule = make(name, lr=0.3, decay=decay, warmup=warmup, params=params)
        floor = 0.3 * schedule.decay
        for steps in HORIZONS:
            rates = schedule.rates(steps)
            after = rates[min(round(schedule.warmup * steps), steps - 1) :]
            assert rates[-1] == pytest.approx(floor, rel=1e-9)
            assert rates.max() <= 0.3 * (1 + 1e-12)
            if name == "onecycle":
                after = after[after.argmax() :]
            assert after.min() >= floor * (1 - 1e-9)


@pytest.mark.parametrize("name", CURVES)
def test_groups_keep_their_ratio_to_the_first(name: str) -> None:
    for steps, warmup in itertools.product((1, 2, 50), (0, 0.1)):
        schedule = make(name, lr=0.3, decay=1e-3, warmup=warmup)
        wanted = np.outer(schedule.rates(steps), [1, 10])
        pasted = pasted_rates(schedule.to_code(), steps, 1e-3, 1e-2)
        if name == "custom":
            wanted = attached_rates(schedule, steps, 1e-3, 1e-2)
            np.testing.assert_allclose(wanted[:, 1], 10 * wanted[:, 0])
        np.testing.assert_allclose(attached_rates(schedule, steps, 1e-3, 1e-2), wanted, rtol=1e-7)
        np.testing.assert_allclose(pasted, wanted, rtol=1e-7)


def test_groups_with_a_ratio_to_zero() -> None:
    optimizer = make_optimizer(0.0, 0.1)
    with pytest.raises(ScheduleError) as error:
        Schedule("cosine", 0.1).attach(optimizer, total_steps=5)
    assert str(error.value) == (
        "the optimizer's parameter groups must keep their ratio to the first, but the first has "
        "lr=0; give it a positive lr"
    )
    assert attached_rates(Schedule("constant", 0.1), 1, 0.0, 0.0).tolist() == [[0.1, 0.1]]


def test_a_rate_in_a_tensor_stays_one() -> None:
    rate = torch.tensor(0.5, dtype=torch.float64)
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=rate)
    schedule = Schedule("cosine", 0.1, warmup=0.2)
    scheduler = schedule.attach(optimizer, total_steps=10)
    for wanted in schedule.rates(10):
        assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor)
        assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(wanted)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("name", NAMES)
def test_momentum_is_left_alone(name: str) -> None:
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.37)
    adam = torch.optim.Adam([torch.zeros(1, requires_grad=True)], betas=(0.41, 0.9))
    for optimizer in (sgd, adam):
        recorded(optimizer, make(name, lr=0.1).attach(optimizer, total_steps=20), 20)
    assert sgd.param_groups[0]["momentum"] == 0.37
    assert adam.param_groups[0]["betas"] == (0.41, 0.9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup", (0, 0.2))
@pytest.mark.parametrize("groups", ((0.1,), (0.1, 0.01)))
def test_a_saved_scheduler_resumes(
    name: str, warmup: float, groups: tuple[float, ...], tmp_path: Path
) -> None:
    schedule, path = make(name, lr=0.1, warmup=warmup), tmp_path / "state.pt"
    for first in (3, 10, 11, 20, 37):
        optimizer = make_optimizer(*groups)
        scheduler: Any = schedule.attach(optimizer, total_steps=40)
        recorded(optimizer, scheduler, first)
        if name == "plateau":
            scheduler.step(1.0)
            for _ in range(first):
                scheduler.step(2.0)
        torch.save([optimizer.state_dict(), scheduler.state_dict()], path)
        wanted = recorded(optimizer, scheduler, 40 - first)

        optimizer = make_optimizer(*groups)
        scheduler = schedule.attach(optimizer, total_steps=40)
        saved = torch.load(path, weights_only=True)
        optimizer.load_state_dict(saved[0])
        scheduler.load_state_dict(saved[1])
        assert recorded(optimizer, scheduler, 40 - first) == wanted


@pytest.mark.parametrize("name", CURVES)
def test_an_optimizer_can_be_used_for_another_schedule(name: str) -> None:
    optimizer = make_optimizer(0.7)
    Schedule("onecycle", 0.1).attach(optimizer, total_steps=9)
    schedule = make(name, lr=0.3, warmup=0.2)
    rates = recorded(optimizer, schedule.attach(optimizer, total_steps=9), 9)
    np.testing.assert_allclose(np.ravel(rates), schedule.rates(9), rtol=1e-7)


@pytest.mark.parametrize("name", CURVES)
def test_torch_spec_rebuilds_the_schedule_after_warmup(name: str) -> None:
    schedule = make(name, lr=0.3, warmup=0.2)
    spec = schedule.torch_spec(40)
    assert json.loads(json.dumps(spec)) == spec
    assert spec["warmup_steps"] == round(40 * schedule.warmup)
    if spec["class"] == CUSTOM:
        assert spec["args"] == {"total_steps": 32, "decay": 0.01}
        return
    skipped = spec["warmup_steps"] + spec["hold_steps"]
    wanted = schedule.rates(40)[skipped:]
    if spec["class"] == "LambdaLR":
        assert "decay" in spec["args"]["lr_lambda"] and spec["args"]["steps"] == 32
        return
    optimizer = make_optimizer(0.3)
    scheduler = getattr(lr_scheduler, spec["class"])(optimizer, **spec["args"])
    rates = recorded(optimizer, scheduler, len(wanted))
    np.testing.assert_allclose(np.ravel(rates), wanted, rtol=1e-7)


def test_plain_torch_classes_are_used() -> None:
    for name, shape in SHAPES.items():
        scheduler = Schedule(name, 0.1).attach(make_optimizer(), total_steps=51)
        assert isinstance(scheduler, getattr(lr_scheduler, shape.torch_class))


R = 0.1 ** (1 / 3)

COS = [(1 + math.cos(math.pi * k / 4)) / 2 for k in range(5)]

ON_PAPER: list[tuple[str, dict[str, Any], list[float]]] = [
    ("constant", {}, [1, 1, 1, 1, 1]),
    ("constant", {"warmup": 0.4}, [1 / 3, 2 / 3, 1, 1, 1]),
    ("step", {"params": {"drops": 1}}, [1, 1, 1, 0.1, 0.1]),
    ("step", {"params": {"drops": 3}}, [1, 1, 10**-0.5, 10**-0.5, 0.1]),
    ("multistep", {}, [1, 1, R, R, R**3]),
    ("exponential", {}, [1, 10**-0.25, 10**-0.5, 10**-0.75, 0.1]),
    ("linear", {}, [1, 0.775, 0.55, 0.325, 0.1]),
    ("linear", {"warmup": 0.4}, [1 / 3, 2 / 3, 1, 0.55, 0.1]),
    ("linear", {"warmup": 0.9}, [0.02, 0.04, 0.06, 0.08, 0.1]),
    ("polynomial", {}, [1, 0.1 + 0.9 * 0.5625, 0.325, 0.1 + 0.9 * 0.0625, 0.1]),
    ("cosine", {}, [0.1 + 0.9 * c for c in COS]),
    ("cosine_restarts", {"params": {"cycles": 2}}, [1, 1, 0.1, 1, 0.1]),
    ("cyclic", {"params": {"cycles": 1}}, [0.1, 0.55, 1, 0.55, 0.1]),
    ("cyclic", {"params": {"mode": "triangular2", "cycles": 2}}, [0.1, 1, 0.1, 0.55, 0.1]),
    ("onecycle", {"params": {"pct_start": 0.6}}, [0.04, 0.52, 1, 0.55, 0.1]),
    ("wsd", {"params": {"cooldown": 0.4}}, [1, 1, 1, 1 - 0.9 * 0.5**0.5, 0.1]),
    ("inverse_sqrt", {}, [(1 + 99 * k / 4) ** -0.5 for k in range(5)]),
    ("rex", {}, [0.1 + 0.9 * 2 * (4 - k) / (8 - k) for k in range(5)]),
]


@pytest.mark.parametrize(("name", "fields", "wanted"), ON_PAPER)
def test_curves_on_paper(name: str, fields: dict[str, Any], wanted: list[float]) -> None:
    fields = ({} if name == "constant" else {"decay": 0.1}) | fields
    np.testing.assert_allclose(Schedule(name, 2.0, **fields).rates(5), np.multiply(2, wanted))


def test_a_restarting_cosine_ends_each_cycle_low_and_the_last_at_the_floor() -> None:
    schedule = Schedule("cosine_restarts", 1.0, 0.05, params={"cycles": 3, "t_mult": 2})
    rates = schedule.rates(59)
    assert np.flatnonzero(rates == 1.0).tolist() == [0, 1, 2, 3, 11, 27]
    assert rates[-1] == pytest.approx(0.05) and rates[26] > 0.05 and rates[10] > rates[26]


def feed(scheduler: Any, optimizer: Optimizer, errors: list[float], steps: int) -> list[float]:
    """The rate at the start of each epoch of some steps."""
    rates = []
    for error in errors:
        rates.append(optimizer.param_groups[0]["lr"])
        recorded(optimizer, scheduler, steps)
        scheduler.step(error)
    return rates


def test_plateau_drops_after_its_patience_down_to_its_floor() -> None:
    schedule = Schedule("plateau", 0.8, 0.25, params={"factor": 0.5, "patience": 1})
    errors = [3.0, 2.0, 2.0, 2.0, 1.0, 1.0, math.nan, 1.0, 1.0, 1.0]
    wanted = [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2]
    namespace: dict[str, Any] = {}
    exec(schedule.to_code(), namespace)
    for build in (schedule.attach, namespace["build_scheduler"]):
        optimizer = make_optimizer()
        assert feed(build(optimizer, total_steps=40), optimizer, errors, 4) == wanted
    assert (
        Schedule("plateau", 1e-8).attach(make_optimizer(), total_steps=9).state_dict()["eps"] == 0
    )


def test_plateau_ignores_metrics_while_it_warms_up() -> None:
    schedule = Schedule("plateau", 0.8, 0.01, 0.5, {"factor": 0.5, "patience": 0})
    namespace: dict[str, Any] = {}
    exec(schedule.to_code(), namespace)
    for build in (schedule.attach, namespace["build_scheduler"]):
        optimizer = make_optimizer(0.1, 0.2)
        scheduler = build(optimizer, total_steps=6)
        assert isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
        rates = feed(scheduler, optimizer, [1.0, 9.0, 9.0, 8.0, 9.0, 9.0], 1)
        np.testing.assert_allclose(rates, [0.2, 0.4, 0.6, 0.8, 0.8, 0.4])
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.2, 0.4])


def test_plateau_has_no_rates_of_its_own() -> None:
    with pytest.raises(ScheduleError) as error:
        Schedule("plateau", 0.1).rates(10)
    assert str(error.value) == (
        "a plateau schedule has no rates of its own: they depend on the validation MSE"
    )


@pytest.mark.parametrize("name", SHAPES)
def test_a_state_of_another_horizon_is_refused(name: str) -> None:
    schedule = Schedule(name, 0.1, warmup=0.2 if SHAPES[name].uses_warmup else 0)
    saved = schedule.attach(make_optimizer(), total_steps=100).state_dict()
    schedule.attach(make_optimizer(), total_steps=100).load_state_dict(saved)
    with pytest.raises(ScheduleError, match=r"is of 100 steps of .* attached for 50 steps of"):
        schedule.attach(make_optimizer(), total_steps=50).load_state_dict(saved)


def test_a_state_of_another_schedule_is_refused() -> None:
    saved = Schedule("cosine", 0.1).attach(make_optimizer(), total_steps=9).state_dict()
    with pytest.raises(ScheduleError, match=r"steps of cosine, lr 0.1, .* for 9 steps of linear"):
        Schedule("linear", 0.1).attach(make_optimizer(), total_steps=9).load_state_dict(saved)


def test_a_scheduler_is_pickled_as_torchs_own() -> None:
    scheduler = Schedule("step", 0.1).attach(make_optimizer(), total_steps=9)
    copied = pickle.loads(pickle.dumps(scheduler))
    assert type(copied) is torch.optim.lr_scheduler.StepLR
