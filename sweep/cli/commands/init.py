"""`sweep init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sweep.base.commands import command_line
from sweep.cli.completion import completing
from sweep.cli.terminal import say
from sweep.study.registries.entry import alternatives
from sweep.study.registries.losses import LOSSES


def init(
    table: Annotated[
        str, typer.Argument(metavar="CSV", help="A CSV, Parquet or other table file.")
    ],
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column to predict.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The study file; studies/<name>.toml if left out."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="A column to leave out, beside those that cannot be learnt from."
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{alternatives(LOSSES)}.",
            autocompletion=completing(LOSSES),
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting of the study file: --set data.decimal=,",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Run `sweep lr-range` for the range of lr.")
    ] = False,
) -> None:
    """Write a commented study file for a table.

    Columns that cannot be learnt from are left out by it, and it says why. An event log becomes
    counts per user, where the target is one of its codes.

    Examples:

      sweep init houses.csv --target price

      sweep init houses.csv --target price --drop address --probe

      sweep init houses.csv --target price --set data.encoding=cp1252 --set data.log1p=true
    """
    from sweep.runs.before.template import write_study_file
    from sweep.runs.overrides import read_setting

    path = write_study_file(
        Path(table),
        target,
        out,
        force,
        drop or (),
        lambda text: say(f"note: {text}"),
        dict(map(read_setting, setting or ())) | ({"training.loss": loss} if loss else {}),
        lambda text: say(f"warning: {text}"),
    )
    if probe:
        from sweep.runs.before.lr_range import probe_study_file

        found = probe_study_file(path)
        say(f"tried {len(found.rates)} learning rates: {found.line}")
    say(f"wrote {path}; run it with: {command_line('sweep', 'run', path)}")
