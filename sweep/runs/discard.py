"""Trials that are to count for nothing, and to count again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from sweep.base.errors import InputError
from sweep.base.languages.sentences import ENGLISH
from sweep.base.number_ranges import as_ranges
from sweep.base.wording import listed, verb
from sweep.confirm.best_schedule import BestSchedule
from sweep.report.all_files import write_report
from sweep.runs.library import StudyResult, load_study
from sweep.runs.listener import Listener
from sweep.search.storage.locks import hold
from sweep.search.storage.opening import closing_study, explained
from sweep.search.storage.optuna_private import (
    DISCARDED,
    discarded_numbers,
    leave_out,
    set_study_attribute,
)
from sweep.search.storage.owners import in_turn
from sweep.search.storage.urls import storage_url
from sweep.search.tables import write_tables
from sweep.search.trials import StudyReader
from sweep.study.file import load_study as load_settings
from sweep.study.locations import SAVED_STUDY, locate_results


def discard(
    study: str | Path,
    numbers: Collection[int],
    storage: str | None = None,
    *,
    undo: bool = False,
    listener: Listener | None = None,
    page_in: str = ENGLISH,
) -> list[int]:
    """Have trials of a study count for nothing from now on, or count again.

    They stay in the storage. What is written of the study in its results folder follows, but for
    the winner's files, which are marked if they are of such a trial: another run replaces them.

    Args:
        study: Its name or results folder.
        numbers: Of the trials.
        storage: Where they are kept, if not where its `study.toml` says.
        undo: Whether they are to count again.
        listener: Hears what could not be written.
        page_in: The language of `report.html`.

    Returns:
        The numbers of those that were so before.

    Raises:
        InputError: There are no results there, or there is no such trial, or it has not ended, or
            another one stands for it; of an undoing, one that is to count stands for a trial that
            stays discarded.
        StudyBusyError: The study is being run from this folder, or its journal is in use.
        StorageError: The storage cannot be read or written.
    """
    heard = listener or Listener()
    folder = locate_results(str(study))
    url = storage_url(storage or load_settings(folder / SAVED_STUDY).storage, folder)
    with hold(folder, url), explained(url), ExitStack() as at_the_end:
        ran = load_study(folder, storage, note=heard.on_note)
        at_the_end.enter_context(closing_study(ran.study))
        reader = StudyReader(ran.study, ran.config)

        def mark() -> list[int]:
            before = discarded_numbers(ran.study)
            _check_there(reader, numbers)
            if undo:
                _check_can_count(reader, before & {*numbers}, before - {*numbers})
            else:
                _check_ended(reader, numbers, "discarded")
                _check_alone(reader, numbers, "discard")
            after = before - {*numbers} if undo else before | {*numbers}
            if after != before:
                set_study_attribute(ran.study, DISCARDED, sorted(after))
            return sorted({*numbers} - before if undo else before & {*numbers})

        as_before = in_turn(ran.study, mark)
        discarded = discarded_numbers(ran.study)
        write_tables(folder, reader.every_trial, ran.config)
        written, _ = BestSchedule.if_valid(folder)
        if written and written.discarded != (written.trial in discarded):
            written.marked(written.trial in discarded).write(folder)
        write_report(ran.study, ran.config, folder, heard.on_unwritten, page_in)
    return as_before


def without(ran: StudyResult, numbers: Sequence[int]) -> StudyResult:
    """The study with some trials left out, as if they were discarded; nothing is written.

    Raises:
        InputError: As `discard`.
    """
    if numbers:
        reader = StudyReader(ran.study, ran.config)
        _check_there(reader, numbers)
        _check_ended(reader, numbers, "left out")
        _check_alone(reader, numbers, "leave out")
        leave_out(ran.study, numbers)
    return ran


def _check_there(reader: StudyReader, numbers: Collection[int]) -> None:
    trials = [trial.number for trial in reader.every_trial]
    if unknown := {*numbers} - {*trials}:
        there = f"its trials are {listed(as_ranges(trials))}" if trials else "it has no trials"
        raise InputError(f"study {reader.name}: no trial {listed(as_ranges(unknown))}; {there}")


def _check_ended(reader: StudyReader, numbers: Collection[int], done: str) -> None:
    if open_ := [t.number for t in reader.trials if t.number in numbers and t.ending is None]:
        raise InputError(
            f"study {reader.name}: {_trials(open_)} {verb(len(open_), 'has', 'have')} not ended, "
            f"and only a trial that has can be {done}"
        )


def _check_alone(reader: StudyReader, numbers: Collection[int], act: str) -> None:
    """See that no trial that counts on stands for one of these that counts now."""
    counting = reader.trials
    going = {trial.number for trial in counting}.intersection(numbers)
    stand = {t.completes: t.number for t in counting if t.number not in going}
    pairs = [(number, stand[number]) for number in sorted(going) if number in stand]
    if pairs:
        pruned, others = zip(*pairs, strict=True)
        one = len(pairs) == 1
        raise InputError(
            f"study {reader.name}: {_trials(pruned)} {'was' if one else 'were'} pruned, and "
            f"{_trials(others)}, which {'trains it to its' if one else 'train them to their'} "
            f"end, {'stands for it' if one else 'stand for them'}; {act} "
            f"{listed(as_ranges(others))}, or {'both' if one else 'all of them'}"
        )


def _check_can_count(reader: StudyReader, numbers: Collection[int], stay: Collection[int]) -> None:
    """See that none of these stands for a trial that stays discarded."""
    pairs = [
        (trial.completes, trial.number)
        for trial in reader.excluded
        if trial.number in numbers and trial.completes is not None and trial.completes in stay
    ]
    if pairs:
        pruned, others = zip(*pairs, strict=True)
        raise InputError(
            f"study {reader.name}: {_trials(others)} {verb(len(pairs), 'stands', 'stand')} for "
            f"{_trials(pruned)}, trained to the end, which would stay discarded; "
            f"undo {listed(as_ranges(pruned))}, too"
        )


def _trials(numbers: Collection[int]) -> str:
    """`trial 17`, `trials 3, 4, 17`."""
    return f"trial{'' if len(numbers) == 1 else 's'} {listed(as_ranges(numbers))}"
