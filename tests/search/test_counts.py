"""Counts that are kept, beside those of all trials."""

from __future__ import annotations

import random
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from sweep.search.attributes import COMPLETES
from sweep.search.in_flight.counts import Counts
from sweep.search.status import Tally
from sweep.search.storage.opening import open_storage
from sweep.search.storage.optuna_private import leave_out
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
    counts, running = Counts(reader, []), list[optuna.Trial]()
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
            whole = Tally.of(reader.trials, reader.config.measure)
            kept = counts.tally
            assert (kept.started, kept.to_complete) == (whole.started, whole.to_complete)
            assert (kept.ended, kept.trained_on) == (whole.ended, whole.trained_on)
            assert kept.best == whole.best and kept.families.keys() == whole.families.keys()
