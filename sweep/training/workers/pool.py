"""Engines in local processes: one coordinator gives orders, workers train and answer."""

from __future__ import annotations

import io
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sweep.base.errors import SweepError, TrainingError
from sweep.base.files import write_whole
from sweep.base.library_warnings import are_shown, hidden_library_warnings, show_library_warnings
from sweep.base.user_code import look_in
from sweep.data.dataset import Array, Dataset
from sweep.schedules.schedule import Schedule
from sweep.study.settings import ModelConfig, StudyConfig
from sweep.training.contract import (
    EngineName,
    EpochResult,
    LoopSettings,
    TrainingSettings,
    TrialError,
    TrialSpec,
)

if TYPE_CHECKING:  # the coordinator's side starts without torch
    from sweep.training.contract import Engine

_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_CONTEXT: Any = multiprocessing.get_context(_METHOD)

_ANSWER_SECS = 0.1
"""A worker that has trained so long answers, however many epochs it was told to train."""

NOMINAL_STEPS = 1000
"""The horizon that a schedule is tried over where only a training loop knows the real one."""


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs to build its engine.

    Args:
        data: The prepared data; None for a training loop of the user's own.
        model: The model's settings.
        folders: Where the user's own modules are.
        settings: What all trials share.
        engine: Which one it builds.
        lanes: How many trials the vectorised engine trains at once; by default what suits it.
        custom: One schedule of each of the user's own factories, to be tried first.
        loop: A training loop of the user's own, in the place of data, model and settings.
    """

    data: Dataset | None
    model: ModelConfig
    folders: tuple[Path, ...]
    settings: TrainingSettings
    engine: EngineName = "auto"
    lanes: int | None = None
    custom: tuple[Schedule, ...] = ()
    loop: LoopSettings | None = None

    @classmethod
    def of(
        cls, config: StudyConfig, data: Dataset | None, folders: tuple[Path, ...]
    ) -> WorkerSetup:
        """That of a study; a loop of the user's own is still to be given."""
        return cls(
            data=data,
            model=config.model,
            folders=folders,
            settings=TrainingSettings.of(config),
            engine=config.engine,
            lanes=config.lanes,
            custom=config.search_space.custom_schedules(),
        )


@dataclass(frozen=True)
class Save:
    """Write a trial's weights to a file that `torch.load(weights_only=True)` reads.

    Args:
        number: The trial's; it must still be with the worker.
        path: The file.
        about: What else the file says, beside `state_dict`.
    """

    number: int
    path: Path
    about: Mapping[str, Any]


@dataclass
class Orders:
    """What a worker does next: saves, then removals, then additions; then it trains.

    Args:
        save: Weights to write.
        remove: Trials to let go.
        add: Trials to take in.
        epochs: How many to train before it answers; fewer if they take longer than _ANSWER_SECS.
        expect: Epochs of single trials that are still to come, for preparations that must pay.
        predict: A model that was saved, to predict the test rows with.
    """

    save: list[Save] = field(default_factory=list)
    remove: list[int] = field(default_factory=list)
    add: list[TrialSpec] = field(default_factory=list)
    epochs: int = 1
    expect: int = 0
    predict: Path | None = None

    @property
    def given(self) -> bool:
        """Whether there is anything to do but to train on."""
        return bool(self.save or self.remove or self.add)


@dataclass(frozen=True)
class Answer:
    """What a worker sends once when it is ready, and after each of its orders.

    Args:
        lanes: How many trials it trains best at once.
        results: Of the epochs that it was told to train, in their order.
        notes: What a user should read about its engine, a sentence each, once.
        prediction: Where it was asked for.
        engine: Its engine's description.
    """

    lanes: int
    results: list[EpochResult | TrialError]
    notes: list[str]
    prediction: Prediction | None = None
    engine: str = ""


@dataclass(frozen=True)
class Prediction:
    """What a saved model says of the test rows.

    Args:
        trial: Whose weights they are.
        val_mse: What that trial came to in the search; None if it was stopped early.
        values: Standardised, (rows,).
    """

    trial: int
    val_mse: float | None
    values: Array


@dataclass(frozen=True)
class Died:
    """A worker's process has ended without being asked to.

    Args:
        reason: Its exit code or signal, in words.
    """

    reason: str


def default_workers() -> int:
    """One worker a core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def preload() -> None:
    """Start loading torch for the workers, while the caller reads files and settings."""
    if _METHOD != "forkserver":
        return
    _CONTEXT.set_forkserver_preload(["sweep.training.workers.pool", "sweep.training.build"])
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


class WorkerPool:
    """Worker processes, addressed by an index that a replacement keeps.

    They are started when they are first spoken or listened to. A pool is a context manager that
    ends them.

    Attributes:
        lanes: How many trials each worker trains best at once, by index; known once it has
            answered.
        idle: The workers that have answered and wait for orders.
        engine: What they train with, in half a sentence; known once one has answered.
    """

    def __init__(self, setup: WorkerSetup, count: int) -> None:
        self._setup = setup
        self._count = count
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self.lanes: dict[int, int] = {}
        self.idle: set[int] = set()
        self.engine = ""

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the processes, unless they have been."""
        if self._processes:
            return
        preload()
        for _ in range(self._count):
            process, connection = self._start()
            self._processes.append(process)
            self._connections.append(connection)

    def _start(self) -> tuple[BaseProcess, Connection]:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(
            target=_work, args=(theirs, self._setup, are_shown()), daemon=True
        )
        with _without_main():
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
        heard = multiprocessing.connection.wait(self._connections, timeout)
        messages: list[tuple[int, Answer | Died]] = []
        for index, connection in enumerate(self._connections):
            if connection not in heard:
                continue
            try:
                message = connection.recv()
            except (EOFError, OSError):
                message = self._obituary(index)
            if isinstance(message, SweepError):
                raise message
            if isinstance(message, Answer):
                self.lanes[index] = message.lanes
                self.engine = message.engine
                self.idle.add(index)
            messages.append((index, message))
        return messages

    def predict(self, path: Path, stop: threading.Event) -> Prediction | None:
        """What a saved model says of the test rows; None if it cannot be used, or after `stop`.

        Call it while no trial is in training.

        Raises:
            TrainingError: Workers die of it.
        """
        asked, deaths = None, 0
        while not stop.is_set():
            if asked is None and self.idle:
                asked = min(self.idle)
                self.send(asked, Orders(predict=path, epochs=0))
            for index, message in self.wait(_ANSWER_SECS):
                if isinstance(message, Answer):
                    if index == asked:
                        return message.prediction
                    continue
                deaths += 1
                if deaths > 2 * len(self):
                    raise TrainingError(f"{path}: workers die of predicting: {message.reason}")
                self.replace(index)
                asked = None if index == asked else asked
        return None

    def _obituary(self, index: int) -> Died:
        process = self._processes[index]
        process.join(timeout=5)
        code = process.exitcode
        if code is not None and code < 0:
            return Died(f"killed by {signal.Signals(-code).name}")
        return Died(f"ended with exit code {code}")

    def replace(self, index: int) -> None:
        """Start a fresh process in a dead one's place."""
        self.idle.discard(index)
        self._connections[index].close()
        self._processes[index], self._connections[index] = self._start()

    def close(self) -> None:
        """End all workers, whatever they are at."""
        for process in self._processes:
            process.terminate()
        for process, connection in zip(self._processes, self._connections, strict=True):
            process.join(timeout=2)
            if process.is_alive():
                process.kill()
                process.join()
            connection.close()
        self._processes, self._connections = [], []


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
def _without_main() -> Iterator[None]:
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


def _work(connection: Connection, setup: WorkerSetup, with_library_warnings: bool) -> None:
    """A worker's life: answer each of the coordinator's orders; end when it is gone."""
    if with_library_warnings:
        show_library_warnings()
    with hidden_library_warnings():
        _obey(connection, setup)


def _obey(connection: Connection, setup: WorkerSetup) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    os.dup2(2, 1)  # what a model prints must not stand among what the command prints
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        engine = _build_engine(setup)
    except SweepError as error:
        connection.send(error)
        return
    except Exception as error:
        connection.send(TrainingError(f"a worker cannot start: {type(error).__name__}: {error}"))
        return
    answer = Answer(engine.lanes, [], [])
    while True:
        notes, engine.notes[:] = list(engine.notes), []
        try:
            connection.send(replace(answer, notes=notes, engine=engine.description))
            orders = connection.recv()
        except (EOFError, OSError):
            return
        prediction = None if orders.predict is None else _predict_test(orders.predict, setup)
        answer = Answer(engine.lanes, _carry_out(orders, engine), [], prediction)


def _carry_out(orders: Orders, engine: Engine) -> list[EpochResult | TrialError]:
    engine.expect(orders.expect)
    for save in orders.save:
        try:
            save_weights(save.path, engine.weights(save.number), save.about)
        except OSError as problem:  # the sweep's end trains them once more
            engine.notes.append(f"{save.path}: the weights cannot be written: {problem.strerror}")
    for number in orders.remove:
        engine.remove(number)
    results: list[EpochResult | TrialError] = []
    for spec in orders.add:
        try:
            engine.add(spec)
        except Exception as error:
            results.append(TrialError.of(spec.number, 0, error))
    started = time.monotonic()
    for _ in range(orders.epochs):
        results += engine.train_epoch()
        if time.monotonic() - started > _ANSWER_SECS:
            break
    return results


def _predict_test(path: Path, setup: WorkerSetup) -> Prediction | None:
    import torch

    from sweep.training.models import build_model, predict

    assert setup.data is not None
    x = torch.from_numpy(setup.data.x_test)
    values = torch.zeros(0)
    try:
        saved = torch.load(path, weights_only=True)
        if len(x):
            model = build_model(setup.model, x.shape[1], 0, setup.folders)
            model.load_state_dict(saved["state_dict"])
            model.eval()
            with torch.no_grad():
                values = predict(model, x)
        return Prediction(saved["trial"], saved["val_mse"], values.numpy())
    except Exception:  # half a file, or another model's: it is written again
        return None


def save_weights(path: Path, weights: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write `{"state_dict": weights, **about}` for `torch.load(path, weights_only=True)`."""
    import torch

    buffer = io.BytesIO()
    on_cpu = {name: value.cpu() for name, value in weights.items()}
    torch.save({"state_dict": on_cpu, **about}, buffer)
    write_whole(path, buffer.getvalue())


def _build_engine(setup: WorkerSetup) -> Engine:
    import torch

    from sweep.training.build import build_engine, build_loop_engine, check_schedule

    torch.set_num_threads(setup.loop.threads if setup.loop else 1)
    look_in(setup.folders)
    steps = NOMINAL_STEPS
    if setup.data:
        steps = setup.settings.horizon(len(setup.data.x_train))
    elif setup.loop and setup.loop.horizon:
        steps = setup.loop.horizon
    for schedule in setup.custom:
        check_schedule(schedule, steps)
    if setup.loop:
        return build_loop_engine(setup.loop, setup.folders)
    assert setup.data is not None
    return build_engine(
        setup.data, setup.model, setup.folders, setup.settings, setup.engine, setup.lanes
    )


def _end_with_parent() -> None:
    """End this process when the coordinator's has ended, even by kill -9."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
