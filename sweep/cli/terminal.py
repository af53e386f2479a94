"""How commands speak: on the terminal, as JSON, and while they work."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from sweep.progress import Progress


class Found(Protocol):
    """What a command found, which JSON can hold."""

    def to_dict(self) -> dict[str, Any]:
        """All of it, by name."""


def console(stderr: bool = False) -> Console:
    """A terminal that breaks no line of plain text, so that paths and errors can be copied."""
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=True, highlight=False)


def show(rendered: Callable[[int], RenderableType]) -> None:
    """Print what is made for a terminal of that many columns."""
    screen = console()
    screen.print(rendered(screen.width), soft_wrap=False)


def answer(found: Found, as_json: bool, rendered: Callable[[int], RenderableType]) -> None:
    """Print what a command found: as JSON, or as `show` does."""
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        show(rendered)


def progress(quiet: bool, as_json: bool) -> contextlib.AbstractContextManager[Any]:
    """A listener for a run: a live display on a terminal, plain lines elsewhere, or silence."""
    from sweep.progress import LiveProgress, Progress
    from sweep.run import Listener

    if quiet or as_json:
        return contextlib.nullcontext(Listener())
    screen = console()
    moves = screen.is_terminal and not screen.is_dumb_terminal
    kind: type[Progress] = LiveProgress if moves else Progress
    return kind(screen)


def noting(as_json: bool) -> Callable[[str], None]:
    """What prints a note of a command that trains without a display; nothing beside JSON."""
    from sweep.progress import Progress

    return (lambda text: None) if as_json else Progress(console()).on_note
