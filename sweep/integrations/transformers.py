"""Hugging Face's Trainer: `connect(trainer)` before `trainer.train()`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch.optim.lr_scheduler import LRScheduler
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from sweep.base.errors import InputError
from sweep.integrations.evaluations import Evaluations
from sweep.integrations.plateau import stepped_by_framework
from sweep.training.own_command.current_trial import current_trial


def connect(trainer: Trainer) -> None:
    """Let a Trainer train the trial: its schedule, epochs and seed, in its folder.

    Every evaluation is reported. `num_train_epochs` is the trial's where it evaluates once an
    epoch; `max_steps` where the study counts in steps. Outside of a sweep nothing changes.

    Args:
        trainer: Before it trains.

    Raises:
        InputError: It never evaluates.
    """
    trial = current_trial()
    if trial.has_schedule:
        trainer.create_scheduler = partial(_create_scheduler, trainer)
    if trial.metric is None:
        return
    args = trainer.args
    if args.eval_strategy == "no":
        raise InputError(
            "the Trainer never evaluates, so that there is nothing to report: "
            'TrainingArguments(eval_strategy="epoch")'
        )
    if trial.horizon is not None:
        args.max_steps = trial.horizon
    elif args.eval_strategy == "epoch":
        args.num_train_epochs = trial.epochs
    args.output_dir = str(trial.folder)  # trials side by side would mix their checkpoints
    args.seed = trial.seed
    set_seed(trial.seed)
    trainer.add_callback(SweepCallback())


class SweepCallback(TrainerCallback):
    """Reports each evaluation; where the trial is to stop, ends the process after the clean-up."""

    def __init__(self) -> None:
        self._evaluations = Evaluations()
        self._waiting: dict[str, Any] = {}
        self._stop: SystemExit | None = None

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: Any,
        control: Any,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Report it, once the metric is there: of several data sets, each has an evaluation."""
        told = {name: value for name, value in (metrics or {}).items() if not _is_speed(name)}
        self._waiting |= {"train_loss": _train_loss(state)} | told
        wanted = current_trial().metric
        if f"eval_{wanted}" in self._waiting:  # as metric_for_best_model may be named
            self._waiting[str(wanted)] = self._waiting.pop(f"eval_{wanted}")
        if wanted in self._waiting:
            self._report(state, control)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """If the metric was in none of the evaluations, say so."""
        if self._waiting:
            self._report(state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End, now that trackers and checkpoints are closed, where the trial is to stop."""
        self.on_step_begin(args, state, control)
        if self._stop:
            raise self._stop

    def _report(self, state: Any, control: Any) -> None:
        metrics, self._waiting = self._waiting, {}
        try:
            self._evaluations.report(metrics, state.global_step)
        except SystemExit as stop:
            self._stop = stop
            control.should_training_stop, control.should_save = True, False


def _create_scheduler(trainer: Any, num_training_steps: int, optimizer: Any = None) -> LRScheduler:
    """As `Trainer.create_scheduler`."""
    scheduler = current_trial().attach(
        optimizer or trainer.optimizer, total_steps=num_training_steps
    )
    trainer.lr_scheduler = stepped_by_framework(scheduler)
    return trainer.lr_scheduler  # type: ignore[no-any-return]


def _train_loss(state: Any) -> Any:
    """The last one that was logged."""
    return next((each["loss"] for each in reversed(state.log_history) if "loss" in each), None)


def _is_speed(name: str) -> bool:
    return name == "epoch" or name.endswith(("_runtime", "_per_second"))
