"""Loops that are in no file: functions of a notebook, or inside another function.

Workers cannot import them; they are handed over with all that they refer to. Nothing of that is
written anywhere, so that no file is ever unpickled.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
from collections.abc import Callable
from typing import Any

from sweep.base.errors import InputError

MODULE = "__main__"
"""What a reference to one of them names as its module."""

_GIVEN: dict[str, Callable[..., Any]] = {}


def give(function: Callable[..., Any]) -> str:
    """Keep a function while this process lives, and return the reference that stands for it."""
    name = getattr(function, "__name__", "")
    reference = f"{MODULE}:{name if name.isidentifier() else 'loop'}"
    _GIVEN[reference] = function
    return reference


def pickled(reference: str) -> bytes | None:
    """A function that was given, with all that it refers to; None if the reference is another's.

    Raises:
        InputError: The function was given to another process, or refers to what cannot be copied.
    """
    if not reference.startswith(f"{MODULE}:"):
        return None
    function = _GIVEN.get(reference)
    if function is None:
        raise InputError(
            f"{reference}: is a function of a notebook or of another program, and is known there "
            "alone; run it there again: run_study(loop=...)"
        )
    import cloudpickle

    try:
        copied: bytes = cloudpickle.dumps(function)
    except Exception as problem:  # whatever the function refers to may raise
        raise InputError(
            f"{reference}: cannot be handed to workers, for it refers to something that cannot be "
            f"copied ({type(problem).__name__}: {problem}); make that inside the function, or "
            "write the function to a file (in a notebook: %%writefile train.py) and give "
            "loop='train.py:train'"
        ) from problem
    return copied


def received(code: bytes) -> Callable[..., Any]:
    """The function that the coordinator has pickled for this worker, of which it is a child."""
    function: Callable[..., Any] = pickle.loads(code)
    return function


def digest(reference: str) -> dict[str, str]:
    """A hash of such a function's text, by its name; empty if the text is not known."""
    try:
        text = inspect.getsource(_GIVEN[reference])
    except (KeyError, OSError, TypeError):
        return {}
    return {reference.rpartition(":")[2]: hashlib.sha256(text.encode()).hexdigest()[:16]}
