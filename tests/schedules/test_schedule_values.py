"""A schedule as a value: what it may hold, and how it is written down and read."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from schedule_forms import CUSTOM, NAMES, make, make_optimizer, recorded
from support import ROOT
from torch.optim import lr_scheduler

from sweep.base.errors import ScheduleError
from sweep.schedules.schedule import SHAPES, Schedule

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
    (
        {"params": {"drops": 2}},
        "cosine has no parameter 'drops'; it has none; drops is step.drops or multistep.drops here",
    ),
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
            "from typing import Any",
            "import torch",
            "from torch.optim import Optimizer, lr_scheduler",
        }
        if name == "custom":
            allowed.add("from schedule_forms import halving as factory")
        assert {line for line in imports if not line.startswith("from math import ")} <= allowed
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


@pytest.mark.slow
def test_torch_is_not_imported() -> None:
    code = "import sys, sweep.schedules.schedule as s; s.Schedule('cosine', 1).rates(9); "
    code += "sys.exit('torch' in sys.modules)"
    root = ROOT
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
