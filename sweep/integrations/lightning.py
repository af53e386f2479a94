"""Lightning: `SweepCallback` among the Trainer's callbacks, and `optimizer_config` in the module.

def configure_optimizers(self):
    optimizer = torch.optim.AdamW(self.parameters())
    return optimizer_config(self, optimizer)
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

from sweep.base.errors import InputError
from sweep.integrations.evaluations import Evaluations
from sweep.integrations.plateau import stepped_by_framework
from sweep.training.own_command.current_trial import current_trial

if TYPE_CHECKING or "pytorch_lightning" not in sys.modules:
    from lightning.pytorch import Callback, LightningModule, Trainer
else:  # two packages of one code, of which the script has imported this one
    from pytorch_lightning import Callback, LightningModule, Trainer


class SweepCallback(Callback):
    """Reports what the module has logged, after every validation; trains the trial's epochs.

    Where the trial is to stop, it raises a SystemExit, after which the Trainer closes its loggers
    and workers. Outside of a sweep it does nothing.
    """

    def __init__(self) -> None:
        self._evaluations = Evaluations()
        self._validated = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set `max_epochs`, where it validates after whole epochs and has no `max_steps`."""
        trial = current_trial()
        if stage == "fit" and trial.metric is not None and trainer.max_steps == -1:
            if _validates_after_epochs(trainer):
                trainer.fit_loop.max_epochs = trial.epochs * (trainer.check_val_every_n_epoch or 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report it, in the midst of an epoch."""
        self._validated = True
        if not _validates_after_epochs(trainer):
            self._evaluations.report(trainer.callback_metrics, trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report it after whole epochs: what was logged in training is there only now."""
        if self._validated:
            self._validated = False
            self._evaluations.report(trainer.callback_metrics, trainer.global_step)


def _validates_after_epochs(trainer: Trainer) -> bool:
    return bool(trainer.val_check_interval == 1.0)


def optimizer_config(module: LightningModule, optimizer: Optimizer) -> dict[str, Any]:
    """What `configure_optimizers` returns: the optimizer with the trial's schedule, step by step.

    Outside of a sweep the rate stays as it is, unless `sweep.current_trial` was given a schedule.

    Args:
        module: Attached to its Trainer, as it is in `configure_optimizers`.
        optimizer: Of its parameters.

    Raises:
        InputError: The Trainer has neither `max_epochs` nor `max_steps`.
    """
    steps = module.trainer.estimated_stepping_batches
    if math.isinf(steps):
        raise InputError("the Trainer has no end, but a schedule needs one: give it max_epochs")
    scheduler = current_trial().attach(optimizer, total_steps=int(steps))
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": stepped_by_framework(scheduler), "interval": "step"},
    }
