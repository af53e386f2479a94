"""`sweep export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sweep.base.errors import InputError, did_you_mean
from sweep.base.wording import counted
from sweep.cli.options import ResultsArgument, StorageOption
from sweep.cli.terminal import note, say
from sweep.study.registries.entry import alternatives
from sweep.study.registries.trackers import TRACKERS

_FORMATS = ("python", "json", "csv")


def export(
    study: ResultsArgument = None,
    place: Annotated[
        str | None, typer.Argument(metavar="[PLACE]", help="Where a tracker keeps its runs.")
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT|TRACKER",
            help=f"{alternatives(_FORMATS)}; or a tracker: "
            f"{alternatives(f'{each.name}={each.place}' for each in TRACKERS.values())}.",
        ),
    ] = "python",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a file, not the screen.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Run the module of a schedule of one's own, for csv.")
    ] = False,
    storage: StorageOption = None,
) -> None:
    """Take the best schedule home, or all trials to a tracker.

    The schedule as torch code, as JSON, or its rate at every step as CSV. To a tracker goes a run
    for each trial that has ended, and one of the study; what is there already is not made twice.

    Nothing of the results folder is run, so that it may be somebody else's.

    Examples:

      sweep export order_pre --to python > schedule.py

      sweep export order_pre --to tensorboard=runs

      sweep export order_pre --to mlflow=sqlite:///mlflow.db
    """
    of_schedule = {"--out": out is not None, "--trust": trust}
    of_tracker = {str(place): place is not None, "--storage": storage is not None}
    is_format = to in _FORMATS
    for given, is_given in (of_tracker if is_format else of_schedule).items():
        if is_given:
            raise InputError(f"{given}: means nothing with --to {to}")
    if is_format:
        _write(study, to, out, trust)
        return
    name, _, where = (part.strip() for part in to.partition("="))
    if where and place:
        raise InputError(f"--to {to}: it says where to already, so what is {place}?")
    _send(study, name, where or place, storage)


def _send(study: str | None, name: str, place: str | None, storage: str | None) -> None:
    from sweep.report.trackers.following import export as send
    from sweep.report.trackers.local_database import is_new
    from sweep.runs.library import load_study
    from sweep.search.storage.urls import without_password
    from sweep.search.trials import StudyReader

    if name in _FORMATS:
        raise InputError(
            f"--to {name}={place}: a file is named by --out: --to {name} --out {place}"
        )
    if name not in TRACKERS:
        known = (*_FORMATS, *TRACKERS)
        raise InputError(f"--to {name}: expected {alternatives(known)}{did_you_mean(name, known)}")
    tracker = TRACKERS[name]
    if not place:
        raise InputError(f"--to {name}: say where to: --to {name}={tracker.place}, {tracker.help}")
    if tracker.missing:
        raise InputError(f"--to {name}: {tracker.missing}")
    ran = load_study(study, storage, note=note)
    reader = StudyReader(ran.study, ran.config)
    if tracker.makes_tables and is_new(place) and any(t.ending for t in reader.every_trial):
        say(f"making {tracker.title}'s tables, which can take a minute ...", err=True)
    count = send(reader, ran.folder, name, place)
    if not count:
        say(f"no trial of {ran.folder} has ended yet: nothing is sent")
        return
    shown = without_password(place)
    say(f"{counted(count, 'trial')} of {ran.folder} in {tracker.title}: {shown}")
    if not place.startswith(("http://", "https://")):
        say(f"to see them: {tracker.view.format(place=shown)}")


def _write(study: str | None, to: str, out: Path | None, trust: bool) -> None:
    from sweep.base.files import write_whole
    from sweep.base.user_code import look_in
    from sweep.confirm.best_files import doubt_about, export_best
    from sweep.study.locations import locate_results

    folder = locate_results(study)
    if trust:
        look_in((folder.resolve(), folder.resolve().parent, Path.cwd()))
    content = export_best(folder, to, trust)
    if out is None:
        say(content.rstrip("\n"))
    elif not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}")
    else:
        write_whole(out, content)
    if doubt := doubt_about(folder):
        say(doubt, err=True)
