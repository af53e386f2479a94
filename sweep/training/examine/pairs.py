"""Whether a loss or a metric of the user's own compares every prediction with every target."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sweep.training.contract import TrainingData
from sweep.training.criterion import Criterion
from sweep.training.models import copied, predict

_ROWS = (13, 17)
"""Two numbers of rows, so that an axis of so many is one of rows."""


def pair_notes(model: nn.Module, data: TrainingData, criterion: Criterion) -> list[str]:
    """What a user should know of own functions that go through all pairs of rows, a sentence each.

    That is seldom meant: predictions of shape (rows, 1) beside targets of shape (rows,) do so.

    Args:
        model: A model that `check_model` has nothing against; it does not change.
        data: Rows; the first few are used.
        criterion: Has the functions, which have been tried.
    """
    notes = []
    for function in criterion.own.values():
        shapes = []
        for rows in _ROWS:
            x, y = data.x_train[:rows], data.y_train[:rows]
            if len(x) < rows:
                return []
            probe = copied(model, type(model).__name__).eval()
            with torch.no_grad():
                predictions = predict(probe, x, criterion.outputs)
            with _Shapes(rows) as seen, suppress(Exception):  # one may want more rows than these
                function(predictions, y)
            shapes.append(seen.of_pairs)
        if all(shapes):
            notes.append(
                f"{function.named}: makes a tensor of shape {shapes[0]} of {_ROWS[0]} predictions "
                "and as many targets: it compares each prediction with all targets; if that is not "
                "meant, let both have the same shape (no unsqueeze or view(-1, 1) of one alone)"
            )
    return notes


class _Shapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside this context it is seen whether any result has two axes of so many rows.

    Args:
        rows: That each tensor of one axis of rows has.

    Attributes:
        of_pairs: The first such shape; empty if there is none.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rows = rows
        self.of_pairs: tuple[int, ...] = ()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not self.of_pairs:
            shape = tuple(result.shape)
            self.of_pairs = shape if shape.count(self._rows) > 1 else ()
        return result
