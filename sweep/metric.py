"""What trials are compared by, and the words for it: the one place that knows which way is up."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A validation metric and its direction.

    Values are kept and shown with their own sign. Whatever compares them goes through `loss`.

    Args:
        name: `val_mse`, or what a loop of the user's own yields: `val_accuracy`.
        maximize: Whether more is better.
    """

    name: str = "val_mse"
    maximize: bool = False

    def loss(self, value: float) -> float:
        """The value so that less is better; the same again leads back to the value."""
        return -value if self.maximize else value

    @property
    def worst(self) -> float:
        """What stands for a training that diverged or raised: infinite, and behind all others."""
        return self.loss(math.inf)

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another one."""
        return self.loss(value) < self.loss(other)

    def rank(self, value: float, number: int) -> tuple[float, int]:
        """What trials are sorted by, the best first: of equal values, the earlier trial's.

        Args:
            value: What a trial came to.
            number: The trial's; whatever ranks trials goes by it, so that all agree on the best.
        """
        return self.loss(value), number

    def lead(self, ours: float, theirs: float) -> float | None:
        """How much better our value is, as a share of theirs; None if theirs is 0."""
        return (self.loss(theirs) - self.loss(ours)) / abs(theirs) if theirs else None

    @property
    def is_mse(self) -> bool:
        """Whether it is the validation MSE."""
        return self.name == "val_mse"

    @property
    def title(self) -> str:
        """What a value is called in a sentence: `validation MSE`."""
        return "validation MSE" if self.is_mse else self.name

    @property
    def short(self) -> str:
        """The same in a table: `MSE`."""
        return "MSE" if self.is_mse else self.name

    @property
    def better(self) -> str:
        """The word for a lead: `lower MSE`, `higher val_accuracy`."""
        return f"{'higher' if self.maximize else 'lower'} {self.short}"

    @property
    def train_name(self) -> str:
        """What it is called on the training rows: `train_mse`."""
        return f"train_{self.name.removeprefix('val_')}"

    @property
    def averaged_name(self) -> str:
        """What it is called of averaged weights: `averaged_val_mse`."""
        return f"averaged_{self.name}"

    def named(self, key: str) -> str:
        """The name of a column or a key for this metric, from its name for the validation MSE."""
        if self.is_mse:
            return key
        return key.replace("val_mse", self.name).replace("train_mse", self.train_name)


MSE = Metric()
