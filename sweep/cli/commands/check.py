"""`sweep check`."""

from __future__ import annotations

from typing import Any

import typer

from sweep.base.errors import InputError
from sweep.cli.options import FreshOption, JsonOption
from sweep.cli.study_options import takes_a_study
from sweep.cli.terminal import answer, next_command, note, same_options


@takes_a_study
def check(*, fresh: FreshOption = False, as_json: JsonOption = False, **given: Any) -> None:
    """Find out in seconds what would fail in an hour, and how long a study will take.

    Looks at the data, passes a few rows through the model and back, steps every schedule at both
    ends of its ranges, looks into the storage, and measures the speed. Of your own code, it trains
    two epochs of a trial, twice. Nothing of the study is
    written or thrown away; --fresh asks what a run with it would meet. Exit code 2 if anything
    is wrong.

    Examples:

      sweep check

      sweep check diabetes --model my_model:Net --set optimizer.clip=1

      sweep check --metric val_accuracy --direction maximize -- python train.py
    """
    from sweep.runs.overrides import checked
    from sweep.training.workers.opening import preload_for

    asked = checked(given, preload_for)
    from sweep.cli.check_tables import check_report
    from sweep.runs.before.check import check_study

    found = check_study(*asked, fresh=fresh, note=note)
    answer(found, as_json, lambda width: check_report(found))
    if found.problems:
        raise typer.Exit(InputError.exit_code)
    next_command("run it", ["run", *same_options()], as_json)
