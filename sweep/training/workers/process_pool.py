"""Engines in local processes: one coordinator gives orders, workers train and answer."""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, TypeVar

from sweep.base.errors import SweepError, TrainingError
from sweep.base.library_warnings import are_shown
from sweep.base.wording import duration
from sweep.training.workers.messages import (
    Answer,
    Compiling,
    Died,
    Orders,
    WorkerSetup,
)
from sweep.training.workers.pool import Pool
from sweep.training.workers.worker import work

START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
COMPILE_SECS = 300.0
"""After which torch.compile hangs, or a compiler that it has called; it takes 10 to 30 s."""

END_SECS = 30.0
"""That a worker has to end what commands have started; one without any ends at once."""

END_LOOP_SECS = 3.0
"""That a worker has to leave a loop of the user's own, which may have something to close."""

_Result = TypeVar("_Result")

_CONTEXT: Any = multiprocessing.get_context(START_METHOD)

PRELOADED = ["sweep.training.workers.process_pool", "sweep.training.build"]
"""What the process that workers are forked from has imported."""

PRELOADED_FOR_COMMANDS = [
    "sweep.training.workers.process_pool",
    "sweep.training.own_command.engine",
]
"""The same where a command of the user's own trains: that needs no torch."""


def default_workers() -> int:
    """One worker a core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def preload(with_torch: bool = True) -> None:
    """Start loading what workers need, while the caller reads files and settings.

    Args:
        with_torch: Whether they need torch: not where a command trains.
    """
    if START_METHOD != "forkserver":
        return
    _CONTEXT.set_forkserver_preload(PRELOADED if with_torch else PRELOADED_FOR_COMMANDS)
    try:
        multiprocessing.resource_tracker.ensure_running()  # else it lets Ctrl-C through below
        with _without_interrupts():
            multiprocessing.forkserver.ensure_running()
    except OSError as problem:
        folder = os.environ.get("TMPDIR") or "the folder for temporary files"
        raise TrainingError(
            f"{folder}: worker processes cannot be started from there: {problem}; set TMPDIR to a "
            "folder that can be written to and whose path is short, such as /tmp"
        ) from problem


def answer_with_torch(question: Callable[[], _Result]) -> _Result:
    """What a function of a module returns in a process that has loaded torch, as workers do.

    Raises:
        BrokenProcessPool: The process has died.
    """
    preload()
    with without_main(), ProcessPoolExecutor(1, mp_context=_CONTEXT) as one:
        return one.submit(question).result()


class ProcessPool(Pool):
    """Worker processes of this machine.

    Args:
        setup: What a worker needs to build its engine.
        count: How many there are.
    """

    def __init__(self, setup: WorkerSetup, count: int) -> None:
        self._setup = setup
        self._count = count
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self.lanes: dict[int, int] = {}
        self.idle: set[int] = set()
        self.engine = ""
        self.deterministic = setup.deterministic
        self.prepares = not setup.deterministic
        self.can_interrupt = setup.command is not None
        self._compiling: dict[int, float] = {}  # until when, as time.monotonic has it

    def __len__(self) -> int:
        return self._count

    @property
    def awaited(self) -> set[int]:
        """All of them."""
        return set(range(self._count))

    def start(self) -> None:
        """Start the processes, unless they have been."""
        if self._processes:
            return
        preload(with_torch=self._setup.command is None)
        for index in range(self._count):
            process, connection = self._start(index)
            self._processes.append(process)
            self._connections.append(connection)
        atexit.register(self.close)  # else they would be waited for

    def _start(self, index: int) -> tuple[BaseProcess, Connection]:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(
            target=work, args=(theirs, self._setup, index, are_shown())
        )  # no daemon, which may not have children, such as a DataLoader's workers
        with without_main():
            process.start()
        theirs.close()
        return process, ours

    def send(self, index: int, orders: Orders) -> None:
        """Give a worker its orders; if it is dead, `wait` will say so."""
        self.start()
        self.idle.discard(index)
        try:
            self._connections[index].send(orders)
        except OSError:
            pass

    def wait(self, timeout: float) -> list[tuple[int, Answer | Died]]:
        """What workers have to say within `timeout` seconds; empty if nothing.

        Raises:
            SweepError: A worker cannot build its engine; the text says why.
        """
        self.start()
        sentinels = [process.sentinel for process in self._processes]
        heard = multiprocessing.connection.wait([*self._connections, *sentinels], timeout)
        messages: list[tuple[int, Answer | Died]] = []
        for index, connection in enumerate(self._connections):
            if connection not in heard and sentinels[index] not in heard:
                continue
            try:
                # a process that a dead worker has started may hold its end open
                message = connection.recv() if connection in heard else self._obituary(index)
            except (EOFError, OSError):
                message = self._obituary(index)
            if isinstance(message, SweepError):
                raise message
            self._compiling.pop(index, None)
            if isinstance(message, Compiling):
                if message.begins:
                    self._compiling[index] = time.monotonic() + COMPILE_SECS
                continue
            if isinstance(message, Answer):
                self.lanes[index] = message.lanes
                self.engine = message.engine
                self.idle.add(index)
            messages.append((index, message))
        for index, until in list(self._compiling.items()):
            if time.monotonic() > until:
                self._kill(index)
                self.prepares = False
                messages.append((index, Died(_hung(), compiling=True)))
        return messages

    def _kill(self, index: int) -> None:
        """End a worker at once, with all that belongs to its process group."""
        self._compiling.pop(index, None)
        process = self._processes[index]
        if process.pid is not None and hasattr(os, "killpg"):
            with suppress(OSError):  # nothing is left of that group
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()

    def _obituary(self, index: int) -> Died:
        process = self._processes[index]
        process.join(timeout=5)
        self._kill(index)  # what it has started may have outlived it
        process.join()
        code = process.exitcode
        if code is not None and code < 0:
            return Died(f"killed by {signal.Signals(-code).name}")
        return Died(f"ended with exit code {code}")

    def replace(self, index: int) -> None:
        """Start a fresh process in a dead one's place."""
        self.idle.discard(index)
        self._compiling.pop(index, None)
        self._connections[index].close()
        self._processes[index], self._connections[index] = self._start(index)

    def close(self) -> None:
        """End all workers, whatever they are at, and what they have started."""
        atexit.unregister(self.close)
        for index in list(self._compiling):
            self._kill(index)
        for process in self._processes:
            process.terminate()
        until = time.monotonic() + (END_SECS if self._setup.command else END_LOOP_SECS)
        for index, process in enumerate(self._processes):
            process.join(timeout=max(0.0, until - time.monotonic()))
            self._kill(index)
            process.join()
            self._connections[index].close()
        self._processes, self._connections = [], []


def _hung() -> str:
    return (
        f"torch.compile had not ended after {duration(COMPILE_SECS)} and was given up: training "
        "goes on uncompiled"
    )


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Inside this context Ctrl-C waits, and does so for ever in a process that is started in it.

    It is the coordinator's to handle; a process that has yet to say so would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def without_main() -> Iterator[None]:
    """Inside this context a process that is started does not run the caller's script again.

    multiprocessing does so for what is pickled from there, and nothing of a setup is. A script
    that calls `run_study` outside of `if __name__ == "__main__"`, or that comes from standard
    input, would end each worker before it begins.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
