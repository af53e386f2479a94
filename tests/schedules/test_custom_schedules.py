"""Schedules of the user's own: a factory of a torch scheduler."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from schedule_forms import CUSTOM

from sweep.base.errors import ScheduleError
from sweep.schedules.schedule import Schedule


def test_custom_schedules() -> None:
    schedule = Schedule("mine", 0.8, 0.25, 0.25, {"every": 3}, CUSTOM)
    wanted = np.array([1, 2, 3, 3, 3, 1.5, 1.5, 1.5]) * 0.8 / 3
    np.testing.assert_allclose(schedule.rates(8), wanted)
    own = Schedule("mine", 1.0, warmup=0.2, factory="schedule_forms:own_onecycle")
    risen = 1 - 0.48 * (1 + math.cos(math.pi / (0.3 * 8 - 1)))
    np.testing.assert_allclose(own.rates(10)[:4], [0.04 / 3, 0.08 / 3, 0.04, risen])
    assert "from schedule_forms import own_onecycle as factory" in own.to_code()
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
        ("broken", "'schedule_forms:broken' failed: RuntimeError: no idea"),
        (
            "not_a_scheduler",
            "'schedule_forms:not_a_scheduler' must return a torch LRScheduler, but got 'cosine'",
        ),
        (
            "own_plateau",
            "'schedule_forms:own_plateau' must return a scheduler that is stepped "
            "without a metric, but got a ReduceLROnPlateau; use the built-in 'plateau'",
        ),
        (
            "halvin",
            "'schedule_forms:halvin': module 'schedule_forms' has no 'halvin'; "
            "did you mean 'halving'?",
        ),
    ],
)
def test_a_custom_factory_that_fails(function: str, text: str) -> None:
    with pytest.raises(ScheduleError) as error:
        Schedule("mine", 0.1, factory=f"schedule_forms:{function}").rates(5)
    assert str(error.value) == text
