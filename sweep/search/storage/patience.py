"""Waits for a database: what they may mend; how they end, are told and hear Ctrl-C."""

from __future__ import annotations

import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from sweep.base.wording import duration
from sweep.search.storage.urls import reason_of

_BEGIN_SECS = 60.0
"""How long a command that begins waits for a server that is away."""
ANSWER_SECS = 30.0
"""How long one statement may take; then its connection is given up, and it is tried again."""
IDLE_SECS = 60
"""After which the server ends a transaction of a process that says nothing: it was stopped."""
_TOLD_AFTER_SECS = 5.0
_TOLD_EVERY_SECS = 60.0
_STOP_SECS = 2.0
"""How long an answer may take after Ctrl-C."""
_CONNECT = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
    "fallback_application_name": f"sweep on {socket.gethostname()}, process {os.getpid()}"[:63],
}
"""What libpq is told, where the URL does not say otherwise."""
_SESSION = {
    "statement_timeout": f"{ANSWER_SECS:.0f}s",
    "idle_in_transaction_session_timeout": f"{IDLE_SECS}s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
"""What the server is told of each connection; one that it does not know is left out."""
_PASSING = ("08", "57", "40", "53300", "55P03", "25P03", "25P02")
"""How the codes of PostgreSQL begin for what another try may mend: the connection, a server that
stops or starts, a cancelled statement, a deadlock, too many connections, a lock, an idle end, what
follows on any."""

_NOBODY_THERE = re.compile(
    r"Connection refused|Connection reset|timed out|timeout expired|is unreachable|"
    r"No route to host|on socket .* failed: No such file|server closed the connection|"
    r"the database system is "
)
"""What PostgreSQL's library says of a server that is not there, and the server of itself, in the
language of its `lc_messages`, as it starts or stops: a connection that fails at its beginning has
no code."""


def is_away(problem: BaseException | None) -> bool:
    """Whether nobody answers at a database's address yet, or only to say that it is starting.

    One who is there and refuses this user or knows no such database is not away, nor is a host
    whose name nobody knows.
    """
    return isinstance(problem, OperationalError) and bool(_NOBODY_THERE.search(str(problem.orig)))


def may_pass(problem: BaseException | None) -> bool:
    """Whether the same may succeed if it is tried again."""
    if isinstance(problem, StorageInternalError):
        problem = problem.__cause__
    if isinstance(problem, PendingRollbackError):  # what follows on a lost connection
        return True
    if not isinstance(problem, DBAPIError):
        return False
    code = getattr(problem.orig, "sqlstate", None)
    if problem.connection_invalidated or (code and code.startswith(_PASSING)):
        return True
    if type(problem.orig).__module__.startswith("psycopg"):
        return code is None and isinstance(problem, OperationalError | InterfaceError)
    return "database is locked" in str(problem.orig)


class Patience:
    """How long to wait for a database, and whom to tell.

    Attributes:
        note: Told a sentence when a wait becomes long, and now and then after that.
        stop: Set to wait no more.
        away_secs: How long to wait for one that is away; 0 to give up at once.
        is_spent: Whether a wait was given up: what is done on the way out is tried once.
    """

    def __init__(self) -> None:
        self.note: Callable[[str], None] = lambda text: None
        self.stop = threading.Event()
        self.away_secs = 0.0
        self.is_spent = False
        self._told: dict[str, float] = {}

    def tell(self, began: float, what: str, details: str = "") -> None:
        """Say what is waited for, if it has lasted long; the same, whatever its details, seldom."""
        now = time.monotonic()
        told = self._told.get(what, -math.inf)
        if now - began > _TOLD_AFTER_SECS and (told < began or now - told > _TOLD_EVERY_SECS):
            self._told[what] = now
            self.note(f"{what}{details}; waited for {duration(now - began)} so far")

    def is_over(self, began: float, limit: float) -> bool:
        """Whether to give up; after a moment, where not."""
        waited = time.monotonic() - began
        if self.stop.is_set() or self.is_spent or waited > limit:
            self.is_spent = True
            return True
        self.stop.wait(min(0.02 + waited / 4, 2.0))
        return self.stop.is_set()

    def lasts(self, began: float, problem: Exception, url: str) -> bool:
        """Whether to wait on for a database that is away; says so, if it has lasted long."""
        limit, reason = duration(self.away_secs), reason_of(problem, url)
        self.tell(began, "waiting for the storage", f", for up to {limit}: {reason}")
        return not self.is_over(began, self.away_secs)

    def relieve(self, began: float) -> None:
        """Say that a wait that was told is over."""
        if max(self._told.values(), default=-math.inf) > began:
            self.note(f"the storage answers again, after {duration(time.monotonic() - began)}")


def engine_options(url: str, patience: Patience) -> dict[str, Any]:
    """What SQLAlchemy's `create_engine` is told of a database, beside its URL.

    Raises:
        ImportError: Its driver is not installed.
    """
    if make_url(url).get_dialect().driver != "psycopg":
        return {}
    try:
        return {"module": _psycopg(patience)}
    except ImportError as missing:
        raise ImportError("the driver is not installed") from missing


def await_answer(url: str, note: Callable[[str], None]) -> None:
    """Wait for a PostgreSQL server that is away, for up to a minute.

    Whatever else is wrong, and that it is away still, is told by what opens the storage.

    Args:
        url: A database's, which SQLAlchemy can read.
        note: Told what is waited for.

    Raises:
        ImportError: Its driver is not installed.
    """
    if make_url(url).get_dialect().driver != "psycopg":
        return
    patience, began = Patience(), time.monotonic()
    patience.note, patience.away_secs = note, _BEGIN_SECS
    engine = create_engine(url, **engine_options(url, patience))
    try:
        while True:
            try:
                engine.connect().close()
                patience.relieve(began)
                return
            except SQLAlchemyError as problem:
                if not is_away(problem) or not patience.lasts(began, problem, url):
                    return
    finally:
        engine.dispose()


def _psycopg(patience: Patience) -> Any:
    """The module `psycopg`, with connections on which no wait is without end.

    A network that goes away says nothing, and psycopg waits for an answer for ever; nor does it
    come back from Ctrl-C, since it asks the server to cancel. Here it looks up ten times a second.
    """
    import psycopg
    from psycopg import waiting

    class Bounded(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                watched = _watched(gen, patience)
                return waiting.wait(watched, self.pgconn.socket, interval=interval, timeout=timeout)
            except (KeyboardInterrupt, _NoAnswer) as silence:
                self.pgconn.finish()
                if isinstance(silence, _NoAnswer):
                    raise psycopg.OperationalError(str(silence)) from None
                raise

    class Module:
        def __getattr__(self, name: str) -> Any:
            return getattr(psycopg, name)

        def connect(self, *arguments: Any, **named: Any) -> Any:
            connection = Bounded.connect(*arguments, **{**_CONNECT, **named})
            connection.autocommit = True
            for setting, value in _SESSION.items():
                try:
                    connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
                except psycopg.errors.UndefinedObject:
                    pass
            connection.autocommit = False
            return connection

    return Module()


class _NoAnswer(Exception):
    """A statement has taken too long."""


def _watched(gen: Any, patience: Patience) -> Generator[Any, Any, Any]:
    """What psycopg waits with, ended when the wait is too long."""
    began = time.monotonic()
    stopped: float | None = None
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            now = time.monotonic()
            patience.tell(began, "the database does not answer")
            if patience.stop.is_set():
                stopped = stopped or now
            if now - began > ANSWER_SECS or (stopped and now - stopped > _STOP_SECS):
                raise _NoAnswer(f"no answer for {duration(now - began)}")
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value
