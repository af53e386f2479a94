"""Open a study's storage, and repair what a killed run left in it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from sweep.base.errors import StorageError, SweepError
from sweep.search.storage.batched_database import BatchedDatabase
from sweep.search.storage.batches import BATCHING
from sweep.search.storage.journal import (
    BatchedJournal,
    JournalSnapshot,
    check_journal,
    journal_lock,
)
from sweep.search.storage.optuna_private import (
    ListedDatabase,
    ListedJournal,
    backend_of,
    storage_of,
)
from sweep.search.storage.owners import in_turn
from sweep.search.storage.patience import Patience, await_answer, engine_options
from sweep.search.storage.patient_storage import PatientStorage
from sweep.search.storage.urls import cannot_be_opened, is_shared, reason_of, without_password

SETTINGS = "settings"
"""The study attribute that holds what must stay the same for its trials to be compared."""
ROWS = "data (its rows)"
"""In it, the fingerprint of the prepared rows; missing where the loop is the user's own."""
_TRIES = 4
_STUDIES = "studies"
_STUDIES_HAVE = {"study_id", "study_name"}
_VERSIONS = ("version_info", "alembic_version")
"""Optuna's tables with a row each, which it writes last; without them, opening it writes."""
_STORAGE_ERRORS = (SQLAlchemyError, StorageInternalError, DuplicatedStudyError, OSError)
"""What a storage raises of itself; anything else is a mistake in the code, and stays as it is."""
_OF_FOREIGN_RECORDS = (AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What Optuna may raise where a journal's records are not as it writes them."""


@contextmanager
def _opening(url: str) -> Iterator[None]:
    """Say in our words why a storage cannot be opened.

    Raises:
        StorageError: It cannot be reached or read; no password is in the text.
        UnaccountedError: It is a damaged journal.
    """
    shown = without_password(url)
    if re.match(r"[^:]+://[^/?#]*@[^/?#]*@", url):
        raise StorageError(f"{shown}: write '@' in a user's name or password as %40")
    try:
        if is_shared(url):
            _check_url(url)
        yield
    except ImportError as missing:
        driver = getattr(missing.__cause__ or missing.__context__ or missing, "name", None)
        remedy = ": pip install 'sweep-lr[postgresql]'" if driver == "psycopg" else ""
        raise StorageError(f"{shown}: this storage needs the module {driver!r}{remedy}") from None
    except json.JSONDecodeError:
        check_journal(Path(url))  # which says so if it is damaged
        raise StorageError(
            f"{url}: a killed process left a half-written line; running the study mends it"
        ) from None
    except _STORAGE_ERRORS as problem:
        raise cannot_be_opened(problem, url) from None


def _check_url(url: str) -> None:
    """See that a database's URL can be read, parameters included.

    Raises:
        StorageError: It cannot.
    """
    try:
        address = make_url(url)
    except ValueError as problem:  # its port is no number
        raise cannot_be_opened(problem, url) from None
    options = engine_options(url, Patience())
    try:
        create_engine(address, **options).dispose()
    except (TypeError, ValueError) as problem:  # of a parameter
        raise cannot_be_opened(problem, url) from None


def _journal(backend: BaseJournalBackend, url: str) -> JournalStorage:
    """The storage that a journal's records make.

    Raises:
        StorageError: They are not as Optuna writes them.
    """
    try:
        return ListedJournal(backend)
    except (json.JSONDecodeError, SweepError):
        raise
    except _OF_FOREIGN_RECORDS as problem:
        raise cannot_be_opened(problem, url) from problem


def await_server(url: str, note: Callable[[str], None]) -> None:
    """Wait for a PostgreSQL server that is away when a command begins, for up to a minute.

    That it is away still is told by what opens the storage.

    Args:
        url: As `storage_url` gives it.
        note: Told what is waited for.

    Raises:
        StorageError: The URL cannot be read, or its driver is missing; no password is in the text.
    """
    with _opening(url):
        if is_shared(url):
            await_answer(url, note)


def open_storage(url: str, batched: bool = False) -> BaseStorage:
    """Open a storage for reading or writing.

    Args:
        url: As `storage_url` gives it.
        batched: Whether what is written to trials may wait for a `flush`.

    Raises:
        StorageError: It cannot be reached or read; no password is in the text.
    """
    with _opening(url):
        if not is_shared(url):
            path = Path(url)
            file = BatchedJournal(path) if batched else JournalFileBackend(url, journal_lock(path))
            return _journal(file, url)
        return _listed(PatientStorage(url), batched)


def _listed(database: PatientStorage, batched: bool) -> ListedDatabase:
    is_batched = batched and database.engine.dialect.name in BATCHING
    return (BatchedDatabase if is_batched else ListedDatabase)(database)


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
        except StorageError:  # others may create its tables or the study at this moment
            if attempt == _TRIES - 1:
                raise
        except _STORAGE_ERRORS as problem:
            if attempt == _TRIES - 1:
                reason = reason_of(problem, url)
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
    name: str,
    url: str,
    folder: Path,
    maximize: bool | None = False,
    batched: bool = False,
) -> optuna.Study | None:
    """The study that `open_study` would load, without creating or repairing anything.

    Args:
        name: The study's.
        url: As `storage_url` gives it.
        folder: The results folder, which a run makes before it opens the storage.
        maximize: Whether more is better; None if that is not known, so that either will do.
        batched: Whether it may be run later, as what `open_study` would load; of a journal, only
            while `hold` keeps others away and it is repaired.

    Returns:
        The study, else to be read alone; None if there is none yet.

    Raises:
        StorageError: As `open_study`; or a journal is none; or a database has tables of these
            names that are not Optuna's.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _opening(url):
        storage = _storage_that_is_there(url, folder, batched)
        if storage is None:
            return None
        try:
            study = optuna.load_study(study_name=name, storage=storage)
            if maximize is not None:
                direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
                _check_direction(study, direction, url)
            return study
        except Exception as problem:
            close_storage(storage)
            if isinstance(problem, KeyError):
                return None
            raise


@contextmanager
def closing_study(study: optuna.Study | None) -> Iterator[optuna.Study | None]:
    """Let go of a study's connections to a database at the end."""
    try:
        yield study
    finally:
        if study is not None:
            close_storage(storage_of(study))


def close_storage(storage: BaseStorage) -> None:
    """Let go of a database's connections; a journal has none."""
    database = backend_of(storage) or storage
    if isinstance(database, RDBStorage):
        database.remove_session()
        database.engine.dispose()


def _storage_that_is_there(url: str, folder: Path, batched: bool) -> BaseStorage | None:
    """A storage to read; None if a run would begin it."""
    if not is_shared(url):
        path = Path(url)
        kind = BatchedJournal if batched else JournalSnapshot
        return _journal(kind(path), url) if path.exists() else None
    engine = create_engine(url, **engine_options(url, Patience()))
    database = engine.url.database
    if engine.dialect.name == "sqlite" and not (database and Path(database).exists()):
        parent = Path(database or ".").absolute().parent
        can_be_made = parent.is_dir() or parent in (folder.absolute(), *folder.absolute().parents)
        return None if can_be_made else PatientStorage(url)  # which says that it cannot
    try:
        with engine.connect() as connection:
            is_begun = _has_studies(connection, url)
    finally:
        engine.dispose()
    if not is_begun:
        return None
    return _listed(PatientStorage(url, skip_table_creation=True), batched)


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
            f"{without_password(url)}: the storage failed: {reason_of(problem, url)}; "
            "the same command goes on once it is back"
        ) from problem


def flush(study: optuna.Study) -> None:
    """Write down what waits in memory."""
    kept, backend = storage_of(study), backend_of(study)
    if isinstance(kept, BatchedDatabase) and kept.unwritten_ends:
        in_turn(study, lambda: None)  # nobody takes a trial over while its end is written
    elif isinstance(kept, ListedDatabase):
        kept.flush()
    elif isinstance(backend, BatchedJournal):
        backend.flush()


def load_study(name: str, url: str) -> optuna.Study:
    """Load a study to read it.

    Raises:
        StorageError: There is no such storage or study.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not is_shared(url) and not Path(url).exists():
        raise StorageError(f"{url}: no such journal; run the study first: sweep run {name}")
    storage = open_storage(url)
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        raise StorageError(f"{without_password(url)}: no study named {name!r} in it") from None
