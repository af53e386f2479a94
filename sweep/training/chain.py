"""Models that are a plain chain of layers, read off their forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx, nn


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


Layer = Linear | Relu | Dropout | LayerNorm


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
    modules = _modules_in_order(model.eval())
    if modules is None or modules != _modules_in_order(model.train()):
        return None
    places = _places(model)
    used = [id(p) for module in modules for p in module.parameters()]
    if sorted(used) != sorted(places):  # one is used twice, or outside of its module
        return None
    layers: list[Layer] = []
    width = features
    for module in modules:
        layer = _layer(module, width, places)
        if layer is None:
            return None
        layers.append(layer)
        width = layer.outputs if isinstance(layer, Linear) else width
    return layers if width == 1 and isinstance(layers[-1], Linear) else None


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


def _modules_in_order(model: nn.Module) -> list[nn.Module] | None:
    """The modules that the input goes through, one after the other."""
    try:
        graph = fx.symbolic_trace(model).graph
    except Exception:  # anything may go wrong in a forward pass that cannot be traced
        return None
    modules: list[nn.Module] = []
    previous: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder":
            if previous is not None:
                return None
        elif node.op == "call_module":
            if node.args != (previous,) or node.kwargs:
                return None
            module = model.get_submodule(str(node.target))
            idle = isinstance(module, nn.Identity) or (type(module) is nn.Dropout and not module.p)
            modules += [] if idle else [module]
        elif node.op == "call_method" and node.target == "squeeze":
            if node.args not in ((previous, -1), (previous, 1)) or node.kwargs:
                return None
        elif node.op != "output" or node.args != (previous,):
            return None
        previous = node
    return modules


def _layer(module: nn.Module, width: int, places: dict[int, int]) -> Layer | None:
    def place(parameter: nn.Parameter | None) -> int | None:
        return None if parameter is None else places[id(parameter)]

    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
        return None
    if type(module) is nn.Linear and module.in_features == width:
        weight = places[id(module.weight)]
        return Linear(width, module.out_features, weight, place(module.bias))
    if type(module) is nn.LayerNorm and module.normalized_shape == (width,):
        return LayerNorm(width, module.eps, place(module.weight), place(module.bias))
    if type(module) is nn.Dropout and module.p < 1:
        return Dropout(module.p)
    return Relu() if type(module) is nn.ReLU else None
