"""Optuna's storage in a database that is slow, held by another or away for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import optuna
from filelock import FileLock, Timeout
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from sweep.base.errors import InterruptedSweep, StorageError
from sweep.base.wording import duration
from sweep.search.storage.lean_database import LeanDatabase
from sweep.search.storage.optuna_private import backend_of
from sweep.search.storage.patience import IDLE_SECS, Patience, engine_options, may_pass
from sweep.search.storage.urls import cannot_be_opened, without_password

AWAY_SECS = 300.0
"""How long a run waits for a database that is away."""
HELD_SECS = 120.0
"""How long a run waits for its turn while another holds the lock."""
_TURN_SECS = 3
"""After so many seconds of waiting for its turn a process looks who holds it, and asks anew; before
the wait would be told as that of a server that does not answer."""
_HOLDER = (
    "SELECT a.application_name, extract(epoch FROM clock_timestamp() - a.xact_start) "
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' "
    "AND l.granted AND l.classid = 0 AND l.objid::bigint = :key AND l.objsubid = 1 "
    "AND a.datname = current_database()"
)
_REPEATED = (
    *("delete_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name"),
    *("get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_all_studies"),
    *("get_study_system_attrs", "set_trial_user_attr", "set_trial_system_attr", "get_trial"),
    *("set_trial_intermediate_value", "set_trial_state_values", "_create_new_trial"),
    *("_set_trial_param", "_get_best_trial_id", "get_trial_id_from_study_id_trial_number"),
    "connected",
)
"""What the caches call on a database. Creating and ending a trial are no danger: on a server
they belong to a turn, which is repeated as a whole, and SQLite says at once that it did nothing."""
T = TypeVar("T")


class Held(Exception):
    """Another process holds what is waited for; the text says who."""


class PatientStorage(LeanDatabase):
    """Optuna's storage in a database, which survives a server that is away for a while.

    Args:
        url: As `storage_url` gives it.
        skip_table_creation: Whether to write nothing, not even tables.

    Raises:
        StorageError: Its tables are those of another version of Optuna.
    """

    def __init__(self, url: str, skip_table_creation: bool = False) -> None:
        self.patience = Patience()
        self._is_in_turn = False
        options = engine_options(url, self.patience)
        try:
            super().__init__(url, options, skip_table_creation=skip_table_creation)
        except (AssertionError, RuntimeError) as problem:
            # Optuna's words for tables of another version, and for those that are half made
            raise cannot_be_opened(problem, url) from None

    @property
    def is_in_turn(self) -> bool:
        """Whether it is this process's turn now."""
        return self._is_in_turn

    def in_turn(self, key: int, act: Callable[[], T], undone: Callable[[], None]) -> T:
        """Do something while no other coordinator of this key does.

        On PostgreSQL, it is one transaction on the connection that holds the lock: where that is
        lost (the server restarts, or took this process for dead) nothing of it has happened, and
        it is done again as a whole.

        Args:
            key: Of the lock, 32 bits.
            act: What to do; it may be called several times.
            undone: Called after an attempt that came to nothing.
        """
        dialect = self.engine.dialect.name
        if self._is_in_turn:
            return act()
        if dialect == "postgresql":
            return self.insist(lambda: self._transaction(key, act, undone))
        if dialect == "sqlite" and self.engine.url.database:
            lock = FileLock(f"{self.engine.url.database}.sweep-lock")
            self.insist(lambda: _take(lock))
            try:
                return act()
            finally:
                lock.release()
        if dialect == "mysql":
            return self._with_named_lock(f"sweep-{key}", act)
        return act()

    def insist(self, act: Callable[[], T]) -> T:
        """Try something until the database answers, or patience is at its end.

        Raises:
            StorageError: Another process holds the lock for too long.
            InterruptedSweep: `stop` has been set meanwhile.
        """
        if self._is_in_turn:  # the turn is repeated as a whole
            return act()
        patience, began = self.patience, time.monotonic()
        while True:
            try:
                result = act()
            except Held as held:
                patience.tell(began, "another run is at work on this study", f": {held}")
                if patience.is_over(began, HELD_SECS):
                    self._end_if_stopped()
                    shown = without_password(self.url)
                    raise StorageError(
                        f"{shown}: {held}; the same command goes on once it is free"
                    ) from None
            except Exception as problem:
                if not may_pass(problem):
                    raise
                if not patience.lasts(began, problem, self.url):
                    self._end_if_stopped()
                    raise
            else:
                patience.relieve(began)
                return result

    def _end_if_stopped(self) -> None:
        if self.patience.stop.is_set():
            raise InterruptedSweep(
                f"interrupted while {without_password(self.url)} did not answer; finished trials "
                "are in it. The same command goes on with the rest."
            )

    def _transaction(self, key: int, act: Callable[[], T], undone: Callable[[], None]) -> T:
        with self.engine.connect() as connection:
            self._lock(connection, key)
            turn = connection.get_transaction()
            self._bind(connection)
            self._is_in_turn = True
            try:
                result = act()
                self.scoped_session.remove()
                if turn is None or not turn.is_active:  # undone in it, with the lock
                    raise Held("the turn was lost")
                connection.commit()
                return result
            except BaseException as problem:
                undone()
                if connection.invalidated and isinstance(problem, Exception):
                    raise Held("the connection to the storage was lost") from problem
                raise
            finally:
                self._is_in_turn = False
                self._bind(None)

    def _bind(self, connection: Connection | None) -> None:
        """Have Optuna's sessions be parts of a connection's transaction, or their own again."""
        with suppress(SQLAlchemyError):  # of a connection that is lost
            self.scoped_session.remove()
        self.scoped_session.registry.clear()
        if connection is None:
            own = {"bind": self.engine, "join_transaction_mode": "conditional_savepoint"}
            self.scoped_session.configure(**own)
        else:
            # without a savepoint for each, which are two statements more: the turn is whole anyway
            mode = "rollback_only"
            self.scoped_session.configure(bind=connection, join_transaction_mode=mode)

    def _lock(self, connection: Connection, key: int) -> None:
        take = f"SELECT set_config('lock_timeout', '{_TURN_SECS}s', true), "
        try:
            connection.execute(text(f"{take} pg_advisory_xact_lock(:key)"), {"key": key})
        except OperationalError as problem:
            if getattr(problem.orig, "sqlstate", None) != "55P03":
                raise
            connection.rollback()
            holder = connection.execute(text(_HOLDER), {"key": key}).first()
            who, secs = holder or ("another run", 0.0)
            raise Held(
                f"{who or 'another run'} has held the lock of this study for "
                f"{duration(float(secs))}; the server ends that after {IDLE_SECS} s of silence"
            ) from None

    def _with_named_lock(self, name: str, act: Callable[[], T]) -> T:
        """MySQL's lock ends with its connection."""
        with self.engine.connect() as connection:

            def take() -> None:
                got = connection.execute(text("SELECT GET_LOCK(:name, 1)"), {"name": name})
                if got.scalar() != 1:
                    raise Held("another run holds the lock of this study")

            self.insist(take)
            try:
                return act()
            finally:
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})


def _insisting(name: str) -> Callable[..., Any]:
    plain = getattr(LeanDatabase, name)

    def method(self: PatientStorage, *arguments: Any, **named: Any) -> Any:
        return self.insist(lambda: plain(self, *arguments, **named))

    return method


for _name in _REPEATED:
    setattr(PatientStorage, _name, _insisting(_name))


def _take(lock: FileLock) -> None:
    try:
        lock.acquire(timeout=1)
    except Timeout:
        raise Held(f"another run holds {lock.lock_file}") from None


@contextmanager
def patient(
    study: optuna.Study, note: Callable[[str], None], stop: threading.Event
) -> Generator[None]:
    """Wait for a study's database while it is away, for up to AWAY_SECS.

    Args:
        study: Whose.
        note: Told what is waited for.
        stop: Set to wait no more.
    """
    storage = backend_of(study)
    if not isinstance(storage, PatientStorage):
        yield
        return
    patience = storage.patience
    before = dict(vars(patience))
    patience.note, patience.stop = note, stop
    patience.away_secs, patience.is_spent = AWAY_SECS, False
    try:
        yield
    finally:
        vars(patience).update(before)
