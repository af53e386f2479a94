"""Make the README's pictures from a real run: `.venv/bin/python docs/pictures.py`."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
WIDTH = 92


def picture(name: str, command: str, folder: str, colour: bool = True) -> None:
    """Run a command as a user would and save what it prints as an SVG.

    Args:
        name: The file's, without its ending.
        command: A `sweep` command.
        folder: Where it runs.
        colour: Whether to write as to a terminal; a run then redraws its display for ever.
    """
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    variables = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    if colour:
        variables["FORCE_COLOR"] = "1"
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
    svg = console.export_svg(title=command)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # no font from elsewhere
    (DOCS / f"{name}.svg").write_text(svg, encoding="utf-8")


def main() -> None:
    """Run the default study in an empty folder and draw its end and its report."""
    with tempfile.TemporaryDirectory() as folder:
        picture("run", "sweep run", folder, colour=False)
        picture("report", "sweep report --top 5", folder)
        picture("schedules", "sweep schedules", folder)
        figures = [sys.executable, "-m", "sweep", "report", "--figures", "figures"]
        subprocess.run(figures, cwd=folder, check=True, capture_output=True)
        shutil.copy(Path(folder) / "figures" / "confirmation.svg", DOCS / "confirmation.svg")


if __name__ == "__main__":
    main()
