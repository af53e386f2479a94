"""Make the README's pictures from a real run: `.venv/bin/python docs/pictures.py`."""

from __future__ import annotations

import html
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sweep.cli.display import sweep_display
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.search.status import Status
from sweep.search.trials import Trial
from sweep.study.file import load_study
from sweep.study.locations import locate_study

DOCS = Path(__file__).parent
WIDTH = 92


def picture(name: str, command: str, folder: str) -> None:
    """Run a command as a user would and save what it prints as an SVG.

    Args:
        name: The file's, without its ending.
        command: A `sweep` command.
        folder: Where it runs.
    """
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    variables = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color", "FORCE_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
    console.print(Text.from_ansi(done.stdout))
    save(console, name, command)


CELL = 12.2
"""Width of a character in Rich's pictures."""


def apart(text: re.Match[str]) -> str:
    """A text's braille characters and others, each at its place: they may be of two fonts."""
    first, x, second, third, content = text.groups()
    parts, at = [], float(x)
    for part in re.findall("[\u2801-\u28ff]+|[^\u2801-\u28ff]+", html.unescape(content)):
        width = CELL * len(part)
        if part.strip():
            shown = html.escape(part).replace("\xa0", "&#160;")
            place = f'x="{at:.1f}"{second} textLength="{width:.1f}"{third}'
            parts.append(f"<text {first} {place}>{shown}</text>")
        at += width
    return "".join(parts)


def save(console: Console, name: str, title: str) -> None:
    """Write what a console has recorded."""
    svg = console.export_svg(title=title)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # no font from elsewhere
    svg = re.sub(
        r'<text ([^>]*) x="([^"]+)"([^>]*) textLength="[^"]+"([^>]*)>(.+?)</text>', apart, svg
    )
    (DOCS / f"{name}.svg").write_text(svg, encoding="utf-8")


class Watcher(Listener):
    """Keeps the status of a run when two thirds of its trials have ended."""

    def __init__(self) -> None:
        self.status: Status | None = None

    def on_finished(self, trial: Trial, status: Status) -> None:
        if status.running and 3 * status.endings.ended <= 2 * status.total:
            self.status = replace(status, course=tuple(status.course))


def live(folder: Path) -> None:
    """The display of a run, as it is when two thirds of the trials have ended."""
    location = locate_study("order_pre", folder / "live")
    config, watcher = load_study(location.file), Watcher()
    run_sweep(location, config, watcher)
    assert watcher.status is not None
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(sweep_display(watcher.status, config, WIDTH, 24))
    save(console, "live", "sweep run")


def main() -> None:
    """Run the default study in an empty folder and draw its end and its report."""
    with tempfile.TemporaryDirectory() as folder:
        live(Path(folder))
        run = [sys.executable, "-m", "sweep", "run", "--quiet"]
        subprocess.run(run, cwd=folder, check=True)
        picture("report", "sweep report --top 5", folder)
        picture("schedules", "sweep schedules", folder)
        figures = [sys.executable, "-m", "sweep", "report", "--figures", "figures"]
        subprocess.run(figures, cwd=folder, check=True, capture_output=True)
        shutil.copy(Path(folder) / "figures" / "confirmation.svg", DOCS / "confirmation.svg")


if __name__ == "__main__":  # workers import this file
    main()
