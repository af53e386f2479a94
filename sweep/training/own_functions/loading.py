"""Losses, metrics and augmentations of the user's own: functions of batches."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.base.errors import InputError
from sweep.base.user_code import load_object


@dataclass(frozen=True)
class OwnFunction:
    """A function of the user's own, with the setting that names it.

    Args:
        key: The setting.
        reference: `module:function`, or `path/to/file.py:function`.
        function: It.
    """

    key: str
    reference: str
    function: Callable[..., Any]

    def __call__(self, *given: Any) -> Any:
        """Call it."""
        return self.function(*given)

    @property
    def named(self) -> str:
        """What an error calls it: `data.augment = 'own.py:shifted'`."""
        return f"{self.key} = {self.reference!r}"


def raised_in(error: BaseException) -> str:
    """Which function of the user's own an exception was raised in; empty if in none.

    Read from the traceback: torch compiles and maps these functions, so that nothing can stand
    around their calls.
    """
    code = OwnFunction.__call__.__code__
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is code:
            return str(frame.f_locals["self"].named)
    return ""


def load_function(key: str, reference: str, folders: tuple[Path, ...]) -> OwnFunction:
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
    return OwnFunction(key, reference, function)
