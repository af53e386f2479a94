"""The process of a trial: started in a session of its own, with a log file."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_LOG_BYTES = 200_000
"""The end of a longer log is looked at."""

_LAST_LINES = 15
_TRACEBACK = "Traceback (most recent call last):"
_RANK = re.compile(r"^\[rank\d+\]: ?", re.MULTILINE)
_LAUNCHER = re.compile(r"\bChildFailedError\b|\bCalledProcessError\b")
"""What a launcher raises when one of its processes has failed: not what is wrong."""


class TrialProcess:
    """A command that runs.

    Args:
        words: The command and its arguments.
        folder: Where it runs.
        environment: All of its environment.
        log: The file that what it prints is added to.

    Attributes:
        ended: A socket that can be read from once it has ended.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                list(words),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.ended, self._ours = socket.socketpair()
        self._thread = threading.Thread(target=self._await, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of it; one that still runs goes on."""
        self.ended.close()
        if self._process.poll() is not None:
            self._thread.join()

    def _await(self) -> None:
        self._process.wait()
        self._ours.close()

    @property
    def pid(self) -> int:
        """Its number: that of its session, too."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None as long as it runs."""
        return self._process.poll()


def failure(code: int, log: Path) -> tuple[str, str]:
    """Why a process has failed, in a line, and what its log ends with.

    Args:
        code: Its exit code, other than 0.
        log: What it has printed.

    Returns:
        The line, which has the exception's text if it was one of Python's; the log from that
        exception's traceback on, or its last lines.
    """
    text = _RANK.sub("", _tail(log))
    how = f"ended with exit code {code}"
    if code < 0:
        named = -code in set(signal.Signals)  # those of a real-time system need not be
        how = f"was killed by {signal.Signals(-code).name if named else f'signal {-code}'}"
    lines = text.rstrip().splitlines()
    least = max(0, len(lines) - _LAST_LINES)
    starts = [i for i, line in enumerate(lines) if line.strip() == _TRACEBACK]
    for start in reversed(starts):
        raised = _exception(lines, start)
        if raised and not _LAUNCHER.search(raised):
            return f"{raised} (it {how})", "\n".join(lines[min(start, least) :])
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"it {how}" + (f": {last}" if last else ""), "\n".join(lines[least:])


def _exception(lines: Sequence[str], start: int) -> str:
    """The line under a traceback that says what was raised; empty if it was cut off."""
    indent = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
    for line in lines[start + 1 :]:
        if not line.startswith(f"{indent} "):
            return line.strip()
    return ""


def _tail(log: Path) -> str:
    try:
        with open(log, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
