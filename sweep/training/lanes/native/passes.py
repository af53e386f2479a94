"""The passes of a chain as statements of C, written down layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sweep.training.lanes.native.calls import Calls, Whole
from sweep.training.lanes.native.layers import (
    Activation,
    Added,
    Attention,
    BatchNorm,
    Convolution,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    LayerNorm,
    Linear,
    Pool,
    Relu,
    Residual,
    Spread,
    mixes_rows,
)
from sweep.training.lanes.native.rooms import Room, padded

_PARTS = (64, 32, 16)
"""Rows that may go through all layers together: the most whose activations stay in a cache."""

_CACHE_FLOATS = 2**18


class Passes:
    """The functions of a program that depend on the layers.

    Args:
        layers: They end in predictions of one row each.
        shape: Of a row of inputs.
        batch: Rows of the greatest batch.

    Attributes:
        activations: Numbers that a row has on its way.
    """

    def __init__(self, layers: Sequence[Layer], shape: Sequence[int], batch: int) -> None:
        self._pack: list[str] = []
        self._unpack: list[str] = []
        self._transpose: list[str] = []
        self._forward: list[str] = []
        self._backward: list[str] = []
        self._pack_statistics: list[str] = []
        self._unpack_statistics: list[str] = []
        self._weights = 0
        self._statistics = self._noted = 0
        self._transposed = 0
        self.activations = 0
        self._calls = Calls()
        self._dropouts = 0
        self._features = self._width = math.prod(shape)
        self._places = 1  # of an image, or tokens; of each there is the width
        self._at = self._buffer(padded(self._features))
        self._trained = False
        self._batch = batch if mixes_rows(layers) else 0
        for layer in layers:
            self._add(layer)

    @property
    def sizes(self) -> dict[str, int | str]:
        """The numbers that the program defines."""
        return {
            "BLOCK": self.block,
            "TOGETHER": self._part,
            "FEATURES": self._features,
            "OUTPUTS": self._width,
            "WEIGHTS": self._weights,
            "TRANSPOSED": max(self._transposed, 1),
            "STATISTICS": max(self._statistics, 1),
            "ACTIVATIONS": f"({self.activations} * BLOCK)",
            "INPUT": 0,
            "OUTPUT": f"({self._at.begin} * BLOCK)",
        }

    @property
    def source(self) -> str:
        """The functions, and what they call."""
        forward = "forward(Lane *l, int every, int first, const int *keys, int training)"
        at_once = not self._batch
        bodies = {
            "pack_all(const float *flat, float *padded)": self._pack,
            "unpack_all(const float *padded, float *flat)": self._unpack,
            "pack_statistics(const float *flat, float *padded)": self._pack_statistics,
            "unpack_statistics(const float *padded, float *flat)": self._unpack_statistics,
            "transpose_all(Lane *l)": self._transpose,
            forward: self._calls.over_rows(self._forward, at_once),
            "backward(Lane *l, int every)": self._calls.over_rows(self._backward[::-1], at_once),
        }
        return self._calls.source + "".join(
            f"static void {head} {{\n    " + "\n    ".join(body) + "\n}\n"
            for head, body in bodies.items()
        )

    @property
    def block(self) -> int:
        """Rows that have room: those of a batch, where they depend on each other."""
        return max(padded(self._batch), self._part)

    @property
    def _part(self) -> int:
        """Rows that go through layers together as long as they do not depend on each other."""
        return next((b for b in _PARTS if 2 * b * self.activations <= _CACHE_FLOATS), _PARTS[-1])

    def _buffer(self, columns: int) -> Room:
        self.activations += columns
        return Room(self.activations - columns, columns)

    def _weight(self, shape: tuple[int, ...], flat: int | None, space: int) -> str:
        """Room for a weight; its address, less the arena, or an empty string.

        Args:
            shape: (rows, columns), or (outputs, channels, taps) of a convolution.
            flat: Where it begins in a flat row; None if there is none.
            space: Numbers.
        """
        if flat is None:
            return ""
        begin = self._weights
        self._weights += space
        kind = "pack" if len(shape) == 2 else "pack_taps"
        sizes = ", ".join(map(str, shape))
        self._pack.append(f"{kind}({sizes}, flat + {flat}, padded + {begin});")
        self._unpack.append(f"un{kind}({sizes}, padded + {begin}, flat + {flat});")
        return f" + {begin}"

    def _new(self) -> Room:
        """Room for what is of the same shape as now."""
        return self._buffer(self._places * padded(self._width))

    def _add(self, layer: Layer) -> None:
        adders: dict[type[Any], Callable[[Any], None]] = {
            Convolution: self._add_convolution,
            Pool: self._add_pool,
            Embedding: self._add_embedding,
            Spread: self._add_spread,
            Flatten: self._add_flatten,
            Dropout: self._add_dropout,
            Attention: self._add_attention,
            Added: self._add_weight,
            Residual: self._add_residual,
            LayerNorm: self._add_layer_norm,
            BatchNorm: self._add_batch_norm,
        }
        at, width = self._at, self._width
        every = f"rows * {self._places}, {width}" if self._places > 1 else f"rows, {width}"
        if isinstance(layer, Linear):
            self._add_product(layer.inputs, layer.outputs, (), layer.weight, layer.bias)
        elif type(layer) in adders:
            adders[type(layer)](layer)
        elif isinstance(layer, Activation):
            y, slope = self._new(), self._new()
            self._forward.append(
                f"{layer.name}({every}, {layer.number!r}f, l->a + {at}, l->a + {y}, "
                f"l->a + {slope});"
            )
            if self._trained:
                self._backward.append(
                    f"scale_into({every}, l->a + {slope}, l->d + {y}, l->d + {at});"
                )
            self._at = y
        elif isinstance(layer, Relu):
            self._forward.append(f"relu({every}, l->a + {at});")
            if self._trained:
                self._backward.append(f"relu_backward({every}, l->a + {at}, l->d + {at});")
        else:
            raise TypeError(type(layer).__name__)

    def _add_convolution(self, layer: Convolution) -> None:
        window = layer.window
        taps = math.prod(window.kernel)
        depth, x = taps * window.channels, self._at
        self._places = math.prod(window.places)
        self._at = self._buffer(self._places * padded(depth))
        given = f"rows, {window.in_c}"
        self._forward.append(f"unfold({given}, l->a + {x}, l->a + {self._at});")
        if self._trained:
            self._backward.append(f"fold({given}, l->d + {self._at}, l->d + {x});")
        self._add_product(depth, layer.outputs, (window.channels, taps), layer.weight, layer.bias)

    def _add_pool(self, layer: Pool) -> None:
        x, given = self._at, f"rows, {layer.window.in_c}"
        self._places = math.prod(layer.window.places)
        y, which = self._new(), self._new()
        self._forward.append(f"{layer.name}({given}, l->a + {x}, l->a + {y}, l->a + {which});")
        if self._trained:
            self._backward.append(
                f"{layer.name}_backward({given}, l->a + {which}, l->d + {y}, l->d + {x});"
            )
        self._at = y

    def _dropout_numbers(self, p: float) -> str:
        """The key of the next call, the least of what is kept, and its scale."""
        self._dropouts += 1
        return f"keys[{self._dropouts - 1}], {int(p * (1 << 31))}u, {1.0 / (1.0 - p)!r}f"

    def _add_dropout(self, layer: Dropout) -> None:
        at, width, places = self._at, self._width, self._places
        mask = self._new()
        self._forward.append(
            f"if (training) dropout(rows, {places}, {width}, {layer.of_images:d}, first + at, "
            f"{self._dropout_numbers(layer.p)}, l->a + {at}, l->a + {mask});"
        )
        if self._trained:
            self._backward.append(
                f"scale_by(rows * {places}, {width}, l->a + {mask}, l->d + {at});"
            )

    def _add_embedding(self, layer: Embedding) -> None:
        x, self._places, self._width = self._at, layer.tokens, layer.width
        space = layer.ids * padded(layer.width)
        w = self._weight((layer.ids, layer.width), layer.weight, space)
        self._at, sizes = self._new(), f"rows, {layer.tokens}, {layer.width}"
        self._forward.append(f"embed({sizes}, l->a + {x}, l->w{w}, l->a + {self._at});")
        self._backward.append(f"embed_backward({sizes}, l->a + {x}, l->d + {self._at}, l->g{w});")
        self._trained = True

    def _add_spread(self, layer: Spread) -> None:
        self._places, self._width = layer.places, layer.width
        self._move("images" if layer.of_images else "tokens", "to", "from", self._new())

    def _add_flatten(self, layer: Flatten) -> None:
        if self._places > 1:
            y = self._buffer(padded(self._places * self._width))
            self._move("images" if layer.of_images else "tokens", "from", "to", y)
        self._width, self._places = self._width * self._places, 1

    def _move(self, kind: str, forth: str, back: str, y: Room) -> None:
        """Another order of the same numbers, from where they are to y."""
        x, sizes = self._at, f"rows, {self._places}, {self._width}"
        self._forward.append(f"{forth}_{kind}({sizes}, l->a + {x}, l->a + {y});")
        if self._trained:
            self._backward.append(f"{back}_{kind}({sizes}, l->d + {y}, l->d + {x});")
        self._at = y

    def _add_attention(self, layer: Attention) -> None:
        x, tokens, heads = self._at, self._places, layer.heads
        width = self._width // 3
        sizes = f"rows, {tokens}, {width}, {heads}"
        count = heads * tokens * tokens
        turned, shares = self._new(), self._buffer(count)
        kept = self._buffer(count) if layer.p else shares
        mixed = self._buffer(tokens * padded(width))
        y = self._buffer(tokens * padded(width))
        self._forward += [
            f"turn(rows, {tokens}, {3 * width}, l->a + {x}, l->a + {turned});",
            f"attention_shares({sizes}, l->a + {turned}, l->a + {shares});",
        ]
        self._backward += [
            f"turn_back(rows, {tokens}, {3 * width}, l->d + {turned}, l->d + {x});",
            f"attention_shares_backward({sizes}, l->a + {turned}, l->a + {shares}, "
            f"l->d + {kept}, l->d + {turned});",
        ]
        if layer.p:
            mask = self._buffer(count)
            every = f"1, IN_GROUPS(rows) * {count}"
            self._forward += [
                f"copy({every}, l->a + {shares}, l->a + {kept});",
                f"if (training) dropout_in_groups(rows, {count}, first + at, "
                f"{self._dropout_numbers(layer.p)}, l->a + {kept}, l->a + {mask});",
            ]
            self._backward.append(f"scale_by({every}, l->a + {mask}, l->d + {kept});")
        self._forward += [
            f"attention({sizes}, l->a + {turned}, l->a + {kept}, l->a + {mixed});",
            f"turn_back(rows, {tokens}, {width}, l->a + {mixed}, l->a + {y});",
        ]
        self._backward += [
            f"attention_backward({sizes}, l->a + {turned}, l->a + {kept}, l->d + {mixed}, "
            f"l->d + {kept}, l->d + {turned});",
            f"turn(rows, {tokens}, {width}, l->d + {y}, l->d + {mixed});",
        ]
        self._at, self._width = y, width

    def _add_weight(self, layer: Added) -> None:
        x, sizes = self._at, f"rows, {self._places}, {self._width}"
        every = f"rows * {self._places}, {self._width}"
        space = self._places * padded(self._width)
        w = self._weight((self._places, self._width), layer.weight, space)
        y = self._new()  # a ReLU before it takes its slope from what it has put at x
        self._forward.append(f"copy({every}, l->a + {x}, l->a + {y});")
        self._forward.append(f"add_each({sizes}, l->w{w}, l->a + {y});")
        if self._trained:
            self._backward.append(f"copy({every}, l->d + {y}, l->d + {x});")
        self._backward.append(f"add_each_backward({sizes}, l->d + {y}, l->g{w});")
        self._at, self._trained = y, True

    def _add_residual(self, layer: Residual) -> None:
        x, was_trained = self._at, self._trained
        every = f"rows * {self._places}, {self._width}"
        z = self._new()
        if was_trained:
            self._backward.append(f"add({every}, l->d + {z}, l->d + {x});")
        for each in layer.layers:
            self._add(each)
        y = self._at
        self._backward.append(f"copy({every}, l->d + {z}, l->d + {y});")
        self._forward.append(f"copy({every}, l->a + {y}, l->a + {z});")
        self._forward.append(f"add({every}, l->a + {x}, l->a + {z});")
        self._at = z

    def _add_product(
        self,
        inputs: int,
        outputs: int,
        channels_and_taps: tuple[int, ...],
        weight: int,
        bias: int | None,
    ) -> None:
        """A linear layer, at each place of an image."""
        x = self._at
        rows = padded(outputs) if outputs > 1 else 1
        shape = (outputs, *(channels_and_taps or (inputs,)))
        w = self._weight(shape, weight, rows * padded(inputs))
        b = self._weight((1, outputs), bias, padded(outputs))
        wt = self._transposed
        self._transposed += padded(inputs) * padded(outputs) if outputs > 1 else 0
        y = self._buffer(self._places * padded(outputs))
        count = f"rows * {self._places}" if self._places > 1 else "rows"
        sizes = f"{count}, {inputs}, {outputs}"
        made, dbias = (f"l->w{b}", f"l->g{b}") if b else ("0", "0")
        dx = f"l->d + {x}" if self._trained else "0"
        self._transpose.append(f"transpose({inputs}, {outputs}, l->w{w}, l->wt + {wt});")
        self._forward.append(
            f"linear({sizes}, l->a + {x}, l->w{w}, l->wt + {wt}, {made}, l->a + {y});"
        )
        self._backward.append(
            f"linear_backward({sizes}, l->a + {x}, l->w{w}, l->d + {y}, {dx}, l->g{w}, {dbias});"
        )
        self._at, self._width, self._trained = y, outputs, True

    def _add_layer_norm(self, layer: LayerNorm) -> None:
        x, features = self._at, layer.features
        w = self._weight((1, features), layer.weight, padded(features))
        b = self._weight((1, features), layer.bias, padded(features))
        y, normal = self._new(), self._new()
        inverse = self._buffer(self._places)
        weight, dweight = (f"l->w{w}", f"l->g{w}") if w else ("0", "0")
        bias, dbias = (f"l->w{b}", f"l->g{b}") if b else ("0", "0")
        dx = f"l->d + {x}" if self._trained else "0"
        every = f"rows * {self._places}, {features}"
        self._forward.append(
            f"layer_norm({every}, {layer.eps!r}f, l->a + {x}, {weight}, {bias}, "
            f"l->a + {normal}, l->a + {inverse}, l->a + {y});"
        )
        if self._trained or w or b:
            self._backward.append(
                f"layer_norm_backward({every}, {weight}, l->a + {normal}, "
                f"l->a + {inverse}, l->d + {y}, {dx}, {dweight}, {dbias});"
            )
            self._trained = True
        self._at = y

    def _add_batch_norm(self, layer: BatchNorm) -> None:
        x, features, y = self._at, layer.features, self._new()
        w = self._weight((1, features), layer.weight, padded(features))
        b = self._weight((1, features), layer.bias, padded(features))
        at = self._statistics  # the running ones, and four that a pass needs
        self._statistics += 6 * padded(features)
        for place in (at, at + padded(features)):
            sizes, flat = f"1, {features}", f"flat + {self._noted}"
            self._pack_statistics.append(f"pack({sizes}, {flat}, padded + {place});")
            self._unpack_statistics.append(f"unpack({sizes}, padded + {place}, {flat});")
            self._noted += features
        weight, dweight = (f"l->w{w}", f"l->g{w}") if w else ("0", "0")
        bias, dbias = (f"l->w{b}", f"l->g{b}") if b else ("0", "0")
        given = f"rows * {self._places}, {features}, l->a + {x}, l->statistics + {at}"
        numbers = f"{layer.eps!r}f, {layer.momentum!r}f"
        self._forward += [
            Whole(f"batch_statistics({given}, {numbers}, training);"),
            f"batch_norm({given}, {weight}, {bias}, l->a + {y});",
        ]
        if self._trained:
            self._backward.append(
                f"batch_norm_backward({given}, {weight}, l->d + {y}, l->d + {x});"
            )
        if self._trained or w or b:
            self._backward.append(
                Whole(f"batch_gradients({given}, l->d + {y}, {dweight}, {dbias});")
            )
            self._trained = True
        self._at = y
