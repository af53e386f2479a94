"""What the tests of engines share: data, models, and the comparison of two engines' courses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sweep.data.dataset import Dataset
from sweep.schedules.schedule import Schedule
from sweep.study.registries.losses import LOSSES
from sweep.study.registries.optimizers import OPTIMIZERS as REGISTERED
from sweep.study.sections import ModelConfig
from sweep.training.contract import (
    Engine,
    EpochResult,
    ModelBuilder,
    OptimizerSettings,
    TrainingData,
    TrainingSettings,
    TrialSpec,
)
from sweep.training.criterion import Criterion
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.models import build_model
from sweep.training.sequential import SequentialEngine

Kernel = Literal["eager", "compiled", "native", "captured"]
MSE_ALONE = Criterion(LOSSES["mse"], "mse")
KERNELS: tuple[Kernel, ...] = ("eager", "native") if shutil.which("cc") else ("eager",)
RTOL = 1e-4
ROWS, FEATURES, EPOCHS = 120, 3, 4
SGD = OptimizerSettings()
FIELDS = (
    *("number", "epoch", "value", "averaged", "training"),
    *("lr_first", "lr_last", "grad_norm"),
)
OPTIMIZERS = {
    **{name: OptimizerSettings(name) for name in REGISTERED},
    "momentum": OptimizerSettings(momentum=0.9),
    "nesterov": OptimizerSettings(momentum=0.8, nesterov=True, weight_decay=1e-2),
    "adam": OptimizerSettings("adam", weight_decay=1e-2),
    "adamw": OptimizerSettings("adamw", weight_decay=1e-1, betas=(0.8, 0.99)),
}
CONFIGS = {
    "order-pre": ModelConfig(name="order-pre"),
    "mlp": ModelConfig(name="mlp", hidden=[16, 20, 8], dropout=0.25),
    "linear": ModelConfig(name="linear"),
}


NOISY = """
from torch import nn

def build(features):
    return nn.Sequential(nn.Linear(features, 4), nn.AlphaDropout(0.1), nn.Linear(4, 1))
"""


def some_dataset() -> Dataset:
    """50 rows to train on, 20 for validation, 20 for the test."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(90, 3)).astype(np.float32)
    y = x.sum(axis=1)
    return Dataset(
        *(x[:50], x[50:70], x[70:], y[:50], y[50:70], y[70:]),
        target_mean=0.0,
        target_scale=1.0,
        features=("a", "b", "c"),
        target="y",
        unit="y",
        notes=(),
        fingerprint="",
    )


def make_data(rows: int = ROWS, features: int = FEATURES) -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows + 70, features, generator=generator)
    y = (1.5 * x[:, 0]).sin() + x[:, 1] * x[:, 2] + x.sum(1) / 4
    y = (y - y.mean()) / y.std()
    return TrainingData(x[:rows], y[:rows], x[rows:], y[rows:], target_scale=3.0)


def builder(config: ModelConfig) -> ModelBuilder:
    return lambda seed: build_model(config, FEATURES, seed)


def own(make: Callable[[], nn.Module]) -> ModelBuilder:
    def build(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return make()

    return build


def settings(batch_size: int | None = 32, clip: float | None = None) -> TrainingSettings:
    return TrainingSettings(epochs=EPOCHS, batch_size=batch_size, clip=clip)


def spec(
    number: int, seed: int = 0, schedule: Schedule | None = None, optimizer: OptimizerSettings = SGD
) -> TrialSpec:
    peak = 0.05 if optimizer.name == "sgd" else 0.003
    return TrialSpec(number, seed, schedule or Schedule("cosine", peak), optimizer)


def train(engine: Engine) -> list[EpochResult]:
    results = engine.train_epoch()
    assert all(isinstance(result, EpochResult) for result in results), results
    return [result for result in results if isinstance(result, EpochResult)]


def assert_same(actual: Iterable[EpochResult], expected: Iterable[EpochResult]) -> None:
    for one, other in zip(actual, expected, strict=True):
        for name in FIELDS:
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=RTOL), (name, one)


def assert_same_weights(engine: Engine, twin: Engine, number: int) -> None:
    weights, expected = engine.weights(number), twin.weights(number)
    assert list(weights) == list(expected)
    for name, value in expected.items():
        scale = value.abs().max().item() if value.numel() else 0
        torch.testing.assert_close(
            weights[name], value, rtol=RTOL, atol=RTOL * scale, check_dtype=True
        )


def assert_same_courses(
    build: ModelBuilder,
    arrivals: dict[int, list[TrialSpec]],
    shared: TrainingSettings,
    data: TrainingData | None = None,
    departures: dict[int, list[int]] | None = None,
    lanes: int | None = None,
    kernels: Iterable[Kernel] = ("eager",),
) -> None:
    """Train specs that arrive and leave before given epochs with all engines, and compare."""
    data = data or make_data()
    engines: list[Engine] = [
        VectorizedEngine(data, build, shared, lanes=lanes, kernel=kernel) for kernel in kernels
    ]
    twin: Engine = SequentialEngine(data, build, shared)
    ended: set[int] = set()
    for epoch in range(max(arrivals) + EPOCHS):
        for each in (*engines, twin):
            for number in ended | set((departures or {}).get(epoch, [])):
                each.remove(number)
            for one in arrivals.get(epoch, []):
                each.add(one)
        expected = train(twin)
        for engine in engines:
            assert_same(train(engine), expected)
            for result in expected:
                assert_same_weights(engine, twin, result.number)
        ended = {result.number for result in expected if result.epoch == EPOCHS}
    assert not [engine.notes for engine in engines if engine.notes], "a kernel was not used"


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.inner(x)
        return y


class Reshape(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.out = nn.Linear(4 + FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        codes = x[:, 0].mul(2).round().long().clamp(0, 4)
        y: Tensor = self.out(torch.cat([self.embedding(codes), x], dim=1))
        return y.squeeze(-1)


class Attention(nn.Module):
    def __init__(self, need_weights: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.up = nn.Linear(1, 8)
        self.attention = nn.MultiheadAttention(8, 2, dropout, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.out = nn.Linear(8, 1)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.up(x.unsqueeze(-1))  # (rows, features, 8)
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=self.need_weights)
        y: Tensor = self.out(self.norm(tokens + mixed).mean(1))
        return y


class DotProduct(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(1, 24)
        self.out = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.unsqueeze(-1)).chunk(3, dim=-1)
        y: Tensor = self.out(nn.functional.scaled_dot_product_attention(q, k, v).mean(1))
        return y


class Tied(nn.Module):
    """A weight used twice, a frozen one, and a buffer that depends on the seed."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(FEATURES, FEATURES)
        self.b = nn.Linear(FEATURES, FEATURES)
        self.b.weight = self.a.weight
        self.out = nn.Linear(FEATURES, 1)
        self.out.bias.requires_grad_(False)
        self.register_buffer("scale", torch.rand(FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.b(self.a(x * self.scale).relu()))
        return y


ZOO: dict[str, Callable[[], nn.Module]] = {
    "gelu": lambda: nn.Sequential(nn.Linear(FEATURES, 8), nn.GELU(), nn.Linear(8, 1)),
    "silu": lambda: nn.Sequential(nn.Linear(FEATURES, 8), nn.SiLU(), nn.Linear(8, 1)),
    "others": lambda: nn.Sequential(
        *[nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 8, bias=False), nn.Sigmoid()],
        *[nn.Linear(8, 8), nn.LeakyReLU(), nn.Linear(8, 8), nn.ELU(), nn.Linear(8, 1)],
    ),
    "norms": lambda: nn.Sequential(
        nn.Linear(FEATURES, 8), nn.LayerNorm(8), nn.SiLU(), nn.GroupNorm(2, 8), nn.Linear(8, 1)
    ),
    "conv1d": lambda: nn.Sequential(
        *[Reshape(1, FEATURES), nn.Conv1d(1, 4, 2, padding=1), nn.ReLU()],
        *[nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * FEATURES + 4, 1)],
    ),
    "conv2d": lambda: nn.Sequential(
        *[Reshape(1, 1, FEATURES), nn.Conv2d(1, 4, (1, 2)), nn.SiLU()],
        *[nn.Flatten(), nn.Linear(4 * (FEATURES - 1), 1)],
    ),
    "residual": lambda: nn.Sequential(
        nn.Linear(FEATURES, 8),
        Residual(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 8))),
        Residual(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.Dropout(0.1))),
        nn.Linear(8, 1),
    ),
    "embedding": Embedded,
    "attention": lambda: Attention(need_weights=False),
    "attention weights": lambda: Attention(need_weights=True),
    "dot product": DotProduct,
    "tied": Tied,
}
