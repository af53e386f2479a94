"""Images and sequences of tokens, trained by a compiled program."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from twins import KERNELS, assert_same_courses, own, settings, spec, train

from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric
from sweep.training.contract import OptimizerSettings, TrainingData, TrainingSettings, TrialError
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.lanes.native import compiler
from sweep.training.lanes.native.chain import chain_of
from sweep.training.lanes.native.compiler import library
from sweep.training.sequential import SequentialEngine

pytestmark = pytest.mark.usefixtures("one_thread")


class Functional(nn.Module):
    """Images by functions, whose windows overlap, leave edges out, and are padded."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(1, 0), bias=False)
        self.second = nn.Conv2d(5, 18, 2)
        self.out = nn.Linear(18, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.first(x)), 3, stride=1, padding=1)
        x = functional.avg_pool2d(torch.tanh(self.second(x)), (2, 3), stride=(1, 2))
        y: Tensor = self.out(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return y


IMAGES: dict[str, tuple[tuple[int, ...], int, Callable[[], nn.Module]]] = {
    "functions": ((3, 7, 9), 4, Functional),
    "digits": (
        *((1, 8, 8), 3),
        lambda: nn.Sequential(
            *[nn.Conv2d(1, 16, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2)],
            *[nn.Conv2d(16, 33, 3, padding=1), nn.GELU(), nn.AvgPool2d(3, 2, 1), nn.Flatten()],
            *[nn.Linear(132, 16), nn.LayerNorm(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)],
        ),
    ),
    "a series": (
        *((2, 11), 2),
        lambda: nn.Sequential(
            *[nn.Conv1d(2, 6, 5, stride=2, padding=1, bias=False), nn.BatchNorm1d(6), nn.SiLU()],
            *[nn.MaxPool1d(2, 1), nn.Dropout(0.1)],
            *[nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(12, 2)],
        ),
    ),
    "flat at once": (
        *((1, 3, 3), 3),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 3)),
    ),
    "batch norm": (
        *((3, 7, 9), 4),
        lambda: nn.Sequential(
            *[nn.BatchNorm2d(3), nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)],
            *[nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 18, 2, bias=False)],
            *[nn.BatchNorm2d(18, 1e-3, 0.3, affine=False), nn.Tanh(), nn.Dropout(0.1)],
            *[nn.Flatten(), nn.Linear(108, 33, bias=False), nn.BatchNorm1d(33), nn.SiLU()],
            *[nn.Dropout(0.2), nn.Linear(33, 4)],
        ),
    ),
    "rows in batches": (
        *((9,), 3),
        lambda: nn.Sequential(
            *[nn.Linear(9, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)]
        ),
    ),
    "dropped images": (
        *((2, 4, 4), 2),
        lambda: nn.Sequential(
            *[nn.Dropout(0.3), nn.MaxPool2d(2), nn.Conv2d(2, 4, 2), nn.Dropout(0.1)],
            *[nn.Flatten(), nn.Linear(4, 2)],
        ),
    ),
}


class Tokens(nn.Module):
    """Tokens, with places that are learnt, through torch's layers of a transformer."""

    def __init__(
        self, tokens: int, width: int, classes: int, relu: bool = False, **settings: Any
    ) -> None:
        super().__init__()
        self.first = nn.ReLU() if relu else nn.Identity()
        self.up = nn.Linear(4, width)
        self.place = nn.Parameter(0.1 * torch.randn(1, tokens, width))
        layer = nn.TransformerEncoderLayer(width, batch_first=True, **settings)
        norm = nn.LayerNorm(width) if settings.get("norm_first") else None
        self.encoder = nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False)
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(self.first(self.up(x.squeeze(1))) + self.place)
        y: Tensor = self.out(x.mean(dim=1))
        return y


class Turned(nn.Module):
    """Tokens whose features are channels of a convolution in between."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(3)
        self.convolution = nn.Conv1d(3, 18, 3, padding=1)
        self.down = nn.Linear(18, 5)
        self.drop = nn.Dropout(0.2)
        self.attention = nn.TransformerEncoderLayer(5, 1, 7, 0.3, batch_first=True)
        self.out = nn.Linear(35, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.convolution(self.norm(x).transpose(1, 2)).relu())
        x = self.drop(self.down(x.permute(0, 2, 1)))
        y: Tensor = self.out(self.attention(x).flatten(1))
        return y


TOKENS: dict[str, tuple[tuple[int, ...], int, Callable[[], nn.Module]]] = {
    "post-norm": ((1, 8, 4), 3, lambda: Tokens(8, 12, 3, nhead=3, dim_feedforward=20)),
    "pre-norm": (
        *((1, 19, 4), 3),
        lambda: Tokens(
            *(19, 32, 3),
            nhead=2,
            dim_feedforward=17,
            dropout=0.0,
            bias=False,
            norm_first=True,
            activation="gelu",
        ),
    ),
    "turned": ((7, 3), 2, Turned),
    "placed after a slope": (
        (1, 8, 4),
        3,
        lambda: Tokens(8, 12, 3, True, nhead=3, dim_feedforward=9),
    ),
}


class Words(nn.Module):
    """Ids as tokens with places that are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(IDS, 12)
        self.place = nn.Parameter(0.1 * torch.randn(7, 12))
        self.drop = nn.Dropout(0.1)
        self.encoder = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True)
        self.out = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(self.drop(self.embedding(x) + self.place))
        y: Tensor = self.out(x.mean(1))
        return y


class Mean(nn.Module):
    """What ids are on average."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(IDS, 17)
        self.out = nn.Linear(17, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.embedding(x).mean(dim=1))
        return y


IDS = 11
WORDS: dict[str, tuple[tuple[int, ...], int, Callable[[], nn.Module]]] = {
    "words": ((7,), 3, Words),
    "mean of words": ((5,), 3, Mean),
}


QUICK = ("rows in batches", "flat at once")


def slow_unless_quick(name: str) -> object:
    """A parameter whose program takes seconds to compile, unless it is a small one."""
    return pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)


def rows_of(shape: tuple[int, ...], classes: int, of_ids: bool = False) -> TrainingData:
    """110 rows to train on, of images or of ids, and 40 for validation."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(150, *shape, generator=generator)
    x = (4 * x).long().clamp(1 - IDS // 2, IDS // 2) + IDS // 2 if of_ids else x
    y = (x.flatten(1)[:, :classes]).argmax(1)
    return TrainingData(x[:110], y[:110], x[110:], y[110:], 1.0, classes=classes)


def of_classes(batch_size: int) -> TrainingSettings:
    """To be trained to tell classes, with clipped gradients."""
    shared = settings(batch_size, clip=1.0)
    return replace(shared, loss="cross_entropy", metric=Metric("val_accuracy"))


@pytest.mark.skipif("native" not in KERNELS, reason="needs a C compiler")
@pytest.mark.parametrize("name", [slow_unless_quick(name) for name in (*IMAGES, *TOKENS, *WORDS)])
def test_native_images_and_tokens(name: str) -> None:
    shape, classes, make = (IMAGES | TOKENS | WORDS)[name]
    data, shared = rows_of(shape, classes, name in WORDS), of_classes(37)
    momentum = OptimizerSettings(momentum=0.9)
    specs = [spec(0), spec(1, 4, optimizer=momentum), spec(2, 4, Schedule("step", 0.02))]
    assert_same_courses(own(make), {0: specs}, shared, data, kernels=["native"])


@pytest.mark.slow
@pytest.mark.skipif(
    "native" not in KERNELS or platform.machine() not in ("x86_64", "AMD64"),
    reason="needs a C compiler for x86-64",
)
def test_attention_with_shorter_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "PROCESSORS", (("-msse2",),))
    shape, classes, make = TOKENS["post-norm"]
    data, shared = rows_of(shape, classes), of_classes(37)
    library.cache_clear()
    assert_same_courses(own(make), {0: [spec(0)]}, shared, data, kernels=["native"])
    library.cache_clear()


class Whole(nn.Module):
    """What flattens the rows, too, as a function does that is not told where to begin."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(torch.flatten(x))
        return y


@pytest.mark.parametrize(
    "name", ["masked", "seen twice", "layers that are one", "all rows", "other axis", "grouped"]
)
def test_what_only_looks_like_a_chain_is_none(name: str) -> None:
    tokens, tied = Tokens(8, 12, 3, nhead=3), Tokens(8, 12, 3, nhead=3)
    tied.encoder.layers[1] = tied.encoder.layers[0]
    models: dict[str, nn.Module] = {
        "masked": tokens,
        "layers that are one": tied,
        "all rows": Whole(),
        "seen twice": nn.Sequential(*[nn.Flatten(), layer := nn.Linear(32, 32), layer]),
        "other axis": nn.Sequential(nn.Conv2d(8, 3, 1), nn.Flatten(), nn.Linear(12, 3)),
        "grouped": nn.Sequential(
            *[nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1, groups=2), nn.Flatten(), nn.Linear(48, 3)]
        ),
    }
    if name == "masked":
        tokens.encoder.register_forward_pre_hook(lambda *_: None)
    assert chain_of(Tokens(8, 12, 3, nhead=3), (1, 8, 4), 3)
    assert chain_of(models[name], (1, 8, 4), 3 if name != "seen twice" else 32) is None


class Frozen(nn.Sequential):
    """Has batch norm that is not trained, or keeps what it was built with."""

    def __init__(self, how: str) -> None:
        settings = {"cumulative": {"momentum": None}, "forgetful": {"track_running_stats": False}}
        norm = nn.BatchNorm1d(8, **settings.get(how, {}))  # type: ignore[arg-type]
        super().__init__(nn.Linear(9, 8, bias=False), norm, nn.ReLU(), nn.Linear(8, 3))
        self.how = how
        if how == "not trainable":
            norm.requires_grad_(False)

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        if self.how == "kept in evaluation":
            self[1].eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "set to evaluation":
            self[1].eval()
        for layer in self:
            x = layer(x)
        return x


@pytest.mark.parametrize(
    "how",
    [
        *("not trainable", "kept in evaluation", "set to evaluation", "cumulative", "forgetful"),
        "an id beyond",
    ],
)
def test_what_the_program_leaves_to_torch(how: str) -> None:
    if how == "an id beyond":
        data = rows_of((5,), 3, of_ids=True)
        data.x_train[100, 2] = IDS
        engine = VectorizedEngine(data, own(Mean), of_classes(37))
        assert chain_of(Mean(), (5,), 3)
        assert engine.kernel == "eager"
        return
    assert chain_of(Frozen(""), (9,), 3)
    assert chain_of(Frozen(how), (9,), 3) is None


def test_batch_norm_of_one_row_is_an_error_as_torch_has_it() -> None:
    data, shared = rows_of((9,), 3), of_classes(109)  # and a last batch of one
    build = own(lambda: Frozen(""))
    engine, twin = VectorizedEngine(data, build, shared), SequentialEngine(data, build, shared)
    for each in (engine, twin):
        each.add(spec(0))
    (ours,), (torchs,) = engine.train_epoch(), twin.train_epoch()
    assert isinstance(ours, TrialError)
    assert isinstance(torchs, TrialError)
    assert ours == torchs
    assert "Expected more than 1 value per channel" in str(ours)


@pytest.mark.skipif("native" not in KERNELS, reason="needs a C compiler")
def test_a_lane_that_diverges_touches_no_other() -> None:
    shape, classes, make = IMAGES["rows in batches"]
    data, shared = rows_of(shape, classes), of_classes(37)
    engines = [VectorizedEngine(data, own(make), shared, kernel="native") for _ in range(2)]
    wild = spec(1, 4, Schedule("constant", 1e30))
    for one in (spec(0), wild, spec(2, 4)):
        engines[0].add(one)
        if one is not wild:
            engines[1].add(one)
    for _ in range(3):
        with_wild, without = (train(engine) for engine in engines)
        assert not math.isfinite(with_wild[1].training or 0.0)
        for ours, alone in zip((with_wild[0], with_wild[2]), without, strict=True):
            assert replace(ours, seconds=0.0) == replace(alone, seconds=0.0)
    for number in (0, 2):
        weights, expected = (engine.weights(number) for engine in engines)
        for key, value in expected.items():
            assert torch.equal(weights[key], value), key
