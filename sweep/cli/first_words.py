"""What `sweep` alone says: what to type next, by what is found in the working folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.base.commands import command_line
from sweep.base.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST = 3
"""Tables and study files of which each has a line."""


def first_words() -> RenderableType:
    """What `sweep` is for, and the commands that make sense here."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_column(style="dim")
    lines.add_column(overflow="fold")
    for purpose, words in commands_here():
        lines.add_row(purpose, Text(command_line("sweep", *words)))
    what = "Which learning-rate schedule, at which peak rate and decay, trains a model best?"
    return Group(Text(what), Text(), Text("Next", style="bold"), lines)


def commands_here() -> Iterator[tuple[str, list[str | Path]]]:
    """What is likely wanted in the working folder: the purpose and the words behind `sweep`."""
    from sweep.study.locations import DEFAULT_STUDY, locate_results
    from sweep.study.results_folder import PREDICTIONS

    last = None
    with suppress(InputError):
        last = locate_results(None)
        yield f"what {last.name} found", ["report", last]
        yield "go on with it", ["run", last]
        if (last / PREDICTIONS).exists():
            yield "predict new rows with it", ["predict", last, "new.csv"]
    files = [
        path for path in sorted(Path("studies").glob("*.toml")) if path.with_suffix("") != last
    ]
    for file in files[:_MOST]:
        if file.with_suffix("").is_dir():
            yield f"what {file.stem} found", ["report", file.stem]
        else:
            yield f"look at {file.name} before it is run", ["check", file]
            yield "run it", ["run", file]
    for table in _tables_here()[:_MOST]:
        if target := _last_column(table):
            yield f"a study of {table.name}", ["init", table, "--target", target]
        else:
            yield f"the columns of {table.name}, for --target", ["init", table]
    if last is None and not files:
        yield f"the default study, {DEFAULT_STUDY}", ["run"]
    yield "all schedules, drawn", ["schedules"]
    yield "what this machine offers", ["doctor"]
    yield "all commands", ["--help"]


def _tables_here() -> list[Path]:
    """Files in the working folder that are named as tables are and that no study file names."""
    found = sorted(path for path in Path().iterdir() if path.is_file() and path.suffix)
    if not found:
        return []
    from sweep.data.reading.files import BINARY, LINES, TEXT

    endings = {*TEXT, *LINES, *BINARY} - {".txt"}
    studied = {path.stem for path in Path("studies").glob("*.toml")}
    return [
        path
        for path in found
        if path.suffix.lower() in endings
        and path.stem not in studied
        and not path.stem.endswith(".predictions")
    ]


def _last_column(table: Path) -> str | None:
    """The last name in a text table's first line; None if that is no list of names."""
    from sweep.data.reading.files import TEXT

    separator = TEXT.get(table.suffix.lower())
    if separator is None:
        return None
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            names = next(csv.reader(lines, delimiter=separator), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return names[-1] if len(names) > 1 and names[-1].isprintable() else None
