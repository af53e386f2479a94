"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from sweep.base.errors import InputError
from sweep.base.languages.sentences import LANGUAGES, language_of
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
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="A Ray cluster to train on: ray (started here if there is none), auto, "
        "ray://HOST:10001, or local for none.",
        rich_help_panel="Training",
    ),
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Throw the study's earlier trials away first.")
]
LanguageOption = Annotated[
    str | None,
    typer.Option(
        "--lang",
        metavar="LANGUAGE",
        help="Of the report, its page and its Markdown: en or zh; by default what LANG asks for.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


def chosen_language(given: str | None) -> str:
    """The language that `--lang` names, or else the environment asks for."""
    if given is None:
        return language_of(os.environ)
    if given not in LANGUAGES:
        raise InputError(f"--lang {given}: expected {' or '.join(LANGUAGES)}")
    return given
