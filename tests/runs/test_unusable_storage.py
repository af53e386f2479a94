"""A storage that cannot be used: commands, and who loads a study, are told the same of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from called import called

from sweep import load_study
from sweep.base.errors import StorageError
from sweep.study.locations import SAVED_STUDY

LOOP = "def train(schedule):\n    yield schedule.rates(9)[0]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(LOOP)
    return tmp_path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://me:secret/db",
            "postgresql://me/db: the storage cannot be opened: "
            "invalid literal for int() with base 10: '***'",
        ),
        (
            "postgres://me:secret@host/db",
            "postgres://me@host/db: the storage cannot be opened: "
            "Can't load plugin: sqlalchemy.dialects:postgres",
        ),
        (
            "postgresql+psycopg://me:secret@host/db",
            "postgresql+psycopg://me@host/db: this storage needs the module 'psycopg': "
            "pip install 'sweep-lr[postgresql]'",
        ),
    ],
)
def test_it_is_told_alike_and_without_its_password(
    url: str, expected: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as where it is not installed
    own = ("--storage", url, "--loop", "train.py:train", "--metric", "loss", "--device", "cpu")
    ran = called("run", *own, cwd=folder)
    assert (ran.returncode, ran.stderr) == (1, f"error: {expected}\n")
    checked = called("check", *own, "--json", cwd=folder)
    assert json.loads(checked.stdout)["problems"] == [expected]
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {"train.py"}
    (folder / SAVED_STUDY).write_text('name = "mine"\nloop = "train.py:train"\nmetric = "loss"\n')
    with pytest.raises(StorageError) as raised:
        load_study(folder, url)
    assert str(raised.value) == expected
    assert "secret" not in f"{ran.stdout}{checked.stdout}{checked.stderr}"


def test_check_says_at_once_what_it_waits_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.search.storage.patience._TOLD_AFTER_SECS", 0.0)
    monkeypatch.setattr("sweep.search.storage.patience._BEGIN_SECS", 0.1)
    url = "postgresql://me:secret@127.0.0.1:1/db"
    own = ("--storage", url, "--loop", "train.py:train", "--metric", "loss", "--device", "cpu")
    checked = called("check", *own, "--json", cwd=folder)
    assert checked.stderr.startswith("note: waiting for the storage, for up to ")
    found = json.loads(checked.stdout)
    (problem,) = found["problems"]
    assert problem.startswith("postgresql://me@127.0.0.1:1/db: the storage cannot be opened: ")
    assert not any("waiting" in note for note in found["notes"])
    assert "secret" not in f"{checked.stdout}{checked.stderr}"
