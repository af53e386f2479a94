"""The process that speaks to Ray: it has workers where there is room, and passes messages on.

It is apart from the coordinator, since Ray ends the process that uses it when its cluster is gone,
handles its signals, and prints as it likes.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sweep.base.errors import InputError, SweepError, TrainingError
from sweep.base.wording import duration
from sweep.training.cluster.actor import actor_class
from sweep.training.cluster.addresses import connect
from sweep.training.cluster.messages import (
    Close,
    Job,
    Note,
    OrdersTo,
    Placement,
    Replace,
    Reply,
    ReplyFrom,
    Size,
)
from sweep.training.cluster.room import no_room, room_on
from sweep.training.cluster.silence import SILENT_SECS, Silence, watch_head
from sweep.training.workers.messages import Died

_LOOK_SECS = 1.0
"""How often the cluster's machines are looked at."""

_ASK_SECS = 10.0
"""How long a worker may say nothing until it is asked whether it is there still."""

_HANG_UP_SECS = 5.0
"""That the coordinator has to take in what was said last."""

_FAILURES = 3
"""How often in a row a worker may fail otherwise than by the user's code, and be replaced."""

_COMPARED_PACKAGES = ("sweep-lr", "torch")
"""Those whose versions should be the same on all machines."""


def drive(connection: Connection, job: Job, placement: Placement, log: Path) -> None:
    """The driver's life: connect, pass on what is said, end with the coordinator.

    Args:
        connection: To the coordinator.
        job: What workers are given.
        placement: Which workers there are to be.
        log: Where it prints to, and Ray.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    _Driver(connection, job, placement).run()


@dataclass
class _Worker:
    """An actor; `host` is None until it has been placed, `is_asked` whether it is there still."""

    actor: Any
    host: str | None = None
    process_has_died: bool = False
    silence: Silence = field(default_factory=Silence)
    is_asked: bool = False


class _Driver:
    """One thread does everything; others only bring what is heard, and send what is said.

    What Ray calls back runs in a thread of its own that must not wait for Ray.
    """

    def __init__(self, connection: Connection, job: Job, placement: Placement) -> None:
        self._connection = connection
        self._job = job
        self._placement = placement
        self._heard: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send, daemon=True)
        self._workers: dict[int, _Worker] = {}
        self._is_over = False
        self._alone_since = time.monotonic()
        self._looks = 0
        self._size = 0
        self._failures = 0
        self._versions = {name: _version(name) for name in _COMPARED_PACKAGES}
        self._told: set[str] = set()

    def run(self) -> None:
        """Until the coordinator has had enough, or is gone."""
        self._sender.start()
        try:
            self._connect()
        except SweepError as problem:
            self._say(problem)
            self._hang_up()
            return
        for act in (self._receive, self._watch_head):
            threading.Thread(target=act, daemon=True).start()
        try:
            self._work()
        except Exception as problem:
            self._say(TrainingError(f"Ray: {type(problem).__name__}: {problem}"))
        self._close()

    def _work(self) -> None:
        next_look = time.monotonic()
        while not self._is_over:
            left = next_look - time.monotonic()
            if left <= 0:
                self._keep_workers()
                next_look = time.monotonic() + _LOOK_SECS
                continue
            with suppress(queue.Empty):
                self._heard.get(timeout=left)()

    def _receive(self) -> None:
        """Bring what the coordinator says."""
        while True:
            try:
                told = self._connection.recv()
            except (EOFError, OSError):
                told = Close()
            self._heard.put(partial(self._obey, told))
            if isinstance(told, Close):
                return

    def _obey(self, told: OrdersTo | Replace | Close) -> None:
        if isinstance(told, Close):
            self._is_over = True
            return
        worker = self._workers.get(told.index)
        if worker is None:
            return
        if isinstance(told, Replace):
            # else the actor was lost, and the one in its place has been told to begin: two calls
            # at once would read from one pipe
            if worker.process_has_died:
                worker.process_has_died = False
                self._ask(told.index, worker, worker.actor.begin.remote())
        else:
            self._ask(told.index, worker, worker.actor.obey.remote(told.orders, told.files))

    def _connect(self) -> None:
        """Find the cluster, or start one.

        Raises:
            InputError: There is none.
        """
        cluster = connect(self._placement.address)
        self._ray, self._head = cluster.ray, cluster.head
        self._job_ref = self._ray.put(self._job)
        self._say(Note(cluster.note))

    def _keep_workers(self) -> None:
        """Start workers where there is room for them, as machines come and go."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        self._looks += 1
        self._ask_silent_workers()
        placement = self._placement
        room = sum(room_on(node, placement) for node in nodes)
        wanted = min(placement.most, room if placement.workers is None else placement.workers)
        while len(self._workers) < wanted:
            self._start()
        waiting = [i for i, worker in self._workers.items() if worker.host is None]
        for index in waiting[: max(len(self._workers) - wanted, 0)]:
            self._drop(index)
        self._tell_size(room)
        self._check_patience(nodes)

    def _tell_size(self, room: int) -> None:
        size = max(1, min(len(self._workers), room))
        if size != self._size:
            self._size = size
            self._say(Size(size))

    def _check_patience(self, nodes: list[dict[str, Any]]) -> None:
        """End a study that has no worker, or too few, and gets none."""
        placement = self._placement
        started = sum(worker.host is not None for worker in self._workers.values())
        if started >= placement.least:
            self._alone_since = time.monotonic()
        waited = time.monotonic() - self._alone_since
        if waited >= placement.patience_secs:
            self._say(TrainingError(no_room(nodes, placement, started, waited)))

    def _watch_head(self) -> None:
        """End the study where the cluster has gone as a whole."""
        why = watch_head(self._head, lambda: self._looks, lambda: self._is_over)
        if why is None:
            return
        self._say(
            TrainingError(
                f"the Ray cluster at {self._head} has gone: {why}. What has ended is kept; the "
                "same command goes on with the rest, with --cluster local on this machine alone"
            )
        )
        self._hang_up()
        os._exit(1)  # the other thread may wait for Ray for long

    def _ask_silent_workers(self) -> None:
        """Give up workers that say nothing, since they or their machine have stopped."""
        for index, worker in [*self._workers.items()]:
            silent_secs = worker.silence.lasts() if worker.host else 0.0
            if silent_secs > SILENT_SECS:
                self._lose(index, worker, f"silent for {duration(silent_secs)} and given up")
            elif silent_secs > _ASK_SECS and not worker.is_asked:
                worker.is_asked = True
                self._on(worker.actor.is_there.remote(), index, worker, self._is_still_there)

    def _is_still_there(self, index: int, worker: _Worker, future: Future[Any]) -> None:
        """A worker is there still; where it is not, what it was told to do says how it ended."""
        worker.is_asked = False
        if future.exception() is None:
            worker.silence.ends()

    def _start(self) -> None:
        index = min(set(range(len(self._workers) + 1)) - self._workers.keys())
        options = {"num_cpus": self._placement.cpus, "num_gpus": self._placement.gpus}
        actor = self._ray.remote(**options, max_restarts=0, max_concurrency=2)(actor_class())
        worker = self._workers[index] = _Worker(actor.remote([self._job_ref], index))
        self._on(worker.actor.about.remote(_COMPARED_PACKAGES), index, worker, self._placed)

    def _placed(self, index: int, worker: _Worker, future: Future[Any]) -> None:
        """A worker is there."""
        if future.exception() is not None:
            del self._workers[index]
            return
        about = future.result()
        worker.host = about["host"]
        worker.silence.ends()
        if wrong := self._differs(about):
            self._say(wrong)
            return
        self._ask(index, worker, worker.actor.begin.remote())

    def _differs(self, about: dict[str, Any]) -> SweepError | None:
        """What keeps a machine from training the same as others."""
        host = about["host"]
        for name in _COMPARED_PACKAGES:
            ours, theirs = self._versions[name], about["versions"][name]
            if theirs is None:
                return InputError(
                    f"on the machine {host}: the package {name} is not installed for "
                    f"{about['python']}; install there what this machine has: pip install "
                    f'"sweep-lr[ray]"'
                )
            if theirs != ours and name not in self._told:
                self._told.add(name)
                self._say(
                    Note(
                        f"{host} has {name} {theirs}, this machine {ours}: what trials come to "
                        "may differ between machines"
                    )
                )
        return None

    def _ask(self, index: int, worker: _Worker, ref: Any) -> None:
        self._on(ref, index, worker, self._hear)

    def _on(
        self,
        ref: Any,
        index: int,
        worker: _Worker,
        then: Callable[[int, _Worker, Future[Any]], None],
    ) -> None:
        """Have something done with what comes of a call to a worker, if that is there still."""

        def act(future: Future[Any]) -> None:
            if self._workers.get(index) is worker:
                then(index, worker, future)

        ref.future().add_done_callback(lambda future: self._heard.put(partial(act, future)))

    def _hear(self, index: int, worker: _Worker, future: Future[Any]) -> None:
        """Pass a worker's message on."""
        problem = future.exception()
        if problem is None:
            self._failures = 0
            worker.silence.ends()
            reply: Reply = future.result()
            worker.process_has_died = isinstance(reply.message, Died)
            self._say(ReplyFrom(index, reply.message, reply.files))
            return
        errors = self._ray.exceptions
        is_memory = isinstance(problem, errors.OutOfMemoryError)
        if isinstance(problem, errors.RayTaskError):
            self._failures += 1
            cause = getattr(problem, "cause", None) or problem
            told = f"{type(cause).__name__}: {' '.join(str(cause).split())[:500]}"
            if self._failures > _FAILURES:
                where = f"on the machine {worker.host}"
                self._say(TrainingError(f"{where}: workers end again and again: {told}"))
                return
            how = f"ended by {told},"
        elif is_memory:
            how = "ended by Ray for want of memory"
        else:
            how = "lost"
        self._lose(index, worker, how, is_lost=not is_memory)

    def _lose(self, index: int, worker: _Worker, how: str, is_lost: bool = True) -> None:
        """Do without a worker; the coordinator gives its trials to others."""
        self._drop(index)
        reason = f"{how} with its place on the machine {worker.host}"
        self._say(ReplyFrom(index, Died(reason, lost=is_lost)))

    def _drop(self, index: int) -> None:
        worker = self._workers.pop(index)
        with suppress(Exception):
            self._ray.kill(worker.actor)

    def _say(self, told: object) -> None:
        self._outgoing.put(told)

    def _send(self) -> None:
        """Send what is said; apart, for the coordinator may be sending, too, and hear nothing."""
        with suppress(OSError):
            while (told := self._outgoing.get()) is not None:
                self._connection.send(told)

    def _close(self) -> None:
        """End all workers; what they have written last is passed on."""
        self._is_over = True
        with suppress(Exception):
            placed = {i: worker for i, worker in self._workers.items() if worker.host}
            refs = {worker.actor.end.remote(): index for index, worker in placed.items()}
            ended, _ = self._ray.wait(
                list(refs), num_returns=len(refs), timeout=self._placement.grace_secs
            )
            for ref in ended:
                with suppress(Exception):
                    self._say(ReplyFrom(refs[ref], None, self._ray.get(ref).files))
        with suppress(Exception):
            for index in [*self._workers]:
                self._drop(index)
            self._ray.shutdown()
        self._hang_up()

    def _hang_up(self) -> None:
        self._outgoing.put(None)
        self._sender.join(_HANG_UP_SECS)
        with suppress(OSError):
            self._connection.close()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except ImportError:
        return None
