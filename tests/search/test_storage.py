"""Creating a study in a storage, and loading it."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from storages import finished_trials, new_study, run_together

from sweep.base.errors import StorageError
from sweep.search.storage.opening import load_study
from sweep.search.storage.urls import JOURNAL, storage_url


class TestOpenStudy:
    @pytest.mark.parametrize("storage", ["a.journal", "a.db"])
    def test_creates_it_once_and_loads_it_later(self, tmp_path: Path, storage: str) -> None:
        url = storage_url(str(tmp_path / storage), tmp_path)
        finished_trials(new_study(url), 2)
        assert len(new_study(url).trials) == 2
        assert len(new_study(url, "other").trials) == 0
        assert len(load_study("mine", url).trials) == 2

    def test_refuses_a_study_of_another_program(self, tmp_path: Path) -> None:
        url = storage_url(str(tmp_path / "a.db"), tmp_path)
        optuna.create_study(storage=url, study_name="mine", direction="maximize")
        with pytest.raises(StorageError) as raised:
            new_study(url)
        assert str(raised.value) == (
            f"{url}: study 'mine' was begun with the direction maximize, not minimize; give "
            "another --out or --storage, or throw its trials away with --fresh"
        )

    def test_many_processes_create_it_at_once(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'a.db'}"
        code = (
            "import optuna, warnings; from sweep.search.storage.opening import open_study\n"
            "warnings.simplefilter('error')\n"
            "study = open_study('mine', sys.argv[2], optuna.samplers.RandomSampler(),"
            " optuna.pruners.NopPruner())\n"
            "study.tell(study.ask(), 1.0)"
        )
        assert run_together(code, url, count=3, cwd=tmp_path) == [(0, "")] * 3
        assert len(load_study("mine", url).trials) == 3


class TestLoadStudy:
    def test_no_journal(self, tmp_path: Path) -> None:
        path = tmp_path / JOURNAL
        with pytest.raises(StorageError) as raised:
            load_study("mine", str(path))
        assert str(raised.value) == f"{path}: no such journal; run the study first: sweep run mine"
        assert not path.exists()

    def test_no_such_study(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'a.db'}"
        new_study(url)
        with pytest.raises(StorageError) as raised:
            load_study("other", url)
        assert str(raised.value) == f"{url}: no study named 'other' in it"
