"""Keep other runs on this machine away from a results folder and a journal."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.errors import StorageError, StudyBusyError


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
