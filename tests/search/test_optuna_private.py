"""Which versions of Optuna the private names in `search/storage/optuna_private.py` hold for."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from support import ROOT

from sweep.search.storage import optuna_private as private

HOLDS_FOR = range(5, 6)
"""Major versions; on another one, read the module beside Optuna's sources, then add it here."""


def test_the_version_is_one_that_the_names_hold_for() -> None:
    assert int(optuna.__version__.split(".")[0]) in HOLDS_FOR


def test_no_earlier_version_can_be_installed_with_it() -> None:
    bounds = re.findall(r'"optuna>=(\d+)\.', (ROOT / "pyproject.toml").read_text())
    assert [int(bound) for bound in bounds] == [HOLDS_FOR.start]


@pytest.mark.parametrize("kind", ["journal", "database"])
def test_every_name_does_what_it_says(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "study.journal"
    in_file = JournalStorage(JournalFileBackend(str(path)))
    in_table = private.ListedDatabase(RDBStorage(f"sqlite:///{tmp_path}/study.db"))
    study = optuna.create_study(storage=in_file if kind == "journal" else in_table)
    trial = study.ask()
    trial.suggest_float("lr", 0.0, 1.0)
    private.set_trial_attribute(trial, "theirs", 1)
    private.set_study_attribute(study, "ours", 2)
    assert private.stored(trial).system_attrs["theirs"] == 1
    assert private.study_attributes(study)["ours"] == 2
    assert private.trial_ids(study) == {0: private.trial_id(trial)}
    private.set_state(trial, TrialState.WAITING)
    assert [frozen.state for frozen in private.shown_trials(study)] == [TrialState.WAITING]
    private.set_state(trial, TrialState.RUNNING)
    again = private.trial_in_training(study, study.get_trials()[0])
    study.tell(again, 3.0)
    assert study.best_value == 3.0
    assert private.storage_of(study) is not None and private.study_id(study) >= 0
    assert type(private.backend_of(study)).__module__.startswith("optuna.storages")
    if kind == "journal":
        lines = path.read_bytes().splitlines()
        assert all(line.startswith(private.RECORD_START) for line in lines)
    else:
        in_table.undo_turn()
        assert study.best_value == 3.0


def test_a_trials_numbers_and_attributes_alone_can_wait() -> None:
    assert private.CAN_WAIT == {5, 7, 8, 9}  # as they stand in the journals that there are
