"""What the models of a study are trained by, and what their predictions come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from sweep.base.errors import InputError, ModelError
from sweep.study.registries.losses import LOSSES, OF_CLASSES, SCORES, Loss, called, loss_of
from sweep.study.sections import Objective
from sweep.training.own_functions.loading import OwnFunction, load_function

if TYPE_CHECKING:
    from torch import Tensor

    from sweep.training.contract import TrainingData, TrainingSettings

Outputs = tuple[int, ...] | None
"""The shape of a prediction: () for one number; None where a loss of the user's own decides."""

_ACCURACY = "accuracy"
_VAL = "val_"


@dataclass(frozen=True)
class Told:
    """What predictions of the validation rows come to.

    Args:
        value: The study's metric.
        loss: The loss, which is what a plateau schedule follows.
        metrics: What is told beside the metric, by name.
    """

    value: float
    loss: float
    metrics: dict[str, float]

    def beside(self, averaged: Told, objective: Objective) -> dict[str, float]:
        """What is told beside the metric; of averaged weights, too, where they are the product."""
        if objective != "averaged":
            return self.metrics
        return self.metrics | {f"averaged_{name}": v for name, v in averaged.metrics.items()}


@dataclass(frozen=True)
class Criterion:
    """A loss and a metric, of predictions and targets as a model has them.

    Args:
        loss: What is minimised.
        metric: What trials are compared by: a loss or a score of the registry, or a function of the
            user's own, by name.
        outputs: The shape of a row's prediction.
        target_scale: Target units in one unit of `y`.
        target_mean: Target units that a `y` of 0 stands for.
        variance: Of the validation target, in squared units of `y`.
        own: The functions of the user's own, by name.
        count: How many numbers the model is told to have for a row; 1 is no axis of its own.
    """

    loss: Loss
    metric: str
    outputs: Outputs = ()
    target_scale: float = 1.0
    target_mean: float = 0.0
    variance: float = 0.0
    own: Mapping[str, OwnFunction] = field(default_factory=dict)
    count: int = 1

    @classmethod
    def of(cls, settings: TrainingSettings, data: TrainingData) -> Criterion:
        """That of a study.

        Raises:
            InputError: The metric is not defined on these validation rows, or of another kind of
                target, or a function of the user's own cannot be imported.
        """
        loss = loss_of(settings.loss, of_classes=data.classes > 0)
        metric = settings.measure.name.removeprefix(_VAL)
        y = data.y_validation
        variance = y.double().var(correction=0).item() if metric == "r2" else 0.0
        if metric == "r2" and not variance:
            raise InputError(
                "metric 'r2': the target has one value in all validation rows; give another one"
            )
        own: dict[str, OwnFunction] = {}
        if loss.is_own:
            own[loss.name] = load_function("training.loss", settings.loss, settings.folders)
        if settings.scored_by:
            name = called(settings.scored_by)
            own[name] = load_function("metric", settings.scored_by, settings.folders)
        if metric not in own and (metric in OF_CLASSES) != loss.is_of_classes:
            kind = "classes" if metric in OF_CLASSES else "numbers"
            raise InputError(
                f"metric {metric!r} is of {kind}, which this target does not hold; leave it out "
                "for the loss, or give another"
            )
        row = tuple(y.shape[1:])
        outputs = loss.outputs(data.classes)
        count = outputs if outputs > 1 else y[:1].numel()
        shape: Outputs = (*row, outputs) if outputs > 1 else row
        if loss.is_own and not loss.is_of_classes and metric in own:
            shape = None
        return cls(loss, metric, shape, data.target_scale, data.target_mean, variance, own, count)

    @property
    def is_of_all_rows(self) -> bool:
        """Whether it is found from all validation rows at once, and not as sums over parts.

        So are functions of the user's own, which may be no means over rows. They are called as
        they are, for one trial at a time.
        """
        return bool(self.own)

    @property
    def summed(self) -> tuple[str, ...]:
        """What is summed over the validation rows: the loss first."""
        score = SCORES.get(self.metric)
        base = (score.mean_of or score.name) if score else self.metric
        beside = (_ACCURACY,) if self.loss.is_of_classes else ()
        return tuple(dict.fromkeys((self.loss.name, base, *beside)))

    @property
    def training_scale(self) -> float:
        """What a loss in training is multiplied by for the unit that it is told in."""
        return self._scale(self.loss.name)

    @property
    def scales(self) -> tuple[float, ...]:
        """What the mean of each thing that is summed is multiplied by for its unit."""
        return tuple(map(self._scale, self.summed))

    def _scale(self, name: str) -> float:
        return self.target_scale ** LOSSES[name].power if name in LOSSES else 1.0

    def training_loss(self, predictions: Tensor, y: Tensor) -> Tensor:
        """The mean over rows, a scalar; differentiable.

        Args:
            predictions: (rows, *outputs).
            y: (rows, ...).
        """
        if self.loss.is_own:
            loss: Tensor = self.own[self.loss.name](predictions, y)
            return loss
        return self._reduced(self.loss.name, predictions, y, "mean")

    def checked_loss(self, predictions: Tensor, y: Tensor) -> Tensor:
        """The same.

        Raises:
            ModelError: The loss is the user's own, and fails, is no finite scalar, has no gradient
                with respect to the predictions, or changes what it is given.
        """
        if not self.loss.is_own:
            return self.training_loss(predictions, y)
        named = self.own[self.loss.name].named
        given = predictions.detach().clone(), y.clone()
        try:
            loss = self.training_loss(predictions, y)
        except Exception as error:
            kind = type(error).__name__
            raise ModelError(f"{named}: failed on {_shapes(*given)}: {kind}: {error}") from error
        shape = getattr(loss, "shape", None)
        if shape != () or not loss.is_floating_point():
            what = (
                f"an object of type {type(loss).__name__}"
                if shape is None
                else f"a tensor of shape {tuple(shape)} and type {loss.dtype}"
            )
            raise ModelError(
                f"{named}: returned {what} for {_shapes(*given)}; expected a scalar tensor, such "
                "as a mean over rows, without .item()"
            )
        _refuse_changes(named, given, (predictions, y), ModelError)
        if not loss.isfinite():
            raise ModelError(
                f"{named}: is {loss.item()} for {_shapes(*given)} of an untrained model; expected "
                "a finite number"
            )
        if predictions.requires_grad and not _has_gradient(loss, predictions):
            raise ModelError(
                f"{named}: has no gradient with respect to the predictions, so nothing can be "
                "learnt from it; it must not call detach(), item() or numpy() on the way, nor end "
                "in argmax or a comparison (such a score can be the metric)"
            )
        return loss

    def sums(self, predictions: Tensor, y: Tensor) -> list[Tensor]:
        """Of what is `summed`, the sums over rows, scalars.

        Where it `is_of_all_rows`, these are to be given.

        Args:
            predictions: (rows, *outputs).
            y: (rows, ...).
        """
        return [
            self._own_sum(name, predictions, y)
            if name in self.own
            else self._reduced(name, predictions, y, "sum")
            for name in self.summed
        ]

    def _own_sum(self, name: str, predictions: Tensor, y: Tensor) -> Tensor:
        """The value of a function of the user's own, times the rows.

        A metric of numbers is told in target units, where predictions are of the target's shape.
        """
        rows = len(y)
        if name != self.loss.name and not self.loss.is_of_classes and predictions.shape == y.shape:
            predictions, y = (p * self.target_scale + self.target_mean for p in (predictions, y))
        value = float(self.own[name](predictions, y))
        return torch.tensor(value * rows, dtype=torch.float64, device=y.device)

    def _reduced(self, name: str, predictions: Tensor, y: Tensor, reduction: str) -> Tensor:
        """The mean over rows and what a target has in each, or the sum over rows of these means."""
        each = y.numel() // len(y) if reduction == "sum" else 1
        if name == _ACCURACY:
            assert self.loss.class_scores is not None
            right = (self.loss.class_scores(predictions).argmax(-1) == y).float().sum()
            return right if each == 1 else right.double() / each
        if self.loss.whole_targets and y.dim() > 1:  # torch wants the classes in the second axis
            predictions, y = predictions.flatten(0, -2), y.flatten()
        function: Any = getattr(functional, LOSSES[name].function)
        reduced: Tensor = function(predictions, y, reduction=reduction)
        return reduced if each == 1 else reduced / each

    def predicted(self, predictions: Tensor) -> Tensor:
        """What a user wants to see: of classes their probabilities, (rows, ..., classes)."""
        scores = self.loss.class_scores
        return predictions if scores is None else scores(predictions).softmax(-1)

    def means(self, predictions: Tensor, y: Tensor) -> dict[str, float]:
        """Of what is `summed`, the means over rows, each in its own unit."""
        sums = zip(self.summed, self.sums(predictions, y), self.scales, strict=True)
        return {name: total.item() / len(y) * scale for name, total, scale in sums}

    def check_metric(self, predictions: Tensor, y: Tensor) -> None:
        """Try functions of the user's own on predictions of an untrained model.

        Raises:
            InputError: The metric raises, is no finite number, or changes what it is given.
        """
        if self.metric not in self.own or self.metric == self.loss.name:
            return
        named = self.own[self.metric].named
        given = predictions.clone(), y.clone()
        try:
            value = self._own_sum(self.metric, predictions, y)
        except Exception as error:
            kind = type(error).__name__
            raise InputError(f"{named}: failed on {_shapes(*given)}: {kind}: {error}") from error
        _refuse_changes(named, given, (predictions, y), InputError)
        if not value.isfinite():
            raise InputError(
                f"{named}: is {value.item() / len(y)} for {_shapes(*given)} of an untrained model; "
                "expected a finite number"
            )

    def told(self, means: Sequence[float]) -> Told:
        """What the means over the validation rows say.

        Args:
            means: Of what is `summed`, each in its own unit.
        """
        values = dict(zip(self.summed, means, strict=True))
        score = SCORES.get(self.metric)
        if score is None:
            value = values[self.metric]
        else:
            base = score.mean_of or score.name
            value = score.made(values[base] / self._scale(base), self.variance)
        return Told(
            value,
            values[self.loss.name],
            {_VAL + name: v for name, v in values.items() if name != self.metric},
        )


def _shapes(predictions: Tensor, y: Tensor) -> str:
    return f"predictions of shape {tuple(predictions.shape)}, targets of shape {tuple(y.shape)}"


def _refuse_changes(
    named: str,
    given: tuple[Tensor, Tensor],
    now: tuple[Tensor, Tensor],
    error: type[InputError],
) -> None:
    """The rows that a function of the user's own works on are those of all trials."""
    for what, before, after in zip(("predictions", "targets"), given, now, strict=True):
        if not torch.equal(before, after):
            raise error(f"{named}: changes its {what} in place; begin it with a clone() of them")


def _has_gradient(loss: Tensor, predictions: Tensor) -> bool:
    """Whether a loss depends on predictions by operations that can be differentiated."""
    if not loss.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(loss, predictions, retain_graph=True, allow_unused=True)
    return gradient is not None
