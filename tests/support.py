"""What tests of several packages use: the command line, a PostgreSQL server, hostile names."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from command_server import WITHOUT_PAGE, Command, CommandServer
from optuna.trial import FrozenTrial

from sweep.search.attributes import completes

ROOT = Path(__file__).parent.parent
"""The project's folder."""

PASSWORD = "s3c/r@t:w rd"
"""Every character that a URL must escape, and that a careless pattern trips over."""


_DATABASES = itertools.count(1)


@dataclass(frozen=True)
class PostgreSQL:
    """A server of our own on 127.0.0.1."""

    port: int
    call: Callable[..., None]

    def restart(self, away_secs: float = 0.0) -> None:
        """End it as a crash does, and start it again after a while."""
        self.call("pg_ctl", "-m", "immediate", "stop")
        time.sleep(away_secs)
        self.start()

    def start(self) -> None:
        """Start it."""
        folder = Path(self.call.keywords["folder"])  # type: ignore[attr-defined]
        options = f"-p {self.port} -h 127.0.0.1 -k {folder} -c fsync=off"
        self.call("pg_ctl", "-w", "-l", str(folder / "data" / "server.log"), "-o", options, "start")

    def url(self, database: str) -> str:
        return f"postgresql://sweep:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str) -> str:
        """Create a database, whose name begins so; its URL, password included."""
        import psycopg

        name = f"{name}_{next(_DATABASES)}"  # of several tests in one server
        place = {"host": "127.0.0.1", "port": self.port, "user": "sweep", "password": PASSWORD}
        with psycopg.connect(dbname="postgres", autocommit=True, **place) as connection:  # type: ignore[arg-type]
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
"""What a name must never do to a page."""


@functools.cache
def _command_server() -> CommandServer:
    return CommandServer()


def sweep(
    *arguments: str | Path, cwd: Path, largest_file: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, and wait for its workers' ends, too.

    Args:
        arguments: Its own.
        cwd: Its working folder.
        largest_file: That it can write, in bytes; any if None.
    """
    environment = os.environ | {"COLUMNS": "100"}
    given = [*map(str, arguments)]
    return _command_server().run(given, cwd, environment, largest_file=largest_file)


def start_sweep(*arguments: str | Path, cwd: Path) -> Command:
    """Start the command line in a session of its own, so that what it leaves can be found."""
    return _command_server().start([*map(str, arguments)], cwd, dict(os.environ), session=True)


def python(script: str | Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, forked as those of `sweep`."""
    return _command_server().run([*arguments], cwd, dict(os.environ), script=str(script))


def sweep_anew(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same in a Python that has imported nothing yet, which takes seconds longer."""
    command = [sys.executable, "-m", "sweep", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "100"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)


@contextmanager
def no_page() -> Iterator[None]:
    """Runs draw no page, here and in `sweep`: that takes longer than all else of a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(WITHOUT_PAGE, "1")
        patch.setattr("sweep.runs.run.write_report", lambda *_: None)
        yield


def drawn(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Those that count towards a study's total."""
    return [trial for trial in trials if completes(trial) is None]
