"""What a study has before a run: nothing of it is changed."""

from __future__ import annotations

from dataclasses import dataclass

import optuna

from sweep.base.errors import UnaccountedError
from sweep.data.dataset import Dataset
from sweep.runs.account import check_accounted
from sweep.search.continuation import comparable, continues
from sweep.search.storage.opening import closing_study, peek_study
from sweep.search.storage.urls import is_shared
from sweep.search.trials import StudyReader, Trial
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig


@dataclass(frozen=True)
class Earlier:
    """What a study has before a run.

    Args:
        trials: Its trials that stay, whether they count or not, by number.
        is_there: Whether the storage has a study of this name.
        stays: Whether new trials are added to what there is; else that is thrown away first.
        reader: Has read those that stay; None if there is no study, or it does not stay.
    """

    trials: list[Trial]
    is_there: bool
    stays: bool
    reader: StudyReader | None = None


def earlier(
    location: Location,
    config: StudyConfig,
    data: Dataset | None,
    url: str,
    fresh: bool,
    to_run: bool = False,
) -> Earlier:
    """Find out whether a study is continued or begun; nothing is written.

    Args:
        location: The study's name and results folder.
        config: Its settings.
        data: Its rows; None where the training loop is the user's own.
        url: Its storage.
        fresh: Whether earlier trials and results are to be thrown away.
        to_run: Whether what stays is to be run; a journal is held and repaired then.

    Raises:
        StorageError: The storage cannot be read, or the study has another direction.
        StudyChangedError: It has trials that new ones cannot be compared with.
        UnaccountedError: The folder has results of trials that the storage lacks.
    """
    maximize = None if fresh else config.measure.maximize
    with closing_study(peek(location, url, maximize, fresh, to_run)) as study:
        if fresh:
            return Earlier([], study is not None, stays=False)
        reader = StudyReader(study, config) if study else None
        trials = reader.every_trial if reader else []
        check_accounted(location.folder, trials, url)
        if study is None:
            return Earlier([], is_there=False, stays=True)
        if not continues(study, comparable(config, data), is_shared(url)):
            return Earlier([], is_there=True, stays=False)
        return Earlier(trials, is_there=True, stays=True, reader=reader)


def peek(
    location: Location, url: str, maximize: bool | None, fresh: bool, to_run: bool = False
) -> optuna.Study | None:
    """The study, if it has been begun; `fresh` puts a damaged one aside."""
    try:
        return peek_study(location.name, url, location.folder, maximize, batched=to_run)
    except UnaccountedError:
        if not fresh:
            raise
        return None
