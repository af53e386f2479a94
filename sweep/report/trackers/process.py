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
import threading
from contextlib import suppress
from typing import Any, BinaryIO

from sweep.base.errors import TrackerError
from sweep.report.trackers.contract import Connection, Study, StudyRun, TrialRun
from sweep.search.storage.urls import reason_of, without_password
from sweep.study.registries.trackers import TRACKERS

_LONGEST = 300
"""Characters of what a tracker says is wrong."""


class Sender:
    """Sends runs to one tracker, from a process that starts with the first of them.

    One thread sends and closes; any may `end`.

    Args:
        name: The tracker's.
        place: Where its runs are kept.
        study: Whose they are.
    """

    def __init__(self, name: str, place: str, study: Study) -> None:
        self._tracker, self._place, self._study = TRACKERS[name], place, study
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None  # until it has been waited for
        self._is_ended = False

    @property
    def shown(self) -> str:
        """The tracker and its place, without a password."""
        return f"{self._tracker.name} {without_password(self._place)}"

    @property
    def option(self) -> str:
        """The same as a command line has it."""
        return f"{self._tracker.name}={without_password(self._place)}"

    def has_trial(self, number: int) -> bool:
        """Whether the tracker has the run of a trial, whole.

        Raises:
            TrackerError: The tracker is away; the same can be tried again.
        """
        return bool(self._answer(number))

    def send(self, run: TrialRun | StudyRun) -> None:
        """Send a run, and wait until the tracker has it.

        Raises:
            TrackerError: The tracker is away, or has not taken it; the same can be tried again.
        """
        self._answer(run)

    def close(self) -> None:
        """Wait until nothing is left unwritten and the process has ended, or is ended."""
        process = self._process
        if process is None:
            return
        assert process.stdin and process.stdout
        with suppress(OSError):  # it is dead
            process.stdin.close()
        process.wait()
        process.stdout.close()
        with self._lock:
            self._process = None

    def end(self) -> None:
        """End the process at once, whatever it does; nothing is sent from now on."""
        with self._lock:
            self._is_ended = True
            if self._process:
                self._process.kill()

    def _answer(self, request: int | TrialRun | StudyRun) -> object:
        """What the process answers to a request.

        Raises:
            TrackerError: It says that something is wrong, or there is none.
        """
        try:
            process, is_new = self._running()
        except OSError as problem:
            raise self._error(f"no process can be started: {problem.strerror or problem}") from None
        assert process.stdin and process.stdout
        try:
            if is_new:
                _write(process.stdin, (self._tracker.kind, self._place, self._study))
            _write(process.stdin, request)
            wrong, answer = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            process.kill()
            self.close()
            raise self._error("the process that sends has ended") from None
        if wrong:
            raise self._error(wrong)
        return answer

    def _error(self, problem: str) -> TrackerError:
        return TrackerError(f"{self.shown}: {problem}")

    def _running(self) -> tuple[subprocess.Popen[bytes], bool]:
        """The process, and whether it is a new one, which knows nothing of the study."""
        with self._lock:  # one that is being started is one that `end` finds, or never starts
            if self._is_ended:
                raise self._error("nothing is sent any more")
            if self._process:
                return self._process, False
            path = os.pathsep.join(filter(None, sys.path))
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**self._tracker.environment, **os.environ, "PYTHONPATH": path},
            )
            return self._process, True


def _write(stream: BinaryIO | Any, content: object) -> None:
    pickle.dump(content, stream)
    stream.flush()


def _serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer each request, until there are no more: with what is wrong, if anything is, and else
    with what was asked for.
    """
    kind, place, study = pickle.load(requests)
    connection: Connection | None = None
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            break
        problem, answer = "", None
        try:
            if connection is None:
                connection = _connection(kind, place, study)
            if isinstance(request, int):
                answer = connection.has_trial(request)
            elif isinstance(request, TrialRun):
                connection.send_trial(request)
            else:
                connection.send_study(request)
        except Exception as found:
            problem = in_short(found, place)
        _write(replies, (problem, answer))
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
    # whatever libraries read or print, and processes of theirs that outlive this one
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _serve(requests, replies)


if __name__ == "__main__":
    _main()
