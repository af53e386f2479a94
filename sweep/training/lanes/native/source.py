"""The C source of a chain's passes, written down layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from textwrap import indent

from sweep.study.registries.optimizers import OPTIMIZERS, Optimizer
from sweep.training.lanes.native.chain import Activation, Dropout, Layer, LayerNorm, Linear

_BLOCK = 64  # as in kernels.c


def padded(size: int) -> int:
    """The next multiple of 16, to which features are padded."""
    return -(-size // 16) * 16


class _Program:
    """The C source of a chain's passes, written down layer by layer."""

    def __init__(self, layers: Sequence[Layer], features: int) -> None:
        self._pack: list[str] = []
        self._unpack: list[str] = []
        self._transpose: list[str] = []
        self._forward: list[str] = []
        self._backward: list[str] = []
        self._weights = 0
        self._transposed = 0
        self._activations = 0
        self._calls = 0
        self._features = features
        self._width = features
        self._at = self._buffer(padded(features))
        self._trained = False
        for layer in layers:
            self._add(layer)

    def source(self) -> str:
        """The whole program, the kernels included."""
        sizes = {
            "FEATURES": self._features,
            "WEIGHTS": self._weights,
            "TRANSPOSED": max(self._transposed, 1),
            "ACTIVATIONS": self._activations,
            "INPUT": 0,
            "OUTPUT": self._at,
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
        program = "".join(
            f"static void {head} {{\n    " + "\n    ".join(body) + "\n}\n"
            for head, body in functions.items()
        )
        program += optimizers_source()
        kernels = resources.files(__package__).joinpath("kernels.c").read_text(encoding="utf-8")
        return defines + kernels.replace('#include "program.h"\n', program)

    def _buffer(self, columns: int) -> int:
        begin = self._activations
        self._activations += columns * _BLOCK
        return begin

    def _weight(self, rows: int, columns: int, flat: int | None, space: int) -> str:
        """Room for a weight; its address, less the arena, or an empty string."""
        if flat is None:
            return ""
        begin = self._weights
        self._weights += space
        self._pack.append(f"pack({rows}, {columns}, flat + {flat}, padded + {begin});")
        self._unpack.append(f"unpack({rows}, {columns}, padded + {begin}, flat + {flat});")
        return f" + {begin}"

    def _add(self, layer: Layer) -> None:
        at, width = self._at, self._width
        if isinstance(layer, Linear):
            self._add_linear(layer)
        elif isinstance(layer, LayerNorm):
            self._add_layer_norm(layer)
        elif isinstance(layer, Dropout):
            mask = self._buffer(padded(width))
            least, scale = int(layer.p * (1 << 31)), 1.0 / (1.0 - layer.p)
            self._forward.append(
                f"if (training) dropout(rows, {width}, first, keys[{self._calls}], {least}u, "
                f"{scale!r}f, l->a + {at}, l->a + {mask});"
            )
            if self._trained:
                self._backward.append(f"scale_by(rows, {width}, l->a + {mask}, l->d + {at});")
            self._calls += 1
        elif isinstance(layer, Activation):
            y, slope = self._buffer(padded(width)), self._buffer(padded(width))
            self._forward.append(
                f"{layer.name}(rows, {width}, {layer.number!r}f, l->a + {at}, l->a + {y}, "
                f"l->a + {slope});"
            )
            if self._trained:
                self._backward.append(
                    f"scale_into(rows, {width}, l->a + {slope}, l->d + {y}, l->d + {at});"
                )
            self._at = y
        else:
            self._forward.append(f"relu(rows, {width}, l->a + {at});")
            if self._trained:
                self._backward.append(f"relu_backward(rows, {width}, l->a + {at}, l->d + {at});")

    def _add_linear(self, layer: Linear) -> None:
        x, inputs, outputs = self._at, layer.inputs, layer.outputs
        rows = padded(outputs) if outputs > 1 else 1
        w = self._weight(outputs, inputs, layer.weight, rows * padded(inputs))
        b = self._weight(1, outputs, layer.bias, padded(outputs))
        wt = self._transposed
        self._transposed += padded(inputs) * padded(outputs) if outputs > 1 else 0
        y = self._buffer(padded(outputs))
        sizes = f"rows, {inputs}, {outputs}"
        bias, dbias = (f"l->w{b}", f"l->g{b}") if b else ("0", "0")
        dx = f"l->d + {x}" if self._trained else "0"
        self._transpose.append(f"transpose({inputs}, {outputs}, l->w{w}, l->wt + {wt});")
        self._forward.append(
            f"linear({sizes}, l->a + {x}, l->w{w}, l->wt + {wt}, {bias}, l->a + {y});"
        )
        self._backward.append(
            f"linear_backward({sizes}, l->a + {x}, l->w{w}, l->d + {y}, {dx}, l->g{w}, {dbias});"
        )
        self._at, self._width, self._trained = y, outputs, True

    def _add_layer_norm(self, layer: LayerNorm) -> None:
        x, features = self._at, layer.features
        w = self._weight(1, features, layer.weight, padded(features))
        b = self._weight(1, features, layer.bias, padded(features))
        y, normal = self._buffer(padded(features)), self._buffer(padded(features))
        inverse = self._buffer(1)
        weight, dweight = (f"l->w{w}", f"l->g{w}") if w else ("0", "0")
        bias, dbias = (f"l->w{b}", f"l->g{b}") if b else ("0", "0")
        dx = f"l->d + {x}" if self._trained else "0"
        self._forward.append(
            f"layer_norm(rows, {features}, {layer.eps!r}f, l->a + {x}, {weight}, {bias}, "
            f"l->a + {normal}, l->a + {inverse}, l->a + {y});"
        )
        if self._trained or w or b:
            self._backward.append(
                f"layer_norm_backward(rows, {features}, {weight}, l->a + {normal}, "
                f"l->a + {inverse}, l->d + {y}, {dx}, {dweight}, {dbias});"
            )
            self._trained = True
        self._at = y


def program_source(layers: Sequence[Layer], features: int) -> str:
    """The C program that trains a chain of layers."""
    return _Program(layers, features).source()


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
