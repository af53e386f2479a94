"""Digits with a Lightning module and its Trainer, whose schedule is searched.

sweep run examples/lightning/lightning.toml
python examples/lightning/train.py examples/lightning/lightning/best_schedule.json
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from sweep import Schedule

TRAINING = 1200  # of 1,797 images; the others are for validation


class Digits(lightning.LightningModule):
    """A network of two layers with the learning-rate schedule that it is given."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.layers = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.layers(x), y)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        x, y = batch
        right = self.layers(x).argmax(dim=1) == y
        self.log("val_accuracy", right.float().mean(), batch_size=len(y))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = self.schedule.attach(optimizer, total_steps=steps)
        # its steps are the optimizer's; Lightning's default is one step an epoch
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def loaders() -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Images, (N, 64) from 0 to 1, and digits, (N,), to train and to validate on."""
    pixels, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(pixels / 16, dtype=torch.float32)[order]
    y = torch.tensor(digits)[order]
    training = TensorDataset(x[:TRAINING], y[:TRAINING])
    validation = TensorDataset(x[TRAINING:], y[TRAINING:])
    return DataLoader(training, batch_size=64, shuffle=True), DataLoader(validation, batch_size=600)


def trainer(epochs: int, *callbacks: lightning.Callback, **settings: Any) -> lightning.Trainer:
    """A trainer that neither prints nor writes."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")  # that the loaders have no workers
    return lightning.Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )


class TakingTurns(lightning.Callback):
    """After each epoch, hands the metric over and waits until it hears whether to go on."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.values: SimpleQueue[float | None] = SimpleQueue()
        self.goes_on: SimpleQueue[bool] = SimpleQueue()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        self.values.put(trainer.callback_metrics[self.metric].item())
        trainer.should_stop = not self.goes_on.get()


def train(
    schedule: Schedule, *, epochs: int, seed: int, device: torch.device
) -> Iterator[dict[str, float]]:
    """Yield the accuracy on the validation images after each epoch.

    `Trainer.fit` has a loop of its own, so it runs in a thread that takes turns with this
    generator. Where the generator is closed, the fit ends after its epoch.
    """
    torch.manual_seed(seed)
    turns = TakingTurns("val_accuracy")
    where = {"accelerator": device.type, "devices": 1 if device.index is None else [device.index]}
    with ThreadPoolExecutor(1) as thread:
        fit = trainer(epochs, turns, **where).fit
        fitting = thread.submit(fit, Digits(schedule), *loaders())
        fitting.add_done_callback(lambda _: turns.values.put(None))
        try:
            for value in iter(turns.values.get, None):
                yield {"val_accuracy": value}
                turns.goes_on.put(True)
        finally:
            turns.goes_on.put(False)
    fitting.result()  # raises what the fit has raised


if __name__ == "__main__":  # the module as ever, with the schedule that was found
    lightning.seed_everything(0, verbose=False)
    plain = trainer(10, accelerator="cpu")
    plain.fit(Digits(Schedule.load(sys.argv[1])), *loaders())
    print(f"val_accuracy: {plain.callback_metrics['val_accuracy'].item():.4f}")
