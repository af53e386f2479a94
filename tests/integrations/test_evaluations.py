"""Evaluations of frameworks: which are reported, and what of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sweep.integrations.evaluations import Evaluations
from sweep.integrations.plateau import stepped_by_framework
from sweep.schedules.schedule import Schedule
from sweep.training.own_command.current_trial import current_trial


@pytest.mark.usefixtures("trial")
def test_each_that_follows_a_step_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    evaluations = Evaluations()
    for step, accuracy in [(0, 0.1), (5, 0.2), (5, 0.3), (9, 0.4), (9, 0.4)]:
        evaluations.report({"accuracy": accuracy}, step)
    assert capsys.readouterr().out == "accuracy 0.2\naccuracy 0.4\n"


@pytest.mark.usefixtures("trial")
def test_numbers_of_any_kind_are(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {
        "accuracy": torch.tensor(0.5),
        "f1": np.float32(0.25),
        "count": 3,
        "is_best": True,
        "confusion": torch.zeros(2, 2),
        "name": "x",
    }
    Evaluations().report(metrics, 1)
    assert capsys.readouterr().out == "accuracy 0.5 f1 0.25 count 3\n"


@pytest.mark.usefixtures("no_sweep")
def test_without_a_sweep_none_is(capsys: pytest.CaptureFixture[str]) -> None:
    Evaluations().report({"accuracy": 0.5}, 1)
    assert capsys.readouterr().out == ""
    assert not current_trial().has_schedule


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


def test_a_plateau_is_hidden_from_frameworks_and_others_are_not() -> None:
    cosine = Schedule("cosine", lr=0.1).attach(optimizer(), total_steps=4)
    assert stepped_by_framework(cosine) is cosine
    plateau = Schedule("plateau", lr=0.1, warmup=0.5).attach(optimizer(), total_steps=4)
    hidden = stepped_by_framework(plateau)
    assert not isinstance(hidden, torch.optim.lr_scheduler.ReduceLROnPlateau)
    seen = [hidden.get_last_lr()[0]]
    for _ in range(3):
        hidden.optimizer.step()
        hidden.step()
        seen.append(hidden.get_last_lr()[0])
    assert seen == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1])
    other = stepped_by_framework(
        Schedule("plateau", lr=0.1, warmup=0.5).attach(optimizer(), total_steps=4)
    )
    other.load_state_dict(hidden.state_dict())
    assert other.state_dict() == hidden.state_dict()
