"""What a machine offers: this one, and it without a compiler or a cache."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest
import torch
from called import Called

from sweep.cli.machine import examine_machine
from sweep.training.lanes.native.compiler import library
from sweep.training.workers.process_pool import default_workers


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of a user whose name would be seen, with nothing kept or compiled."""
    folder = tmp_path / "u5er"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # nvidia-smi is not asked
    library.cache_clear()
    return folder


def facts() -> dict[str, dict[str, str]]:
    return examine_machine().to_dict()


@pytest.mark.slow
def test_it_says_what_there_is_and_names_nobody(sweep: Called, home: Path) -> None:
    shown = sweep("doctor")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert torch.__version__ in shown.stdout and f"{default_workers()} worker" in shown.stdout
    assert home.name not in shown.stdout
    assert "~/.cache/sweep-lr, can be written to" in shown.stdout
    told = json.loads(sweep("doctor", "--json").stdout)
    assert [*told][:3] == ["sweep", "system", "cores"]
    assert all(name in shown.stdout and fact["found"] for name, fact in told.items())
    assert ": works" in told["C compiler"]["found"]
    assert getpass.getuser() == "root" or getpass.getuser() not in json.dumps(told)


def test_without_a_compiler(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    compiler = facts()["C compiler"]
    assert compiler["found"] == "there is no C compiler here"
    assert "slower" in compiler["use"] and "gcc" in compiler["remedy"]


def test_a_cache_that_cannot_be_written_to(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "file"))
    monkeypatch.setenv("PATH", str(home))
    cache = facts()["cache of programs"]
    assert cache["found"].startswith("cannot be written to: ")
    assert "XDG_CACHE_HOME" in cache["remedy"]
    assert home.name not in json.dumps(facts())


def test_packages_that_are_missing_are_told_with_how_to_install_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [])  # where importlib looks for packages
    monkeypatch.setenv("PATH", str(home))
    assert facts()["Ray clusters"]["remedy"] == "pip install 'sweep-lr[ray]'"
