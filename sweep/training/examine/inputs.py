"""What a model makes of its input, where that is not what a user would expect."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sweep.training.criterion import Outputs
from sweep.training.models import CHECKED_ROWS, copied, left_out_hint, predict

_PERTURBATIONS = 3
_BY_POSITION = {
    "view", "reshape", "unflatten", "unfold", "view_as", "reshape_as", "as_strided",
    "__getitem__", "select", "narrow", "split", "chunk", "tensor_split", "unbind", "index_select",
}  # fmt: skip
"""Operations that take a tensor apart by the positions of its columns."""


def input_notes(
    model: nn.Module, x: Tensor, constant: Sequence[str] = (), outputs: Outputs = ()
) -> list[str]:
    """What a user should know of what a model makes of its input, a sentence each.

    Neither the model nor torch's generators change.

    Args:
        model: A model that `check_model` has nothing against.
        x: Inputs of shape (rows, ...); the first few are used.
        constant: Columns that were left out of x for having one value.
        outputs: The shape of a row's prediction.
    """
    x = x[:CHECKED_ROWS]
    name = type(model).__name__
    notes = []
    with _probe(model, x) as probe:
        if _is_blind(probe, x, outputs):
            notes.append(
                f"model {name!r} gives the same prediction for every row, whatever its weights"
                f"{_blinding(model)}"
            )
    if constant:
        with _probe(model, x) as probe, _Watch(tuple(x.shape)) as watch:
            probe(x.clone())
        if watch.found:
            notes.append(
                f"model {name!r} takes its input apart by position ({', '.join(watch.found)}): "
                f"{left_out_hint(constant)}"
            )
    return notes


@contextlib.contextmanager
def _probe(model: nn.Module, x: Tensor) -> Iterator[nn.Module]:
    """A copy to call without a trace; whatever it raises is not what is asked here."""
    devices = [x.device] if x.is_cuda else []
    probe = copied(model, type(model).__name__).eval()
    with torch.random.fork_rng(devices=devices), torch.no_grad(), contextlib.suppress(Exception):
        torch.manual_seed(0)
        yield probe


def _is_blind(model: nn.Module, x: Tensor, outputs: Outputs) -> bool:
    """Whether predictions are equal for rows that differ, with other weights, too.

    The model's weights are changed: a last layer that begins with zeros is not blind.
    """
    if len(x) < 2 or (x == x[0]).all():
        return False
    for _ in range(_PERTURBATIONS):
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
        predictions = predict(model, x, outputs)
        spread = predictions.amax(0) - predictions.amin(0)  # of each output
        if spread.max() > 1e-6 * predictions.abs().max():
            return False
    return True


def _blinding(model: nn.Module) -> str:
    """Why, where it is known."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm) and not sum(
            size - 1 for size in module.normalized_shape
        ):
            return (
                ": LayerNorm makes a single feature constant; take a model without it, such as mlp"
            )
    return ""


class _Watch(TorchFunctionMode):
    """Writes down by which operations tensors of the input's shape are taken apart."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.found: list[str] = []
        self._shape = shape

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        given = args[0] if args else None
        if name in _BY_POSITION and isinstance(given, Tensor) and tuple(given.shape) == self._shape:
            shape = tuple(result.shape) if isinstance(result, Tensor) else None
            # x[:, None] and the like keep the columns together.
            if shape is None or shape[-1:] != self._shape[-1:]:
                self.found = list(dict.fromkeys([*self.found, name.strip("_")]))
        return result
