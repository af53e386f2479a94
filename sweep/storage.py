"""Open a study's storage, and repair what a killed run left in it."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from sweep.errors import StorageError, StudyBusyError
from sweep.journal import BatchedJournal, JournalSnapshot, journal_lock

JOURNAL = "study.journal"
SETTINGS = "settings"
"""The study attribute that holds what must stay the same for its trials to be compared."""
ROWS = "data (its rows)"
"""In it, the fingerprint of the prepared rows; missing where the loop is the user's own."""
_OWNER = "sweep:owner"
_TRIES = 4
_STUDIES = "studies"
_STUDIES_HAVE = {"study_id", "study_name"}
_VERSIONS = ("version_info", "alembic_version")
"""Optuna's tables with a row each, which it writes last; without them, opening it writes."""


def storage_url(storage: str | None, folder: Path) -> str:
    """The storage that a setting means: an Optuna URL, or the path of a journal.

    Args:
        storage: A URL, a path (`.db` and `.sqlite3` are SQLite, everything else a journal), or
            None for a journal in the results folder.
        folder: The results folder.
    """
    if storage is None:
        return str(folder / JOURNAL)
    relative = re.fullmatch(r"sqlite:///([^/:?][^?]*)(\?.*)?", storage)
    if relative:
        return f"sqlite:///{Path(relative[1]).absolute()}{relative[2] or ''}"
    if "://" in storage:
        return storage
    path = Path(storage).absolute()
    return f"sqlite:///{path}" if path.suffix in (".db", ".sqlite", ".sqlite3") else str(path)


def without_password(shown: str) -> str:
    """A URL, or a text with a URL in it, that may be shown and saved.

    SQLAlchemy takes everything up to the first `@` as the password, `/` and blanks included. What
    lies between further `@`s of an unescaped password goes too, and so does a port that is none.
    """
    shown = re.sub(r"(://[^:/?#@\s]*):[^@]*@(?:[^/?#\s]*@)?", r"\1@", shown)
    shown = re.sub(r"(://(?!\[)[^:/?#@\s]*):(?!\d*(?:\W|$))[^/?#@\s]*", r"\1", shown)
    parameter = r"(?i)([?&])(?:\w*password|passwd|pwd)=[^&\s]*(&?)"
    return re.sub(parameter, lambda found: found[1] if found[2] else "", shown)


def _reason(problem: Exception, url: str) -> str:
    """The first line of a problem's text, without the password of the URL that it is about."""
    if isinstance(problem, StorageInternalError) and isinstance(problem.__cause__, Exception):
        problem = problem.__cause__  # what the database said, not what Optuna guesses
    lines = without_password(str(problem)).strip().splitlines() or [type(problem).__name__]
    reason = lines[0]
    user, at, _ = url.partition("://")[2].partition("@")
    password = user.partition(":")[2]
    if not at:  # a host and a port, or a password and no host
        password = re.split("[/?#]", password)[0]
        password = "" if password.isdigit() else password
    for secret in {password, unquote(password)} - {""}:
        reason = reason.replace(secret, "***")
    return reason


@contextmanager
def hold(folder: Path, url: str) -> Iterator[None]:
    """Keep every other `sweep run` on this machine away from a study.

    The locks die with the process, however it ends.

    Raises:
        StudyBusyError: Another `sweep run` holds it.
        StorageError: A folder cannot be made or written to.
    """
    locks = [FileLock(path) for path in _lock_paths(folder, url)]
    try:
        for lock in locks:
            _take(lock, folder)
        yield
    finally:
        for lock in locks:
            lock.release()


def _take(lock: FileLock, folder: Path) -> None:
    path = Path(lock.lock_file)
    _make_folder(path.parent)
    try:
        lock.acquire(timeout=0)
    except Timeout as busy:
        raise StudyBusyError(
            f"{folder}: this study is being run by another process; "
            "wait for it, stop it, or give --out another folder"
        ) from busy
    except OSError as problem:
        raise _unusable(path.parent, "written to", problem.errno) from None


def _lock_paths(folder: Path, url: str) -> list[Path]:
    """The lock of a results folder, and that of a journal."""
    paths = [folder / ".lock"]
    if "://" not in url:
        paths.append(Path(f"{url}.sweep-lock"))
    return paths


def check_folders(folder: Path, url: str) -> None:
    """Find out whether `hold` could make and use the folders that it needs, without making them.

    Raises:
        StorageError: A folder cannot be made, or one that is there cannot be written to.
    """
    for path in _lock_paths(folder, url):
        wanted = path.parent.absolute()
        try:
            there = next(above for above in (wanted, *wanted.parents) if above.exists())
            is_folder = there.is_dir()
        except OSError as problem:  # of a folder that cannot be looked into, or a name too long
            raise _unusable(path.parent, "made a folder", problem.errno) from None
        if not is_folder:
            reason = errno.EEXIST if there == wanted else errno.ENOTDIR
            raise _unusable(path.parent, "made a folder", reason)
        if not os.access(there, os.W_OK | os.X_OK):
            what = "written to" if there == wanted else "made a folder"
            raise _unusable(path.parent, what, errno.EACCES)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _unusable(folder, "made a folder", problem.errno) from None


def _unusable(folder: Path, what: str, reason: int | None) -> StorageError:
    return StorageError(f"{folder}: cannot be {what}: {os.strerror(reason or 0)}")


@contextmanager
def _opening(url: str) -> Iterator[None]:
    """Say in our words why a storage cannot be opened.

    Raises:
        StorageError: It cannot be reached or read; no password is in the text.
    """
    shown = without_password(url)
    if re.match(r"[^:]+://[^/?#]*@[^/?#]*@", url):
        raise StorageError(f"{shown}: write '@' in a user's name or password as %40")
    try:
        yield
    except StorageError:
        raise
    except ImportError as missing:
        driver = getattr(missing.__cause__ or missing.__context__ or missing, "name", None)
        remedy = ": pip install 'psycopg[binary]'" if driver == "psycopg" else ""
        raise StorageError(f"{shown}: this storage needs the module {driver!r}{remedy}") from None
    except json.JSONDecodeError:
        raise StorageError(
            f"{url}: a killed process left a half-written line; running the study mends it"
        ) from None
    except Exception as problem:
        reason = _reason(problem, url)
        raise StorageError(f"{shown}: the storage cannot be opened: {reason}") from None


def open_storage(url: str, batched: bool = False) -> BaseStorage:
    """Open a storage for reading or writing.

    Args:
        url: As `storage_url` gives it.
        batched: Whether what is written to a journal may wait for a `flush`.

    Raises:
        StorageError: It cannot be reached or read; no password is in the text.
    """
    with _opening(url):
        if "://" not in url:
            path = Path(url)
            file = BatchedJournal(path) if batched else JournalFileBackend(url, journal_lock(path))
            return JournalStorage(file)
        return RDBStorage(url)


def open_study(
    name: str,
    url: str,
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
    maximize: bool | None = False,
) -> optuna.Study:
    """Create a study, or load the one of this name.

    Args:
        name: The study's.
        url: As `storage_url` gives it.
        sampler: What draws its trials.
        pruner: What stops them.
        maximize: Whether more is better; None if it is loaded to be thrown away, so that either
            will do.

    Raises:
        StorageError: The storage cannot be reached, or the study has another direction.
    """
    direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for attempt in range(_TRIES):
        try:
            study = optuna.create_study(
                storage=open_storage(url, batched=True),
                study_name=name,
                sampler=sampler,
                pruner=pruner,
                direction=direction,
                load_if_exists=True,
            )
            break
        except Exception as problem:  # others may create its tables or the study at this moment
            if attempt == _TRIES - 1:
                if isinstance(problem, StorageError):
                    raise
                reason = _reason(problem, url)
                raise StorageError(f"{without_password(url)}: {reason}") from None
            time.sleep(0.2)
    if maximize is not None:
        _check_direction(study, direction, url)
    return study


def _check_direction(study: optuna.Study, direction: StudyDirection, url: str) -> None:
    if study.directions == [direction]:
        return
    begun = " and ".join(other.name.lower() for other in study.directions)
    raise StorageError(
        f"{without_password(url)}: study {study.study_name!r} was begun with the "
        f"direction {begun}, not {direction.name.lower()}; give another --out or --storage, or "
        "throw its trials away with --fresh"
    )


def peek_study(
    name: str, url: str, folder: Path, maximize: bool | None = False
) -> optuna.Study | None:
    """The study that `open_study` would load, without creating or repairing anything.

    Args:
        name: The study's.
        url: As `storage_url` gives it.
        folder: The results folder, which a run makes before it opens the storage.
        maximize: Whether more is better; None if that is not known, so that either will do.

    Returns:
        The study, to be read; None if there is none yet.

    Raises:
        StorageError: As `open_study`; or a journal is none; or a database has tables of these
            names that are not Optuna's.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _opening(url):
        storage = _storage_that_is_there(url, folder)
        if storage is None:
            return None
        try:
            study = optuna.load_study(study_name=name, storage=storage)
            if maximize is not None:
                direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
                _check_direction(study, direction, url)
            return study
        except Exception as problem:
            if isinstance(storage, RDBStorage):
                storage.remove_session()
                storage.engine.dispose()
            if isinstance(problem, KeyError):
                return None
            raise


def _storage_that_is_there(url: str, folder: Path) -> BaseStorage | None:
    """A storage to read; None if a run would begin it."""
    if "://" not in url:
        path = Path(url)
        return JournalStorage(JournalSnapshot(path)) if path.exists() else None
    engine = create_engine(url)
    database = engine.url.database
    if engine.dialect.name == "sqlite" and not (database and Path(database).exists()):
        parent = Path(database or ".").absolute().parent
        can_be_made = parent.is_dir() or parent in (folder.absolute(), *folder.absolute().parents)
        return None if can_be_made else RDBStorage(url)  # which says that it cannot
    try:
        with engine.connect() as connection:
            is_begun = _has_studies(connection, url)
    finally:
        engine.dispose()
    return RDBStorage(url, skip_table_creation=True) if is_begun else None


def _has_studies(connection: Connection, url: str) -> bool:
    """Whether a database has all that Optuna writes into it when it opens it for the first time.

    Raises:
        StorageError: It has a table of the same name that is not Optuna's.
    """
    tables = inspect(connection)
    if not tables.has_table(_STUDIES):
        return False
    if not _STUDIES_HAVE <= {column["name"] for column in tables.get_columns(_STUDIES)}:
        raise StorageError(
            f"{without_password(url)}: its table {_STUDIES!r} is not Optuna's; "
            "name another --storage"
        )
    return all(
        tables.has_table(name) and connection.execute(text(f"SELECT 1 FROM {name}")).first()
        for name in _VERSIONS
    )


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Make a database's own errors into ones that a user can act on.

    Raises:
        StorageError: The storage cannot be read or written any more.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as problem:
        raise StorageError(
            f"{without_password(url)}: the storage failed: {_reason(problem, url)}; "
            "the same command goes on once it is back"
        ) from problem


def flush(study: optuna.Study) -> None:
    """Write down what waits in memory."""
    backend = getattr(study._storage, "_backend", None)
    if isinstance(backend, BatchedJournal):
        backend.flush()


def load_study(name: str, url: str) -> optuna.Study:
    """Load a study to read it.

    Raises:
        StorageError: There is no such storage or study.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "://" not in url and not Path(url).exists():
        raise StorageError(f"{url}: no such journal; run the study first: sweep run {name}")
    try:
        return optuna.load_study(study_name=name, storage=open_storage(url))
    except KeyError:
        raise StorageError(f"{without_password(url)}: no study named {name!r} in it") from None


@contextmanager
def turn_to_ask(study: optuna.Study) -> Iterator[None]:
    """Keep the other coordinators of a database from asking for a trial meanwhile.

    Between counting a study's trials and asking for one more, another could ask too, and the
    study would end with more than its total. A journal needs no lock: `hold` sees to that. The
    lock ends with its connection or its process; it cannot be taken twice by one process.
    """
    engine: Any = getattr(getattr(study._storage, "_backend", None), "engine", None)
    dialect = None if engine is None else engine.dialect.name
    key = zlib.crc32(study.study_name.encode())
    if dialect == "postgresql":
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            yield
    elif dialect == "mysql":
        with engine.connect() as connection:
            got = connection.execute(text("SELECT GET_LOCK(:key, -1)"), {"key": f"sweep-{key}"})
            if got.scalar() != 1:
                raise StorageError("the database gives no lock; is it shutting down?")
            try:
                yield
            finally:
                connection.execute(text("SELECT RELEASE_LOCK(:key)"), {"key": f"sweep-{key}"})
    elif dialect == "sqlite" and engine.url.database:
        with FileLock(f"{engine.url.database}.sweep-lock"):
            yield
    else:
        yield


def owner_of(folder: Path) -> str:
    """Who runs trials from a results folder: one coordinator at a time, as `hold` sees to."""
    return f"{socket.gethostname()}:{folder.resolve()}"


def claim(trial: optuna.Trial, owner: str) -> None:
    """Write down who runs a trial."""
    trial.storage.set_trial_system_attr(trial._trial_id, _OWNER, owner)


def abandoned_trials(study: optuna.Study, owner: str, shared: bool) -> list[optuna.Trial]:
    """The trials that an earlier, killed run of this owner left running, to be run again.

    They keep their number and parameters: a trial's course depends on those alone, so running
    it again from its first epoch is all that resuming takes.

    Args:
        study: The study; where others may be at work on its storage, call it in `turn_to_ask`,
            under which every trial is claimed: one that nobody has claimed has lost its owner.
        owner: Whose trials to look for; call it while `hold` keeps others with that name away.
        shared: Whether other owners may be at work on the storage at this moment.
    """

    def is_abandoned(trial: FrozenTrial) -> bool:
        return not shared or trial.system_attrs.get(_OWNER, owner) == owner

    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [optuna.Trial(study, trial._trial_id) for trial in running if is_abandoned(trial)]


def others_running(study: optuna.Study, owner: str) -> int:
    """How many trials other owners have in training."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return sum(trial.system_attrs.get(_OWNER, owner) != owner for trial in running)
