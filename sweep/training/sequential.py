"""One plain torch loop per trial: slow, obvious, and the twin that faster engines must match."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.training.averaging import average_decays
from sweep.training.contract import (
    VALIDATION_CHUNK,
    EpochResult,
    ModelBuilder,
    OptimizerSettings,
    TrainingData,
    TrainingSettings,
    TrialError,
    TrialNews,
    TrialSpec,
)
from sweep.training.criterion import Criterion, Told
from sweep.training.generators import seed_generators
from sweep.training.models import precision_of, predict
from sweep.training.own_functions.augmentation import Augmentation
from sweep.training.randomness import SeededDropout, row_order
from sweep.training.seeds import mix


def build_optimizer(
    model: nn.Module, settings: OptimizerSettings, lr: float
) -> torch.optim.Optimizer:
    """Torch's own optimizer over the model's trainable parameters."""
    kind: Any = getattr(torch.optim, OPTIMIZERS[settings.name].torch_class)
    optimizer: torch.optim.Optimizer = kind(_trainable(model), lr=lr, **settings.arguments)
    return optimizer


@dataclass
class _Lane:
    """A trial in training; `averages` are those of its `trainable` parameters."""

    spec: TrialSpec
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler
    dropout: SeededDropout
    trainable: list[nn.Parameter]
    averages: list[Tensor]
    epoch: int = 0
    step: int = 0
    best_loss: float = math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)


class SequentialEngine:
    """Trains its trials one after the other, each with torch's own optimizer and scheduler."""

    lanes = 1
    description = "sequential: one trial after the other, by a plain torch loop"

    def __init__(
        self, data: TrainingData, build_model: ModelBuilder, settings: TrainingSettings
    ) -> None:
        self._data = data
        self._build_model = build_model
        self._settings = settings
        self._criterion = Criterion.of(settings, data)
        self._augment = Augmentation.of(settings)
        self._lanes: dict[int, _Lane] = {}
        self.notes: list[str] = []

    def add(self, spec: TrialSpec) -> None:
        """Take a trial in; it starts with the next epoch."""
        model = self._build_model(spec.seed).to(self._data.x_train.device)
        optimizer = build_optimizer(model, spec.optimizer, spec.schedule.lr)
        horizon = self._settings.over(spec.epochs).horizon(len(self._data.x_train))
        scheduler = spec.schedule.attach(optimizer, total_steps=horizon)
        trainable = _trainable(model)
        averages = [p.detach().clone() for p in trainable]
        self._lanes[spec.number] = _Lane(
            spec, model, optimizer, scheduler, SeededDropout(spec.seed), trainable, averages
        )

    def expect(self, epochs: int) -> None:
        """Nothing needs preparation here."""

    def remove(self, number: int) -> None:
        """Let a trial go, finished or not."""
        self._lanes.pop(number, None)

    def weights(self, number: int) -> dict[str, Tensor]:
        """The product of a trial that is still here: the weights that the objective asks for."""
        lane = self._lanes[number]
        if self._settings.objective == "final" or not lane.best_weights:
            return _copy_of_weights(lane.model)
        return lane.best_weights

    def train_epoch(self) -> list[TrialNews]:
        """Train every trial for one epoch of its own; a trial that raises leaves."""
        results: list[TrialNews] = []
        for lane in list(self._lanes.values()):
            try:
                results.append(self._train_lane(lane))
            except Exception as error:
                number = lane.spec.number
                results.append(TrialError.of(number, lane.epoch, error))
                self.remove(number)
        return results

    def _train_lane(self, lane: _Lane) -> EpochResult:
        started = time.perf_counter()
        lane.epoch += 1
        device = self._data.x_train.device
        rows = len(self._data.x_train)
        batch_size = self._settings.batch_size or rows
        seed_generators(mix(lane.spec.seed, 3, lane.epoch))  # no other trial has a part in it
        order = row_order(lane.spec.seed, lane.epoch, rows).to(device)
        loss_sum = torch.zeros((), device=device)
        grad_norm = torch.zeros((), device=device)
        rates: list[float] = []
        batches = torch.split(order, batch_size)
        decays = average_decays([lane.step], len(batches))[:, 0]
        lane.model.train()
        with lane.dropout:
            for batch, decay in zip(batches, decays.tolist(), strict=True):
                rates.append(float(lane.optimizer.param_groups[0]["lr"]))
                loss, norm = self._train_step(lane, batch)
                with torch.no_grad():
                    for average, weight in zip(lane.averages, lane.trainable, strict=True):
                        average.lerp_(weight, 1 - decay)
                loss_sum += loss * len(batch)
                grad_norm += norm
        told = self._validate(lane.model)
        loss_of = self._settings.measure.loss
        if self._settings.objective != "averaged":
            _keep_best(lane, loss_of(told.value))
        with _averaged(lane):
            averaged = self._validate(lane.model)
            if self._settings.objective == "averaged":
                _keep_best(lane, loss_of(averaged.value))
        if isinstance(lane.scheduler, ReduceLROnPlateau):
            lane.scheduler.step(told.loss)
        return EpochResult(
            number=lane.spec.number,
            epoch=lane.epoch,
            value=told.value,
            averaged=averaged.value,
            training=loss_sum.item() / rows * self._criterion.training_scale,
            lr_first=rates[0],
            lr_last=rates[-1],
            grad_norm=grad_norm.item() / len(rates),
            seconds=time.perf_counter() - started,
            metrics=told.beside(averaged, self._settings.objective),
        )

    def _train_step(self, lane: _Lane, batch: Tensor) -> tuple[Tensor, Tensor]:
        """One optimizer step.

        Args:
            lane: The trial.
            batch: Row indices, (batch,) int64.

        Returns:
            The loss and the gradient's L2 norm before clipping, both scalars.
        """
        lane.dropout.start_step(lane.step)
        lane.optimizer.zero_grad()
        x = self._data.x_train[batch]
        if self._augment is not None:
            x = self._augment(x, lane.spec.seed, lane.step)
        prediction = self._predict(lane.model, x)  # (batch, *outputs)
        loss = self._criterion.training_loss(prediction, self._data.y_train[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for p in lane.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self._settings.clip is not None:
            nn.utils.clip_grads_with_norm_(parameters, self._settings.clip, norm)
        lane.optimizer.step()
        lane.scheduler.step()
        lane.step += 1
        return loss.detach(), norm

    def _predict(self, model: nn.Module, x: Tensor) -> Tensor:
        with precision_of(self._settings.precision, x.device):
            return predict(model, x, self._criterion.outputs)

    @torch.no_grad()
    def _validate(self, model: nn.Module) -> Told:
        """What the model's predictions of the validation rows come to."""
        model.eval()
        x, y = self._data.x_validation, self._data.y_validation
        chunks = (
            self._predict(model, part)  # (rows, *outputs)
            for part in torch.split(x, VALIDATION_CHUNK)
        )
        if self._criterion.is_of_all_rows:
            sums = [each.item() for each in self._criterion.sums(torch.cat([*chunks]), y)]
        else:
            sums = [0.0 for _ in self._criterion.summed]
            for prediction, truth in zip(chunks, torch.split(y, VALIDATION_CHUNK), strict=True):
                parts = self._criterion.sums(prediction, truth)
                sums = [before + part.item() for before, part in zip(sums, parts, strict=True)]
        rows, scales = len(self._data.y_validation), self._criterion.scales
        return self._criterion.told([s / rows * k for s, k in zip(sums, scales, strict=True)])


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


@contextlib.contextmanager
def _averaged(lane: _Lane) -> Iterator[None]:
    """Inside this context the model has the averaged weights; its buffers are its own."""

    def swap() -> None:
        for i, parameter in enumerate(lane.trainable):
            parameter.data, lane.averages[i] = lane.averages[i], parameter.data

    swap()
    try:
        yield
    finally:
        swap()


def _keep_best(lane: _Lane, loss: float) -> None:
    """Keep the weights of a lane whose metric, so that less is better, is its best so far."""
    if loss < lane.best_loss:
        lane.best_loss = loss
        lane.best_weights = _copy_of_weights(lane.model)


def _copy_of_weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
