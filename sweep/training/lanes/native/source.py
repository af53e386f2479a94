"""The C source of a chain's passes, written down layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources
from textwrap import indent

from sweep.study.registries.losses import Loss
from sweep.study.registries.optimizers import OPTIMIZERS, Optimizer
from sweep.training.lanes.native.layers import (
    Activation,
    Added,
    Attention,
    Convolution,
    Dropout,
    Flatten,
    Layer,
    LayerNorm,
    Linear,
    Pool,
    Relu,
    Residual,
    Spread,
    Window,
)

_BLOCKS = (64, 32, 16)
"""Rows that may go through all layers together: the most whose activations stay in a cache."""

_CACHE_FLOATS = 2**18


def padded(size: int) -> int:
    """The next multiple of 16, to which features are padded."""
    return -(-size // 16) * 16


class _Program:
    """The C source of a chain's passes, written down layer by layer.

    Attributes:
        activations: Numbers that a row has on its way.
    """

    def __init__(self, layers: Sequence[Layer], shape: Sequence[int], loss: Loss) -> None:
        self._pack: list[str] = []
        self._unpack: list[str] = []
        self._transpose: list[str] = []
        self._forward: list[str] = []
        self._backward: list[str] = []
        self._weights = 0
        self._transposed = 0
        self.activations = 0
        self._calls = 0
        self._loss = loss
        self._features = self._width = math.prod(shape)
        self._places = 1  # of an image, or tokens; of each there is the width
        self._at = self._buffer(padded(self._features))
        self._trained = False
        self._files = ["tokens.c", "images.c"] if len(shape) > 1 else []
        for layer in layers:
            self._add(layer)

    def source(self) -> str:
        """The whole program, the kernels included."""
        block = next((b for b in _BLOCKS if 2 * b * self.activations <= _CACHE_FLOATS), _BLOCKS[-1])
        sizes = {
            "BLOCK": block,
            "FEATURES": self._features,
            "OUTPUTS": self._width,
            "TARGETS": 1 if self._loss.whole_targets else self._width,
            "WEIGHTS": self._weights,
            "TRANSPOSED": max(self._transposed, 1),
            "ACTIVATIONS": f"({self.activations} * BLOCK)",
            "INPUT": 0,
            "OUTPUT": f"({self._at})",
            "STATES": max(len(optimizer.states) for optimizer in OPTIMIZERS.values()),
        }
        defines = "".join(f"#define {name} {size}\n" for name, size in sizes.items())
        functions = {
            "pack_all(const float *flat, float *padded)": self._pack,
            "unpack_all(const float *padded, float *flat)": self._unpack,
            "transpose_all(Lane *l)": self._transpose,
            "forward(Lane *l, int rows, int first, const int *keys, int training)": self._forward,
            "backward(Lane *l, int rows)": self._backward[::-1],
        }
        program = "".join(map(_kernels, self._files))
        program += "".join(
            f"static void {head} {{\n    " + "\n    ".join(body) + "\n}\n"
            for head, body in functions.items()
        )
        program += optimizers_source()
        program += (
            "INLINE float loss_of(const float *p, const float *t, float *d) {\n"
            f"    float loss = 0;\n{indent(self._loss.c_row, ' ' * 4)}\n    return loss;\n}}\n"
        )
        return defines + _kernels("kernels.c").replace('#include "program.h"\n', program)

    def _buffer(self, columns: int) -> str:
        """Room for so many numbers of each row of a block; its address, less the arena."""
        begin = self.activations
        self.activations += columns
        return f"{begin} * BLOCK"

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

    def _new(self) -> str:
        """Room for what is of the same shape as now."""
        return self._buffer(self._places * padded(self._width))

    def _add(self, layer: Layer) -> None:
        at, width = self._at, self._width
        every = f"rows * {self._places}, {width}" if self._places > 1 else f"rows, {width}"
        if isinstance(layer, Linear):
            self._add_product(layer.inputs, layer.outputs, (), layer.weight, layer.bias)
        elif isinstance(layer, Convolution):
            self._add_convolution(layer)
        elif isinstance(layer, Pool):
            self._add_pool(layer)
        elif isinstance(layer, Spread):
            self._add_spread(layer)
        elif isinstance(layer, Flatten):
            self._add_flatten(layer)
        elif isinstance(layer, Attention):
            self._add_attention(layer)
        elif isinstance(layer, Added):
            self._add_weight(layer)
        elif isinstance(layer, Residual):
            self._add_residual(layer)
        elif isinstance(layer, LayerNorm):
            self._add_layer_norm(layer)
        elif isinstance(layer, Dropout):
            self._add_dropout(layer.p, at, width, self._places, layer.of_images)
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
        given = f"rows, {_c_window(window)}"
        self._forward.append(f"unfold({given}, l->a + {x}, l->a + {self._at});")
        if self._trained:
            self._backward.append(f"fold({given}, l->d + {self._at}, l->d + {x});")
        self._add_product(depth, layer.outputs, (window.channels, taps), layer.weight, layer.bias)

    def _add_pool(self, layer: Pool) -> None:
        x, given = self._at, f"rows, {_c_window(layer.window)}"
        self._places = math.prod(layer.window.places)
        y, which = self._new(), self._new()
        self._forward.append(f"{layer.name}({given}, l->a + {x}, l->a + {y}, l->a + {which});")
        if self._trained:
            self._backward.append(
                f"{layer.name}_backward({given}, l->a + {which}, l->d + {y}, l->d + {x});"
            )
        self._at = y

    def _add_dropout(self, p: float, at: str, width: int, places: int, of_images: bool) -> None:
        mask = self._buffer(places * padded(width))
        least, scale = int(p * (1 << 31)), 1.0 / (1.0 - p)
        self._forward.append(
            f"if (training) dropout(rows, {places}, {width}, {of_images:d}, first, "
            f"keys[{self._calls}], {least}u, {scale!r}f, l->a + {at}, l->a + {mask});"
        )
        if self._trained:
            self._backward.append(
                f"scale_by(rows * {places}, {width}, l->a + {mask}, l->d + {at});"
            )
        self._calls += 1

    def _add_spread(self, layer: Spread) -> None:
        self._places, self._width = layer.places, layer.width
        self._move("images" if layer.of_images else "tokens", "to", "from", self._new())

    def _add_flatten(self, layer: Flatten) -> None:
        if self._places > 1:
            y = self._buffer(padded(self._places * self._width))
            self._move("images" if layer.of_images else "tokens", "from", "to", y)
        self._width, self._places = self._width * self._places, 1

    def _move(self, kind: str, forth: str, back: str, y: str) -> None:
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
        space = heads * tokens * padded(tokens)
        shares = self._buffer(space)
        kept = self._buffer(space) if layer.p else shares
        self._forward.append(f"attention_shares({sizes}, l->a + {x}, l->a + {shares});")
        self._backward.append(
            f"attention_shares_backward({sizes}, l->a + {x}, l->a + {shares}, l->d + {kept}, "
            f"l->d + {x});"
        )
        if layer.p:
            every = f"rows * {heads * tokens}, {tokens}"
            self._forward.append(f"copy({every}, l->a + {shares}, l->a + {kept});")
            self._add_dropout(layer.p, kept, tokens, heads * tokens, False)
        y = self._buffer(tokens * padded(width))
        self._forward.append(f"attention({sizes}, l->a + {x}, l->a + {kept}, l->a + {y});")
        self._backward.append(
            f"attention_backward({sizes}, l->a + {x}, l->a + {kept}, l->d + {y}, l->d + {kept}, "
            f"l->d + {x});"
        )
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


def program_source(layers: Sequence[Layer], shape: Sequence[int], loss: Loss) -> str:
    """The C program that trains a chain of layers.

    Args:
        layers: They end in predictions of one row each.
        shape: Of a row of inputs.
        loss: One that can be written in C.
    """
    return _Program(layers, shape, loss).source()


def floats_per_row(layers: Sequence[Layer], shape: Sequence[int], loss: Loss) -> int:
    """The numbers that a row has on its way through the layers; arguments as for the program."""
    return _Program(layers, shape, loss).activations


def _kernels(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _c_window(window: Window) -> str:
    pairs = (window.size, window.kernel, window.stride, window.padding, window.places)
    numbers = [window.channels, *(number for pair in pairs for number in pair)]
    return f"(Window){{{', '.join(map(str, numbers))}}}"


def optimizers_source() -> str:
    """The C functions `states_of` and `step_with`, which take an optimizer's place in its registry.

    The numbers of a step are what the average of the weights takes in, the decay, and those that
    the optimizer names.
    """
    parts = [_step_source(optimizer) for optimizer in OPTIMIZERS.values()]
    states = ", ".join(str(len(optimizer.states)) for optimizer in OPTIMIZERS.values())
    parts.append(
        f"static int states_of(int optimizer) {{ return (int[]){{{states}}}[optimizer]; }}\n"
    )
    steps = "\n".join(
        f"    case {place}: step_{name}(l, share, n); break;"
        for place, name in enumerate(OPTIMIZERS)
    )
    parts.append(
        "INLINE void step_with(int optimizer, Lane *l, float share, const float *n) {\n"
        f"    switch (optimizer) {{\n{steps}\n    }}\n}}\n"
    )
    return "".join(parts)


def _step_source(optimizer: Optimizer) -> str:
    numbers = "".join(
        f"    const float {name} = n[{place}];\n"
        for place, name in enumerate(("average_gain", "weight_decay", *optimizer.numbers))
    )
    states = [*enumerate(optimizer.states)]
    loaded = "".join(f"        float {name} = l->s[{place}][i];\n" for place, name in states)
    stored = "".join(f"        l->s[{place}][i] = {name};\n" for place, name in states)
    decay = "w *= weight_decay;" if optimizer.decoupled else "g += weight_decay * w;"
    return f"""\
INLINE void step_{optimizer.name}(Lane *l, float share, const float *n) {{
{numbers}    for (int i = 0; i < WEIGHTS; i++) {{
        float w = l->w[i], g = l->g[i] * share;
{loaded}        {decay}
{indent(optimizer.c_update, " " * 8)}
{stored}        l->w[i] = w;
        l->average[i] += (w - l->average[i]) * average_gain;
    }}
}}
"""
