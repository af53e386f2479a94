"""Images and sequences of tokens, trained by a compiled program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from twins import KERNELS, assert_same_courses, own, settings, spec

from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric
from sweep.training.contract import OptimizerSettings, TrainingData
from sweep.training.lanes.native.chain import chain_of

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
            *[nn.Conv1d(2, 6, 5, stride=2, padding=1), nn.SiLU(), nn.MaxPool1d(2, 1)],
            *[nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(12, 2)],
        ),
    ),
    "flat at once": (
        *((1, 3, 3), 3),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 3)),
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


@pytest.mark.skipif("native" not in KERNELS, reason="needs a C compiler")
@pytest.mark.parametrize("name", [*IMAGES, *TOKENS])
def test_native_images_and_tokens(name: str) -> None:
    shape, classes, make = (IMAGES | TOKENS)[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(150, *shape, generator=generator)
    y = (x.flatten(1)[:, :classes]).argmax(1)
    data = TrainingData(x[:110], y[:110], x[110:], y[110:], 1.0, classes=classes)
    shared = replace(settings(37, clip=1.0), loss="cross_entropy", metric=Metric("val_accuracy"))
    momentum = OptimizerSettings(momentum=0.9)
    specs = [spec(0), spec(1, 4, optimizer=momentum), spec(2, 4, Schedule("step", 0.02))]
    assert_same_courses(own(make), {0: specs}, shared, data, kernels=["native"])


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
