"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PASSING = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
    *(errno.ENOENT, errno.ESTALE),
}
"""What may be otherwise when the same is tried again: a full disk, a folder that is not mounted."""


def may_pass(problem: OSError) -> bool:
    """Whether the same command can go on once the file can be written."""
    return problem.errno in _PASSING


def described(problem: OSError) -> str:
    """What went wrong with which file, in a sentence, and how to go on where that will do."""
    reason = problem.strerror or str(problem)
    if problem.filename is None:
        return reason
    file = os.fsdecode(problem.filename)
    if may_pass(problem):
        return f"{file}: {reason}; the same command goes on once it can be written"
    return f"{file}: {reason}"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have a failure name a file: one to write to a file that is open does not.

    Raises:
        OSError: With `path` as its file name.
    """
    try:
        yield
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from None


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file beside its place and rename it into it.

    Whoever reads `path` sees the old content or the new one, never a part, whenever the writer
    is killed.

    Args:
        path: The file; its folder must exist.
        content: Text, written as UTF-8, or bytes.

    Raises:
        OSError: It cannot be written; what was there before is there still.
    """
    data = content.encode() if isinstance(content, str) else content
    with naming(path):
        _write_and_rename(path, data)


def _write_and_rename(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
