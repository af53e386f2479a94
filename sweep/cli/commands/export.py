"""`sweep export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sweep.base.errors import InputError
from sweep.cli.options import ResultsArgument
from sweep.cli.terminal import say


def export(
    study: ResultsArgument = None,
    to: Annotated[str, typer.Option(metavar="FORMAT", help="python, json or csv.")] = "python",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a file, not the screen.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Run the module of a schedule of one's own, for csv.")
    ] = False,
) -> None:
    """Take the best schedule home: torch code, JSON, or its rate at every step as CSV.

    Nothing of the results folder is run, so that it may be somebody else's.

    Example:

      sweep export order_pre --to python > schedule.py
    """
    from sweep.base.files import write_whole
    from sweep.base.user_code import look_in
    from sweep.confirm.best_files import export_best
    from sweep.study.locations import locate_results

    folder = locate_results(study)
    if trust:
        look_in((folder.resolve(), folder.resolve().parent, Path.cwd()))
    content = export_best(folder, to, trust)
    if out is None:
        say(content.rstrip("\n"))
    elif not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}")
    else:
        write_whole(out, content)
