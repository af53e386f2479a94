"""What the model of a table is trained by, as a study file or a flag gives it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from sweep.base.user_code import is_reference
from sweep.study.metric import Metric
from sweep.study.named import check_known, one_of
from sweep.study.registries.losses import LOSSES, SCORES, called
from sweep.study.sections import Section

_VAL = "val_"

Precision = Literal["highest", "tf32", "bf16"]


def _loss(value: Any) -> Any:
    """Check that a word is a built-in loss or a reference to the user's own."""
    if not (isinstance(value, str) and (is_reference(value) or ".py:" in value)):
        check_known(value, LOSSES, "loss", also="'module:function'")
    return value


class TrainingConfig(Section):
    """What a model on a table is trained by; training code of your own has its own.

    Args:
        loss: What is minimised. Of numbers `mse`, `mae` or `huber`, with the standard deviation of
            the training target as its delta; of classes (words, booleans, a few whole numbers)
            `cross_entropy`, or `binary_cross_entropy` of two. Or `module:function`, of predictions
            and targets, which returns a scalar.
        precision: Of matrix products and convolutions: `highest` is float32, so that numbers are
            the same on every device; `tf32` is faster on a GPU that has it, and `bf16`, torch's
            autocast, faster still.
    """

    loss: Annotated[
        str,
        BeforeValidator(_loss),
        one_of(LOSSES, also={"type": "string", "pattern": ":"}),
    ] = "mse"
    precision: Precision = "highest"


def metric_of_table(loss: str, named: str | None, maximize: bool = False) -> Metric:
    """What trials are compared by, where a model is trained on a table or on arrays.

    Args:
        loss: What is minimised.
        named: A loss or a score of the registry, with or without `val_` before it, or a
            `module:function`; None for the loss.
        maximize: Of a function of the user's own, whether more is better.
    """
    base = called(loss if named is None else named.removeprefix(_VAL))
    own = named is not None and ":" in named
    more = maximize if own else base in SCORES and SCORES[base].maximize
    trained = called(loss)
    return Metric(_VAL + base, more, "" if base == trained else f"train_{trained}")


def defaults_in(training: TrainingConfig, measure: Metric, named: str) -> set[str]:
    """Those keys of the training that need not be written down: it holds without them."""
    default = {"training"} if training == TrainingConfig() else set()
    if ":" in named:
        return default
    same = measure == metric_of_table(training.loss, None)
    return default | {"direction"} | ({"metric"} if same else set())
