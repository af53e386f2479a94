"""The layers that a chain is made of, from modules and the shape of what they are given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.nn import functional

from sweep.training.lanes.native.layers import (
    Activation,
    Added,
    Attention,
    BatchNorm,
    Convolution,
    Dropout,
    Embedding,
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


@dataclass(frozen=True)
class Called:
    """A function that does what a module without weights does, called with the same arguments."""

    kind: Callable[..., nn.Module]
    args: tuple[Any, ...]
    settings: tuple[tuple[str, Any], ...]

    def module(self) -> nn.Module:
        """That module."""
        return self.kind(*self.args, **dict(self.settings))


@dataclass(frozen=True)
class Parameter:
    """A parameter of the model itself, that is added."""

    identity: int
    shape: tuple[int, ...]


Named = Literal["swap", "mean", "squeeze"]
"""The two axes after the rows change places; the mean over the first of them; it has one place."""

Step = nn.Module | Layer | Called | Parameter | Named


class NoChainError(Exception):
    """A layer is none of those that a chain may have."""


class Reading:
    """Layers, and the shape of a row after them.

    Args:
        shape: Of a row of inputs.
        places: Where each parameter begins in a flat row, by its identity.
        paths: Of the modules in the model, by their identity.

    Attributes:
        layers: So far.
        shape: Of a row after them, as torch has it.
    """

    def __init__(
        self, shape: tuple[int, ...], places: dict[int, int], paths: dict[int, str]
    ) -> None:
        self.layers: list[Layer] = []
        self.shape = shape
        self._places, self._paths = places, paths
        self._of: Literal["rows", "tokens", "images"] = "rows"

    def add(self, step: Step) -> None:
        """Take one step.

        Raises:
            NoChainError: It is none that a chain may have.
        """
        if isinstance(step, Called):
            try:
                step = step.module()
            except TypeError as error:  # the function has arguments that the module has not
                raise NoChainError from error
        if isinstance(step, nn.Module):
            _demand(not any(_is_hooked(module) for module in step.modules()))
            self._add_module(step)
        elif isinstance(step, Parameter):
            self._spread("tokens")
            _demand(step.shape in (self.shape, (1, *self.shape)))
            self.layers.append(Added(self._places[step.identity]))
        elif step == "swap":
            _demand(len(self.shape) == 2)
            if self._of == "rows":
                self._spread("tokens")
            self._of = "images" if self._of == "tokens" else "tokens"
            self.shape = self.shape[::-1]
        elif step == "mean":
            self._spread("tokens")
            count, width = self.shape
            whole = (1, count)
            self.layers.append(Pool("avg_pool", Window(width, whole, whole, (1, 1), (0, 0))))
            self.shape, self._of = (width,), "rows"
        elif step == "squeeze":
            _demand(self._of == "rows" and self.shape[0] == 1 and len(self.shape) > 1)
            self.shape = self.shape[1:]
        elif isinstance(step, Layer):
            self.layers.append(step)

    def _spread(self, wanted: Literal["tokens", "images"]) -> None:
        """See to it that rows are of tokens, (places, width), or images, (width, places)."""
        if self._of == "rows":
            of_images = wanted == "images"
            _demand(len(self.shape) > 1 if of_images else len(self.shape) == 2)
            width = self.shape[0 if of_images else -1]
            self.layers.append(Spread(math.prod(self.shape) // width, width, of_images))
            self._of = wanted
        _demand(self._of == wanted)

    def _add_module(self, module: nn.Module) -> None:
        kind = type(module)
        if kind is nn.Dropout and isinstance(module, nn.Dropout):
            _demand(module.p < 1)
            if module.p:
                self.layers.append(Dropout(module.p, self._of == "images"))
        elif kind is nn.Flatten and isinstance(module, nn.Flatten):
            _demand((module.start_dim, module.end_dim) in ((1, -1), (1, len(self.shape))))
            if self._of != "rows":
                self.layers.append(Flatten(self._of == "images"))
            self.shape, self._of = (math.prod(self.shape),), "rows"
        elif kind in (nn.Linear, nn.LayerNorm):
            if len(self.shape) > 1:
                self._spread("tokens")
            self._add_of_features(module)
        elif kind in (nn.Conv1d, nn.Conv2d):
            self._add_convolution(module)
        elif isinstance(module, nn.Embedding) and kind is nn.Embedding:
            _demand(not self.layers and len(self.shape) == 1 and module.padding_idx is None)
            _demand(module.max_norm is None and not module.scale_grad_by_freq and not module.sparse)
            ids, width = module.weight.shape
            place = self._places[id(module.weight)]
            self.layers.append(Embedding(self.shape[0], ids, width, place))
            self.shape, self._of = (*self.shape, width), "tokens"
        elif kind in _BATCH_NORMS:
            self._add_batch_norm(module)
        elif kind in _POOLS:
            name, axes = _POOLS[kind]
            self._spread("images")
            window = _window(module, self.shape, axes)
            self.layers.append(Pool(name, window))
            self.shape = (self.shape[0], *window.places[-axes:])
        elif isinstance(module, nn.TransformerEncoder) and kind is nn.TransformerEncoder:
            for layer in (*module.layers, *filter(None, [module.norm])):
                self._add_module(layer)
        elif kind is nn.TransformerEncoderLayer:
            self._add_encoder_layer(module)
        else:
            activation = _activation(module)
            _demand(activation is not None)
            self.layers += [activation] if activation else []

    def _place(self, parameter: nn.Parameter | None) -> int | None:
        return None if parameter is None else self._places[id(parameter)]

    def _add_of_features(self, module: Any) -> None:
        weight, bias = self._place(module.weight), self._place(module.bias)
        width = self.shape[-1]
        if isinstance(module, nn.Linear):
            _demand(module.in_features == width)
            assert weight is not None
            self.layers.append(Linear(width, module.out_features, weight, bias))
            self.shape = (*self.shape[:-1], module.out_features)
        else:
            _demand(module.normalized_shape == (width,))
            self.layers.append(LayerNorm(width, module.eps, weight, bias))

    def _add_batch_norm(self, module: Any) -> None:
        _demand(len(self.shape) in _BATCH_NORMS[type(module)])
        _demand(module.track_running_stats and module.momentum is not None)
        _demand(module.num_features == self.shape[0])
        if len(self.shape) > 1:
            self._spread("images")
        weight, bias = self._place(module.weight), self._place(module.bias)
        path, count = self._paths[id(module)], math.prod(self.shape[1:])
        given = (module.num_features, module.eps, module.momentum, weight, bias, path, count)
        self.layers.append(BatchNorm(*given))

    def _add_convolution(self, module: Any) -> None:
        axes = 1 if isinstance(module, nn.Conv1d) else 2
        self._spread("images")
        window = _window(module, self.shape, axes)
        _demand(module.groups == 1 and module.padding_mode == "zeros")
        _demand(module.in_channels == self.shape[0])
        weight, bias = self._places[id(module.weight)], self._place(module.bias)
        self.layers.append(Convolution(window, module.out_channels, weight, bias))
        self.shape = (module.out_channels, *window.places[-axes:])

    def _add_encoder_layer(self, module: Any) -> None:
        """Torch's layer of a transformer: attention and two linear layers, each a residual."""
        self._spread("tokens")
        attention = module.self_attn
        _demand(type(attention) is nn.MultiheadAttention and attention.batch_first)
        _demand(attention._qkv_same_embed_dim and attention.embed_dim == self.shape[1])
        _demand(attention.bias_k is None and not attention.add_zero_attn)
        activations = {functional.relu: nn.ReLU(), functional.gelu: nn.GELU()}
        activation = module.activation
        if not isinstance(activation, nn.Module):
            _demand(activation in activations)
            activation = activations[activation]
        attend, forward = self._inner(), self._inner()
        for inner, norm in ((attend, module.norm1), (forward, module.norm2)):
            if module.norm_first:
                inner._add_module(norm)
        width, own = attention.embed_dim, self._places
        weight, bias = own[id(attention.in_proj_weight)], self._place(attention.in_proj_bias)
        attend.layers.append(Linear(width, 3 * width, weight, bias))
        attend.layers.append(Attention(attention.num_heads, attention.dropout))
        attend._add_module(_alike_linear(attention.out_proj))
        attend._add_module(module.dropout1)
        for each in (module.linear1, activation, module.dropout, module.linear2, module.dropout2):
            forward._add_module(each)
        _demand(forward.shape == self.shape)
        for inner, norm in ((attend, module.norm1), (forward, module.norm2)):
            self.layers.append(Residual(tuple(inner.layers)))
            if not module.norm_first:
                self._add_module(norm)

    def _inner(self) -> Reading:
        """What reads layers inside of one."""
        inner = Reading(self.shape, self._places, self._paths)
        inner._of = self._of
        return inner


def _alike_linear(module: nn.Linear) -> nn.Linear:
    """A plain linear layer with the weights of one of a class of torch's own."""
    plain = nn.Linear(1, 1)
    plain.in_features, plain.out_features = module.in_features, module.out_features
    plain.weight, plain.bias = module.weight, module.bias
    return plain


def _demand(holds: bool) -> None:
    if not holds:
        raise NoChainError


def _is_hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


_POOLS: dict[type[nn.Module], tuple[str, int]] = {
    nn.MaxPool1d: ("max_pool", 1),
    nn.MaxPool2d: ("max_pool", 2),
    nn.AvgPool1d: ("avg_pool", 1),
    nn.AvgPool2d: ("avg_pool", 2),
    nn.AdaptiveAvgPool1d: ("avg_pool", 1),
    nn.AdaptiveAvgPool2d: ("avg_pool", 2),
}
"""The functions of pools, and along how many axes they are."""

_BATCH_NORMS: dict[type[nn.Module], tuple[int, ...]] = {
    nn.BatchNorm1d: (1, 2),
    nn.BatchNorm2d: (3,),
}
"""The axes that a row may have for it."""

_USUAL = {
    "dilation": 1,
    "ceil_mode": False,
    "count_include_pad": True,
    "divisor_override": None,
    "return_indices": False,
}
"""What a convolution or a pool is to have, if it has it."""


def _window(module: Any, shape: tuple[int, ...], axes: int) -> Window:
    """The window of a convolution or a pool.

    Raises:
        NoChainError: It is no plain one, or not of such images.
    """

    def pair(value: Any) -> tuple[int, ...]:
        """Along height and width; of one axis it is the width."""
        each = (value,) * axes if isinstance(value, int) else tuple(value)
        return (1, *each) if axes == 1 else each

    _demand(len(shape) == axes + 1)
    for name, usual in _USUAL.items():
        value = getattr(module, name, usual)
        _demand(value in (usual, (usual,) * axes))
    size = tuple(pair(shape[1:]))
    if hasattr(module, "output_size"):
        parts = pair(module.output_size) if module.output_size is not None else (0,)
        _demand(all(parts) and not any(s % part for s, part in zip(size, parts, strict=True)))
        kernel = stride = tuple(s // part for s, part in zip(size, parts, strict=True))
        padding: tuple[int, ...] = (0, 0)
    else:
        kernel, stride, pad = pair(module.kernel_size), pair(module.stride), module.padding
        if pad == "same" and all(wide % 2 for wide in kernel):
            padding = tuple(wide // 2 for wide in kernel)
        elif isinstance(pad, str):
            _demand(pad == "valid")
            padding = (0, 0)
        else:
            padding = pair(pad) if axes == 2 else (0, *pair(pad)[1:])
    pairs: Any = (size, kernel, stride, padding)
    window = Window(shape[0], *pairs)
    _demand(min(window.places) > 0)
    _demand(all(pad < wide for pad, wide in zip(padding, kernel, strict=True)))
    return window


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
