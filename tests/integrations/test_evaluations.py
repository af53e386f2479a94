"""Evaluations of frameworks: which are reported, and what of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sweep.integrations.evaluations import Evaluations
from sweep.integrations.plateau import stepped_by_framework
from sweep.schedules.schedule import Schedule
from sweep.training.own_command import current_trial as home
from sweep.training.own_command.current_trial import CurrentTrial, current_trial


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> CurrentTrial:
    """One that prints its reports, and believes that a study compares `accuracy`."""
    monkeypatch.setattr(home, "_known", {})
    trial = current_trial(Schedule("cosine", lr=0.1), epochs=3)
    assert trial.has_schedule and trial.metric is None
    monkeypatch.setattr(trial, "metric", "accuracy")
    return trial


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


def test_without_a_sweep_none_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(home, "_known", {})
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


@pytest.mark.slow
class TestTransformers:
    """Of several data sets, each has an evaluation of its own."""

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore")
    def test_the_metric_is_waited_for(
        self,
        trial: CurrentTrial,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from transformers import TrainerControl, TrainerState, TrainingArguments

        from sweep.integrations.transformers import SweepCallback

        monkeypatch.setattr(trial, "metric", "b_loss")
        callback, args = SweepCallback(), TrainingArguments(output_dir=str(tmp_path))
        state, control = TrainerState(global_step=8), TrainerControl()
        state.log_history.append({"loss": 0.75})
        callback.on_evaluate(args, state, control, {"eval_a_loss": 0.5, "eval_a_runtime": 9.0})
        assert capsys.readouterr().out == ""
        callback.on_evaluate(args, state, control, {"eval_b_loss": 0.25, "epoch": 1.0})
        assert capsys.readouterr().out == "train_loss 0.75 eval_a_loss 0.5 b_loss 0.25\n"
        callback.on_step_begin(args, state, control)
        assert capsys.readouterr().out == ""
        state.global_step = 16
        callback.on_evaluate(args, state, control, {"eval_a_loss": 0.5})
        callback.on_step_begin(args, state, control)  # told without it, which a sweep refuses
        assert capsys.readouterr().out == "train_loss 0.75 eval_a_loss 0.5\n"
