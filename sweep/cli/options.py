"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from sweep.cli.completion import complete_results

ResultsArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        help="A study's name or results folder; the study that was run last if left out.",
        autocompletion=complete_results,
    ),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where the trials are kept, if not where study.toml says: an Optuna storage URL or "
        "the path of a journal.",
    ),
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Throw the study's earlier trials away first.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
