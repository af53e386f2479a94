"""Compiled programs that are kept on disk, and what has to be true of one before it is run.

What is loaded from there is run as this user, so a folder or a file that somebody else could have
written is not used. A checksum beside each program tells a damaged one; one in whose first use a
process died is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from sweep.base.files import write_whole

_WAIT_SECS = 60.0
"""For another process to build a program; that a compiler is given to do so."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_folder() -> Path:
    """Where programs are kept; it need not be there.

    Raises:
        RuntimeError: There is no home folder.
    """
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "sweep-lr"


def mistrust(path: Path) -> str:
    """Why what is at a path is not to be run; empty if only this user can have written it.

    Raises:
        FileNotFoundError: There is nothing.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"{path} is a link"
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        return f"{path} belongs to another user"
    if os.name != "nt" and status.st_mode & _OTHERS_WRITE:
        return f"{path} can be written by others"
    return ""


def made_cache_folder() -> tuple[Path, str]:
    """The folder of programs, made if it was not there, and why it is not to be used, if so.

    Raises:
        OSError: It cannot be made.
        RuntimeError: There is no home folder.
    """
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder, mistrust(folder)


def kept_program(folder: Path, name: str, build: Callable[[Path], None]) -> Path:
    """A program from a folder, built if it is not there, not whole, not ours, or deadly.

    Of several processes that want it at the same time one builds it, and the others wait.

    Args:
        folder: One that `mistrust` has nothing against.
        name: A file name that stands for everything the program depends on.
        build: Writes the program to the file that it is given.

    Raises:
        OSError: The folder cannot be written to.
    """
    path = folder / name
    if not _is_ready(path):
        with _alone(path):
            if not _is_ready(path):
                _build(path, build)
    return path


def _is_ready(path: Path) -> bool:
    """Whether a program can be used; one that a process has died of is taken away."""
    if _has_killed(path):
        path.unlink(missing_ok=True)
    return _is_whole(path)


def _build(path: Path, build: Callable[[Path], None]) -> None:
    """Put a program there, and its checksum, each at once."""
    handle, unfinished = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
    os.close(handle)
    try:
        build(Path(unfinished))
        content = Path(unfinished).read_bytes()
    finally:
        Path(unfinished).unlink(missing_ok=True)
    for target, data in ((path, content), (_checksum_of(path), _checksum(content))):
        write_whole(target, data)
        target.chmod(0o600)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Inside, no other process builds the program; where that cannot be had, several may."""
    lock = FileLock(f"{path}.lock", timeout=_WAIT_SECS, mode=0o600)
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, NotImplementedError):  # a folder that knows no locks
            held.enter_context(lock)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # on Windows, where it goes with the lock
                Path(lock.lock_file).unlink()


@contextlib.contextmanager
def first_use(path: Path) -> Iterator[None]:
    """Leave a mark beside a program for as long as it is tried, which a death of it leaves too."""
    mark = path.with_name(f"{path.name}.tried-by-{os.getpid()}")
    with contextlib.suppress(OSError):
        mark.touch(mode=0o600)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            mark.unlink()


def _has_killed(path: Path) -> bool:
    """Whether a process is gone that tried the program; its mark is taken away."""
    gone = False
    for mark in path.parent.glob(f"{path.name}.tried-by-*"):
        if not _is_alive(mark.name.rpartition("-")[2]):
            mark.unlink(missing_ok=True)
            gone = True
    return gone


def _is_alive(process: str) -> bool:
    import psutil  # os.kill(pid, 0) is Ctrl-C on Windows

    try:
        return bool(psutil.pid_exists(int(process)))
    except (ValueError, OverflowError):
        return False


def _is_whole(path: Path) -> bool:
    try:
        if mistrust(path) or mistrust(_checksum_of(path)):
            return False
        return _checksum_of(path).read_text() == _checksum(path.read_bytes())
    except (OSError, UnicodeDecodeError):
        return False


def _checksum_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
