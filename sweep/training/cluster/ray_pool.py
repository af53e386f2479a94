"""The pool whose workers are Ray actors, as the coordinator sees it."""

from __future__ import annotations

import atexit
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from sweep.base.errors import SweepError, TrainingError
from sweep.base.files import write_whole
from sweep.base.wording import duration
from sweep.training.cluster.driver import drive
from sweep.training.cluster.files_of_trials import checkpoints, contents, places_of
from sweep.training.cluster.messages import (
    Appended,
    Close,
    Files,
    Job,
    Note,
    OrdersTo,
    Placement,
    Replace,
    ReplyFrom,
    Size,
)
from sweep.training.workers.messages import Answer, Died, Orders
from sweep.training.workers.pool import Pool
from sweep.training.workers.process_pool import without_main

_CONTEXT = multiprocessing.get_context("spawn")

_CONNECT_SECS = 60.0
"""That Ray has to start, or to answer."""

_SHUTDOWN_SECS = 15.0
"""That Ray has to end what it has started here, after workers have."""

_GIVE_UP_SECS = 3.0
"""That a process has to end which still waits for Ray."""

_NOBODY = -1
"""The index of no worker: as long as none has started, one is waited for."""


class RayPool(Pool):
    """Workers that are actors of a Ray cluster, more or fewer as its machines come and go.

    Args:
        job: What they are given.
        placement: Which workers there are to be.
        note: Told where the cluster is, and what to know of its machines.
    """

    def __init__(self, job: Job, placement: Placement, note: Callable[[str], None]) -> None:
        setup = job.setup
        self._job = job
        self._placement = placement
        self._note = note
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._size = placement.workers or 1
        self._connecting_since: float | None = None
        self.lanes = {}
        self.idle = set()
        self.engine = ""
        self.deterministic = setup.deterministic
        self.prepares = not setup.deterministic
        self.can_interrupt = setup.command is not None

    def __len__(self) -> int:
        return self._size

    @property
    def awaited(self) -> set[int]:
        """Those that have started; where rounds depend on how many there are, all of them."""
        if self.deterministic:
            return set(range(self._size))
        return set(self.lanes) or {_NOBODY}

    def start(self) -> None:
        """Start the process that speaks to Ray."""
        if self._process is not None:
            return
        self._folder = tempfile.TemporaryDirectory(prefix="sweep-")
        self._connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=drive, args=(theirs, self._job, self._placement, self._log)
        )
        with without_main():
            self._process.start()
        theirs.close()
        self._connecting_since = time.monotonic()
        atexit.register(self.close)

    @property
    def _log(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / "ray.txt"

    def send(self, index: int, orders: Orders) -> None:
        """Give a worker its orders and the files that they name."""
        self.start()
        self.idle.discard(index)
        setup = self._job.setup
        known = checkpoints(setup) if orders.add else []
        places = [place for spec in orders.add for place in places_of(setup, spec, known)]
        if orders.predict is not None:
            places.append(orders.predict)
        self._tell(OrdersTo(index, orders, contents(place for place in places if place.exists())))

    def replace(self, index: int) -> None:
        """Start another process there, if its machine is left; else where there is room."""
        self._tell(Replace(index))  # another may have begun there by now: it is not forgotten

    def wait(self, timeout: float) -> list[tuple[int, Answer | Died]]:
        """What workers have to say within `timeout` seconds; empty if nothing.

        Raises:
            SweepError: There is no cluster, it has gone or has no room, or a worker cannot build
                its engine.
        """
        self.start()
        assert self._connection is not None
        messages: list[tuple[int, Answer | Died]] = []
        try:
            while self._connection.poll(0 if messages else timeout):
                messages += self._take_in(self._connection.recv())
        except (EOFError, OSError):
            raise TrainingError(
                f"the process that speaks to Ray has ended{self._last_words()}. What has ended is "
                "kept; the same command goes on with the rest"
            ) from None
        since = self._connecting_since
        if since is not None and time.monotonic() - since > _CONNECT_SECS:
            raise TrainingError(
                f"--cluster {self._placement.address}: Ray has not answered for "
                f"{duration(_CONNECT_SECS)}{self._last_words()}"
            )
        return messages

    def _take_in(self, told: object) -> list[tuple[int, Answer | Died]]:
        self._connecting_since = None
        if isinstance(told, SweepError):
            raise told
        if isinstance(told, Note):
            self._note(told.text)
        if isinstance(told, Size):
            if not self.deterministic:
                self._size = told.workers
        if not isinstance(told, ReplyFrom):
            return []
        _write(told.files)
        index, message = told.index, told.message
        if isinstance(message, SweepError):
            raise message
        if message is None:
            return []
        if isinstance(message, Answer):
            self.lanes[index] = message.lanes
            self.engine = message.engine
            self.idle.add(index)
        else:
            self.idle.discard(index)
            self.lanes.pop(index, None)
            self.prepares &= not message.compiling
        return [(index, message)]

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return f" ({lines[-1][:300]})" if lines else ""

    def _tell(self, told: object) -> None:
        assert self._connection is not None
        with suppress(OSError):
            self._connection.send(told)

    def close(self) -> None:
        """End all workers; a cluster that was started here ends too."""
        atexit.unregister(self.close)
        process, connection = self._process, self._connection
        if process is None or connection is None:
            return
        self._tell(Close())
        until = time.monotonic() + self._placement.grace_secs + _SHUTDOWN_SECS
        if self._connecting_since is not None:  # it may wait for Ray for long
            process.terminate()
            until = time.monotonic() + _GIVE_UP_SECS
        with suppress(EOFError, OSError):
            while connection.poll(max(until - time.monotonic(), 0.0)):
                told = connection.recv()
                if isinstance(told, ReplyFrom):
                    _write(told.files)
        process.join(max(until - time.monotonic(), 0.1))
        process.kill()
        process.join()
        connection.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._process = self._connection = self._folder = None


def _write(files: Files) -> None:
    """Have files here that workers have written elsewhere."""
    for path, content in files.items():
        if content is None:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Appended):
            with open(path, "ab") as file:
                file.write(content.content)
        else:
            write_whole(path, content)
