"""A trial's chance: everything random in it is a function of its seed and the step.

Nothing here depends on what else is trained in the process, so a trial takes the same course
alone, beside others and after an interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sweep.training.seeds import mix, mix_into


def row_order(seed: int, epoch: int, rows: int) -> Tensor:
    """The order in which an epoch visits the training rows.

    Returns:
        A permutation, (rows,) int64.
    """
    generator = torch.Generator().manual_seed(mix(seed, 1, epoch))
    return torch.randperm(rows, generator=generator)


def dropout_key(seed: int, step: int, layer: int) -> int:
    """The key of one dropout call's mask, as a signed 32-bit number."""
    key = mix(seed, 2, step, layer)
    return key - (1 << 32) if key >= 1 << 31 else key


def dropout_keys(
    seeds: Sequence[int], first_steps: Sequence[int], steps: int, calls: int
) -> NDArray[np.int32]:
    """The keys of all dropout calls of several steps and seeds, as `dropout_key` gives them.

    Args:
        seeds: Of the trials.
        first_steps: The step that each of them begins with.
        steps: How many steps each takes.
        calls: Dropout calls in a step.

    Returns:
        (steps, seeds, calls) int32.
    """
    state = np.array([mix(seed, 2) for seed in seeds], dtype=np.uint64)[:, None]
    taken = np.arange(steps)[:, None, None] + np.asarray(first_steps)[:, None]
    for number in (taken, np.arange(calls)):
        state = mix_into(state, number.astype(np.uint64))
    return state.astype(np.uint32).view(np.int32)


def augmentation_seed(seed: int, step: int) -> int:
    """What a user's augmentation of a step's batch is to draw from, a 32-bit number."""
    return mix(seed, 5, step)


def dropout_mask(key: Tensor, shape: torch.Size, p: float) -> Tensor:
    """Which elements a dropout call keeps: lowbias32 of each element's index and the key.

    The same arithmetic serves one trial and many lanes: `key` broadcasts against `shape`.

    Args:
        key: int32; of one element, or (lanes, 1, ...) for lanes along the first axis.
        shape: Of the activation of one lane.
        p: The share to drop.

    Returns:
        A bool tensor, True where an element is kept.
    """
    index = torch.arange(shape.numel(), dtype=torch.int32, device=key.device).view(shape)
    x = torch.add(key, index, alpha=-1640531535)  # 0x9E3779B1 as a signed number
    x = x ^ (x >> 16 & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15 & 0x1FFFF)
    x = x * -2073254261  # 0x846CA68B
    x = x ^ (x >> 16 & 0xFFFF)
    return (x & 0x7FFFFFFF) >= int(p * (1 << 31))


RECURRENT: tuple[Any, ...] = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)
"""What recurrent layers call."""

HEADS: Any = functional.multi_head_attention_forward
"""What attention of several heads calls."""

_within = vars(functional) | {"has_torch_function": lambda _: False}
heads: Any = FunctionType(HEADS.__code__, _within, "heads", HEADS.__defaults__)
"""The same, whose operations are seen by a mode that has seen itself."""
heads.__kwdefaults__ = HEADS.__kwdefaults__


_CHANNELS: dict[Any, int] = {
    functional.dropout1d: 3,
    functional.dropout2d: 4,
    functional.dropout3d: 5,
}
"""Dropout of whole channels, and the axes of its input: rows, channels, and the axes of each."""


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    softmax: Callable[[Tensor], Tensor] = lambda scores: scores.softmax(-1),
) -> Tensor:
    """Attention as torch's documentation writes it down; arguments as torch's function has them.

    `softmax` is along the last axis.
    """
    if enable_gqa:
        many = query.shape[-3] // key.shape[-3]
        key, value = (each.repeat_interleave(many, -3) for each in (key, value))
    scores = query @ key.transpose(-2, -1)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        rows, columns = scores.shape[-2:]
        attn_mask = torch.ones(rows, columns, dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(attn_mask.logical_not(), -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    shares = softmax(scores)
    return (functional.dropout(shares, dropout_p) if dropout_p else shares) @ value


def through_layers(
    one_layer: Callable[..., tuple[Tensor, ...]],
    dropout: Callable[[Tensor, float, bool], Tensor],
    x: Tensor,
    hidden: Sequence[Tensor],
    weights: Sequence[Tensor],
    layers: int,
    p: float,
    training: bool,
    bidirectional: bool,
) -> tuple[Tensor, ...]:
    """What torch's recurrent functions return, one layer after the other.

    Args:
        one_layer: `(x, hidden, weights)` to a layer's outputs and its last hidden states.
        dropout: What is between two layers.
        x: As torch's functions take it.
        hidden: The first hidden states, each (layers * directions, rows, width).
        weights: Of all layers, as torch has them.
        layers: How many.
        p: The share to drop.
        training: Whether it is dropped.
        bidirectional: Whether each layer has two directions.
    """
    directions = 2 if bidirectional else 1
    each = len(weights) // layers
    ends: list[tuple[Tensor, ...]] = []
    for layer in range(layers):
        if layer:
            x = dropout(x, p, training)
        own = slice(layer * directions, (layer + 1) * directions)
        states = [state[own] for state in hidden]
        x, *end = one_layer(x, states, weights[layer * each : (layer + 1) * each])
        ends.append((*end,))
    return x, *(torch.cat(states) for states in zip(*ends, strict=True))


class KeyedDropout(TorchFunctionMode):
    """Inside this context every dropout draws its mask from the next key.

    That is `dropout` and, of whole channels, `dropout1d` to `dropout3d`, and what attention and
    recurrent layers drop. Other random operations use torch's global generator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def next_key(self, device: torch.device) -> Tensor:
        """The int32 key of the dropout call number `calls`, a scalar."""
        raise NotImplementedError

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func is functional.dropout:
            return self._dropout(*args, **given)
        if func in _CHANNELS:
            return self._dropout(*args, **{**given, "axes": _CHANNELS[func]})
        if func is functional.scaled_dot_product_attention:
            return self._attention(*args, **given)
        if func is HEADS:
            with self:  # for what they call
                return heads(*args, **given)
        if func in RECURRENT and isinstance(args[3], bool):  # of sequences that are not packed
            return self._recurrent(func, *args)
        if func is Tensor.unflatten:  # which is not compiled within a mode
            return torch.unflatten(*args, **given)
        return func(*args, **given)

    def _dropout(
        self,
        input: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
        axes: int = 0,
    ) -> Tensor:
        """Drop elements; or, of an input with so many axes or one less, channels."""
        if not training or p == 0.0:
            return input
        key = self.next_key(input.device)
        self.calls += 1
        if p == 1.0:
            return input * 0.0
        shape = input.shape
        if axes:
            whole = axes - 2  # channels are the axis before these
            shape = torch.Size([*shape[: len(shape) - whole], *[1] * whole])
        return input * dropout_mask(key, shape, p) * (1.0 / (1.0 - p))

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **settings: Any,
    ) -> Tensor:
        """Attention as torch's documentation writes it down, where weights of it are dropped."""
        if not dropout_p:
            torchs = functional.scaled_dot_product_attention
            return torchs(query, key, value, attn_mask, 0.0, is_causal, **settings)
        with self:
            return attention(query, key, value, attn_mask, dropout_p, is_causal, **settings)

    def _recurrent(
        self,
        function: Any,
        x: Tensor,
        hidden: Any,
        weights: Sequence[Tensor],
        has_biases: bool,
        layers: int,
        p: float,
        training: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> Any:
        """Torch's own, a layer at a time where something is dropped between two."""
        rest = (bidirectional, batch_first)
        if not (p and training and layers > 1):
            return function(x, hidden, weights, has_biases, layers, p, training, *rest)

        def one_layer(x: Tensor, states: Sequence[Tensor], own: Sequence[Tensor]) -> Any:
            first = states if function is torch.lstm else states[0]
            return function(x, first, own, has_biases, 1, 0.0, training, *rest)

        states = hidden if function is torch.lstm else [hidden]
        drop = self._dropout
        return through_layers(
            one_layer, drop, x, states, weights, layers, p, training, bidirectional
        )


class SeededDropout(KeyedDropout):
    """The masks of one trial, from its seed and step.

    Args:
        seed: The trial's.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._step = 0

    def start_step(self, step: int) -> None:
        """Say which optimizer step, from 0, the next forward pass belongs to."""
        self._step = step
        self.calls = 0

    def next_key(self, device: torch.device) -> Tensor:
        """The key of this step's next dropout call."""
        key = dropout_key(self._seed, self._step, self.calls)
        return torch.tensor(key, dtype=torch.int32, device=device)


class LaneDropout(KeyedDropout):
    """The masks of a lane, from its keys.

    Args:
        keys: (calls,) int32, in the order of the calls.
    """

    def __init__(self, keys: Tensor) -> None:
        super().__init__()
        self._keys = keys

    def next_key(self, device: torch.device) -> Tensor:
        """The next of the keys."""
        return self._keys[self.calls]
