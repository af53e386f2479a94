"""`sweep predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.base.wording import column_name, counted, verb
from sweep.cli.completion import complete_results
from sweep.cli.options import JsonOption
from sweep.cli.terminal import answer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sweep.runs.predicting import Predicted


def predict(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A study's name or results folder, or its best_model.pt alone.",
            autocompletion=complete_results,
        ),
    ],
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="The rows: any file that can be learnt from, with the columns of the training "
            "table; the target may lack. Of a study of arrays, a .npy file.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write: .csv, .parquet, .xlsx ...; beside the table if left out.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="How this table is read, if not as in training: --set data.decimal=,",
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Run the module of a model of your own (net.py:Net)."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Predict the rows of a new table with the best model, and write predictions beside them.

    It says what no training row had, where the answer is a guess: new categories, values far
    outside, values that are missing more often.

    Examples:

      sweep predict houses new.csv

      sweep predict houses new.xlsx --out predicted.parquet

      sweep predict studies/houses/best_model.pt new.csv --set data.encoding=gbk
    """
    from sweep.runs.predicting import predict_file
    from sweep.runs.predictor import load_predictor

    predictor = load_predictor(study, trust=trust)
    found = predict_file(predictor, table, out, force, setting or ())
    answer(found, as_json, lambda width: _shown(found))


def _shown(found: Predicted) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = [Text(f"note: {note}", style="dim") for note in found.notes]
    if found.unseen:
        rows = found.unseen_rows
        lines.append(
            Text(
                f"{counted(rows, 'row')} {verb(rows, 'has', 'have')} what no training row had; the "
                "predictions there are guesses (column unseen):",
                style="bold",
            )
        )
        lines += [Text(f"- {sentence}") for sentence in found.unseen]
    lines.append(
        Text(
            f"wrote {found.path}: {column_name(found.target)} predicted for "
            f"{counted(found.rows, 'row')} by the model of trial {found.trial}"
        )
    )
    return Group(*lines)
