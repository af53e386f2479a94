"""`sweep schedules`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sweep.cli.completion import complete_scheduler
from sweep.cli.terminal import next_command, show


def schedules(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="One schedule, to see it large.",
            autocompletion=complete_scheduler,
        ),
    ] = None,
    lr: Annotated[float, typer.Option(help="Peak rate.")] = 0.1,
    decay: Annotated[float | None, typer.Option(help="Final rate / peak rate.")] = None,
    warmup: Annotated[float, typer.Option(help="Share of warm-up steps.")] = 0.0,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="One of its own parameters: drops=3"),
    ] = None,
) -> None:
    """List the schedules, or draw one.

    Examples:

      sweep schedules

      sweep schedules cosine --lr 0.1 --decay 0.01
    """
    from sweep.report.terminal.gallery import schedule_detail, schedule_list
    from sweep.runs.overrides import read_setting
    from sweep.schedules.schedule import Schedule

    if name is None:
        show(lambda width: schedule_list())
        next_command("one of them, large", ["schedules", "cosine"])
        return
    params = dict(read_setting(text) for text in param or [])
    settings: dict[str, Any] = {"scheduler": name, "lr": lr, "warmup": warmup, "params": params}
    drawn = Schedule(**settings if decay is None else {**settings, "decay": decay})
    show(lambda width: schedule_detail(drawn))
    next_command("search its numbers", ["run", "--scheduler", name])
