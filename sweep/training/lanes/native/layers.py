"""The layers that a chain may be made of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Linear:
    """A weight (outputs, inputs) and perhaps a bias, by their places in a flat row.

    Of tokens, of each.
    """

    inputs: int
    outputs: int
    weight: int
    bias: int | None


@dataclass(frozen=True)
class Embedding:
    """Ids to tokens by a weight (ids, width), by its place."""

    tokens: int
    ids: int
    width: int
    weight: int


@dataclass(frozen=True)
class Relu:
    """Elementwise."""


@dataclass(frozen=True)
class Activation:
    """Elementwise; `name` is a function in kernels.c, `number` what it is called with."""

    name: str
    number: float = 0.0


@dataclass(frozen=True)
class Dropout:
    """Elementwise; `p` is the share to drop, `of_images` whether channels come before places."""

    p: float
    of_images: bool = False


@dataclass(frozen=True)
class LayerNorm:
    """Over features (of tokens, of each), perhaps with a weight and a bias, by their places."""

    features: int
    eps: float
    weight: int | None
    bias: int | None


@dataclass(frozen=True)
class BatchNorm:
    """Over all rows and places of a batch, perhaps with a weight and a bias, by their places.

    Its running statistics are the buffers `running_mean` and `running_var` of the module `path`.
    """

    features: int
    eps: float
    momentum: float
    weight: int | None
    bias: int | None
    path: str
    places: int


@dataclass(frozen=True)
class Window:
    """What goes over images of (channels, height, width), as torch's layers have it."""

    channels: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    @property
    def places(self) -> tuple[int, int]:
        """How often it is put down, from top to bottom and from left to right."""
        each = zip(self.size, self.kernel, self.stride, self.padding, strict=True)
        down, right = ((size + 2 * pad - wide) // step + 1 for size, wide, step, pad in each)
        return down, right

    @property
    def in_c(self) -> str:
        """As a value of the structure in images.c."""
        pairs = (self.size, self.kernel, self.stride, self.padding, self.places)
        numbers = [self.channels, *(number for pair in pairs for number in pair)]
        return f"(Window){{{', '.join(map(str, numbers))}}}"


@dataclass(frozen=True)
class Convolution:
    """A weight (outputs, channels, *kernel) and perhaps a bias, by their places in a flat row."""

    window: Window
    outputs: int
    weight: int
    bias: int | None


@dataclass(frozen=True)
class Pool:
    """`name` is a function in images.c."""

    name: str
    window: Window


@dataclass(frozen=True)
class Spread:
    """Rows as they come to tokens, (places, width), or to images, (width, places)."""

    places: int
    width: int
    of_images: bool


@dataclass(frozen=True)
class Flatten:
    """Tokens or images to rows as torch has them."""

    of_images: bool


@dataclass(frozen=True)
class Attention:
    """Of `heads`, from queries, keys and values beside each other; `p` is the share to drop."""

    heads: int
    p: float


@dataclass(frozen=True)
class Added:
    """A weight (tokens, width) that is added, by its place in a flat row."""

    weight: int


@dataclass(frozen=True)
class Residual:
    """What layers make of something, added to it."""

    layers: tuple[Layer, ...]


Layer = (
    Linear
    | Embedding
    | Relu
    | Activation
    | Dropout
    | LayerNorm
    | BatchNorm
    | Convolution
    | Pool
    | Spread
    | Flatten
    | Attention
    | Added
    | Residual
)


def flattened(layers: Sequence[Layer]) -> Iterator[Layer]:
    """The layers, those inside of residuals too."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from flattened(layer.layers)
        else:
            yield layer


def mixes_rows(layers: Sequence[Layer]) -> bool:
    """Whether what a row is in training depends on the other rows of its batch."""
    return any(isinstance(layer, BatchNorm) for layer in flattened(layers))


def fewest_rows(layers: Sequence[Layer]) -> int:
    """The fewest rows that a batch may have: there is no variance of one number."""
    norms = (layer for layer in flattened(layers) if isinstance(layer, BatchNorm))
    return 2 if any(norm.places == 1 for norm in norms) else 1


def products(layers: Sequence[Layer]) -> int:
    """Multiplications of weights in the forward pass of a row."""
    count, places = 0, 1
    for layer in flattened(layers):
        if isinstance(layer, Linear):
            count += layer.inputs * layer.outputs * places
        elif isinstance(layer, Spread):
            places = layer.places
        elif isinstance(layer, Embedding):
            places = layer.tokens
        elif isinstance(layer, Flatten):
            places = 1
        elif isinstance(layer, Convolution | Pool):
            places = math.prod(layer.window.places)
        if isinstance(layer, Convolution):
            taps = math.prod(layer.window.kernel)
            count += layer.window.channels * layer.outputs * taps * places
    return count
