"""Warnings of libraries, which a user of the command line can do nothing about."""

from __future__ import annotations

import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_OURS = Path(__file__).parents[1]
_LIBRARIES = tuple(
    Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_PACKAGES = {"site-packages", "dist-packages"}

_shown = False


def show_library_warnings() -> None:
    """Let `hidden_library_warnings` hide nothing from now on, here and in workers: `--debug`."""
    global _shown
    _shown = True


def are_shown() -> bool:
    """Whether nothing is hidden."""
    return _shown


@contextmanager
def hidden_library_warnings() -> Iterator[None]:
    """Show the warnings of the user's own files alone, such as those of a training loop.

    What they are turned into errors for is left alone: only what would be printed is not.
    """
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if are_shown() or not is_of_library(filename):
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        if warnings.showwarning is show:
            warnings.showwarning = before


def is_of_library(filename: str) -> bool:
    """Whether a file is part of Python, of an installed package, or of this one.

    What is no file (`<string>`, a frozen module) is not the user's either.
    """
    path = Path(filename)
    if filename.startswith("<") or _PACKAGES & set(path.parts) or path.is_relative_to(_OURS):
        return True
    if "torchinductor" in filename:  # what torch.compile has written
        return True
    return any(path.is_relative_to(folder) for folder in _LIBRARIES)
