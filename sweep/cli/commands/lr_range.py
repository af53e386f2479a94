"""`sweep lr-range`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sweep.cli.options import JsonOption
from sweep.cli.study_options import takes_a_study
from sweep.cli.terminal import answer, next_command, noting, same_options


@takes_a_study
def lr_range(
    *,
    between: Annotated[
        str, typer.Option(metavar="LOW:HIGH", help="The rates to try, whatever --lr says.")
    ] = "1e-6:10",
    rates: Annotated[
        int | None,
        typer.Option(
            min=4, help="How many rates to try; by default 36, or 12 by training code of your own."
        ),
    ] = None,
    as_json: JsonOption = False,
    **given: Any,
) -> None:
    """Find the range of learning rates worth searching: the learning-rate range test.

    Trains the study's model for a few epochs with many constant rates side by side, and suggests
    bounds for lr: from where the loss begins to fall clearly to where it no longer does. Nothing
    is written.

    Examples:

      sweep lr-range

      sweep lr-range diabetes --optimizer adam --momentum 0

      sweep lr-range --loop train.py:train --epochs 20
    """
    from sweep.cli.lr_range_chart import lr_range_report
    from sweep.runs.before.lr_range import find_range
    from sweep.runs.overrides import configured

    found = find_range(*configured(given), between, rates, noting(as_json))
    answer(found, as_json, lambda width: lr_range_report(found, width))
    if not found.searched:
        options = same_options("--lr", "--between", "--rates")
        next_command("search there", ["run", "--lr", str(found.bounds), *options], as_json)
        return
    options = same_options("--optimizer")
    for other in found.searched:
        if other != found.optimizer:
            purpose = f"the range of {other}"
            next_command(purpose, ["lr-range", "--optimizer", other, *options], as_json)
