"""Frameworks in the process that tests; as commands, they are in test_own_scripts.py."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sweep.base.errors import InputError
from sweep.training.own_command.current_trial import CurrentTrial

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def trainer(tmp_path: Path) -> Any:
    """What makes a Trainer that evaluates as is told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import Trainer, TrainingArguments

    def make(eval_strategy: str) -> Any:
        args = TrainingArguments(str(tmp_path / "own"), eval_strategy=eval_strategy, use_cpu=True)
        rows = [{"x": torch.zeros(1)}]
        return Trainer(torch.nn.Linear(1, 1), args, train_dataset=rows, eval_dataset=rows)

    return make


class TestTransformers:
    def test_a_trainer_trains_the_trial(self, trial: CurrentTrial, trainer: Any) -> None:
        from sweep.integrations.transformers import connect

        connected = trainer("epoch")
        connect(connected)
        args = connected.args
        assert (args.num_train_epochs, args.output_dir) == (3, str(trial.folder))
        connected.create_optimizer_and_scheduler(num_training_steps=8)
        rates = trial.schedule.rates(8)
        assert connected.lr_scheduler.get_last_lr() == pytest.approx([rates[0]] * 2)

    @pytest.mark.usefixtures("no_sweep")
    def test_without_a_sweep_it_is_left_alone(self, trainer: Any) -> None:
        from sweep.integrations.transformers import connect

        alone = trainer("epoch")
        before = (
            alone.create_scheduler,
            vars(alone.args).copy(),
            [*alone.callback_handler.callbacks],
        )
        connect(alone)
        assert before == (
            alone.create_scheduler,
            vars(alone.args),
            alone.callback_handler.callbacks,
        )

    @pytest.mark.usefixtures("trial")
    def test_one_that_never_evaluates_is_refused(self, trainer: Any) -> None:
        from sweep.integrations.transformers import connect

        with pytest.raises(InputError, match="never evaluates"):
            connect(trainer("no"))

    def test_of_several_data_sets_the_one_with_the_metric_is_waited_for(
        self,
        trial: CurrentTrial,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from transformers import TrainerControl, TrainerState

        from sweep.integrations.transformers import SweepCallback

        monkeypatch.setattr(trial, "metric", "b_loss")
        callback, args = SweepCallback(), None
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


def test_skorchs_own_scheduler_takes_a_trials(trial: CurrentTrial) -> None:
    from skorch import NeuralNetRegressor
    from skorch.callbacks import LRScheduler

    net = NeuralNetRegressor(
        torch.nn.Linear,
        module__in_features=2,
        module__out_features=1,
        max_epochs=3,
        batch_size=10,
        train_split=None,
        verbose=0,
        callbacks=[LRScheduler(trial.attach, step_every="batch", steps_per_epoch=4)],
    )
    net.fit(np.zeros((40, 2), np.float32), np.zeros((40, 1), np.float32))
    rates = [rate for row in net.history[:, "batches", :, "event_lr"] for rate in row]
    assert rates == pytest.approx(trial.schedule.rates(12).tolist())
