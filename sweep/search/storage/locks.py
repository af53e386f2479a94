"""Keep other runs on this machine away from a results folder and a journal."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.base.errors import StorageError, StudyBusyError
from sweep.search.storage.urls import is_shared


@contextmanager
def hold(folder: Path, url: str) -> Iterator[None]:
    """Keep every other `sweep run` on this machine away from a study.

    The locks die with the process, however it ends.

    Raises:
        StudyBusyError: Another `sweep run` holds it.
        StorageError: A folder cannot be made or written to.
    """
    with ExitStack() as held:
        for path, busy in _locks(folder, url).items():
            _make_folder(path.parent)
            held.enter_context(_taken(path, busy))
        yield


def check_not_held(folder: Path, url: str) -> None:
    """Find out whether `hold` would find another `sweep run` at work, without making anything.

    Raises:
        StudyBusyError: Another `sweep run` holds the study.
        StorageError: A folder cannot be written to.
    """
    for path, busy in _locks(folder, url).items():
        if path.exists():
            with _taken(path, busy):
                pass


@contextmanager
def _taken(path: Path, busy: str) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StudyBusyError(busy) from None
    except OSError as problem:
        raise _unusable(path.parent, "written to", problem.errno) from None
    try:
        yield
    finally:
        lock.release()


def _locks(folder: Path, url: str) -> dict[Path, str]:
    """The locks of a results folder and of a journal, and what it means if they are taken."""
    locks = {
        folder / ".lock": f"{folder}: this study is being run by another process; "
        "wait for it, stop it, or give --out another folder"
    }
    if not is_shared(url):
        locks[Path(f"{url}.sweep-lock")] = (
            f"{url}: this journal is in use by another run, and a journal serves one at a time; "
            "wait for it, stop it, or share a database, which serves several: "
            "--storage sqlite:///FILE.db on one machine, postgresql://... on several"
        )
    return locks


def check_folders(folder: Path, url: str) -> None:
    """Find out whether `hold` could make and use the folders that it needs, without making them.

    Raises:
        StorageError: A folder cannot be made, or one that is there cannot be written to.
    """
    for path in _locks(folder, url):
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
