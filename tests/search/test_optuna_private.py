"""Which versions of Optuna the private names in `search/storage/optuna_private.py` hold for."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from storages import closed_later
from support import ROOT, PostgreSQL

from sweep.search.storage import optuna_private as private
from sweep.search.storage.opening import load_study

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


def test_the_other_modules_use_no_private_name_that_is_not_listed() -> None:
    database = RDBStorage("sqlite://")
    study = optuna.create_study(storage=_CachedStorage(database))
    trial = study.ask()
    of_optuna = (database, study._storage, study, trial, study.trials[0])
    names = {name for each in of_optuna for name in dir(each) if re.match("_[a-z]", name)}
    folder = ROOT / "sweep" / "search" / "storage"
    others = [path for path in folder.glob("*.py") if path.name != "optuna_private.py"]
    words = {word for path in others for word in re.findall(r"\b_[a-z_]+\b", path.read_text())}
    listed = set(re.findall("`(_[a-z_]+)`", private.__doc__ or ""))
    assert words & names == listed


def test_a_trials_numbers_and_attributes_alone_can_wait() -> None:
    assert private.CAN_WAIT == {5, 7, 8, 9}  # as they stand in the journals that there are


def fill(study: optuna.Study) -> None:
    """Trials of every kind, as Optuna writes them."""
    space = {
        "scheduler": CategoricalDistribution(["cosine", None, True, 3]),
        "lr": FloatDistribution(1e-5, 1.0, log=True),
        "width": IntDistribution(8, 64, step=8),
    }
    for number in range(7):
        trial = study.ask(space)
        trial.set_user_attr("note", {"text": "\u00fc'\"", "number": number})
        for step, value in enumerate([float("inf"), -float("inf"), float("nan"), 0.25]):
            trial.report(value, 3 * step)
        if number < 4:
            study.tell(trial, [1.5, float("inf"), -float("inf"), -0.0][number])
    study.tell(4, state=TrialState.PRUNED)
    study.tell(5, state=TrialState.FAIL)
    study.enqueue_trial({"lr": 0.1}, user_attrs={"from": "there"})
    study.ask({})


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_trials_are_read_as_optuna_reads_them(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    if kind == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.new_database("read")
    storage = RDBStorage(url)
    for name in ("other", "mine"):
        fill(optuna.create_study(study_name=name, storage=storage))
    optuna.create_study(study_name="several", directions=["minimize", "maximize"], storage=storage)
    several = optuna.load_study(study_name="several", storage=storage)
    several.tell(several.ask(), [float("inf"), 2.0])
    for name in ("mine", "several"):
        with closed_later(load_study(name, url)) as study:
            theirs = optuna.load_study(study_name=name, storage=storage).get_trials()
            # as text, since one that is no number equals none
            assert [*map(vars_of, study.get_trials())] == [*map(vars_of, theirs)]
    with closed_later(load_study("mine", url)) as study:
        backend = private.backend_of(study)
        ids = sorted(private.trial_ids(study).values())
        for states, some, above in (
            (None, {ids[0], ids[5]}, ids[3]),
            ((TrialState.RUNNING,), set(), -1),
            (None, set(), ids[-1]),
        ):
            asked = private.study_id(study), states, some, above
            found, expected = backend._get_trials(*asked), storage._get_trials(*asked)
            assert [*map(vars_of, found)] == [*map(vars_of, expected)]
        with pytest.raises(KeyError):
            backend._get_trials(1000, None, set(), -1)
    storage.remove_session()
    storage.engine.dispose()


def vars_of(trial: optuna.trial.FrozenTrial) -> dict[str, str]:
    """All that a trial is, in an order of its own."""
    about = vars(trial)
    return {
        name: repr(sorted(value.items()) if isinstance(value, dict) else value)
        for name, value in about.items()
    }
