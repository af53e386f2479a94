"""What the models of a study are trained by, and what their predictions come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.nn import functional

from sweep.base.errors import InputError
from sweep.study.registries.losses import LOSSES, SCORES, Loss

if TYPE_CHECKING:
    from torch import Tensor

    from sweep.training.contract import TrainingData, TrainingSettings

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


@dataclass(frozen=True)
class Criterion:
    """A loss and a metric, of predictions and targets as a model has them.

    Args:
        loss: What is minimised.
        metric: What trials are compared by: a loss or a score of the registry, by name.
        outputs: Numbers that a model has for a row.
        target_scale: Target units in one unit of `y`.
        variance: Of the validation target, in squared units of `y`.
    """

    loss: Loss
    metric: str
    outputs: int = 1
    target_scale: float = 1.0
    variance: float = 0.0

    @classmethod
    def of(cls, settings: TrainingSettings, data: TrainingData) -> Criterion:
        """That of a study.

        Raises:
            InputError: The metric is not defined on these validation rows.
        """
        loss = LOSSES[settings.loss]
        metric = settings.measure.name.removeprefix(_VAL)
        y = data.y_validation
        variance = y.double().var(correction=0).item() if metric == "r2" else 0.0
        if metric == "r2" and not variance:
            raise InputError(
                "metric 'r2': the target has one value in all validation rows; give another one"
            )
        return cls(loss, metric, loss.outputs(data.classes), data.target_scale, variance)

    @property
    def is_mse_alone(self) -> bool:
        """Whether squared errors are all that is trained by and compared by."""
        return self.loss.name == "mse" and self.summed == ("mse",)

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
            predictions: (rows,), or (rows, outputs) of several outputs.
            y: (rows,).
        """
        return self._reduced(self.loss.name, predictions, y, "mean")

    def sums(self, predictions: Tensor, y: Tensor) -> list[Tensor]:
        """Of what is `summed`, the sums over rows, scalars.

        Args:
            predictions: (rows,), or (rows, outputs) of several outputs.
            y: (rows,).
        """
        return [self._reduced(name, predictions, y, "sum") for name in self.summed]

    def _reduced(self, name: str, predictions: Tensor, y: Tensor, reduction: str) -> Tensor:
        if name == _ACCURACY:
            assert self.loss.class_scores is not None
            return (self.loss.class_scores(predictions).argmax(-1) == y).float().sum()
        function: Any = getattr(functional, LOSSES[name].function)
        reduced: Tensor = function(predictions, y, reduction=reduction)
        return reduced

    def predicted(self, predictions: Tensor) -> Tensor:
        """What a user wants of predictions: of classes their probabilities, (rows, classes)."""
        scores = self.loss.class_scores
        return predictions if scores is None else scores(predictions).softmax(-1)

    def means(self, predictions: Tensor, y: Tensor) -> dict[str, float]:
        """Of what is `summed`, the means over rows, each in its own unit."""
        sums = zip(self.summed, self.sums(predictions, y), self.scales, strict=True)
        return {name: total.item() / len(y) * scale for name, total, scale in sums}

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
