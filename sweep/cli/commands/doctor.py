"""`sweep doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep.cli.options import JsonOption
from sweep.cli.terminal import answer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sweep.cli.machine import Machine


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine offers, what sweep uses of it, and what to install for more.

    This is what an issue report needs; it names no user and none of your files.

    Example:

      sweep doctor
    """
    from sweep.cli.machine import examine_machine

    found = examine_machine()
    answer(found, as_json, lambda width: _listed(found))


def _listed(machine: Machine) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    for fact in machine.facts:
        text = Text(fact.found)
        if fact.use:
            text.append(f"; {fact.use}", style="dim")
        if fact.remedy:
            text.append(f"\nfor more: {fact.remedy}", style="yellow")
        lines.add_row(fact.name, text)
    return lines
