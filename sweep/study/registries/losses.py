"""The losses: what trainings on a table minimise, and what else trials can be compared by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sweep.study.registries.entry import by_name

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """A loss: a mean over rows.

    Many trials at once have it by `torch.vmap`, so its torch function needs nothing but rules that
    torch has.

    Args:
        name: What a study file calls it.
        function: In `torch.nn.functional`; called with predictions, targets and `reduction`. Or the
            user's own, `module:function`, of predictions and targets, whose value is a mean.
        power: Which power of the target's unit it is in. Numbers are learnt standardised, so that
            it is multiplied by this power of their standard deviation to be told.
        class_scores: From predictions, (..., rows, outputs) or (..., rows) where there is one
            output, to a number for each class, (..., rows, classes), whose softmax are the
            probabilities; None where the target is no class.
        outputs: How many outputs a model has for so many classes; 1 is no axis of its own.
        most_classes: How many classes there may be.
        whole_targets: Whether targets are whole numbers (int64), and not float32.
        c_row: The same of one row in C, which begins with a float `loss` of 0: statements that add
            to it, and set the derivatives `d[o]`, of predictions `p[o]`, o < OUTPUTS, and targets
            `t`, of which there are as many, or the number of the class. Empty if there is none.
    """

    name: str
    function: str
    power: int = 0
    class_scores: Callable[[Tensor], Tensor] | None = None
    outputs: Callable[[int], int] = lambda classes: 1
    most_classes: int = 100
    whole_targets: bool = False
    c_row: str = ""

    @property
    def is_own(self) -> bool:
        """Whether it is a function of the user's own."""
        return ":" in self.function

    @property
    def is_of_classes(self) -> bool:
        """Whether the target is a class."""
        return self.class_scores is not None


def _each_output(loss: str, slope: str) -> str:
    """Of a loss of each number by itself: in C, of the numbers p and t."""
    return f"""\
for (int o = 0; o < OUTPUTS; o++) {{
    const float e = p[o] - t[o];
    loss += {loss};
    d[o] = {slope};
}}"""


_CROSS_ENTROPY = """\
float most = p[0], sum = 0;
for (int o = 1; o < OUTPUTS; o++) most = p[o] > most || p[o] != p[o] ? p[o] : most;
for (int o = 0; o < OUTPUTS; o++) sum += d[o] = expf(p[o] - most);
for (int o = 0; o < OUTPUTS; o++) d[o] = d[o] / sum - (o == (int)t[0]);
loss += logf(sum) + most - p[(int)t[0]];"""


def _beside_zero(predictions: Tensor) -> Tensor:
    """The logit of the second of two classes as scores of both."""
    import torch

    return torch.stack([torch.zeros_like(predictions), predictions], dim=-1)


LOSSES = by_name(
    Loss("mse", "mse_loss", power=2, c_row=_each_output("e * e", "2 * e")),
    Loss("mae", "l1_loss", power=1, c_row=_each_output("fabsf(e)", "(e > 0) - (e < 0)")),
    # torch's delta is 1: of the standardised target. With d, that many units of the target,
    # huber(error / d, delta=1) * d**2 is huber(error, delta=d)
    Loss(
        "huber",
        "huber_loss",
        power=2,
        c_row=_each_output(
            "fabsf(e) < 1 ? 0.5f * e * e : fabsf(e) - 0.5f",
            "fabsf(e) < 1 ? e : (e > 0) - (e < 0)",
        ),
    ),
    Loss(
        "cross_entropy",
        "cross_entropy",
        class_scores=lambda predictions: predictions,
        outputs=lambda classes: classes,
        whole_targets=True,
        c_row=_CROSS_ENTROPY,
    ),
    Loss(
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        class_scores=_beside_zero,
        most_classes=2,
        c_row=_each_output(
            "(p[o] > 0 ? p[o] : 0) - p[o] * t[o] + log1pf(expf(-fabsf(p[o])))",
            "1 / (1 + expf(-p[o])) - t[o]",
        ),
    ),
)


def called(reference: str) -> str:
    """What a loss or a metric is called: by its name, or by that of the user's function."""
    return reference.rpartition(":")[2]


def loss_of(reference: str, of_classes: bool = False) -> Loss:
    """The loss of a name, or of `module:function`.

    Args:
        reference: Which.
        of_classes: Of the user's own: whether its targets are classes. A model then has an output
            for each, as with cross_entropy.
    """
    if reference in LOSSES:
        return LOSSES[reference]
    if not of_classes:
        return Loss(called(reference), reference)
    alike = LOSSES["cross_entropy"]
    return replace(alike, name=called(reference), function=reference, c_row="")


@dataclass(frozen=True)
class Score:
    """What trials can be compared by and that is no loss.

    Args:
        name: What a study file calls it.
        maximize: Whether more of it is better.
        is_of_classes: Whether it is of classes; else it is of numbers.
        mean_of: The loss that it is made of, whose sum over rows is made; None for the share of
            rows whose class has the greatest score.
        made: From that mean (of the standardised target) and the variance of the validation
            target (likewise) to the score.
    """

    name: str
    maximize: bool
    is_of_classes: bool
    mean_of: str | None
    made: Callable[[float, float], float]


SCORES = by_name(
    Score("r2", True, False, "mse", lambda mse, variance: 1 - mse / variance),
    Score("accuracy", True, True, None, lambda share, variance: share),
)

OF_CLASSES = frozenset(
    {name for name, loss in LOSSES.items() if loss.is_of_classes}
    | {name for name, score in SCORES.items() if score.is_of_classes}
)
"""The names of the losses and scores whose targets are classes; those of the others are numbers."""
