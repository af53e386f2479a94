"""Layers as lanes against the same layers trained alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from twins import (
    EPOCHS,
    FEATURES,
    OPTIMIZERS,
    RTOL,
    SGD,
    Reshape,
    Residual,
    assert_same,
    assert_same_courses,
    assert_same_weights,
    make_data,
    own,
    settings,
    spec,
    train,
)

from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric
from sweep.training.contract import OptimizerSettings, TrainingData
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.randomness import SeededDropout
from sweep.training.sequential import SequentialEngine

pytestmark = pytest.mark.usefixtures("one_thread")


class Recurrent(nn.Module):
    """The numbers of a row are a sequence; of a recurrent layer, its last time and its states."""

    def __init__(self, kind: Any, times: int = FEATURES, **settings: Any) -> None:
        super().__init__()
        self.cells = kind(1, 4, **settings)
        self.batch_first = settings.get("batch_first", False)
        with torch.no_grad():
            probe = torch.zeros(2, times, 1)
            y, states = self.cells(probe if self.batch_first else probe.transpose(0, 1))
        state = states if isinstance(states, Tensor) else torch.cat(states, -1)
        self.out = nn.Linear(y.shape[-1] + state.shape[-1] * len(state), 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(-1)
        y, states = self.cells(x if self.batch_first else x.transpose(0, 1))
        state = states if isinstance(states, Tensor) else torch.cat(states, -1)
        last = y[:, -1] if self.batch_first else y[-1]
        result: Tensor = self.out(torch.cat([last, *state], -1))
        return result


class Cells(nn.Module):
    """Cells that are called a time at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.rnn, self.lstm = nn.GRUCell(1, 4), nn.RNNCell(4, 4), nn.LSTMCell(4, 4)
        self.out = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = b = x.new_zeros(len(x), 4)
        states = (a, b)
        for time in x.unbind(1):
            a = self.gru(time.unsqueeze(-1), a)
            b = self.rnn(a, b)
            states = self.lstm(b, states)
        y: Tensor = self.out(states[0])
        return y


class Encoder(nn.Module):
    """A small transformer over the numbers of a row."""

    def __init__(self, layers: int = 1, masked: bool = False, **settings: Any) -> None:
        super().__init__()
        self.up = nn.Linear(1, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **settings)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.out = nn.Linear(8, 1)
        self.masked = masked

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.masked else None
        y: Tensor = self.out(
            self.encoder(self.up(x.unsqueeze(-1)), mask, is_causal=self.masked).mean(1)
        )
        return y


class Words(nn.Module):
    """The numbers of a row as ids, of which 0 says that there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4, padding_idx=0)
        self.out = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.embedding((2 * x.abs()).long().clamp(max=5)).mean(1))
        return y


class Heads(nn.Module):
    """Attention, with dropout of its weights, that is asked for these weights, too."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.up = nn.Linear(1, 8)
        self.attention = nn.MultiheadAttention(8, 2, 0.2, batch_first=True, **settings)
        self.out = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.up(x.unsqueeze(-1))
        mixed, shares = self.attention(tokens, tokens, tokens)
        y: Tensor = self.out(mixed.mean(1)) + shares.square().mean((1, 2)).unsqueeze(-1)
        return y


class Frozen(nn.Module):
    """Batch norm that is in evaluation mode throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.Linear(6, 1))

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        if hasattr(self, "layers"):
            self.layers[1].train(False)
        return self

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


def normed(bias: bool = True, **settings: Any) -> Callable[[], nn.Sequential]:
    return lambda: nn.Sequential(
        *[nn.Linear(FEATURES, 6, bias), nn.BatchNorm1d(6, **settings), nn.ReLU()],
        *[nn.Dropout(0.2), nn.Linear(6, 6, bias), nn.BatchNorm1d(6, **settings), nn.Linear(6, 1)],
    )


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "batch norm": normed(),
    "batch norm of all batches": normed(momentum=None),
    "batch norm without weights": normed(affine=False, momentum=0.3),
    "batch norm of inputs": lambda: nn.Sequential(nn.BatchNorm1d(FEATURES), nn.Linear(FEATURES, 1)),
    "batch norm of sequences": lambda: nn.Sequential(
        *[Reshape(1, FEATURES), nn.Conv1d(1, 4, 3, padding=1), nn.BatchNorm1d(4), nn.GELU()],
        *[nn.Flatten(), nn.Linear(4 * FEATURES, 1)],
    ),
    "batch norm of images": lambda: nn.Sequential(
        *[Reshape(1, FEATURES, 1), nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)],
        Residual(
            nn.Sequential(
                *[nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)]
            )
        ),
        *[nn.ReLU(), nn.Dropout2d(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)],
    ),
    "batch norm of volumes": lambda: nn.Sequential(
        *[Reshape(1, FEATURES, 1, 1), nn.Conv3d(1, 4, (3, 1, 1)), nn.BatchNorm3d(4, momentum=None)],
        *[nn.SiLU(), nn.Dropout3d(0.2), nn.Flatten(), nn.Linear(4, 1)],
    ),
    "batch norm in evaluation": Frozen,
    "instance norm": lambda: nn.Sequential(
        *[Reshape(1, FEATURES), nn.Conv1d(1, 4, 2, padding=1), nn.InstanceNorm1d(4, affine=True)],
        *[nn.Tanh(), nn.Dropout1d(0.2), nn.Flatten(), nn.Linear(4 * FEATURES + 4, 1)],
    ),
    "pooling": lambda: nn.Sequential(
        *[Reshape(1, FEATURES), nn.Conv1d(1, 8, 3, padding=2), nn.GroupNorm(2, 8), nn.MaxPool1d(2)],
        *[nn.Flatten(), nn.PReLU(), nn.Linear(8 * ((FEATURES + 2) // 2), 1)],
    ),
    "images": lambda: nn.Sequential(
        *[Reshape(1, FEATURES, 1), nn.Conv2d(1, 4, (3, 1), (2, 1), (2, 0))],
        *[nn.AvgPool2d((2, 1), 1), nn.Conv2d(4, 6, (2, 1), padding="same", dilation=(2, 1))],
        *[nn.Conv2d(6, 6, 1, groups=3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten()],
        *[nn.Linear(6, 1, bias=False)],
    ),
    "sequences": lambda: nn.Sequential(
        *[Reshape(1, FEATURES), nn.AvgPool1d(2, 1), nn.Conv1d(1, 4, 2, 1, 2, 2, bias=False)],
        *[nn.MaxPool1d(2, 1), nn.Conv1d(4, 4, 3, padding="same", padding_mode="circular")],
        *[nn.Tanh(), nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(8, 1)],
    ),
    "rnn": lambda: Recurrent(nn.RNN),
    "rnn of relu": lambda: Recurrent(nn.RNN, nonlinearity="relu", bias=False),
    "lstm": lambda: Recurrent(nn.LSTM, batch_first=True),
    "lstm with a projection": lambda: Recurrent(nn.LSTM, proj_size=2, num_layers=2),
    "lstm both ways": lambda: Recurrent(
        nn.LSTM, batch_first=True, num_layers=2, bidirectional=True, dropout=0.3
    ),
    "gru": lambda: Recurrent(nn.GRU, num_layers=3, dropout=0.3),
    "gru both ways": lambda: Recurrent(nn.GRU, batch_first=True, bidirectional=True, bias=False),
    "cells": Cells,
    "padded words": Words,
    "transformer": Encoder,
    "transformer of two layers": lambda: Encoder(
        2, masked=True, norm_first=True, activation="gelu", dropout=0.2
    ),
    "attention's weights": Heads,
    "attention with more keys": lambda: Heads(add_bias_kv=True, add_zero_attn=True),
}


CHOSEN = {
    "momentum": OPTIMIZERS["momentum"],
    "adamw": OptimizerSettings("adamw", weight_decay=0.1, eps=1e-4),
}
"""Of a bias that has no effect (before batch norm, of keys) the gradient is rounding alone, which
AdamW with its own eps of 1e-8 makes steps of."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("optimizer", CHOSEN)
@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer: str, optimizer: str) -> None:
    chosen = CHOSEN[optimizer]
    specs = [spec(n, n % 2, Schedule("cosine", 0.01 / (n + 1)), chosen) for n in range(5)]
    arrivals, departures = {0: specs[:3], 1: specs[3:4], 2: specs[4:]}, {2: [0], 3: [2]}
    two_batches = settings(70, clip=1.0)
    assert_same_courses(own(LAYERS[layer]), arrivals, two_batches, departures=departures)


def test_batch_norm_with_adamw_as_it_is() -> None:
    specs = [spec(n, n % 2, None, OPTIMIZERS["adamw"]) for n in range(3)]
    assert_same_courses(own(normed(bias=False)), {0: specs}, settings())


@pytest.mark.parametrize("objective", ["best", "final", "averaged"])
def test_the_buffers_are_those_of_the_weights(objective: Any) -> None:
    shared = replace(settings(), objective=objective)
    data, build = make_data(), own(normed())
    engine = VectorizedEngine(data, build, shared, lanes=1)
    twin = SequentialEngine(data, build, shared)
    for each in (engine, twin):
        for number, rate in enumerate((0.05, 0.5)):  # the second gets worse at once
            each.add(spec(number, 1, Schedule("exponential", rate)))
    counts = set()
    for epoch in range(EPOCHS):
        assert_same(train(engine), train(twin))
        for number in (0, 1) if epoch < EPOCHS - 1 else (1,):
            assert_same_weights(engine, twin, number)
            counts.add(engine.weights(number)["1.num_batches_tracked"].item())
        if epoch == EPOCHS - 2:
            engine.remove(0)  # the other takes its row
            twin.remove(0)
    assert len(counts) == EPOCHS if objective == "final" else len(counts) > 1


def test_accuracy_is_the_same() -> None:
    data = make_data()
    y_train, y_validation = ((y > 0).long() for y in (data.y_train, data.y_validation))
    classes = TrainingData(data.x_train, y_train, data.x_validation, y_validation, 1.0, classes=2)
    accuracy = Metric("val_accuracy", True)
    shared = replace(settings(), loss="cross_entropy", metric=accuracy)

    def make() -> nn.Module:
        return nn.Sequential(*list(normed()())[:-1], nn.Linear(6, 2))

    engine = VectorizedEngine(classes, own(make), shared)
    twin = SequentialEngine(classes, own(make), shared)
    for each in (engine, twin):
        for number in range(3):
            each.add(spec(number, number, None, SGD))
    for _ in range(EPOCHS):
        for ours, theirs in zip(train(engine), train(twin), strict=True):
            assert ours.value == theirs.value
            assert ours.metrics["val_cross_entropy"] == pytest.approx(
                theirs.metrics["val_cross_entropy"], rel=RTOL
            )


def test_what_is_dropped_of_attention_derives_from_the_seed_alone() -> None:
    q, k, v = torch.randn(3, 2, 6, 5, 4).unbind()
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    attend = nn.functional.scaled_dot_product_attention
    dropped = []
    for generator in (1, 2):
        torch.manual_seed(generator)
        with SeededDropout(3):
            torch.testing.assert_close(attend(q, k, v, is_causal=True), attend(q, k, v, mask))
            dropped.append(attend(q, k, v, mask, 0.5))
        with SeededDropout(3):
            assert torch.equal(attend(q, k, v, dropout_p=0.5, is_causal=True), dropped[-1])
    assert torch.equal(*dropped)
    many = torch.eye(5).expand(2, 6, 5, 5)
    with SeededDropout(3):
        shares = attend(q, k, many, mask, 0.5)  # the weights themselves
    kept = attend(q, k, many, mask) * 2
    assert ((shares == 0) | torch.isclose(shares, kept)).all()
    assert 0.3 < (shares[..., -1, :] == 0).float().mean() < 0.7


def test_a_dropped_channel_is_dropped_whole() -> None:
    x = torch.ones(50, 6, 3, 4)
    with SeededDropout(3):
        y = nn.functional.dropout2d(x, 0.25)
    channels = y.flatten(2)
    assert (channels == channels[..., :1]).all()
    assert 0.15 < (channels[..., 0] == 0).float().mean() < 0.35
    torch.testing.assert_close(y.max(), torch.tensor(4 / 3))
