"""Whose trials these are, and whose turn it is, where several run one study."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from storages import closed_later, new_study, run_together
from support import PostgreSQL

from sweep.search.storage.opening import load_study
from sweep.search.storage.owners import abandoned_trials, claim, in_turn, owner_of
from sweep.search.storage.urls import JOURNAL


class TestAbandonedTrials:
    OWNER = "here:/studies/mine"

    def study(self) -> optuna.Study:
        """Trials: 0 ours, 1 another's, 2 and 3 nobody's, 4 ours, ended."""
        study = optuna.create_study()
        ours, others, _, _, ended = [study.ask() for _ in range(5)]
        claim(ours, self.OWNER)
        claim(others, "there:/studies/mine")
        claim(ended, self.OWNER)
        study.tell(ended, 1.0)
        return study

    def test_on_our_own_journal_all_that_run(self) -> None:
        found = abandoned_trials(self.study(), self.OWNER, shared=False)
        assert [trial.number for trial in found] == [0, 1, 2, 3]

    def test_on_a_shared_storage_ours_and_nobodys(self) -> None:
        found = abandoned_trials(self.study(), self.OWNER, shared=True)
        assert [trial.number for trial in found] == [0, 2, 3]

    def test_keep_their_parameters(self) -> None:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        trial = study.ask()
        rate = trial.suggest_float("lr", 0, 1)
        study.sampler = optuna.samplers.RandomSampler(seed=1)
        (again,) = abandoned_trials(study, self.OWNER, shared=False)
        assert again.suggest_float("lr", 0, 1) == rate

    def test_owners_differ_by_machine_and_folder(self, tmp_path: Path) -> None:
        assert owner_of(tmp_path / "a") == owner_of(tmp_path / "b" / ".." / "a")
        assert owner_of(tmp_path / "a") != owner_of(tmp_path / "b")


ASK = """
import optuna
from sweep.search.storage.opening import open_study
from sweep.search.storage.owners import in_turn

study = open_study(
    "mine", sys.argv[2], optuna.samplers.RandomSampler(), optuna.pruners.NopPruner()
)

def ask():
    wanted = len(study.get_trials(deepcopy=False)) < 40
    if wanted:
        study.ask()
    return wanted

while in_turn(study, ask):
    pass
"""


def asked_by_three(url: str, folder: Path) -> int:
    """How many trials three processes ask for in all, each of them up to 40."""
    ended = run_together(ASK, url, count=3, cwd=folder)
    assert [code for code, _ in ended] == [0] * 3, ended
    with closed_later(load_study("mine", url)) as study:
        return len(study.trials)


class TestInTurn:
    @pytest.mark.slow
    def test_sqlite(self, tmp_path: Path) -> None:
        assert asked_by_three(f"sqlite:///{tmp_path / 'a.db'}", tmp_path) == 40

    def test_a_journal_and_memory_need_none(self, tmp_path: Path) -> None:
        for study in (new_study(str(tmp_path / JOURNAL)), optuna.create_study()):
            assert in_turn(study, study.ask).number == 0

    @pytest.mark.slow
    def test_postgresql(self, postgresql: PostgreSQL, tmp_path: Path) -> None:
        assert asked_by_three(postgresql.new_database("turns"), tmp_path) == 40
