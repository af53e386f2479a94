"""Whether the ids that a model looks up are in its tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sweep.base.errors import ModelError
from sweep.training.generators import seeded

_Table = nn.Embedding | nn.EmbeddingBag

_MOST_PLACES = 512
"""Numbers of a row of which each has its own least and greatest row looked at."""

_ROWS_AT_ONCE = 64


def check_ids(model: nn.Module, parts: Sequence[Tensor]) -> None:
    """Pass the rows with the least and the greatest numbers through a model that has embeddings.

    What a trial would come to later, and torch says without a name, a range or a size.

    Args:
        model: A copy, on the device of the rows; in evaluation mode afterwards.
        parts: Rows of training, validation ..., (rows, ...) each.

    Raises:
        ModelError: An embedding is asked for an id that it has no row for.
    """
    tables = {n: m for n, m in model.named_modules() if isinstance(m, _Table)}
    if not tables:
        return
    name = type(model).__name__
    model.eval()
    with _watched(tables, name), torch.no_grad():
        for x in parts:
            for rows in torch.split(_extreme_rows(x), _ROWS_AT_ONCE):
                with seeded(0, x.device):
                    try:
                        model(x[rows].clone())
                    except ModelError:
                        raise
                    except Exception:
                        return  # of another fault, which the check of the model tells


def _extreme_rows(x: Tensor) -> Tensor:
    """The rows that hold the least and the greatest of each number of a row, or of all."""
    flat = x.reshape(len(x), -1)
    if not flat.numel():
        return torch.arange(0)
    if flat.shape[1] > _MOST_PLACES:
        flat = torch.stack([flat.amin(1), flat.amax(1)], 1)
    if flat.dtype == torch.bool:
        flat = flat.to(torch.uint8)
    rows: Tensor = torch.unique(torch.cat([flat.argmin(0), flat.argmax(0)]))
    return rows


@contextlib.contextmanager
def _watched(tables: dict[str, _Table], name: str) -> Iterator[None]:
    """Inside this context an id that is in no table raises a ModelError."""

    def watch(path: str, table: _Table) -> torch.utils.hooks.RemovableHandle:
        def look(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            ids = inputs[0] if inputs else named.get("input")
            if not isinstance(ids, Tensor) or not ids.numel():
                return
            least, greatest, size = int(ids.min()), int(ids.max()), table.num_embeddings
            if least < 0 or greatest >= size:
                enough = f"give it num_embeddings={greatest + 1}, or more"
                needed = "number them from 0" if least < 0 else enough
                raise ModelError(
                    f"model {name!r}: its embedding {path!r} has {size} rows, for ids from 0 to "
                    f"{size - 1}, but the data has ids from {least} to {greatest}; {needed}"
                )

        return table.register_forward_pre_hook(look, with_kwargs=True)

    handles = [watch(path, table) for path, table in tables.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
