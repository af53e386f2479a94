"""Losses, metrics and augmentations of the user's own: functions of batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from sweep.base.errors import InputError
from sweep.base.user_code import load_object

Scalar = Callable[[Tensor, Tensor], Any]
"""From predictions and targets, (rows, ...), to a scalar."""


def load_function(key: str, reference: str, folders: tuple[Path, ...]) -> Callable[..., Any]:
    """A function of the user's own.

    Args:
        key: The setting that names it, for an error to name.
        reference: `module:function`, or `path/to/file.py:function`.
        folders: Where it is looked for, in this order.

    Raises:
        InputError: It cannot be imported, or is no function.
    """
    try:
        function = load_object(reference, folders)
    except InputError as error:
        raise InputError(f"{key} = {error}") from error
    if not callable(function):
        kind = type(function).__name__
        raise InputError(f"{key} = {reference!r}: it is of type {kind}; expected a function")
    found: Callable[..., Any] = function
    return found
