"""Models that are a plain chain of layers, read off their forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional


@dataclass(frozen=True)
class Linear:
    """A weight (outputs, inputs) and perhaps a bias, by their places in a flat row."""

    inputs: int
    outputs: int
    weight: int
    bias: int | None


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
    """Elementwise; `p` is the share to drop."""

    p: float


@dataclass(frozen=True)
class LayerNorm:
    """Over all features, perhaps with a weight and a bias, by their places in a flat row."""

    features: int
    eps: float
    weight: int | None
    bias: int | None


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
class Flatten:
    """Images of (channels, height, width) to (channels * height * width)."""


Layer = Linear | Relu | Activation | Dropout | LayerNorm | Convolution | Pool | Flatten


def products(layers: Sequence[Layer]) -> int:
    """Multiplications of weights in the forward pass of a row."""
    count = 0
    for layer in layers:
        if isinstance(layer, Linear):
            count += layer.inputs * layer.outputs
        elif isinstance(layer, Convolution):
            taps = math.prod(layer.window.kernel) * math.prod(layer.window.places)
            count += layer.window.channels * layer.outputs * taps
    return count


@dataclass(frozen=True)
class _Called:
    """A function that does what a module without weights does, called with the same arguments."""

    kind: Callable[..., nn.Module]
    args: tuple[Any, ...]
    settings: tuple[tuple[str, Any], ...]

    def module(self) -> nn.Module:
        """That module."""
        return self.kind(*self.args, **dict(self.settings))


_Step = nn.Module | Layer | _Called

_FUNCTIONS: dict[object, Layer] = {
    **dict.fromkeys((functional.relu, torch.relu, "relu"), Relu()),
    **dict.fromkeys((functional.tanh, torch.tanh, "tanh"), Activation("tanh_")),
    **dict.fromkeys((functional.sigmoid, torch.sigmoid, "sigmoid"), Activation("sigmoid")),
    functional.silu: Activation("silu"),
    functional.gelu: Activation("gelu"),
    functional.leaky_relu: Activation("leaky_relu", 0.01),
    functional.elu: Activation("elu", 1.0),
}
"""What functions and methods do that are called with one tensor."""

_CALLED: dict[object, type[nn.Module]] = {
    torch.flatten: nn.Flatten,
    "flatten": nn.Flatten,
    functional.max_pool1d: nn.MaxPool1d,
    functional.max_pool2d: nn.MaxPool2d,
    functional.avg_pool1d: nn.AvgPool1d,
    functional.avg_pool2d: nn.AvgPool2d,
    functional.adaptive_avg_pool1d: nn.AdaptiveAvgPool1d,
    functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}
"""The modules that do what functions do which are called with more."""


def chain_of(model: nn.Module, shape: Sequence[int], outputs: int = 1) -> list[Layer] | None:
    """The layers from inputs (rows, *shape) to predictions.

    Args:
        model: Any model.
        shape: Of a row: (features,), or (channels, width) or (channels, height, width).
        outputs: Numbers that are predicted for a row.

    Returns:
        The layers in their order, or None if the model is anything else than a chain of these
        whose parameters are all trainable, or has a buffer.
    """
    if any(True for _ in model.buffers()) or not _all_trainable(model):
        return None
    steps = _steps(model.eval())
    if steps is None or steps != _steps(model.train()):
        return None
    places = _places(model)
    used = [id(p) for step in steps if isinstance(step, nn.Module) for p in step.parameters()]
    if sorted(used) != sorted(places):  # one is used twice, or outside of its module
        return None
    layers: list[Layer] = []
    now = tuple(shape)
    for step in steps:
        layer = _layer(step, now, places)
        if layer is None:
            return None
        layers.append(layer)
        now = _shape_after(layer, now)
    return layers if layers and now == (outputs,) and isinstance(layers[-1], Linear) else None


def _shape_after(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(layer, Linear):
        return (layer.outputs,)
    if isinstance(layer, Flatten):
        return (math.prod(shape),)
    if isinstance(layer, Convolution | Pool):
        channels = layer.outputs if isinstance(layer, Convolution) else shape[0]
        return (channels, *layer.window.places[-(len(shape) - 1) :])
    return shape


def _all_trainable(model: nn.Module) -> bool:
    return all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())


def _places(model: nn.Module) -> dict[int, int]:
    """Where each parameter begins in a flat row, by its identity."""
    places: dict[int, int] = {}
    at = 0
    for parameter in model.parameters():
        places[id(parameter)] = at
        at += parameter.numel()
    return places


def _steps(model: nn.Module) -> list[_Step] | None:
    """What the input goes through, one after the other."""
    whole = nn.Sequential(model)  # lets the model itself be a layer
    try:
        graph = fx.symbolic_trace(whole).graph
    except Exception:  # anything may go wrong in a forward pass that cannot be traced
        return None
    steps: list[_Step] = []
    previous: fx.Node | None = None
    for node in graph.nodes:
        inplace_only = set(node.kwargs) <= {"inplace"}
        if node.op == "placeholder":
            if previous is not None:
                return None
        elif node.op == "call_module" and node.args == (previous,) and not node.kwargs:
            module = whole.get_submodule(str(node.target))
            steps += [] if _is_idle(module) else [module]
        elif node.target in _FUNCTIONS and node.args == (previous,) and inplace_only:
            steps.append(_FUNCTIONS[node.target])
        elif node.target in _CALLED and node.args[:1] == (previous,):
            settings = tuple(sorted(node.kwargs.items()))
            steps.append(_Called(_CALLED[node.target], node.args[1:], settings))
        elif not _is_end(node, previous):
            return None
        previous = node
    return steps


def _is_idle(module: nn.Module) -> bool:
    return type(module) is nn.Identity or (type(module) is nn.Dropout and not module.p)


def _is_end(node: fx.Node, previous: fx.Node | None) -> bool:
    """Whether a node is the output, or makes (rows, 1) to (rows,) just before."""
    if node.op == "output":
        return node.args == (previous,)
    squeezes = node.target in ("squeeze", torch.squeeze)
    last = len(node.users) == 1 and next(iter(node.users)).op == "output"
    return squeezes and last and node.args in ((previous, -1), (previous, 1)) and not node.kwargs


def _layer(step: _Step, shape: tuple[int, ...], places: dict[int, int]) -> Layer | None:
    def place(parameter: nn.Parameter | None) -> int | None:
        return None if parameter is None else places[id(parameter)]

    if isinstance(step, _Called):
        try:
            module = step.module()
        except TypeError:  # the function has arguments that the module has not
            return None
    elif isinstance(step, nn.Module):
        module = step
    else:
        return step
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
        return None
    if type(module) is nn.Linear and (module.in_features,) == shape:
        weight = places[id(module.weight)]
        return Linear(module.in_features, module.out_features, weight, place(module.bias))
    if type(module) is nn.LayerNorm and module.normalized_shape == shape and len(shape) == 1:
        return LayerNorm(shape[0], module.eps, place(module.weight), place(module.bias))
    if type(module) is nn.Dropout and module.p < 1:
        return Dropout(module.p)
    if type(module) is nn.Flatten and (module.start_dim, module.end_dim) in (
        (1, -1),
        (1, len(shape)),
    ):
        return Flatten()
    if isinstance(module, nn.Conv1d | nn.Conv2d) and type(module) in (nn.Conv1d, nn.Conv2d):
        window = _window(module, shape, 1 if type(module) is nn.Conv1d else 2)
        plain = module.groups == 1 and module.padding_mode == "zeros"
        if window is None or not plain or module.in_channels != shape[0]:
            return None
        return Convolution(
            window, module.out_channels, places[id(module.weight)], place(module.bias)
        )
    if type(module) in _POOLS:
        name, axes = _POOLS[type(module)]
        window = _window(module, shape, axes)
        return None if window is None else Pool(name, window)
    return _activation(module)


_POOLS: dict[type[nn.Module], tuple[str, int]] = {
    nn.MaxPool1d: ("max_pool", 1),
    nn.MaxPool2d: ("max_pool", 2),
    nn.AvgPool1d: ("avg_pool", 1),
    nn.AvgPool2d: ("avg_pool", 2),
    nn.AdaptiveAvgPool1d: ("avg_pool", 1),
    nn.AdaptiveAvgPool2d: ("avg_pool", 2),
}
"""The functions of pools, and along how many axes they are."""

_USUAL = {
    "dilation": 1,
    "ceil_mode": False,
    "count_include_pad": True,
    "divisor_override": None,
    "return_indices": False,
}
"""What a convolution or a pool is to have, if it has it."""


def _window(module: Any, shape: tuple[int, ...], axes: int) -> Window | None:
    """The window of a convolution or a pool; None if it is no plain one, or not of such images."""

    def pair(value: Any) -> tuple[int, ...]:
        """Along height and width; of one axis it is the width."""
        each = (value,) * axes if isinstance(value, int) else tuple(value)
        return (1, *each) if axes == 1 else each

    if len(shape) != axes + 1:
        return None
    for name, usual in _USUAL.items():
        value = getattr(module, name, usual)
        if value != usual and value != (usual,) * axes:
            return None
    size = tuple(pair(shape[1:]))
    if hasattr(module, "output_size"):
        parts = pair(module.output_size) if module.output_size is not None else (0,)
        if not all(parts) or any(s % part for s, part in zip(size, parts, strict=True)):
            return None
        kernel = stride = tuple(s // part for s, part in zip(size, parts, strict=True))
        padding: tuple[int, ...] = (0, 0)
    else:
        kernel, stride, pad = pair(module.kernel_size), pair(module.stride), module.padding
        if pad == "same" and all(wide % 2 for wide in kernel):
            padding = tuple(wide // 2 for wide in kernel)
        elif isinstance(pad, str):
            padding = (0, 0)
            if pad != "valid":
                return None
        else:
            padding = pair(pad) if axes == 2 else (0, *pair(pad)[1:])
    window: Any = Window(shape[0], size, kernel, stride, padding)  # type: ignore[arg-type]
    return window if min(window.places) > 0 else None


def _activation(module: nn.Module) -> Layer | None:
    kind = type(module)
    if kind is nn.ReLU:
        return Relu()
    if isinstance(module, nn.GELU) and kind is nn.GELU:
        return Activation("gelu" if module.approximate == "none" else "gelu_tanh")
    if isinstance(module, nn.LeakyReLU) and kind is nn.LeakyReLU:
        return Activation("leaky_relu", module.negative_slope)
    if isinstance(module, nn.ELU) and kind is nn.ELU:
        return Activation("elu", module.alpha)
    names = {nn.Tanh: "tanh_", nn.Sigmoid: "sigmoid", nn.SiLU: "silu"}
    return Activation(names[kind]) if kind in names else None
