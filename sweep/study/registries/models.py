"""The built-in models: layers that are called one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.study.registries.entry import Setting, by_name

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Model:
    """A built-in model; which engine trains it is found out from its layers.

    Args:
        name: What a study file calls it.
        class_name: What its class is called, which stands where that of a user's own would.
        layers: `(settings, features, outputs)` to what maps (rows, features) to predictions,
            (rows, outputs): one for a number, or one for each class.
        settings: Its own keys in a study file.
        suits: What it is for, if not for any table.
    """

    name: str
    class_name: str
    layers: Callable[[Any, int, int], list[nn.Module]]
    settings: tuple[Setting, ...] = ()
    suits: str = ""


def _order_pre(settings: Any, features: int, outputs: int) -> list[nn.Module]:
    """A normalised input and seven linear layers; half of the third's output is dropped.

    The reference model has 3 features.
    """
    from torch import nn

    return [
        nn.LayerNorm(features),
        nn.Linear(features, 6),
        nn.ReLU(),
        nn.Linear(6, 12),
        nn.ReLU(),
        nn.Linear(12, 24),
        nn.Dropout(0.5),
        nn.ReLU(),
        nn.Linear(24, 48),
        nn.ReLU(),
        nn.Linear(48, 96),
        nn.ReLU(),
        nn.Linear(96, outputs),
    ]


def _mlp(settings: Any, features: int, outputs: int) -> list[nn.Module]:
    """Linear layers with ReLU between them, after each of which a share may be dropped."""
    from torch import nn

    layers: list[nn.Module] = []
    width = features
    for next_width in settings.hidden:
        layers += [nn.Linear(width, next_width), nn.ReLU()]
        if settings.dropout:
            layers.append(nn.Dropout(settings.dropout))
        width = next_width
    return [*layers, nn.Linear(width, outputs)]


def _linear(settings: Any, features: int, outputs: int) -> list[nn.Module]:
    """One linear layer: least squares, found by gradient descent."""
    from torch import nn

    return [nn.Linear(features, outputs)]


MODELS = by_name(
    Model("order-pre", "OrderPre", _order_pre, suits="counts of behaviours"),
    Model(
        "mlp",
        "MLP",
        _mlp,
        (
            Setting("hidden", list[int], [64, 64], "widths of the hidden layers", {"ge": 1}),
            Setting(
                "dropout",
                float,
                0.0,
                "share of activations that are dropped in training",
                {"ge": 0, "lt": 1},
            ),
        ),
    ),
    Model("linear", "LinearModel", _linear),
)
