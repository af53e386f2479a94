"""Models that cannot be trained as lanes, and what is said of them."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from twins import (
    CONFIGS,
    FEATURES,
    MSE_ALONE,
    Reshape,
    builder,
    make_data,
    own,
    settings,
)

from sweep.base.errors import TrainingError
from sweep.study.registries.models import MODELS
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.lanes.survey import survey

pytestmark = pytest.mark.usefixtures("one_thread")


class Odd(nn.Module):
    """Calls a function of itself, the inputs and a linear layer's output."""

    steps: Tensor

    def __init__(self, function: Callable[[Odd, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, 1)
        self.register_buffer("steps", torch.zeros(()))
        self.unstacked = torch.rand(())
        self.function = function
        self.calls = 0
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x, self.layer(x))


def _count(model: Odd, x: Tensor, y: Tensor) -> Tensor:
    model.steps = model.steps + 1
    return y


def _number(model: Odd, x: Tensor, y: Tensor) -> Tensor:
    model.calls += model.training
    return y


def _remember(model: Odd, x: Tensor, y: Tensor) -> Tensor:
    model.seen.append(y.detach())
    return y


FALLBACKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "batch norm without running statistics": (
        lambda: nn.Sequential(
            nn.Linear(FEATURES, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 1)
        ),
        "Sequential predicts a row from other rows",
    ),
    "control flow": (
        lambda: Odd(lambda model, x, y: y if y.mean() > 0 else -y),
        "Odd: its control flow depends on a tensor's values",
    ),
    "control flow of inputs": (
        lambda: Odd(lambda model, x, y: y if x.mean() > 0 else -y),
        "Odd: its control flow depends on a tensor's values",
    ),
    "item": (
        lambda: Odd(lambda model, x, y: y * y.mean().item()),
        "Odd: it reads a tensor's value with .item()",
    ),
    "noise": (
        lambda: nn.Sequential(Odd(lambda model, x, y: y + torch.randn_like(y))),
        "0 (Odd): it draws random numbers otherwise than by dropout",
    ),
    "alpha dropout": (
        lambda: nn.Sequential(nn.AlphaDropout(0.1), nn.Linear(FEATURES, 1)),
        "0 (AlphaDropout): it draws random numbers otherwise than by dropout",
    ),
    "buffer": (lambda: Odd(_count), "Odd changes its buffer steps in training"),
    "counter": (lambda: Odd(_number), "Odd changes its attribute calls in training"),
    "memory": (
        lambda: nn.Sequential(Odd(_remember)),
        "Sequential changes its attribute 0.seen in training",
    ),
    "rows": (lambda: Odd(lambda m, x, y: y - y.mean()), "Odd predicts a row from other rows"),
    "attribute": (
        lambda: Odd(lambda model, x, y: y * model.unstacked),
        "Odd computes something else as lanes",
    ),
    "Python's numbers": (
        lambda: Odd(_noisy),
        "Odd draws from the random numbers of Python or NumPy",
    ),
    "NumPy's numbers": (
        lambda: Odd(_numpy_noisy),
        "Odd draws from the random numbers of Python or NumPy",
    ),
    "stochastic depth": (
        lambda: SkipsBlocks(),
        "SkipsBlocks leaves parts of itself out in training",
    ),
    "old weight norm": (
        lambda: nn.Sequential(nn.utils.weight_norm(nn.Linear(FEATURES, 1))),
        "Sequential changes its attribute 0.weight in training",
    ),
    "packed sequences": (
        lambda: nn.Sequential(Reshape(FEATURES, 1), Packed()),
        "1 (Packed): an operation of it has no batching rule",
    ),
}


def _noisy(model: Odd, x: Tensor, y: Tensor) -> Tensor:
    return y * (1 + random.random() / 10) if model.training else y


def _numpy_noisy(model: Odd, x: Tensor, y: Tensor) -> Tensor:
    return y + float(np.random.randn()) if model.training else y


class SkipsBlocks(nn.Module):
    """Stochastic depth: in training, each block is left out half of the time."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(FEATURES, FEATURES) for _ in range(8)])
        self.out = nn.Linear(FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            if not self.training or torch.rand(()) < 0.5:
                x = x + block(x).relu()
        y: Tensor = self.out(x)
        return y


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(1, 4, batch_first=True)
        self.out = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.full((len(x),), 2), batch_first=True)
        y: Tensor = self.out(self.cells(packed)[1][0][0])
        return y


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("name", FALLBACKS)
def test_why_not_stackable(name: str) -> None:
    make, expected = FALLBACKS[name]
    data = make_data()
    reason = survey(own(make), data.x_train, data.y_train, MSE_ALONE).reason
    assert reason is not None
    assert reason.startswith(expected)
    with pytest.raises(TrainingError, match="cannot be trained as lanes"):
        VectorizedEngine(data, own(make), settings())


@pytest.mark.parametrize("model", MODELS)
def test_built_in_models_are_stackable(model: str) -> None:
    data = make_data()
    assert survey(builder(CONFIGS[model]), data.x_train, data.y_train, MSE_ALONE).reason is None


@pytest.mark.parametrize("group_norm", [False, True])
def test_lanes_are_neighbours_of_channels_where_all_layers_take_that(group_norm: bool) -> None:
    def make() -> nn.Module:
        norm = nn.GroupNorm(2, 4) if group_norm else nn.BatchNorm2d(4)
        layers = [Reshape(1, FEATURES, 1), nn.Conv2d(1, 4, 1, bias=False), norm]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * FEATURES, 1))

    data = make_data()
    known = survey(own(make), data.x_train, data.y_train, MSE_ALONE)
    assert (known.reason, known.folded) == (None, not group_norm)
