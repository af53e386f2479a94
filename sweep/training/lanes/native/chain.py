"""Models that are a plain chain of layers, read off their forward pass."""

from __future__ import annotations

from dataclasses import dataclass

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


Layer = Linear | Relu | Activation | Dropout | LayerNorm

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


def chain_of(model: nn.Module, features: int) -> list[Layer] | None:
    """The layers from inputs (rows, features) to predictions.

    Args:
        model: Any model.
        features: Number of inputs.

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
    width = features
    for step in steps:
        layer = _layer(step, width, places)
        if layer is None:
            return None
        layers.append(layer)
        width = layer.outputs if isinstance(layer, Linear) else width
    return layers if layers and width == 1 and isinstance(layers[-1], Linear) else None


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


def _steps(model: nn.Module) -> list[nn.Module | Layer] | None:
    """What the input goes through, one after the other."""
    whole = nn.Sequential(model)  # lets the model itself be a layer
    try:
        graph = fx.symbolic_trace(whole).graph
    except Exception:  # anything may go wrong in a forward pass that cannot be traced
        return None
    steps: list[nn.Module | Layer] = []
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


def _layer(module: nn.Module | Layer, width: int, places: dict[int, int]) -> Layer | None:
    def place(parameter: nn.Parameter | None) -> int | None:
        return None if parameter is None else places[id(parameter)]

    if not isinstance(module, nn.Module):
        return module
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
        return None
    if type(module) is nn.Linear and module.in_features == width:
        weight = places[id(module.weight)]
        return Linear(width, module.out_features, weight, place(module.bias))
    if type(module) is nn.LayerNorm and module.normalized_shape == (width,):
        return LayerNorm(width, module.eps, place(module.weight), place(module.bias))
    if type(module) is nn.Dropout and module.p < 1:
        return Dropout(module.p)
    return _activation(module)


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
