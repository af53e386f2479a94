"""The list of trials that a storage keeps, beside what Optuna reads anew."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sweep.search.storage.opening import flush, open_storage
from sweep.search.storage.optuna_private import trial_in_training

STATES = [None, (TrialState.WAITING,), (TrialState.RUNNING,), (TrialState.COMPLETE,)]


@pytest.mark.parametrize("seed", range(5))
def test_it_has_what_optuna_reads_whoever_has_written_it(tmp_path: Path, seed: int) -> None:
    """Two studies in one journal, changed by this process and by another one."""
    path, draws = tmp_path / "study.journal", random.Random(seed)
    ours = {name: study_in(path, name) for name in ("one", "two")}
    theirs = JournalStorage(JournalFileBackend(str(path)))
    for _ in range(60):
        study = ours[draws.choice(["one", "two"])]
        writer = study
        if draws.random() < 0.3:
            flush(study)
            writer = optuna.load_study(study_name=study.study_name, storage=theirs)
        change(writer, draws)
        if draws.random() < 0.5:
            flush(study)
            plain = optuna.load_study(
                study_name=study.study_name, storage=JournalStorage(JournalFileBackend(str(path)))
            )
            for states in STATES:
                found = study.get_trials(deepcopy=False, states=states)
                assert found == plain.get_trials(states=states)


def study_in(path: Path, name: str) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=open_storage(str(path), batched=True))


def change(study: optuna.Study, draws: random.Random) -> None:
    """Begin, enqueue, report to or end a trial."""
    running = study.get_trials(states=(TrialState.RUNNING,))
    what = draws.choice(["begin", "enqueue", "report", "end"])
    if what == "enqueue":
        study.enqueue_trial({"lr": draws.random()})
    elif what == "begin" or not running:
        study.ask().suggest_float("lr", 0.0, 1.0)
    else:
        trial = trial_in_training(study, draws.choice(running))
        if what == "report":
            trial.report(draws.random(), len(stored_steps(study, trial)) + 1)
        else:
            study.tell(trial, draws.random())


def stored_steps(study: optuna.Study, trial: optuna.Trial) -> dict[int, float]:
    return study.get_trials()[trial.number].intermediate_values


def test_a_list_is_the_callers_own(tmp_path: Path) -> None:
    study = study_in(tmp_path / "study.journal", "s")
    study.tell(study.ask(), 1.0)
    study.get_trials(deepcopy=False).clear()
    assert len(study.trials) == 1


def test_a_study_that_is_gone_has_no_trials(tmp_path: Path) -> None:
    study = study_in(tmp_path / "study.journal", "s")
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
