"""The C source of the whole program that trains a chain."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from textwrap import indent

from sweep.study.registries.losses import Loss
from sweep.study.registries.optimizers import OPTIMIZERS, Optimizer
from sweep.training.lanes.native.layers import Layer
from sweep.training.lanes.native.passes import Passes

_PARTS = ("norms.c", "tokens.c", "images.c")
"""Kernels beside those of plain rows."""


def program_source(layers: Sequence[Layer], shape: Sequence[int], loss: Loss, batch: int) -> str:
    """The C program that trains a chain of layers.

    Args:
        layers: They end in predictions of one row each.
        shape: Of a row of inputs.
        loss: One that can be written in C.
        batch: Rows of the greatest batch.
    """
    passes = Passes(layers, shape, batch)
    sizes = {
        **passes.sizes,
        "TARGETS": 1 if loss.whole_targets else passes.sizes["OUTPUTS"],
        "STATES": max(len(optimizer.states) for optimizer in OPTIMIZERS.values()),
    }
    defines = "".join(f"#define {name} {size}\n" for name, size in sizes.items())
    program = "".join(map(_kernels, _PARTS))
    program += passes.source
    program += optimizers_source()
    program += (
        "INLINE float loss_of(const float *p, const float *t, float *d) {\n"
        f"    float loss = 0;\n{indent(loss.c_row, ' ' * 4)}\n    return loss;\n}}\n"
    )
    return defines + _kernels("kernels.c").replace('#include "program.h"\n', program)


def _kernels(name: str) -> str:
    return resources.files(__package__).joinpath("c", name).read_text(encoding="utf-8")


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
