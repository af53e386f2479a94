"""A table that leaves columns out, rather than wrapping them, where it is too narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from sweep.base.languages.sentences import _

_GAP = 2


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        header: Above it.
        cells: A text for each row; shown as they are, markup included.
        rank: The column with the greatest rank is left out first; one of rank 0 never.
        justify: Where in its width a cell stands.
    """

    header: str
    cells: Sequence[str]
    rank: int = 0
    justify: Literal["left", "right"] = "right"

    @property
    def width(self) -> int:
        """Of the widest cell, in characters."""
        return max(map(cell_len, [self.header, *self.cells]))

    @property
    def empty(self) -> bool:
        """Whether no cell says anything."""
        return all(cell in ("", "-", "0") for cell in self.cells)


@dataclass(frozen=True)
class FittingTable:
    """A rich renderable of columns, without those that are empty or do not fit.

    Args:
        title: Above it.
        columns: From left to right.
        elsewhere: Where to look for what does not fit: `every trial is in results.csv`.
        highlight_first: Whether the first row stands out.
    """

    title: str
    columns: tuple[Column, ...]
    elsewhere: str
    highlight_first: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = fitting(self.columns, options.max_width)
        table = Table(
            title=Text(self.title, style="bold"),
            title_justify="left",
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, _GAP - 1, 0, 0),
            header_style="dim",
        )
        for column in shown:
            table.add_column(Text(column.header), justify=column.justify, overflow="fold")
        rows = zip(*(column.cells for column in shown), strict=True)
        for index, row in enumerate(rows):
            style = "bold" if self.highlight_first and index == 0 else None
            table.add_row(*map(Text, row), style=style)
        yield table
        missing = [column.header for column in _telling(self.columns) if column not in shown]
        if missing:
            left_out = _(
                "no room for: {columns}; {elsewhere}",
                columns=_(", ").join(missing),
                elsewhere=self.elsewhere,
            )
            yield Text(left_out, style="dim")


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that say something, less as many of the greatest ranks as `width` demands."""
    shown = _telling(columns)
    while sum(column.width + _GAP for column in shown) - _GAP > width:
        last = max(shown, key=lambda column: column.rank)
        if last.rank == 0:
            break
        shown.remove(last)
    return shown


def _telling(columns: Sequence[Column]) -> list[Column]:
    """Those that say something."""
    return [column for column in columns if column.rank == 0 or not column.empty]
