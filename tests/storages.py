"""Studies in storages, and processes that are busy with them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import optuna
from command_server import Command
from support import PASSWORD, _command_server

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


def start_python(script: Path, *arguments: str, cwd: Path) -> Command:
    """Start a script as `support.python` runs one, in a session of its own."""
    environment = os.environ | {"COLUMNS": "1000"}  # lines are searched for whole sentences
    return _command_server().start([*arguments], cwd, environment, session=True, script=str(script))


MEETING = """
import os, sys, time
from pathlib import Path
met = Path("met")
met.mkdir(exist_ok=True)
(met / str(os.getpid())).touch()
while len(list(met.iterdir())) < int(sys.argv[1]):
    time.sleep(0.01)
"""
"""Waits until as many processes have come this far."""


def run_together(code: str, *arguments: str, count: int, cwd: Path) -> list[tuple[int, str]]:
    """Run code in some processes that begin with it at the same time: their codes and errors.

    `sys.argv[1]` is their number, the arguments follow it.
    """
    (cwd / "together.py").write_text(MEETING + code)
    started = [
        start_python(cwd / "together.py", str(count), *arguments, cwd=cwd) for _ in range(count)
    ]
    errors = [process.communicate()[1] for process in started]
    return [(process.returncode, error) for process, error in zip(started, errors, strict=True)]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file in a folder: what is in it, and when it was written last."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def execute(path: Path, statement: str) -> None:
    """Run a statement on a SQLite file, made if it is not there."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()
