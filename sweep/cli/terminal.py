"""How commands speak: on the terminal, as JSON, and while they work."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from sweep.base.commands import command_line
from sweep.base.text import without_controls

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from sweep.cli.progress import Progress


class Found(Protocol):
    """What a command found, which JSON can hold."""

    def to_dict(self) -> dict[str, Any]:
        """All of it, by name."""


def console(stderr: bool = False) -> Console:
    """A terminal that breaks no line of plain text, so that paths and errors can be copied.

    What is printed is shown as it is: neither as markup nor as the name of an emoji, and what a
    terminal would obey is left out.
    """
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class PlainConsole(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(without_controls(segment.text), segment.style)

    return PlainConsole(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)


def say(text: str, err: bool = False) -> None:
    """Print plain text, without what a terminal would obey."""
    typer.echo(without_controls(text), err=err)


def note(text: str) -> None:
    """Tell a note beside the answer, which may be read by a program."""
    say(f"note: {text}", err=True)


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


def next_command(purpose: str, words: Sequence[str | Path], as_json: bool = False) -> None:
    """Say what to do next, with the command for it, under the answer; nothing beside JSON."""
    if not as_json:
        say(f"\n{purpose}: {command_line('sweep', *words)}")


def same_options(*without: str) -> list[str]:
    """The study and the options that this command was given, for another to take.

    Args:
        without: Options, each with a value, that the other is not to have.
    """
    given = sys.argv[1:]
    command = next(place for place, word in enumerate(given) if not word.startswith("-"))
    rest = iter(given[command + 1 :])
    kept: list[str] = []
    for word in rest:
        if word == "--":
            return [*kept, word, *rest]
        if word in without:
            next(rest, None)
        elif word not in ("--json", "--debug") and word.partition("=")[0] not in without:
            kept.append(word)
    return kept


def progress(quiet: bool, as_json: bool) -> contextlib.AbstractContextManager[Any]:
    """A listener for a run: a live display on a terminal, plain lines elsewhere, or silence."""
    from sweep.cli.progress import LiveProgress, Progress
    from sweep.runs.listener import Listener

    if quiet or as_json:
        return contextlib.nullcontext(Listener())
    screen = console()
    moves = screen.is_terminal and not screen.is_dumb_terminal
    kind: type[Progress] = LiveProgress if moves else Progress
    return kind(screen)


def noting(as_json: bool) -> Callable[[str], None]:
    """What prints a note of a command that trains without a display; nothing beside JSON."""
    from sweep.cli.progress import Progress

    return (lambda text: None) if as_json else Progress(console()).on_note
