"""`sweep run`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.base.errors import InputError
from sweep.base.files import may_pass
from sweep.base.languages.sentences import ENGLISH, language
from sweep.base.text import without_controls
from sweep.cli.options import FreshOption, LanguageOption, chosen_language
from sweep.cli.study_options import takes_a_study
from sweep.cli.terminal import answer, progress, say

if TYPE_CHECKING:
    from sweep.study.locations import Location
    from sweep.study.settings import StudyConfig


@takes_a_study
def run(
    *,
    fresh: FreshOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors alone.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON, and nothing else.")
    ] = False,
    lang: LanguageOption = None,
    **given: Any,
) -> None:
    """Search for the best schedule: train trials, prune, save the best.

    A single value fixes a parameter: --lr 0.05. Running a study again continues it up to its
    total number of trials. What stands after -- is a command that trains a trial: a script that
    asks for sweep.current_trial() and reports its metric.

    Examples:

      sweep run

      sweep run diabetes --scheduler cosine --scheduler step --lr 1e-3:1:log --trials 200

      sweep run --data houses.csv --target price

      sweep run --loop train.py:train --metric val_accuracy --direction maximize --epochs 20

      sweep run --metric val_accuracy --direction maximize --epochs 20 -- python train.py --amp

      sweep run --epochs 200 --out studies/long --warm-start order_pre
    """
    started = time.monotonic()
    from sweep.runs.overrides import configured
    from sweep.training.workers.opening import preload_for

    page_in = chosen_language(lang)
    location, config = configured(given, preload_for)
    from sweep.runs.run import run_sweep

    if fresh and not yes:
        _confirm_fresh(location, config)
    with progress(quiet, as_json) as listener:
        study = run_sweep(location, config, listener, fresh, started, page_in)
    if as_json or not quiet:
        from sweep.report.summary import summarise
        from sweep.report.terminal.tables import run_ending

        with language(ENGLISH if as_json else page_in):
            summary = summarise(study, config, location.folder)
            answer(summary, as_json, lambda width: run_ending(summary, location.folder, width))
    if listener.unwritten is not None:
        what, problem = listener.unwritten
        if isinstance(problem, OSError) and may_pass(problem):
            raise problem
        say(f"{what} could not be written: {problem}", err=True)


def _confirm_fresh(location: Location, config: StudyConfig) -> None:
    from sweep.runs.account import thrown_away
    from sweep.search.storage.urls import storage_url, without_password

    place = without_password(storage_url(config.storage, location.folder))
    if not sys.stdin.isatty():
        raise InputError("--fresh throws trials away: confirm it with --yes")
    results = thrown_away(location.folder)
    also = f", and {results}" if results else ""
    question = f"Throw away all trials of {location.name!r} in {place}{also}?"
    typer.confirm(without_controls(question), abort=True)
