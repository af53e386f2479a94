"""Runs in MLflow: the study's as the parent, those of its trials nested in it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from sweep.report.trackers.contract import Epoch, Study, StudyRun, TrialRun
from sweep.report.trackers.local_database import database_file, why_unusable

_PARENT, _NOTE = "mlflow.parentRunId", "mlflow.note.content"
_STUDY, _ID, _TRIAL, _SENT, _WINNER, _DISCARDED = (
    f"sweep.{word}" for word in ("study", "study_id", "trial", "sent", "winner", "discarded")
)
"""Tags: whose run it is, and whether all of it is there."""

_MOST_METRICS, _MOST_OTHERS = 1000, 100
"""In one request."""
_STATES = {"completed": "FINISHED", "pruned": "KILLED", "diverged": "FAILED", "failed": "FAILED"}
_LONGEST = 5000
"""Characters of a parameter's or a tag's value."""

Item = TypeVar("Item")


class MLflow:
    """An experiment of a tracking server, or of a database.

    A trial's run is looked up by its study and number. One that was not sent to its end is gone on
    with: what MLflow has of a run already, it takes again.

    Args:
        place: The tracking URI.
        study: Whose runs.
    """

    def __init__(self, place: str, study: Study) -> None:
        self._client = _connected(place)
        self._study = study
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or study.name
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(name)
        self._runs = {run.data.tags.get(_TRIAL): run for run in self._ours()}
        parent = self._runs.get(None)
        self._parent = parent.info.run_id if parent else self._create_parent()
        self._sent = {n for n, run in self._runs.items() if run.data.tags.get(_SENT) == "true"}
        self._ids = {n: run.info.run_id for n, run in self._runs.items() if n is not None}

    def has_trial(self, number: int) -> bool:
        """Whether its run was sent to its end."""
        return str(number) in self._sent

    def send_trial(self, trial: TrialRun) -> None:
        """Make its run, nested in the study's, or complete it."""
        number = str(trial.number)
        if number not in self._ids:
            tags = {**self._tags(), _TRIAL: number, _PARENT: self._parent, _NOTE: trial.description}
            made = self._client.create_run(
                self._experiment, _millis(trial.started), tags, run_name=trial.name
            )
            self._ids[number] = made.info.run_id
        run = self._ids[number]
        self._log(run, trial.epochs, trial.results, trial.finished)
        self._log_params(run, trial.params)
        self._log_tags(run, {f"sweep.{name}": text for name, text in trial.tags.items()})
        self._client.set_terminated(run, _STATES[trial.ending], _millis(trial.finished))
        self._client.set_tag(run, _SENT, "true")
        self._sent.add(number)

    def send_study(self, study: StudyRun) -> None:
        """Bring its run up to date, and mark the winner's, which has the winner's files."""
        client, parent = self._client, self._parent
        self._log(parent, study.course, study.results, study.at)
        self._log_tags(parent, {f"sweep.{name}": text for name, text in study.tags.items()})
        self._log_tags(parent, {_NOTE: study.report})
        for path in study.files:
            client.log_artifact(parent, str(path))
        winner = self._ids.get(str(study.winner))
        self._mark(_WINNER, {winner} - {None})
        self._mark(_DISCARDED, {self._ids.get(str(number)) for number in study.discarded} - {None})
        if winner:
            for path in study.winner_files:
                client.log_artifact(winner, str(path))
        client.set_terminated(parent, "FINISHED", _millis(study.at))

    def close(self) -> None:
        """All is sent."""

    def _mark(self, tag: str, marked: set[str | None]) -> None:
        """Give the tag to these runs alone."""
        # whole before it changes: the pages of an answer are counted anew for each
        for run in [*self._ours(f"tags.`{tag}` = 'true'")]:
            if run.info.run_id not in marked:
                self._client.delete_tag(run.info.run_id, tag)
        for run_id in filter(None, marked):
            self._client.set_tag(run_id, tag, "true")

    def _ours(self, further: str = "") -> Iterator[Any]:
        """The study's runs, whatever page of the answer they are on."""
        condition = f"tags.`{_ID}` = '{self._study.id}'{further and ' and '}{further}"
        token = None
        while True:
            page = self._client.search_runs([self._experiment], condition, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _tags(self) -> dict[str, str]:
        return {_STUDY: self._study.name, _ID: self._study.id}

    def _create_parent(self) -> str:
        study = self._study
        run = self._client.create_run(
            self._experiment, _millis(study.begun), self._tags(), run_name=study.name
        )
        self._log_params(run.info.run_id, study.settings)
        return str(run.info.run_id)

    def _log(
        self, run: str, course: Iterable[Epoch], results: Mapping[str, float], at: float
    ) -> None:
        """Metrics by epoch, and results under names of their own, for a last value is shown."""
        metrics = [
            Metric(_name(name), value, _millis(epoch.at), epoch.number)
            for epoch in course
            for name, value in epoch.values.items()
        ]
        for name, value in results.items():
            metrics.append(Metric(_name(f"result/{name}"), value, _millis(at), 0))
        for some in _parts(metrics, _MOST_METRICS):
            self._client.log_batch(run, metrics=some)

    def _log_params(self, run: str, params: Mapping[str, Any]) -> None:
        given = [Param(_name(name), str(value)[:_LONGEST]) for name, value in params.items()]
        for some in _parts(given, _MOST_OTHERS):
            self._client.log_batch(run, params=some)

    def _log_tags(self, run: str, tags: Mapping[str, str]) -> None:
        given = [RunTag(_name(name), text[:_LONGEST]) for name, text in tags.items()]
        for some in _parts(given, _MOST_OTHERS):
            self._client.log_batch(run, tags=some)


def _connected(place: str) -> MlflowClient:
    """A client; in a new database MLflow makes its tables before.

    Raises:
        FileExistsError: It was interrupted as it made them once, and cannot go on.
    """
    try:
        return MlflowClient(tracking_uri=place)
    except Exception as problem:
        file = database_file(place)
        why = why_unusable(problem, file) if file else ""
        if file and why:
            raise FileExistsError(errno.EEXIST, why, str(file)) from problem
        raise


def _parts(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    """Not more than so many at a time."""
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _name(name: str) -> str:
    """A name that MLflow allows: `recall_5` for `recall@5`."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)[:250]


def _millis(seconds: float) -> int:
    return round(seconds * 1000)
