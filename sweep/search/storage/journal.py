"""Optuna's journal file: written in few, larger appends, and repaired after a kill."""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileOpenLock, JournalFileSymlinkLock

from sweep.base.errors import StorageError, UnaccountedError
from sweep.base.files import naming, write_whole
from sweep.search.storage.optuna_private import CAN_WAIT, RECORD_START

JournalLock = JournalFileSymlinkLock | JournalFileOpenLock

_GRACE_PERIOD_SECS = 5
_STALE_AFTER_SECS = 1.0
_SYNC_EVERY_SECS = 1.0


def journal_lock(path: Path) -> JournalLock:
    """Optuna's own lock, so that optuna-dashboard may write notes meanwhile."""
    kind = JournalFileOpenLock if os.name == "nt" else JournalFileSymlinkLock
    return kind(str(path), grace_period=_GRACE_PERIOD_SECS)


@contextmanager
def _holding(lock: JournalLock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        try:
            lock.release()
        except RuntimeError:  # its folder is gone, or another writer has taken it for stale
            pass


class BatchedJournal(BaseJournalBackend):
    """A journal file whose writer gathers reports until it flushes.

    Optuna's file backend locks, appends and syncs once a call; an epoch of many lanes is many
    calls. This one keeps what can wait in memory, hands it to its own reader at once, and appends
    it with the next operation that cannot wait, or on `flush`. What another process has appended
    meanwhile is handed out too, though perhaps after operations that come later in the file;
    only operations whose order does not matter are ever kept. What is appended survives the
    process at once, and a machine that stops after the next flush.

    Args:
        path: The journal; created if it is not there.
    """

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path = path
        self._lock = journal_lock(path)
        self._offset = 0
        self._handed_out = 0
        self._synced_at = -math.inf
        self._is_synced = True
        self._unread: deque[dict[str, Any]] = deque()
        self._unwritten: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Hand out every operation once, in an order that is the same for this process."""
        if log_number_from != self._handed_out:
            raise ValueError(f"logs are handed out once, but got {log_number_from=}")
        while self._unread:
            self._handed_out += 1
            yield self._unread.popleft()
        for log in self._new_in_file():
            self._handed_out += 1
            yield log

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Keep operations that can wait; append others at once, after those."""
        self._unwritten += logs
        if all(log["op_code"] in CAN_WAIT for log in logs):
            self._unread += logs
        else:
            self._write(logs)

    def flush(self) -> None:
        """Append what has waited, and have the disk keep everything."""
        if self._unwritten or not self._is_synced:
            self._synced_at = -math.inf
            self._write([])

    def _write(self, new: list[dict[str, Any]]) -> None:
        with naming(self._path), _holding(self._lock):
            self._unread += self._new_in_file()
            if os.stat(self._path).st_size > self._offset:  # another writer died in mid-line
                os.truncate(self._path, self._offset)
            lines = (json.dumps(log, separators=(",", ":")) + "\n" for log in self._unwritten)
            data = "".join(lines).encode()
            try:
                self._append(data)
            except OSError:  # a full disk: leave no half of what is tried again
                os.truncate(self._path, self._offset)
                raise
            self._offset += len(data)
            self._unread += new
            self._unwritten = []

    def _append(self, data: bytes) -> None:
        with open(self._path, "ab") as file:
            file.write(data)
            file.flush()
            self._is_synced = time.monotonic() - self._synced_at > _SYNC_EVERY_SECS
            if self._is_synced:
                os.fsync(file.fileno())
                self._synced_at = time.monotonic()

    def _new_in_file(self) -> Iterator[dict[str, Any]]:
        """The whole lines that others have appended, read one by one: at first they are many."""
        if os.stat(self._path).st_size == self._offset:
            return
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                log = json.loads(line)
                self._offset += len(line)
                yield log


class JournalSnapshot(BaseJournalBackend):
    """A journal file as it is now, whole records alone; it takes no lock and writes nothing.

    Args:
        path: The journal.

    Raises:
        StorageError: The file cannot be read; or is no journal at all, as reading its logs says.
        UnaccountedError: It is damaged, as reading its logs says.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _readable(path):
            self._size = path.stat().st_size

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Hand out the operations, all at once; there are never any more."""
        if log_number_from:
            return
        left = self._size
        with _readable(self._path), open(self._path, "rb") as file:
            for line in file:
                left -= len(line)
                if left < 0:  # it was not whole
                    return
                record = _record(line)
                if record is None:
                    check_journal(self._path)
                    record = _record(_record_in(line))
                if record is not None:
                    yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refuse."""
        raise RuntimeError("a snapshot of a journal cannot be written to")


def check_journal(path: Path) -> None:
    """Go through a journal for what no killed writer leaves in it.

    Raises:
        StorageError: The file is no journal at all, or cannot be read.
        UnaccountedError: It is damaged.
    """
    _read(path)


def repair_journal(path: Path, fresh: bool = False) -> list[str]:
    """Make a journal that a killed writer left readable again; call it under `hold`.

    Removes a lock file that nobody releases, and takes out what is half-written: a torn last
    line, or the start of a line that another writer has appended its own record to.

    Args:
        path: The journal.
        fresh: Whether its trials are not wanted any more: a damaged one is then put aside.

    Returns:
        What was done, one sentence each.

    Raises:
        StorageError: The file is no journal at all, or cannot be read.
        UnaccountedError: It is damaged, in a way that no killed writer leaves it. Damage inside a
            line is left to whoever reads it, who finds it out.
    """
    if not path.exists():
        return []
    done = []
    if _remove_stale_lock(path):
        done.append(f"removed the lock that a killed process left on {path.name}")
    with _holding(journal_lock(path)):
        if not fresh and _has_whole_lines(path):
            return done
        try:
            content, records = _read(path)
        except UnaccountedError:
            if not fresh:
                raise
            aside = _aside(path)
            path.rename(aside)
            return [*done, f"{path} is damaged; it is kept as {aside.name}"]
        kept = b"".join(records)
        if kept != content:
            write_whole(path, kept)
    torn = len(content) - len(kept)
    if torn:
        done.append(f"cut {torn} bytes that a killed process left half-written in {path.name}")
    return done


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise StorageError(f"{path}: the journal cannot be read: {problem.strerror}") from None


def _has_whole_lines(path: Path) -> bool:
    """Whether each line begins and ends as a record does, and none begins within it."""
    with _readable(path), open(path, "rb") as file:
        return all(line.rfind(RECORD_START) == 0 and line.endswith(b"}\n") for line in file)


def _read(path: Path) -> tuple[bytes, list[bytes]]:
    """A journal's content, and for each line the whole record in it, if there is one.

    Raises:
        StorageError: The file is no journal at all, or cannot be read.
        UnaccountedError: A line is neither a record nor what a killed writer leaves. What follows
            cannot be trusted then, since records are counted.
    """
    with _readable(path):
        content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    records = [_record_in(line) for line in lines]
    start = content[: len(RECORD_START)]
    if not any(records) and not RECORD_START.startswith(start):
        raise StorageError(f"{path}: not an Optuna journal; name another --storage or --out")
    for number, (line, record) in enumerate(zip(lines[:-1], records, strict=False), start=1):
        if not record and line.strip():
            raise UnaccountedError(
                f"{path}: line {number} of {len(lines)} is damaged, so that the trials in this "
                "journal cannot be relied on. Restore the journal from a copy, give another "
                "--out, or start over with --fresh, which keeps it under another name"
            )
    return content, records


def _aside(path: Path) -> Path:
    """A free name beside a damaged journal's."""
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def _record_in(line: bytes) -> bytes:
    """The whole record that a line is, or that it ends with after a torn one; else nothing."""
    for start in (0, line.rfind(RECORD_START)):
        if start >= 0 and _record(line[start:]) is not None:
            return line[start:]
    return b""


def _record(line: bytes) -> dict[str, Any] | None:
    """The record that a line is; None if it is none."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "op_code" in record else None


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
