"""Layers that torch does not stack, or stacks slowly, by operations that it stacks well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sweep.training.randomness import HEADS, RECURRENT, attention, heads, through_layers

_BatchNorm = nn.modules.batchnorm._BatchNorm

_SHORT = 32
"""Places of an axis that a vector of the processor has many more of than."""

_Cell = Callable[..., tuple[Tensor, ...]]
"""`(x, states, weights)`: x has been multiplied by the input weights; to the next states."""


def prepare(model: nn.Module, folded: bool = True) -> AbstractContextManager[Any]:
    """Give a model the forward passes that can be stacked, where its layers have others.

    Batch norm needs none: a lane's running statistics are rows of a stack, changed in place.

    Args:
        model: Changed in place.
        folded: Whether lanes and channels may be neighbours in memory, which not all of torch's
            operations take.

    Returns:
        What it must be called in.
    """
    kinds = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, *_CONVOLUTIONS.values())
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.momentum is None:
            vars(module)["forward"] = MethodType(_norm_by_all_batches, module)
        if type(module) is nn.Linear and module.bias is not None:
            vars(module)["forward"] = MethodType(_linear, module)
        if type(module) is nn.Embedding and module.padding_idx is not None:
            vars(module)["forward"] = MethodType(_padded_embedding, module)
        if isinstance(module, nn.RNNBase):
            vars(module)["flatten_parameters"] = _leave_flat_weights
    return (
        _LaneLayers(folded) if any(isinstance(m, kinds) for m in model.modules()) else nullcontext()
    )


def _linear(layer: Any, x: Tensor) -> Tensor:
    """A linear layer of rows as a product and a sum.

    Torch's own, stacked, multiplies the bias by 1 as well, and its gradient.
    """
    if x.dim() != 2:
        return functional.linear(x, layer.weight, layer.bias)
    y: Tensor = x.mm(layer.weight.t())
    bias: Tensor = layer.bias.to(y.dtype)  # which autocast leaves as it is
    return y + bias


def _padded_embedding(layer: Any, x: Tensor) -> Tensor:
    """An embedding whose row `padding_idx` is not learnt, which torch's own, stacked, forgets."""
    rest = (layer.max_norm, layer.norm_type, layer.scale_grad_by_freq, layer.sparse)
    y = functional.embedding(x, layer.weight, None, *rest)
    return torch.where((x == layer.padding_idx).unsqueeze(-1), y.detach(), y)


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


class _LaneLayers(TorchFunctionMode):
    """Inside this context layers are computed by what is here.

    Recurrent ones by matrix products, a time at a time. On a CPU, as long as single operations are
    called, convolutions and pools by torch's kernels of channels that are neighbours in memory, a
    lane's beside the next lane's, which are up to forty times as fast as those that torch stacks
    pools by; and softmax along short axes, as of attention, by the kernel of axes that are none.
    """

    def __init__(self, folded: bool) -> None:
        super().__init__()
        self._folded = folded

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in RECURRENT and isinstance(args[3], bool):  # of sequences that are not packed
            return _layers(_CELLS[func], *args)
        if func in _SINGLE:
            return _single(_SINGLE[func], *args)
        if self._folded and not torch.compiler.is_compiling() and args and _is_on_cpu(args[0]):
            if func in _CONVOLUTIONS and _is_plain(args, given):
                return _folded(_convolution(func, *args[3:], **given), *args[:3])
            if func in _POOLS and args[0].dim() == _POOLS[func] and not _wants_indices(given):
                return _folded(lambda _, x: func(x, *args[1:], **given), args[0])
            if func is HEADS:
                with self:  # for what they call
                    return heads(*args, **given)
            if func is functional.scaled_dot_product_attention and _sees_all(*args, **given):
                return attention(*args, **given, softmax=_softmax)
        return func(*args, **given)


def _is_on_cpu(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == "cpu"


class _Folded(torch.autograd.Function):
    """A function of rows and channels, with the lanes' channels one beside the other.

    Its first argument is told how many lanes there are, and then given the others: rows as (rows,
    lanes * channels, ...), in which channels are neighbours in memory, and weights as (lanes *
    outputs, ...). Outside of `vmap` it is the function itself.
    """

    @staticmethod
    def forward(function: Callable[..., Tensor], x: Tensor, *weights: Tensor | None) -> Any:
        return function(1, x, *weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept: torch's own operations are what is differentiated."""

    @staticmethod
    def vmap(info: Any, axes: Any, function: Any, x: Tensor, *weights: Tensor | None) -> Any:
        lanes = info.batch_size
        shared = axes[1] is None
        if shared and not weights:
            return function(1, x), None
        if not shared:
            x = x.movedim(axes[1], 1).flatten(1, 2)
        folded = [
            weight if weight is None or axis is None else weight.movedim(axis, 0).flatten(0, 1)
            for weight, axis in zip(weights, axes[2:], strict=True)
        ]
        y = function(1 if shared else lanes, _channels_last(x), *folded)
        return y.unflatten(1, (lanes, -1)), 1


_folded: Callable[..., Any] = _Folded.apply


def _channels_last(x: Tensor) -> Tensor:
    """The same values, (rows, channels, ...), those of channels beside each other in memory."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def _is_plain(args: Sequence[Any], given: dict[str, Any]) -> bool:
    """Whether a convolution is of rows, all its tensors by position, and in one group."""
    groups = given.get("groups", args[6] if len(args) > 6 else 1)
    return groups == 1 and len(args) > 2 and args[0].dim() == args[1].dim()


def _convolution(func: Any, *settings: Any, **named: Any) -> Callable[..., Tensor]:
    """A convolution of all lanes, as `_Folded` calls it; those along one axis are of flat images.

    Args:
        func: Torch's function.
        settings: Of it, after the bias.
        named: Those that were given by name.
    """
    given = dict(zip(("stride", "padding", "dilation", "groups"), settings, strict=False)) | named
    if func is torch.conv2d:
        return lambda lanes, *of: func(*of, **{**given, "groups": lanes})
    nothing = {"stride": 1, "padding": 0, "dilation": 1}
    flat: dict[str, Any] = {
        name: value if isinstance(value, str) else (nothing[name], *np.atleast_1d(value).tolist())
        for name, value in given.items()
        if name in nothing
    }

    def convolved(lanes: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x, weight = x.unsqueeze(-2), weight.unsqueeze(-2)
        return torch.conv2d(x, weight, bias, **flat, groups=lanes).squeeze(-2)

    return convolved


def _wants_indices(given: dict[str, Any]) -> bool:
    return bool(given.get("return_indices"))


def _sees_all(query: Tensor, key: Tensor, value: Tensor, *mask: Any, **given: Any) -> bool:
    """Whether attention has no mask: of a query that sees no key, torch has an idea of its own."""
    return all(each is None for each in (*mask[:1], given.get("attn_mask")))


def _softmax(scores: Tensor) -> Tensor:
    """Along the last axis; torch's own takes ten times as long where that is short."""
    if scores.shape[-1] > _SHORT:
        return scores.softmax(-1)
    return scores.movedim(-1, 0).contiguous().softmax(0).movedim(0, -1)


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


_CONVOLUTIONS = {torch.conv1d: nn.Conv1d, torch.conv2d: nn.Conv2d}

_POOLS: dict[Any, int] = {
    pool: axes
    for axes, names in (
        (3, ("max_pool1d", "avg_pool1d", "adaptive_avg_pool1d")),
        (4, ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d")),
    )
    for name in names
    for pool in (getattr(functional, name), getattr(torch, name, None))
    if pool
}
"""Pools, and the axes of their input: rows, channels, and those of each."""

_CELLS: dict[Any, _Cell] = dict(zip(RECURRENT, (_lstm, _gru, _tanh, _relu), strict=True))
_SINGLE: dict[Any, _Cell] = {
    torch.lstm_cell: _lstm,
    torch.gru_cell: _gru,
    torch.rnn_tanh_cell: _tanh,
    torch.rnn_relu_cell: _relu,
}
