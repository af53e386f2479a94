"""Creating a study in a storage, and loading it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import optuna
import pytest
from storages import finished_trials, new_study, run_together

from sweep.base.errors import StorageError
from sweep.search.storage import opening
from sweep.search.storage.opening import load_study, peek_study
from sweep.search.storage.urls import JOURNAL, storage_url

OPENERS: tuple[Callable[[str], object], ...] = (
    new_study,
    partial(load_study, "mine"),
    lambda url: peek_study("mine", url, Path()),
)


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

    @pytest.mark.slow
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

    def test_tables_of_another_version_of_optuna(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'a.db'}"
        new_study(url)
        with sqlite3.connect(tmp_path / "a.db") as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
        for opened in (new_study, partial(load_study, "mine")):
            with pytest.raises(StorageError) as raised:
                opened(url)
            start = f"{url}: the storage cannot be opened: The runtime optuna version "
            assert str(raised.value).startswith(start)

    @pytest.mark.parametrize(
        "record", ['{"op_code":99,"worker_id":"w"}', '{"op_code":0}', '{"op_code":1,"study_id":7}']
    )
    def test_records_that_optuna_does_not_write(self, tmp_path: Path, record: str) -> None:
        path = tmp_path / JOURNAL
        path.write_text(record + "\n")
        for opened in OPENERS:
            with pytest.raises(StorageError, match="the storage cannot be opened: ") as raised:
                opened(str(path))
            assert raised.value.__cause__ is not None

    @pytest.mark.parametrize("storage", ["a.journal", "a.db"])
    @pytest.mark.parametrize("kind", [AttributeError, KeyError, TypeError, ZeroDivisionError])
    def test_a_mistake_in_the_code_is_none_of_the_storages(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        storage: str,
        kind: type[Exception],
    ) -> None:
        def mistaken(*args: object) -> None:
            raise kind("a mistake")

        url = storage_url(str(tmp_path / storage), tmp_path)
        new_study(url)
        for name in ("engine_options", "journal_lock", "BatchedJournal", "JournalSnapshot"):
            monkeypatch.setattr(opening, name, mistaken)
        for opened in OPENERS:
            with pytest.raises(kind, match="a mistake"):
                opened(url)


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
