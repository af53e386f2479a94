"""Layers that torch does not stack as they are, computed by operations that it does stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sweep.training.randomness import RECURRENT, through_layers

_BatchNorm = nn.modules.batchnorm._BatchNorm

_Cell = Callable[..., tuple[Tensor, ...]]
"""`(x, states, weights)`: x has been multiplied by the input weights; to the next states."""


def prepare(model: nn.Module) -> AbstractContextManager[Any]:
    """Give a model the forward passes that can be stacked, where its layers have others.

    Batch norm needs none: a lane's running statistics are rows of a stack, changed in place.

    Args:
        model: Changed in place.

    Returns:
        What it must be called in.
    """
    recurrent = False
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.momentum is None:
            vars(module)["forward"] = MethodType(_norm_by_all_batches, module)
        if isinstance(module, nn.RNNBase):
            vars(module)["flatten_parameters"] = _leave_flat_weights
        recurrent |= isinstance(module, nn.RNNBase | nn.RNNCellBase)
    return _RecurrentLayers() if recurrent else nullcontext()


def _leave_flat_weights() -> None:
    """cuDNN, which wants a layer's weights in one piece, is not called here."""


def _norm_by_all_batches(layer: Any, x: Tensor) -> Tensor:
    """Batch norm whose running statistics are the mean over all batches, `momentum=None`.

    Torch's own reads the number of batches as a number of Python's.
    """
    layer._check_input_dim(x)
    mean, variance = layer.running_mean, layer.running_var
    rest = (layer.weight, layer.bias)
    if not layer.training or mean is None:
        return functional.batch_norm(x, mean, variance, *rest, mean is None, 0.0, layer.eps)
    layer.num_batches_tracked.add_(1)
    means, variances = torch.zeros_like(mean), torch.zeros_like(variance)
    y = functional.batch_norm(x, means, variances, *rest, True, 1.0, layer.eps)
    share = 1.0 / layer.num_batches_tracked
    mean.add_((means - mean) * share)
    variance.add_((variances - variance) * share)
    return y


class _RecurrentLayers(TorchFunctionMode):
    """Inside this context recurrent layers are computed by matrix products, a time at a time."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in RECURRENT and isinstance(args[3], bool):  # of sequences that are not packed
            return _layers(_CELLS[func], *args)
        if func in _SINGLE:
            return _single(_SINGLE[func], *args)
        return func(*args, **(kwargs or {}))


def _layers(
    cell: _Cell,
    x: Tensor,
    hidden: Any,
    weights: Sequence[Tensor],
    has_biases: bool,
    layers: int,
    p: float,
    training: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """What torch's function of the same arguments returns."""
    states = [hidden] if isinstance(hidden, Tensor) else hidden
    directions = 2 if bidirectional else 1

    def one_layer(x: Tensor, states: Sequence[Tensor], own: Sequence[Tensor]) -> Any:
        x = x.transpose(0, 1) if batch_first else x
        each = len(own) // directions
        ways = [
            _one_way(
                cell,
                x.flip(0) if way else x,
                [state[way] for state in states],
                own[way * each : (way + 1) * each],
                has_biases,
            )
            for way in range(directions)
        ]
        outputs = [way[0].flip(0) if backward else way[0] for backward, way in enumerate(ways)]
        ends = (torch.stack(each) for each in zip(*(way[1] for way in ways), strict=True))
        y = torch.cat(outputs, -1)
        return y.transpose(0, 1) if batch_first else y, *ends

    drop = functional.dropout
    return through_layers(one_layer, drop, x, states, weights, layers, p, training, bidirectional)


def _one_way(
    cell: _Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], has_biases: bool
) -> tuple[Tensor, Sequence[Tensor]]:
    """Go through times in their order.

    Args:
        cell: What is done at a time.
        x: (times, rows, features).
        states: The first ones, each (rows, width).
        weights: Of input and state, biases of both if there are any, and of a projection if any.
        has_biases: Whether there are.

    Returns:
        The first of the states after each time, (times, rows, width), and the last states.
    """
    of_input, of_state, *rest = weights
    biases = rest[:2] if has_biases else (None, None)
    projection = rest[2:] if has_biases else rest
    outputs = []
    for gates in functional.linear(x, of_input, biases[0]).unbind(0):
        states = cell(gates, states, of_state, biases[1])
        if projection:
            states = (functional.linear(states[0], projection[0]), *states[1:])
        outputs.append(states[0])
    return torch.stack(outputs), states


def _single(
    cell: _Cell,
    x: Tensor,
    hidden: Any,
    of_input: Tensor,
    of_state: Tensor,
    input_bias: Tensor | None = None,
    state_bias: Tensor | None = None,
) -> Any:
    """What torch's function of a single cell returns."""
    states = [hidden] if isinstance(hidden, Tensor) else hidden
    after = cell(functional.linear(x, of_input, input_bias), states, of_state, state_bias)
    return after[0] if isinstance(hidden, Tensor) else after


def _lstm(
    gates: Tensor, states: Sequence[Tensor], of_state: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    h, c = states
    i, f, g, o = (gates + functional.linear(h, of_state, bias)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _gru(
    gates: Tensor, states: Sequence[Tensor], of_state: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    (h,) = states
    reset, update, new = gates.chunk(3, -1)
    own_reset, own_update, own_new = functional.linear(h, of_state, bias).chunk(3, -1)
    candidate = (new + (reset + own_reset).sigmoid() * own_new).tanh()
    return (candidate + (update + own_update).sigmoid() * (h - candidate),)


def _tanh(
    gates: Tensor, states: Sequence[Tensor], of_state: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    return ((gates + functional.linear(states[0], of_state, bias)).tanh(),)


def _relu(
    gates: Tensor, states: Sequence[Tensor], of_state: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    return ((gates + functional.linear(states[0], of_state, bias)).relu(),)


_CELLS: dict[Any, _Cell] = dict(zip(RECURRENT, (_lstm, _gru, _tanh, _relu), strict=True))
_SINGLE: dict[Any, _Cell] = {
    torch.lstm_cell: _lstm,
    torch.gru_cell: _gru,
    torch.rnn_tanh_cell: _tanh,
    torch.rnn_relu_cell: _relu,
}
