"""Models that are a plain chain of layers, read off their forward pass."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import torch
from torch import fx, nn
from torch.nn import functional

from sweep.training.lanes.native.layers import Activation, Layer, Linear, Relu
from sweep.training.lanes.native.reading import (
    Called,
    Named,
    NoChainError,
    Parameter,
    Reading,
    Step,
)

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


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    """The module of `torch.flatten`, whose defaults are others."""
    return nn.Flatten(start_dim, end_dim)


_CALLED: dict[object, Callable[..., nn.Module]] = {
    torch.flatten: _flatten,
    "flatten": _flatten,
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
        whose parameters are all trainable.
    """
    if not _all_trainable(model):
        return None
    steps = _steps(model.eval())
    if steps is None or steps != _steps(model.train()):
        return None
    modules = [step for step in steps if isinstance(step, nn.Module)]
    if not all(part.training for module in modules for part in module.modules()):
        return None  # the model has set it to evaluation
    places = _places(model)
    used = [
        id(tensor)
        for module in modules
        for named in (module.named_parameters, module.named_buffers)
        for _, tensor in named(remove_duplicate=False)
    ]
    used += [step.identity for step in steps if isinstance(step, Parameter)]
    if sorted(used) != sorted([*places, *map(id, model.buffers())]):
        return None  # one is used twice, or outside of its module
    try:
        paths = {id(module): path for path, module in model.named_modules()}
        reading = Reading(tuple(shape), places, paths)
        for step in steps:
            reading.add(step)
    except NoChainError:
        return None
    layers = reading.layers
    is_whole = reading.shape == (outputs,) and layers and isinstance(layers[-1], Linear)
    return layers if is_whole else None


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


def _steps(model: nn.Module) -> list[Step] | None:
    """What the input goes through, one after the other."""
    whole = nn.Sequential(model)  # lets the model itself be a layer
    try:
        graph = fx.symbolic_trace(whole).graph
    except Exception:  # anything may go wrong in a forward pass that cannot be traced
        return None
    steps: list[Step] = []
    previous: fx.Node | None = None
    for node in graph.nodes:
        inplace_only = set(node.kwargs) <= {"inplace"}
        if node.op == "get_attr":
            continue
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
            steps.append(Called(_CALLED[node.target], node.args[1:], settings))
        elif (named := _named(node, previous)) is not None:
            steps.append(named)
        elif (added := _added(node, previous, whole)) is not None:
            steps.append(added)
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


def _named(node: fx.Node, previous: fx.Node | None) -> Named | None:
    name = getattr(node.target, "__name__", node.target)
    arguments = (*node.args, *node.kwargs.values())
    if node.args[:1] != (previous,) or _is_end(node, previous):
        return None
    if name == "mean" and arguments == (previous, 1):
        return "mean"
    if name == "squeeze" and arguments == (previous, 1):
        return "squeeze"
    swaps = name == "transpose" and arguments in ((previous, 1, 2), (previous, 2, 1))
    return "swap" if swaps or (name == "permute" and arguments == (previous, 0, 2, 1)) else None


def _added(node: fx.Node, previous: fx.Node | None, whole: nn.Module) -> Parameter | None:
    if node.target not in (operator.add, operator.iadd, torch.add) or node.kwargs:
        return None
    others = [each for each in node.args if each is not previous]
    if len(others) != 1 or not isinstance(others[0], fx.Node) or others[0].op != "get_attr":
        return None
    parameter = dict(whole.named_parameters()).get(str(others[0].target))
    return None if parameter is None else Parameter(id(parameter), tuple(parameter.shape))
