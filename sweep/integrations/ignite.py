"""Ignite: `SweepHandler(optimizer).attach(trainer, evaluator)`, before `trainer.run`."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from sweep.integrations.evaluations import Evaluations
from sweep.training.own_command.current_trial import current_trial


class SweepHandler:
    """Trains with the trial's schedule and epochs, and reports the metrics of every evaluation.

    It steps the schedule after every iteration, in which the optimizer takes one step. Outside of
    a sweep it does nothing, unless `sweep.current_trial` was given a schedule.

    Args:
        optimizer: That the trainer steps.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._evaluations = Evaluations()
        self._scheduler: Any = None

    def attach(self, trainer: Engine, evaluator: Engine) -> None:
        """Add it to both engines.

        Args:
            trainer: Whose iterations are the steps.
            evaluator: Whose metrics are reported, when it has completed.
        """
        trainer.add_event_handler(Events.STARTED, self._start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        evaluator.add_event_handler(Events.COMPLETED, self._report, trainer)

    def _start(self, trainer: Engine) -> None:
        trial, state = current_trial(), trainer.state
        if trial.metric is not None and state.max_iters is None:
            state.max_epochs = trial.epochs
        if trial.has_schedule:
            steps = state.max_iters or state.max_epochs * state.epoch_length
            self._scheduler = trial.attach(self._optimizer, total_steps=steps)

    def _step(self, trainer: Engine) -> None:
        if self._scheduler is not None:
            self._scheduler.step()

    def _report(self, evaluator: Engine, trainer: Engine) -> None:
        try:
            self._evaluations.report(evaluator.state.metrics, trainer.state.iteration)
        except SystemExit:
            for engine in (trainer, evaluator):
                engine.terminate()
                engine.logger.disabled = True  # it would log this as an error
            raise
