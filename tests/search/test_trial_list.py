"""The list of trials that a storage keeps, beside what Optuna reads anew."""

from __future__ import annotations

import pickle
import random
from collections import defaultdict
from functools import partial
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from sweep.search.storage.opening import flush, open_storage
from sweep.search.storage.optuna_private import trial_in_training
from sweep.search.storage.owners import in_turn
from sweep.search.storage.trial_list import TrialList

STATES = [None, (TrialState.WAITING,), (TrialState.RUNNING,), (TrialState.COMPLETE,)]


@pytest.mark.parametrize("kind", ["journal", "database"])
@pytest.mark.parametrize("seed", range(3))
def test_it_has_what_optuna_reads_whoever_has_written_it(
    tmp_path: Path, seed: int, kind: str
) -> None:
    """Two studies in one storage, changed by this process and by another one.

    To a trial in training, only the one that has begun it writes.
    """
    path, draws = tmp_path / f"study.{kind}", random.Random(seed)
    url = str(path) if kind == "journal" else f"sqlite:///{path}"
    ours = {name: study_in(url, name) for name in ("one", "two")}
    theirs = plain(url)
    begun: dict[tuple[str, bool], set[int]] = defaultdict(set)
    for _ in range(60 if kind == "journal" else 15):
        study = ours[draws.choice(["one", "two"])]
        writer = study
        if draws.random() < 0.3:
            flush(study)
            writer = optuna.load_study(study_name=study.study_name, storage=theirs)
        change(writer, draws, begun[study.study_name, writer is study])
        if draws.random() < 0.5:
            flush(study)
            read = optuna.load_study(study_name=study.study_name, storage=plain(url))
            for states in STATES:
                found = in_turn(study, partial(study.get_trials, deepcopy=False, states=states))
                assert found == read.get_trials(states=states)


def plain(url: str) -> BaseStorage:
    """Optuna's own storage."""
    is_database = "://" in url
    return RDBStorage(url) if is_database else JournalStorage(JournalFileBackend(url))


def study_in(url: str, name: str) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=open_storage(url, batched=True))


def change(study: optuna.Study, draws: random.Random, begun: set[int]) -> None:
    """Begin, enqueue, report to or end a trial."""
    running = [t for t in study.get_trials(states=(TrialState.RUNNING,)) if t.number in begun]
    what = draws.choice(["begin", "enqueue", "report", "end"])
    if what == "enqueue":
        study.enqueue_trial({"lr": draws.random()})
    elif what == "begin" or not running:
        trial = in_turn(study, study.ask)
        trial.suggest_float("lr", 0.0, 1.0)
        begun.add(trial.number)
    else:
        trial = trial_in_training(study, draws.choice(running))
        if what == "report":
            trial.report(draws.random(), len(stored_steps(study, trial)) + 1)
        else:
            study.tell(trial, draws.random())


def stored_steps(study: optuna.Study, trial: optuna.Trial) -> dict[int, float]:
    return study.get_trials()[trial.number].intermediate_values


def test_a_list_is_the_callers_own(tmp_path: Path) -> None:
    study = study_in(str(tmp_path / "study.journal"), "s")
    study.tell(study.ask(), 1.0)
    study.get_trials(deepcopy=False).clear()
    assert len(study.trials) == 1


def test_a_study_that_is_gone_has_no_trials(tmp_path: Path) -> None:
    study = study_in(str(tmp_path / "study.journal"), "s")
    study.ask()
    assert len(study.trials) == 1
    optuna.delete_study(study_name="s", storage=study._storage)
    with pytest.raises(KeyError):
        study.get_trials()


def test_a_storage_can_be_pickled(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "study.journal"))
    study = optuna.create_study(study_name="s", storage=storage)
    study.tell(study.ask(), 1.0)
    assert len(study.trials) == 1
    again = optuna.load_study(study_name="s", storage=pickle.loads(pickle.dumps(storage)))
    assert again.trials == study.trials


def test_trials_that_others_have_begun_may_be_lacking_at_first() -> None:
    listed = TrialList()
    trials = [optuna.trial.create_trial(value=0.0, params={}, distributions={}) for _ in range(6)]
    for number, trial in enumerate(trials):
        trial.number = number
    for number in (0, 3, 1, 5, 3, 4):
        listed.put(trials[number])
    assert [trial.number for trial in listed.of(None)] == [0, 1, 3, 4, 5]
    assert [trial.number for trial in listed.of((TrialState.COMPLETE,))] == [0, 1, 3, 4, 5]


@pytest.mark.parametrize("seed", range(5))
def test_whichever_are_excluded_when_the_others_are_shown(seed: int) -> None:
    draws, listed, known = random.Random(seed), TrialList(), dict[int, FrozenTrial]()
    excluded = frozenset[int]()
    for _ in range(60):
        number = draws.randrange(12)
        if draws.random() < 0.2:
            excluded = frozenset(draws.sample(range(12), draws.randrange(4)))
            listed.exclude(excluded)
        elif draws.random() < 0.2:
            listed.remove(number)
            known.pop(number, None)
        else:
            state = draws.choice([TrialState.RUNNING, TrialState.PRUNED])
            known[number] = optuna.trial.create_trial(state=state)
            known[number].number = number
            listed.put(known[number])
        shown = [known[n] for n in sorted(known.keys() - excluded)]
        assert [*listed.shown] == shown == listed.of(None)
        assert listed.excluded == [known[n] for n in sorted(known.keys() & excluded)]
        running = [trial for trial in shown if trial.state == TrialState.RUNNING]
        assert listed.of((TrialState.RUNNING,)) == running
        assert len(listed) == len(known)
