"""What the model of a table is trained by, as a study file or a flag gives it."""

from __future__ import annotations

from typing import Annotated, Literal

from sweep.study.metric import Metric
from sweep.study.named import known, one_of
from sweep.study.registries.losses import LOSSES, SCORES
from sweep.study.sections import Section

_VAL = "val_"

Precision = Literal["highest", "tf32", "bf16"]


class TrainingConfig(Section):
    """What a model on a table is trained by; training code of your own has its own.

    Args:
        loss: What is minimised. Of numbers `mse`, `mae` or `huber`, with the standard deviation of
            the training target as its delta; of classes (words, booleans, a few whole numbers)
            `cross_entropy`, or `binary_cross_entropy` of two.
        precision: Of matrix products and convolutions: `highest` is float32, so that numbers are
            the same on every device; `tf32` is faster on a GPU that has it, and `bf16`, torch's
            autocast, faster still.
    """

    loss: Annotated[str, known(LOSSES, "loss"), one_of(LOSSES)] = "mse"
    precision: Precision = "highest"


def metric_of_table(loss: str, named: str | None) -> Metric:
    """What trials are compared by, where a model is trained on a table.

    Args:
        loss: What is minimised.
        named: A loss or a score of the registry, with or without `val_` before it; None for the
            loss.
    """
    base = loss if named is None else named.removeprefix(_VAL)
    maximize = base in SCORES and SCORES[base].maximize
    return Metric(_VAL + base, maximize, "" if base == loss else f"train_{loss}")


def defaults_in(training: TrainingConfig, measure: Metric) -> set[str]:
    """Those of `training` and `metric` that need not be written down: it holds without them."""
    default = {"training"} if training == TrainingConfig() else set()
    return default | ({"metric"} if measure == metric_of_table(training.loss, None) else set())
