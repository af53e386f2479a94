"""Counts that are kept, beside those of all trials."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from storages import new_study

from sweep.search.attributes import COMPLETES
from sweep.search.in_flight.counts import Counts
from sweep.search.status import Tally
from sweep.search.storage.opening import open_storage
from sweep.search.storage.optuna_private import (
    DISCARDED,
    ListedJournal,
    leave_out,
    set_study_attribute,
)
from sweep.search.storage.trial_list import TrialList
from sweep.search.storage.urls import JOURNAL
from sweep.search.trials import StudyReader
from sweep.study.settings import StudyConfig


@pytest.mark.parametrize("seed", range(5))
def test_a_tally_that_is_kept_is_that_of_all_trials(tmp_path: Path, seed: int) -> None:
    storage, draws = (
        open_storage(str(tmp_path / "study.journal"), batched=True),
        random.Random(seed),
    )
    study = optuna.create_study(storage=storage)
    reader = StudyReader(study, StudyConfig())
    counts, running = Counts(reader), list[optuna.Trial]()
    for turn in range(80):
        what = draws.choice(["ask", "ask", "tell", "tell", "prune", "enqueue", "hide"])
        if what == "ask" or (what in ("tell", "prune") and not running):
            running.append(study.ask())
        elif what == "enqueue":
            pruned = study.get_trials(states=(TrialState.PRUNED,))
            attributes = {COMPLETES: draws.choice(pruned).number} if pruned else {}
            study.enqueue_trial({}, user_attrs=attributes)
        elif what == "hide":
            if turn % 3 == 0 and len(study.trials) > 4:
                leave_out(study, [draws.randrange(3)])
        else:
            trial = running.pop(draws.randrange(len(running)))
            is_over = what == "tell"
            study.tell(
                trial, draws.random() if is_over else None, state=TrialState(1 + (not is_over))
            )
        if draws.random() < 0.6:
            counts.look()
            assert_counted(counts, reader)


@pytest.mark.parametrize("reads", range(1, 5))
@pytest.mark.parametrize("what", ["ends", "discards"])
def test_what_another_does_while_it_is_counted_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, reads: int
) -> None:
    """Another does it after so many of the looks' readings of the trials."""
    study, theirs = (new_study(str(tmp_path / JOURNAL)) for _ in range(2))
    reader = StudyReader(study, StudyConfig())
    study.tell(study.ask(), None, state=TrialState.PRUNED)
    study.tell(study.ask(), 3.0)
    study.enqueue_trial({}, user_attrs={COMPLETES: 0})
    completing, other = study.ask(), study.ask()
    unread = reads

    storage = study._storage
    assert isinstance(storage, ListedJournal)
    listed = storage.listed

    @contextmanager
    def acted(study_id: int) -> Iterator[TrialList]:
        nonlocal unread
        with listed(study_id) as trials:
            yield trials
        unread -= 1
        if unread == 0 and what == "ends":
            theirs.tell(other.number, 2.0)
        elif unread == 0:
            set_study_attribute(theirs, DISCARDED, [1])

    monkeypatch.setattr(storage, "listed", acted)
    counts = Counts(reader)
    study.tell(completing, 1.0)
    while unread > 0:
        counts.look()
    counts.look()
    assert_counted(counts, reader)


def assert_counted(counts: Counts, reader: StudyReader) -> None:
    """It is as if all trials were counted now."""
    kept, whole = counts.tally, Tally.of(reader.trials, reader.config.measure)
    assert (kept.started, kept.to_complete) == (whole.started, whole.to_complete)
    assert (kept.ended, kept.trained_on) == (whole.ended, whole.trained_on)
    assert kept.best == whole.best and kept.families.keys() == whole.families.keys()
