"""A process that sends to a tracker.

The trackers' libraries take seconds to import, start threads and processes of their own, read
variables of the environment, print, and wait for servers: nothing of that is to be had beside a
sweep, and a process can be ended.
"""

from __future__ import annotations

import importlib
import os
import pickle
import re
import signal
import subprocess
import sys
from typing import Any, BinaryIO

from sweep.base.errors import TrackerError
from sweep.report.trackers.contract import Connection, Study, StudyRun, TrialRun
from sweep.search.storage.urls import reason_of, without_password
from sweep.study.registries.trackers import TRACKERS

_LONGEST = 300
"""Characters of what a tracker says is wrong."""


class Sender:
    """Sends runs to one tracker, from a process that starts with the first of them.

    Args:
        name: The tracker's.
        place: Where its runs are kept.
        study: Whose they are.
    """

    def __init__(self, name: str, place: str, study: Study) -> None:
        self._tracker, self._place, self._study = TRACKERS[name], place, study
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ended = False

    @property
    def shown(self) -> str:
        """The tracker and its place, without a password."""
        return f"{self._tracker.name} {without_password(self._place)}"

    @property
    def option(self) -> str:
        """The same as a command line has it."""
        return f"{self._tracker.name}={without_password(self._place)}"

    def send(self, run: TrialRun | StudyRun) -> None:
        """Send a run, and wait until the tracker has it.

        Raises:
            TrackerError: The tracker is away, or has not taken it; the same can be tried again.
        """
        problem = self._asked(run)
        if problem:
            raise TrackerError(f"{self.shown}: {problem}")

    def close(self) -> None:
        """Wait until nothing is left unwritten, and end the process."""
        process, self._process = self._process, None
        if process and process.stdin and process.stdout:
            try:
                process.stdin.close()
            except OSError:  # it is dead
                pass
            process.stdout.close()
            process.wait()

    def end(self) -> None:
        """End the process at once, whatever it does; nothing is sent from now on."""
        self._is_ended = True
        if process := self._process:
            process.kill()

    def _asked(self, run: TrialRun | StudyRun) -> str:
        """What is wrong; empty if nothing is."""
        if self._is_ended:
            return "nothing is sent any more"
        if self._process is None:
            self._process = self._started()
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        try:
            _write(stdin, run)
            return str(pickle.load(stdout))
        except (OSError, EOFError, pickle.UnpicklingError):
            self.close()
            return "the process that sends has ended"

    def _started(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(filter(None, sys.path))
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**self._tracker.environment, **os.environ, "PYTHONPATH": path},
        )
        assert process.stdin
        _write(process.stdin, (self._tracker.kind, self._place, self._study))
        return process


def _write(stream: BinaryIO | Any, content: object) -> None:
    pickle.dump(content, stream)
    stream.flush()


def _serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Take runs until there are no more, and answer each with what is wrong, if anything is."""
    kind, place, study = pickle.load(requests)
    connection: Connection | None = None
    while True:
        try:
            run = pickle.load(requests)
        except EOFError:
            break
        problem = ""
        try:
            if connection is None:
                connection = _connection(kind, place, study)
            if isinstance(run, TrialRun):
                connection.send_trial(run)
            else:
                connection.send_study(run)
        except Exception as found:
            problem = in_short(found, place)
        _write(replies, problem)
    if connection is not None:
        connection.close()


def _connection(kind: str, place: str, study: Study) -> Connection:
    module, _, name = kind.partition(":")
    made: Connection = getattr(importlib.import_module(module), name)(place, study)
    return made


def in_short(problem: Exception, place: str) -> str:
    """What went wrong, in short: libraries of trackers pack an error of the network in many."""
    if isinstance(problem, OSError) and problem.strerror and problem.filename:
        return f"{problem.filename}: {problem.strerror}"
    text = reason_of(problem, place)
    if re.search(r"Max retries|[Cc]onnection|timed out|ConnectTimeout|ReadTimeout", text):
        reason = re.search(r"\[Errno -?\d+\] ([\w ]+)", text)
        return f"cannot be reached: {reason[1]}" if reason else "cannot be reached"
    return f"{type(problem).__name__}: {text[:_LONGEST]}"


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sweep, which ends this process
    if hasattr(os, "nice"):
        os.nice(5)  # where cores are few, training goes first
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print
    _serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    _main()
