"""Sweeps from a script: what the command line does, with results as tables."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from sweep.base.csv_cells import frame_from_csv
from sweep.base.errors import InputError
from sweep.base.library_warnings import hidden_library_warnings
from sweep.confirm.best_schedule import BestSchedule
from sweep.data.sources import GIVEN
from sweep.data.sources import give as give_data
from sweep.report.summary import summarise
from sweep.report.writers import to_html
from sweep.runs.listener import InNotebook, Listener, is_notebook
from sweep.runs.overrides import found
from sweep.runs.run import run_sweep
from sweep.schedules.schedule import Schedule
from sweep.search.storage.opening import await_server
from sweep.search.storage.opening import load_study as load_trials
from sweep.search.storage.urls import storage_url
from sweep.search.tables import epochs_frame, results_frame
from sweep.search.trials import StudyReader, Trial, completed
from sweep.study.file import load_study as load_settings
from sweep.study.locations import SAVED_STUDY, Location, locate_results
from sweep.study.results_folder import BEST_SCHEDULE, CONFIRM
from sweep.study.settings import StudyConfig
from sweep.training.own_loop.by_value import give

Data = pd.DataFrame | tuple[Any, ...] | Mapping[str, Any] | str
"""A table, arrays, the section of a study file, or a source by its name."""


@dataclass(frozen=True)
class StudyResult:
    """A study that has been run.

    Attributes:
        study: The Optuna study, for its own figures and whatever else Optuna has.
        config: The settings.
        folder: Where its results are.
        notes: What a user should read about the run, a sentence each.
        trusted: Whether modules that its settings name may be run.
    """

    study: optuna.Study
    config: StudyConfig
    folder: Path
    notes: tuple[str, ...] = ()
    trusted: bool = True

    @property
    def best(self) -> Schedule:
        """The schedule that won the confirmation, or else the search.

        Raises:
            InputError: No trial has completed; or the schedule has a factory, and the study is not
                trusted or its settings name another one.
        """
        written = self._winner
        return self._allowed(written.schedule if written else self._best_of_search.schedule)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of one's own that the best schedule was trained with, by name.

        Raises:
            InputError: No trial has completed.
        """
        found = self._winner
        return dict(found.params if found else self._best_of_search.suggestion.params)

    @cached_property
    def results(self) -> pd.DataFrame:
        """A row for each trial that has ended: `results.csv`."""
        return results_frame(self._reader.every_trial, self.config)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row for each epoch of each of them: `epochs.csv`."""
        return epochs_frame(self._reader.every_trial, self.config)

    @cached_property
    def confirm(self) -> pd.DataFrame:
        """A row for each candidate and fresh seed: `confirm.csv`; empty without a confirmation."""
        path = self.folder / CONFIRM
        return frame_from_csv(path) if path.is_file() else pd.DataFrame()

    @cached_property
    def described(self) -> dict[str, Any]:
        """What is known of the winner: `best_schedule.json`; empty as long as there is none."""
        written = BestSchedule.read(self.folder)
        return written.to_dict() if written else {}

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        return to_html(summarise(self.study, self.config, self.folder))

    def _allowed(self, schedule: Schedule) -> Schedule:
        """The schedule, if its code may be run and comes from the settings."""
        if schedule.factory and not self.trusted:
            raise InputError(
                f"{self.folder}: its best schedule has the factory {schedule.factory!r}, whose "
                "module would be run; if it is yours, say so: load_study(..., trust=True)"
            )
        own = self.config.custom.get(schedule.scheduler)
        if schedule.factory and (own is None or own.factory != schedule.factory):
            raise InputError(
                f"{self.folder / BEST_SCHEDULE}: names the factory "
                f"{schedule.factory!r}, which the study's settings do not"
            )
        return schedule

    @property
    def _winner(self) -> BestSchedule | None:
        """What was written of it, unless its trial does not count any more."""
        written = BestSchedule.read(self.folder)
        excluded = {trial.number for trial in self._reader.excluded}
        return None if written is None or written.trial in excluded else written

    @property
    def _best_of_search(self) -> Trial:
        done = completed(self._reader.trials, self.config.measure)
        if not done:
            raise InputError(f"{self.folder}: no trial has completed, so there is no best schedule")
        return done[0]

    @cached_property
    def _reader(self) -> StudyReader:
        return StudyReader(self.study, self.config)


def run_study(
    study: str | Path | None = None,
    *,
    loop: Callable[..., Any] | str | None = None,
    command: Sequence[str] | str | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    listener: Listener | None = None,
    data: Data | None = None,
    target: str | None = None,
    **settings: Any,
) -> StudyResult:
    """Run a study, or go on with it up to its total number of trials: `sweep run`.

    Workers import the loop from its file, so a call in that same file must stand under
    `if __name__ == "__main__":`.

    Args:
        study: As on the command line: a study's name, a study file, a results folder; the default
            study if there is no loop, no command and no `data`.
        loop: A training loop of one's own: a generator function in a file, or its name
            (`train.py:train`).
        command: A command that trains a trial, as a list of words or in one text: a script that
            asks for `sweep.current_trial()`. It is run in the working folder.
        out: The results folder, if not the study's own.
        fresh: Whether to throw the study's earlier trials away first.
        listener: Hears how it goes; `sweep.Progress(rich.console.Console())` prints it.
        data: A table, as a DataFrame, or arrays, `(x, y)` or `(x, y, x_validation, y_validation)`,
            which must be given again where the study goes on; its path or other source; or the
            section of a study file.
        target: The column that is learnt.
        settings: Those of a study file, sections as dicts: `space={"lr": "1e-3:1:log"}`.

    Raises:
        SweepError: Wrong input, a storage that cannot be used, workers that cannot train.
        InterruptedSweep: SIGINT or SIGTERM; the same call goes on with the rest.
    """
    process = multiprocessing.current_process()
    if multiprocessing.parent_process() is not None or getattr(process, "_inheriting", False):
        raise InputError(
            "run_study was called while a worker imported the script; put the call under "
            'if __name__ == "__main__":'
        )
    name = None if loop is None else loop if isinstance(loop, str) else reference_to(loop)
    overrides = dict(_flat({**settings, **_of_data(study, data, target)})) | (
        {} if name is None else {"loop": name}
    )
    if command is not None:
        overrides["command"] = command if isinstance(command, str) else [*map(str, command)]
    folder = None if out is None else Path(out)
    if overrides.get("data.source") == GIVEN:  # its study has no file
        folder, study = folder or Path("studies") / overrides["name"], None
    location, config, problems = found(None if study is None else str(study), folder, overrides)
    if problems:
        raise problems
    heard = _Notes(listener or (InNotebook() if is_notebook() else Listener()))
    with hidden_library_warnings():
        trained = run_sweep(location, config, heard, fresh)
    return StudyResult(trained, config, location.folder, tuple(heard.notes))


def load_study(
    study: str | Path | None = None,
    storage: str | None = None,
    *,
    trust: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> StudyResult:
    """A study that has been run, by whomever: nothing is run of what its folder names.

    Args:
        study: Its name or results folder; the study that was run last if left out.
        storage: Where its trials are kept, if not where its `study.toml` says.
        trust: Whether a factory that its settings name may be imported, which runs its module.
        note: Told that a database is away, which is waited for up to a minute.

    Raises:
        InputError: There are no results there.
        StorageError: The storage cannot be read.
    """
    folder = locate_results(None if study is None else str(study))
    config = load_settings(folder / SAVED_STUDY)
    url = storage_url(storage or config.storage, folder)
    await_server(url, note)
    trials = load_trials(config.name or folder.resolve().name, url)
    return StudyResult(trials, config, folder, trusted=trust)


def reference_to(function: Callable[..., Any]) -> str:
    """The name by which workers know a function: they import it, or it is handed to them."""
    name = getattr(function, "__qualname__", None)
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    is_found = module is not None and file is not None and str(name).isidentifier()
    if not is_found or getattr(module, str(name), None) is not function:
        return give(function)
    assert module is not None and file is not None
    if module.__name__ != "__main__":
        return f"{module.__name__}:{name}"
    path = Path(file).resolve()
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{name}"


class _Notes(Listener):
    """Keeps what is said, and passes everything on."""

    def __init__(self, listener: Listener) -> None:
        self.notes: list[str] = []
        self._listener = listener
        self.on_finished = listener.on_finished  # type: ignore[method-assign]
        self.on_tick = listener.on_tick  # type: ignore[method-assign]
        self.on_retraining = listener.on_retraining  # type: ignore[method-assign]

    def on_start(self, location: Location, config: StudyConfig, data: Any) -> None:
        """Keep what became of the table."""
        self.notes += (*data.notes, *data.warnings) if data else ()
        self._listener.on_start(location, config, data)

    def on_note(self, text: str) -> None:
        """Keep it."""
        if text not in self.notes:
            self.notes.append(text)
        self._listener.on_note(text)

    def on_unwritten(self, what: str, problem: Exception) -> None:
        """Keep it, too."""
        self.notes.append(f"{what} could not be written: {problem}")
        self._listener.on_unwritten(what, problem)


def _of_data(
    study: str | Path | None,
    data: Data | None,
    target: str | None,
) -> dict[str, Any]:
    """The settings of a study's table."""
    named: dict[str, Any] = {}
    section = dict(data) if isinstance(data, Mapping) else {}
    if isinstance(data, str | pd.DataFrame | tuple):
        section["source"] = data
    given = section.get("source")
    if isinstance(given, pd.DataFrame | tuple):
        section["source"] = give_data(given)
        kind = "dataframe" if isinstance(given, pd.DataFrame) else "arrays"
        named["name"] = kind if study is None else str(study)
    if target is not None:
        section["target"] = target
    return {**named, **({"data": section} if section else {})}


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings by dotted key; a section that is a dict is taken apart, its own tables are not."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", given) for inner, given in value.items())
        else:
            yield key, value
