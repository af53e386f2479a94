"""`sweep discard`."""

from __future__ import annotations

from typing import Annotated

import typer

from sweep.cli.completion import complete_results
from sweep.cli.options import StorageOption, chosen_language
from sweep.cli.terminal import console, next_command, say


def discard(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A study's name or results folder.",
            autocompletion=complete_results,
        ),
    ],
    trials: Annotated[
        list[str], typer.Argument(metavar="TRIAL...", help="Numbers of trials: 17, or 20-25.")
    ],
    undo: Annotated[bool, typer.Option("--undo", help="Have them count again.")] = False,
    storage: StorageOption = None,
) -> None:
    """Set trials aside whose results cannot be right: they count for nothing from then on.

    They stay in the storage, marked, and --undo has them count again. What they have cost stays
    spent; without a budget, running the study again trains as many others in their place.

    Examples:

      sweep discard diabetes 17

      sweep discard diabetes 17 20-25 --undo
    """
    from sweep.base.number_ranges import numbers_in
    from sweep.cli.progress import Progress
    from sweep.confirm.best_files import doubt_about
    from sweep.runs.discard import discard as discarded
    from sweep.study.locations import locate_results

    numbers = numbers_in(trials, "TRIAL")
    heard, page_in = Progress(console()), chosen_language(None)
    as_before = discarded(study, numbers, storage, undo=undo, listener=heard, page_in=page_in)
    changed = [number for number in numbers if number not in as_before]
    if changed:
        say(f"{_trials(changed)}: {'no longer discarded' if undo else 'discarded'}")
    if as_before:
        say(f"{_trials(as_before)}: {'not discarded anyway' if undo else 'discarded already'}")
    folder = locate_results(study)
    if doubt := doubt_about(folder):
        say(doubt)
    next_command("what the study finds now", ["report", folder])


def _trials(numbers: list[int]) -> str:
    from sweep.base.number_ranges import as_ranges

    return f"trial{'' if len(numbers) == 1 else 's'} {', '.join(as_ranges(numbers))}"
