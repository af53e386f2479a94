"""Studies in storages, and processes that are busy with them."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import optuna
from support import PASSWORD

from sweep.search.storage.opening import open_study

TRICKY = quote(PASSWORD, safe="")


def new_study(url: str, name: str = "mine") -> optuna.Study:
    return open_study(name, url, optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())


@contextlib.contextmanager
def closed_later(study: optuna.Study) -> Iterator[optuna.Study]:
    """Close a study's connections to its server at the end, as the end of a process does."""
    try:
        yield study
    finally:
        storage = study._storage
        assert isinstance(storage, optuna.storages._CachedStorage)
        storage.remove_session()
        storage._backend.engine.dispose()


def finished_trials(study: optuna.Study, count: int) -> None:
    for _ in range(count):
        trial = study.ask()
        study.tell(trial, trial.suggest_float("lr", 0, 1))


@contextlib.contextmanager
def other_process(code: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Another Python that has got as far as printing a line; killed at the end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file in a folder: what is in it, and when it was written last."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def execute(path: Path, statement: str) -> None:
    """Run a statement on a SQLite file, made if it is not there."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()
