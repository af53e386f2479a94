"""Whether the results in a folder are those of the trials in a storage."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

import pandas as pd

from sweep.base.errors import InputError, UnaccountedError
from sweep.base.wording import counted
from sweep.confirm.best_schedule import BestSchedule
from sweep.search.storage.urls import without_password
from sweep.search.trials import Trial
from sweep.study.results_folder import AUDIT, BEST_SCHEDULE, CONFIRM, EPOCHS, FILES, RESULTS

_NUMBERS = {RESULTS: "number", EPOCHS: "number", CONFIRM: "trial", AUDIT: "trial"}
"""The tables, and the column with the trials' numbers."""


def has_results(folder: Path) -> bool:
    """Whether a folder holds a file that a run would write over."""
    return any((folder / name).is_file() for name in FILES)


def check_accounted(folder: Path, trials: Collection[Trial], url: str) -> None:
    """Refuse to write over results of trials that the storage does not have.

    Args:
        folder: The results folder.
        trials: Of the study, as the storage has them.
        url: The storage.

    Raises:
        UnaccountedError: There are such results, or a file of such a name that no sweep wrote.
    """
    known = {trial.number: trial.started for trial in trials if not trial.is_waiting}
    for name in FILES:
        path = folder / name
        if path.is_file():
            told = _trials_in(path)
            unknown = [n for n, began in told.items() if not _is_known(n, began, known)]
            if unknown:
                found = f"{counted(len(told), 'trial')}, {len(unknown)} of them"
                if len(unknown) == len(told):
                    found = counted(len(told), "trial")
                raise UnaccountedError(_refusal(path, f"{found} that", known, url))
            if not told and not known and name not in _NUMBERS:
                raise UnaccountedError(_refusal(path, "results that", known, url))


def _refusal(path: Path, found: str, known: Collection[int], url: str) -> str:
    return (
        f"{path} has {found} the storage lacks: "
        f"{without_password(url)} has {counted(len(known), 'trial')} of this study. It may have "
        "been emptied, damaged or replaced, or be another one. Nothing has been changed. "
        "Bring the storage back (a copy of it, or the right --storage), keep these results and "
        "give another --out, or throw them away with --fresh"
    )


def _is_known(number: int, began: datetime | None, known: Mapping[int, datetime | None]) -> bool:
    """Whether the storage has a trial of this number, and it is the same one."""
    return number in known and (began is None or known[number] in (None, began))


def _trials_in(path: Path) -> dict[int, datetime | None]:
    """The trials that a file tells of, with when they began where it says so.

    Raises:
        UnaccountedError: No sweep wrote it, or it is damaged.
    """
    try:
        if path.name == BEST_SCHEDULE:
            written = BestSchedule.read(path.parent)
            return {} if written is None or written.trial is None else {written.trial: None}
        if path.name not in _NUMBERS:
            return {}
        column = _NUMBERS[path.name]
        has_start = path.name == RESULTS
        frame = pd.read_csv(path, usecols=[column, "started"] if has_start else [column])
        numbers = [int(number) for number in frame[column]]
        if not has_start:
            return dict.fromkeys(numbers)
        started = pd.to_datetime(frame["started"], format="ISO8601")
        moments = [None if pd.isna(moment) else moment.to_pydatetime() for moment in started]
        return dict(zip(numbers, moments, strict=True))
    except (OSError, ValueError, KeyError, TypeError, InputError) as problem:
        raise UnaccountedError(
            f"{path} is not as a sweep writes it ({type(problem).__name__}: {problem}), and a run "
            "would write over it; move it away, or give another --out"
        ) from None


def thrown_away(folder: Path) -> str:
    """What `--fresh` removes from a results folder, in words; empty if there is nothing."""
    there = [name for name in FILES if (folder / name).is_file()]
    if RESULTS in there:
        try:
            count = len(_trials_in(folder / RESULTS))
            there[there.index(RESULTS)] += f" ({counted(count, 'trial')})"
        except UnaccountedError:  # nobody can say what it holds
            pass
    return f"{', '.join(there)} in {folder}" if there else ""
