"""Open a study's storage, and repair what a killed run left in it."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from sweep.errors import StorageError, StudyBusyError
from sweep.files import write_whole

JOURNAL = "study.journal"
METRIC = "validation MSE"
_OWNER = "sweep:owner"
_STALE_AFTER_SECS = 1.0
_UNCLAIMED_AFTER_SECS = 5.0
_GRACE_PERIOD_SECS = 5
_RECORD_START = b'{"op_code"'
"""How Optuna starts each line of a journal."""


def storage_url(storage: str | None, folder: Path) -> str:
    """The storage that a setting means: an Optuna URL, or the path of a journal.

    Args:
        storage: A URL, a path (`.db` and `.sqlite3` are SQLite, everything else a journal), or
            None for a journal in the results folder.
        folder: The results folder.
    """
    if storage is None:
        return str(folder / JOURNAL)
    if "://" in storage:
        return storage
    path = Path(storage).absolute()
    return f"sqlite:///{path}" if path.suffix in (".db", ".sqlite", ".sqlite3") else str(path)


def without_password(text: str) -> str:
    """A URL, or a text with a URL in it, that may be shown and saved.

    SQLAlchemy takes everything up to the first `@` as the password, `/` and blanks included. What
    lies between further `@`s of an unescaped password goes too.
    """
    text = re.sub(r"(://[^:/?#@\s]*):[^@]*@(?:[^/?#\s]*@)?", r"\1@", text)
    parameter = r"(?i)([?&])(?:\w*password|passwd|pwd)=[^&\s]*(&?)"
    return re.sub(parameter, lambda found: found[1] if found[2] else "", text)


def _reason(problem: Exception, url: str) -> str:
    """The first line of a problem's text, without the password of the URL that it is about."""
    lines = without_password(str(problem)).strip().splitlines() or [type(problem).__name__]
    reason = lines[0]
    authority = url.partition("://")[2].partition("@")[0]
    password = authority.partition(":")[2]
    for secret in {password, unquote(password)} - {""}:
        reason = reason.replace(secret, "***")
    return reason


@contextmanager
def hold(folder: Path, url: str) -> Iterator[None]:
    """Keep every other `sweep run` on this machine away from a study.

    The locks die with the process, however it ends.

    Raises:
        StudyBusyError: Another `sweep run` holds it.
        StorageError: The folder cannot be made.
    """
    paths = [folder / ".lock"]
    if "://" not in url:
        paths.append(Path(f"{url}.sweep-lock"))
    locks = [FileLock(path) for path in paths]
    try:
        for lock, path in zip(locks, paths, strict=True):
            _make_folder(path.parent)
            lock.acquire(timeout=0)
        yield
    except Timeout as busy:
        raise StudyBusyError(
            f"{folder}: this study is being run by another process; "
            "wait for it, stop it, or give --out another folder"
        ) from busy
    finally:
        for lock in locks:
            lock.release()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise StorageError(f"{folder}: cannot be made a folder: {problem.strerror}") from None


def open_storage(url: str) -> BaseStorage:
    """Open a storage for reading or writing.

    Raises:
        StorageError: It cannot be reached or read; no password is in the text.
    """
    shown = without_password(url)
    if re.match(r"[^:]+://[^/?#]*@[^/?#]*@", url):
        raise StorageError(f"{shown}: write '@' in a user's name or password as %40")
    try:
        if "://" not in url:
            return JournalStorage(JournalFileBackend(url, _journal_lock(url)))
        return RDBStorage(url)
    except ImportError as missing:
        driver = getattr(missing.__cause__ or missing.__context__ or missing, "name", None)
        remedy = ": pip install 'psycopg[binary]'" if driver == "psycopg" else ""
        raise StorageError(f"{shown}: this storage needs the module {driver!r}{remedy}") from None
    except Exception as problem:
        reason = _reason(problem, url)
        raise StorageError(f"{shown}: the storage cannot be opened: {reason}") from None


def _journal_lock(path: str) -> JournalFileSymlinkLock | JournalFileOpenLock:
    """Optuna's own lock, so that optuna-dashboard may write notes meanwhile."""
    kind = JournalFileOpenLock if os.name == "nt" else JournalFileSymlinkLock
    return kind(path, grace_period=_GRACE_PERIOD_SECS)


def repair_journal(path: Path) -> list[str]:
    """Make a journal that a killed writer left readable again; call it under `hold`.

    Removes a lock file that nobody releases, and takes out what is half-written: a torn last
    line, or the start of a line that another writer has appended its own record to.

    Returns:
        What was done, one sentence each.

    Raises:
        StorageError: The file is no journal at all.
    """
    if not path.exists():
        return []
    done = []
    if _remove_stale_lock(path):
        done.append(f"removed the lock that a killed process left on {path.name}")
    lock = _journal_lock(str(path))
    lock.acquire()
    try:
        content = path.read_bytes()
        records = [_record_in(line) for line in content.splitlines(keepends=True)]
        start = content[: len(_RECORD_START)]
        if not any(records) and not _RECORD_START.startswith(start):
            raise StorageError(f"{path}: not an Optuna journal; name another --storage or --out")
        kept = b"".join(records)
        if kept != content:
            write_whole(path, kept)
    finally:
        lock.release()
    torn = len(content) - len(kept)
    if torn:
        done.append(f"cut {torn} bytes that a killed process left half-written in {path.name}")
    return done


def _record_in(line: bytes) -> bytes:
    """The whole record that a line is, or that it ends with after a torn one; else nothing."""
    for start in (0, line.rfind(_RECORD_START)):
        if start >= 0 and _is_record(line[start:]):
            return line[start:]
    return b""


def _is_record(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and "op_code" in record


def _remove_stale_lock(path: Path) -> bool:
    """Remove Optuna's lock file if it stays the same for longer than any live holder needs it."""
    lock = Path(f"{path}.lock")

    def identity() -> tuple[int, int] | None:
        try:
            status = os.lstat(lock)
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    first = identity()
    deadline = time.monotonic() + _STALE_AFTER_SECS
    while first is not None and time.monotonic() < deadline:
        time.sleep(0.05)
        if identity() != first:
            first = identity()
            deadline = time.monotonic() + _STALE_AFTER_SECS
    if first is None:
        return False
    lock.unlink(missing_ok=True)
    return True


def open_study(
    name: str, url: str, sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner
) -> optuna.Study:
    """Create a study, or load the one of this name.

    Raises:
        StorageError: The storage cannot be reached, or the study's direction is not `minimize`.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(url)
    for attempt in range(3):
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                sampler=sampler,
                pruner=pruner,
                direction="minimize",
                load_if_exists=True,
            )
            break
        except Exception as problem:  # two processes that create it at once: one must look again
            if attempt == 2:
                reason = _reason(problem, url)
                raise StorageError(f"{without_password(url)}: {reason}") from None
            time.sleep(0.2)
    if study.directions != [optuna.study.StudyDirection.MINIMIZE]:
        raise StorageError(f"{without_password(url)}: study {name!r} was made by another program")
    return study


def load_study(name: str, url: str) -> optuna.Study:
    """Load a study to read it.

    Raises:
        StorageError: There is no such storage or study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if "://" not in url and not Path(url).exists():
        raise StorageError(f"{url}: no such journal; run the study first: sweep run {name}")
    try:
        return optuna.load_study(study_name=name, storage=open_storage(url))
    except KeyError:
        raise StorageError(f"{without_password(url)}: no study named {name!r} in it") from None
    except ValueError:
        raise StorageError(
            f"{url}: a killed process left a half-written line; mend it with: sweep run {name}"
        ) from None


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
        study: The study.
        owner: Whose trials to look for; call it while `hold` keeps others with that name away.
        shared: Whether other owners may be at work on the storage at this moment. A trial that
            nobody has claimed yet is then left alone for its first seconds.
    """

    def is_abandoned(trial: FrozenTrial) -> bool:
        claimed_by = trial.system_attrs.get(_OWNER)
        if not shared or claimed_by == owner:
            return True
        age = datetime.now() - (trial.datetime_start or datetime.min)
        return claimed_by is None and age.total_seconds() > _UNCLAIMED_AFTER_SECS

    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [optuna.Trial(study, trial._trial_id) for trial in running if is_abandoned(trial)]
