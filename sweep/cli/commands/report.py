"""`sweep report`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sweep.base.errors import InputError
from sweep.base.languages.sentences import ENGLISH, language
from sweep.base.wording import counted
from sweep.cli.completion import complete_results
from sweep.cli.options import LanguageOption, StorageOption, chosen_language
from sweep.cli.terminal import note, say, show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sweep.runs.library import StudyResult

_TOP = 10

Shown = TypeVar("Shown")


def report(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY",
            help="A study's name or results folder; the study that was run last if left out. "
            "Several are compared.",
            autocompletion=complete_results,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="text, json, csv or md; with --figures svg or png.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials to show.")] = _TOP,
    as_html: Annotated[
        bool, typer.Option("--html", help="Write report.html into the results folder.")
    ] = False,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open report.html in the browser; implies --html.")
    ] = False,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the figures as files: svg, or --format png."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRIALS",
            help="Leave trials out of this report alone: 17, or 17,20-25. For good: sweep discard.",
        ),
    ] = None,
    lang: LanguageOption = None,
    storage: StorageOption = None,
) -> None:
    """Show what a study found: the best schedule, how it compares, and what mattered.

    Of several studies: their winners beside each other, and which differences are within noise.

    Examples:

      sweep report

      sweep report diabetes --format md --top 5

      sweep report diabetes --open --lang zh

      sweep report diabetes --figures pictures --format png

      sweep report diabetes --without 17

      sweep report diabetes with_adam with_dropout
    """
    if as_html or open_page:
        _check_no_value("--html" if as_html else "--open", studies or ())
    if studies and len(studies) > 1:
        of_one = {"--html": as_html, "--open": open_page, "--figures": bool(figures)}
        of_one |= {"--storage": bool(storage), "--top": top != _TOP, "--without": bool(without)}
        of_one["--lang"] = bool(lang)
        _compare(studies, format or "text", [flag for flag, given in of_one.items() if given])
        return
    study, said_in = studies[0] if studies else None, chosen_language(lang)
    if as_html or open_page or figures:
        page = as_html or open_page
        _write_figures(study, storage, without, format, page, open_page, figures, said_in)
    else:
        _summarise(study, storage, without, format or "text", top, said_in)


def _check_no_value(flag: str, studies: Sequence[str]) -> None:
    """See that none of the studies is meant as the page's file."""
    for name in studies:
        if Path(name).suffix.lower() in (".html", ".htm") and not Path(name).is_dir():
            raise InputError(
                f"{flag} takes no value, but {name} was given: the page is report.html in the "
                "study's results folder; copy it from there"
            )


def _loaded(study: str | None, storage: str | None, left_out: list[str] | None) -> StudyResult:
    from sweep.base.number_ranges import numbers_in
    from sweep.runs.discard import without
    from sweep.runs.library import load_study

    return without(load_study(study, storage, note=note), numbers_in(left_out or (), "--without"))


def _summarise(
    study: str | None,
    storage: str | None,
    without: list[str] | None,
    format: str,
    top: int,
    said_in: str,
) -> None:
    from sweep.report import writers
    from sweep.report.summary import summarise
    from sweep.report.terminal import tables

    formats = {"json": writers.to_json, "csv": writers.to_csv, "md": writers.to_markdown}
    if format != "text" and format not in formats:
        needs = f"; {format} needs --figures FOLDER" if format in ("svg", "png") else ""
        raise InputError(f"--format {format}: expected text, json, csv or md{needs}")
    ran = _loaded(study, storage, without)
    with language(said_in if format in ("text", "md") else ENGLISH):
        summary = summarise(ran.study, ran.config, ran.folder, top)
        _print(summary, format, formats, tables.full_report)


def _compare(studies: list[str], format: str, of_one: list[str]) -> None:
    from sweep.report.comparison.studies import compare
    from sweep.report.terminal import comparison_views as views
    from sweep.runs.library import load_study

    if of_one:
        raise InputError(f"{of_one[0]} is for one study, not for {len(studies)}")
    formats = {"json": views.to_json, "csv": views.to_csv, "md": views.to_markdown}
    if format != "text" and format not in formats:
        raise InputError(f"--format {format}: of several studies, expected text, json, csv or md")
    every = [load_study(study, note=note) for study in studies]
    found = compare([(ran.study, ran.config, ran.folder) for ran in every])
    _print(found, format, formats, views.comparison_report)


def _print(
    found: Shown,
    format: str,
    formats: Mapping[str, Callable[[Shown], str]],
    text: Callable[[Shown, int], RenderableType],
) -> None:
    if format == "text":
        show(lambda width: text(found, width))
    else:
        say(formats[format](found).rstrip("\n"))


def _write_figures(
    study: str | None,
    storage: str | None,
    without: list[str] | None,
    format: str | None,
    page: bool,
    open_page: bool,
    folder: Path | None,
    said_in: str,
) -> None:
    if format and folder is None:
        raise InputError(f"--format {format}: --html has one format; leave --format out")
    if format not in (None, "svg", "png"):
        raise InputError(f"--format {format}: with --figures, expected svg or png")
    ran = _loaded(study, storage, without)
    if page:
        from sweep.report.page.html import write_html

        with language(said_in):
            path = write_html(ran.study, ran.config, ran.folder)
        say(f"wrote {path}")
        if open_page:
            import webbrowser

            if not webbrowser.open(path.resolve().as_uri()):
                say("no browser was found; open the file yourself", err=True)
    if folder is not None:
        from sweep.report.figures.all import pictures
        from sweep.report.figures.image_files import write_pictures
        from sweep.report.findings import gather

        drawn = pictures(gather(ran.study, ran.config, ran.folder))
        paths = write_pictures(drawn, folder, "png" if format == "png" else "svg")
        say(f"wrote {counted(len(paths), 'figure')} into {folder}")
