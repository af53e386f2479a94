"""Schedules: every form of every name agrees, and the curves are those on paper."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import ROOT
from torch.optim import Optimizer, lr_scheduler

from sweep.base.errors import ScheduleError
from sweep.schedules.schedule import SHAPES, Schedule

HORIZONS = (1, 2, 3, 5, 49, 50, 1000)
CORNERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "step": {"drops": (1, 5)},
    "multistep": {"drops": (1, 5)},
    "polynomial": {"power": (0.5, 4.0)},
    "cosine_restarts": {"cycles": (1, 5), "t_mult": (1, 2)},
    "cyclic": {"cycles": (1, 5), "mode": ("triangular", "triangular2")},
    "onecycle": {"pct_start": (0.01, 0.3, 0.99)},
    "plateau": {"factor": (0.1, 0.7), "patience": (1, 10)},
    "wsd": {"cooldown": (0.1, 1.0)},
}
CUSTOM = "schedules.test_schedule:halving"
NAMES = [*SHAPES, "custom"]
CURVES = [name for name in NAMES if name != "plateau"]


def halving(
    optimizer: Optimizer, total_steps: int, *, decay: float, every: int = 2
) -> lr_scheduler.LRScheduler:
    """A user's own schedule."""
    return lr_scheduler.LambdaLR(optimizer, lambda t: max(0.5 ** (t // every), decay))


def own_onecycle(
    optimizer: Optimizer, total_steps: int, *, decay: float
) -> lr_scheduler.LRScheduler:
    """One that changes initial_lr, as OneCycleLR does."""
    peaks = [group["lr"] for group in optimizer.param_groups]
    return lr_scheduler.OneCycleLR(optimizer, peaks, total_steps, cycle_momentum=False)


def not_a_scheduler(optimizer: Optimizer, total_steps: int, *, decay: float) -> str:
    return "cosine"


def own_plateau(
    optimizer: Optimizer, total_steps: int, *, decay: float
) -> lr_scheduler.LRScheduler:
    return lr_scheduler.ReduceLROnPlateau(optimizer)


def broken(optimizer: Optimizer, total_steps: int, *, decay: float) -> None:
    raise RuntimeError("no idea")


def make(name: str, **fields: Any) -> Schedule:
    """A schedule of any name, custom included, without fields that do not apply to it."""
    shape = SHAPES.get(name)
    if shape is None:
        return Schedule("mine", factory=CUSTOM, **fields)
    if not shape.uses_decay:
        fields.pop("decay", None)
    if not shape.uses_warmup:
        fields.pop("warmup", None)
    return Schedule(name, **fields)


def make_optimizer(*rates: float) -> Optimizer:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": r} for r in rates or (1e-3,)]
    return torch.optim.SGD(groups)


def recorded(
    optimizer: Optimizer, scheduler: lr_scheduler.LRScheduler, steps: int
) -> list[list[float]]:
    """The groups' rates that each step is taken with, shape (steps, groups)."""
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates


def attached_rates(schedule: Schedule, steps: int, *group_rates: float) -> np.ndarray:
    optimizer = make_optimizer(*group_rates)
    return np.array(recorded(optimizer, schedule.attach(optimizer, total_steps=steps), steps))


def pasted_rates(code: str, steps: int, *group_rates: float) -> np.ndarray:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    optimizer = make_optimizer(*group_rates)
    return np.array(recorded(optimizer, namespace["build_scheduler"](optimizer, steps), steps))


def corners(name: str) -> list[Mapping[str, Any]]:
    own = CORNERS.get(name, {})
    return [dict(zip(own, values, strict=True)) for values in itertools.product(*own.values())]


@pytest.mark.parametrize("name", CURVES)
def test_every_form_of_a_schedule_has_the_same_rates(name: str) -> None:
    for decay, warmup, params in itertools.product((1, 0.1, 1e-4), (0, 0.1, 0.5), corners(name)):
        schedule = make(name, lr=0.3, decay=decay, warmup=warmup, params=params)
        code = schedule.to_code()
        again = Schedule.from_json(schedule.to_json())
        assert again == schedule
        for steps in HORIZONS:
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


def test_custom_schedules() -> None:
    schedule = Schedule("mine", 0.8, 0.25, 0.25, {"every": 3}, CUSTOM)
    wanted = np.array([1, 2, 3, 3, 3, 1.5, 1.5, 1.5]) * 0.8 / 3
    np.testing.assert_allclose(schedule.rates(8), wanted)
    own = Schedule("mine", 1.0, warmup=0.2, factory="schedules.test_schedule:own_onecycle")
    risen = 1 - 0.48 * (1 + math.cos(math.pi / (0.3 * 8 - 1)))
    np.testing.assert_allclose(own.rates(10)[:4], [0.04 / 3, 0.08 / 3, 0.04, risen])
    assert "from schedules.test_schedule import own_onecycle as factory" in own.to_code()
    assert own.shape is None


def test_a_custom_factory_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_schedule_file.py").write_text(
        "from torch.optim.lr_scheduler import ExponentialLR\n"
        "def falling(optimizer, total_steps, *, decay):\n"
        "    return ExponentialLR(optimizer, decay)\n"
    )
    monkeypatch.chdir(tmp_path)
    schedule = Schedule("falling", 1.0, 0.5, factory="own_schedule_file.py:falling")
    np.testing.assert_allclose(schedule.rates(3), [1, 0.5, 0.25])
    assert "from own_schedule_file import falling as factory" in schedule.to_code()


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("broken", "'schedules.test_schedule:broken' failed: RuntimeError: no idea"),
        (
            "not_a_scheduler",
            "'schedules.test_schedule:not_a_scheduler' must return a torch LRScheduler, "
            "but got 'cosine'",
        ),
        (
            "own_plateau",
            "'schedules.test_schedule:own_plateau' must return a scheduler that is stepped "
            "without a metric, but got a ReduceLROnPlateau; use the built-in 'plateau'",
        ),
        (
            "halvin",
            "'schedules.test_schedule:halvin': module 'schedules.test_schedule' has no 'halvin'; "
            "did you mean 'halving'?",
        ),
    ],
)
def test_a_custom_factory_that_fails(function: str, text: str) -> None:
    with pytest.raises(ScheduleError) as error:
        Schedule("mine", 0.1, factory=f"schedules.test_schedule:{function}").rates(5)
    assert str(error.value) == text


NAMES_TEXT = ", ".join(SHAPES)
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"lr": -1.0}, "lr must be positive and finite, but got lr=-1.0"),
    ({"lr": math.inf}, "lr must be positive and finite, but got lr=inf"),
    ({"lr": "0.1"}, "lr must be a number, but got lr='0.1'"),
    ({"decay": 0}, "decay must be in (0, 1], but got decay=0.0"),
    ({"decay": math.nan}, "decay must be in (0, 1], but got decay=nan"),
    ({"decay": True}, "decay must be a number, but got decay=True"),
    ({"warmup": 1}, "warmup must be in [0, 1), but got warmup=1.0"),
    ({"scheduler": "constant", "decay": 0.5}, "decay must be 1 for constant, but got decay=0.5"),
    (
        {"scheduler": "onecycle", "warmup": 0.1},
        "warmup must be 0 for onecycle, which brings its own, but got warmup=0.1",
    ),
    (
        {"scheduler": "cosin"},
        f"scheduler must be one of {NAMES_TEXT}, but got scheduler='cosin'; did you mean 'cosine'?",
    ),
    ({"params": {"drops": 2}}, "cosine has no parameter 'drops'; it has none"),
    (
        {"scheduler": "step", "params": {"drop": 2}},
        "step has no parameter 'drop'; its parameters are drops; did you mean 'drops'?",
    ),
    (
        {"scheduler": "step", "params": {"drops": 0}},
        "drops must be in [1, inf), but got drops=0",
    ),
    (
        {"scheduler": "step", "params": {"drops": 1.5}},
        "drops must be a whole number, but got drops=1.5",
    ),
    (
        {"scheduler": "cyclic", "params": {"mode": "triangle"}},
        "mode must be one of triangular, triangular2, but got mode='triangle'; did you "
        "mean 'triangular'?",
    ),
    ({"params": [1]}, "params must be a table of names and values, but got params=[1]"),
    (
        {"factory": CUSTOM},
        "a custom schedule needs a name of its own, but 'cosine' is built in; rename it",
    ),
    (
        {"scheduler": "my own", "factory": CUSTOM},
        "scheduler must be an identifier, but got scheduler='my own'",
    ),
    (
        {"scheduler": "mine", "factory": "halving"},
        "factory must be of the form 'module:function', but got factory='halving'",
    ),
    (
        {"scheduler": "mine", "factory": CUSTOM, "params": {"decay": 1}},
        "'decay' cannot be the name of a custom schedule's parameter",
    ),
    (
        {"scheduler": "mine", "factory": CUSTOM, "params": {"every": [1]}},
        "every must be a number or a string, but got every=[1]",
    ),
]


@pytest.mark.parametrize(("fields", "text"), WRONG)
def test_wrong_numbers_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ScheduleError) as error:
        Schedule(**{"scheduler": "cosine", "lr": 0.1, **fields})
    assert str(error.value) == text


def test_horizons() -> None:
    schedule = Schedule("linear", 0.1)
    optimizer = make_optimizer()
    scheduler = schedule.attach(optimizer, steps_per_epoch=4, epochs=5)
    np.testing.assert_allclose(
        np.ravel(recorded(optimizer, scheduler, 20)), schedule.rates(20), rtol=1e-7
    )
    for total_steps, text in (
        (0, "total_steps must be at least 1, but got total_steps=0"),
        (2.5, "total_steps must be a whole number, but got total_steps=2.5"),
    ):
        with pytest.raises(ScheduleError) as error:
            schedule.rates(total_steps)  # type: ignore[arg-type]
        assert str(error.value) == text
    for wrong in ({}, {"epochs": 3}, {"total_steps": 3, "epochs": 1}):
        with pytest.raises(
            ScheduleError, match=r"^the horizon must be given as total_steps, or as"
        ):
            schedule.attach(optimizer, **wrong)


def test_a_schedule_is_a_value() -> None:
    schedule = Schedule("step", 1, 0.1, params={"drops": 2.0})
    same = Schedule("step", 1.0, 0.1, params={"drops": 2})
    assert schedule == same and hash(schedule) == hash(same)
    assert schedule != Schedule("step", 1.0, 0.1)
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert Schedule.from_dict(schedule.to_dict()) == schedule
    assert replace(schedule, lr=0.5).params == {"drops": 2}
    assert type(schedule.lr) is float and type(schedule.params["drops"]) is int
    assert (Schedule("constant", 0.1).decay, Schedule("cosine", 0.1).decay) == (1.0, 0.01)
    with pytest.raises(TypeError):
        schedule.params["drops"] = 3  # type: ignore[index]


def test_describe() -> None:
    assert Schedule("cosine", 0.12, 0.003, 0.05).describe() == (
        "cosine, lr 0.12, decay 0.003, warm-up 5 %"
    )
    assert Schedule("constant", 0.1).describe() == "constant, lr 0.1"
    assert Schedule("cyclic", 0.1, 0.25).describe() == (
        "cyclic, lr 0.1, decay 0.25, cycles 3, mode triangular"
    )


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "best_schedule.json"
    schedule = Schedule("wsd", 0.1, warmup=0.1)
    path.write_text(schedule.to_json())
    assert Schedule.load(path) == schedule
    path.write_text(json.dumps({"schedule": schedule.to_dict(), "value": 0.2}))
    assert Schedule.load(path) == schedule
    for content, text in (
        ("[]", "expected a schedule as a JSON object, but got a list"),
        ('{"lr": 1}', "a schedule needs the field 'scheduler'"),
        (
            '{"scheduler": "step", "lr": 1, "warm": 0}',
            "a schedule has no field 'warm'; did you mean 'warmup'?",
        ),
    ):
        path.write_text(content)
        with pytest.raises(ScheduleError) as error:
            Schedule.load(path)
        assert str(error.value) == f"{path}: {text}"
    path.write_text("{")
    with pytest.raises(ScheduleError, match="expected a schedule as JSON, but it is broken"):
        Schedule.load(path)
    with pytest.raises(ScheduleError, match="cannot be read"):
        Schedule.load(tmp_path / "missing.json")


@pytest.mark.parametrize("name", NAMES)
def test_code_needs_torch_alone(name: str) -> None:
    for warmup in (0, 0.1):
        code = make(name, lr=0.1, warmup=warmup).to_code()
        imports = [line for line in code.splitlines() if line.startswith(("import", "from"))]
        allowed = {
            "import math",
            "import torch",
            "from torch.optim import Optimizer, lr_scheduler",
        }
        if name == "custom":
            allowed |= {
                "from typing import Any",
                "from schedules.test_schedule import halving as factory",
            }
        assert set(imports) <= allowed
        assert "sweep" not in code
        assert max(map(len, code.splitlines())) <= 110


def test_code_quotes_what_a_user_wrote() -> None:
    params: dict[str, Any] = {"text": '"""\\ é', "flag": True}
    namespace: dict[str, Any] = {}
    exec(Schedule("mine", 0.1, params=params, factory=CUSTOM).to_code(), namespace)
    assert namespace["PARAMS"] == params


@pytest.mark.parametrize("name", SHAPES)
def test_registry_entries_are_complete(name: str) -> None:
    shape = SHAPES[name]
    assert shape.name == name and shape.summary and hasattr(lr_scheduler, shape.torch_class)
    for param in shape.params:
        assert param.help and param.check(param.default) == param.default
        for value in param.choices or (param.low, param.high):
            assert param.check(value) == value


def test_names_stand_in_their_order() -> None:
    assert " ".join(SHAPES) == (
        "constant step multistep exponential linear polynomial cosine cosine_restarts cyclic "
        "onecycle plateau wsd inverse_sqrt rex"
    )


def test_torch_is_not_imported() -> None:
    code = "import sys, sweep.schedules.schedule as s; s.Schedule('cosine', 1).rates(9); "
    code += "sys.exit('torch' in sys.modules)"
    root = ROOT
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


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
