"""What trials are compared by, and the words for it: the one place that knows which way is up."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from sweep.base.languages.sentences import _
from sweep.base.wording import number, percent

NAME = r"^[A-Za-z]\w*(?:[/.@-]\w+)*$"
"""What a metric may be called: `val_accuracy`, `val/accuracy`, `recall@5`."""

NAME_OR_REFERENCE = rf"{NAME}|^[^:]*[^:\s]:[A-Za-z_]\w*$"
"""The same, or `module:function`."""

_MORE_IS_BETTER = frozenset(
    "accuracy acc auc auroc auprc aupr ap map mar f1 f2 fbeta fscore r2 iou miou jaccard dice "
    "kappa mcc precision recall sensitivity specificity ndcg mrr bleu sacrebleu rouge rougel "
    "meteor chrf cider psnr ssim likelihood elbo reward correlation pearson spearman "
    "kendall".split()
)
_LESS_IS_BETTER = frozenset(
    "error errors err loss losses nll ce bce mse rmse mae mape msle cost regret risk gap drop "
    "perplexity ppl bpc bpd wer cer distance divergence".split()
)
_MOST_TIMES = 10
"""A value this many times another one is told as a difference: `900 % higher` says little."""

_NEGATED = frozenset(["neg", "negative", "minus", "inverse"])


def is_usually_maximized(name: str) -> bool:
    """Whether a metric's name says that more of it is better: `val_accuracy`, `test/f1_macro`.

    A word of the name does, unless another one says the contrary: `accuracy_loss`, `top1_error`.
    """
    parted = re.sub(r"(?<=[a-z])(?=[A-Z][a-z]{2})", " ", name)  # valAccuracy
    words = re.sub(r"[\W_]+", " ", parted).lower().split()
    known = {*words, *(word.rstrip("0123456789") for word in words)}  # map50
    less = bool(known & _LESS_IS_BETTER)
    more = bool(known & _MORE_IS_BETTER) and not less
    return less if known & _NEGATED else more


def missing_direction(name: str) -> str:
    """That a study must say which way is better, where a metric's name says that more is."""
    return (
        f"missing: more of {name} is usually better; give --direction maximize, or "
        '--direction minimize if less of it is (direction = "maximize" in a study file)'
    )


def is_a_share(ours: float, theirs: float) -> bool:
    """Whether the difference of two values can be told as a share of the second.

    It says nothing where their signs differ, or where the second is near 0 beside the first.
    """
    return ours == theirs or (ours * theirs >= 0 and abs(ours) <= _MOST_TIMES * abs(theirs) > 0)


@dataclass(frozen=True)
class Metric:
    """A validation metric and its direction.

    Values are kept and shown with their own sign. Whatever compares them goes through `loss`.

    Args:
        name: `val_mse`, or what a loop of the user's own yields: `val_accuracy`.
        maximize: Whether more is better.
        trained: What is measured on the training rows, `train_cross_entropy`, if not the same.
    """

    name: str = "val_mse"
    maximize: bool = False
    trained: str = ""

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
        """How much better our value is, as a share of theirs; None where that says nothing."""
        difference = self.loss(theirs) - self.loss(ours)
        return difference / (abs(theirs) or 1.0) if is_a_share(ours, theirs) else None

    def distance(self, ours: float, theirs: float) -> str:
        """How far apart two values are: `12 %` of theirs, or `0.31` where a share says nothing."""
        share = self.lead(ours, theirs)
        return number(abs(ours - theirs)) if share is None else percent(abs(share))

    @property
    def is_mse(self) -> bool:
        """Whether it is the validation MSE."""
        return self.name == "val_mse"

    @property
    def title(self) -> str:
        """What a value is called in a sentence: `validation MSE`."""
        return _("validation MSE") if self.is_mse else self.name

    @property
    def short(self) -> str:
        """The same in a table: `MSE`."""
        return "MSE" if self.is_mse else self.name

    @property
    def better(self) -> str:
        """The word for a lead: `lower MSE`, `higher val_accuracy`."""
        if self.maximize:
            return _("higher {metric}", metric=self.short)
        return _("lower {metric}", metric=self.short)

    @property
    def train_name(self) -> str:
        """What it is called on the training rows: `train_mse`, `train/accuracy`."""
        if self.trained:
            return self.trained
        named, is_val = re.subn(r"^val(?=[\W_])", "train", self.name)
        return named if is_val else f"train_{self.name}"

    @property
    def is_of_training(self) -> bool:
        """Whether the same is measured on the training rows, so that both share an axis."""
        return not self.trained

    @property
    def averaged_name(self) -> str:
        """What it is called of averaged weights: `averaged_val_mse`."""
        return f"averaged_{self.name}"

    def named(self, key: str) -> str:
        """What files and tables call something, from what it is called inside.

        `value` is `val_accuracy` there, `median_value` is `median_val_accuracy`, `averaged` is
        `averaged_val_accuracy` and `training` is `train_accuracy`; any other name stays.
        """
        if key == "value" or key.endswith("_value"):
            return key.removesuffix("value") + self.name
        return {"averaged": self.averaged_name, "training": self.train_name}.get(key, key)


MSE = Metric()
