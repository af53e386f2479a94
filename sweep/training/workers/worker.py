"""A worker's life: build an engine, carry out orders, answer."""

from __future__ import annotations

import ctypes
import gc
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
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.base.errors import ScheduleError, SweepError, TrainingError
from sweep.base.library_warnings import hidden_library_warnings, show_library_warnings
from sweep.base.user_code import as_a_script, look_in
from sweep.base.wording import counted
from sweep.training.contract import TrialError, TrialNews

if TYPE_CHECKING:  # the coordinator's side starts without torch
    from sweep.schedules.schedule import Schedule
    from sweep.training.contract import Engine
from sweep.training.workers.messages import (
    Answer,
    Compiling,
    Orders,
    Prediction,
    WorkerSetup,
)

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of `mallopt`, as malloc.h of the GNU C library has them."""


def work(
    connection: Connection, setup: WorkerSetup, index: int, with_library_warnings: bool
) -> None:
    """A worker's life: answer each of the coordinator's orders; end when it is gone."""
    if with_library_warnings:
        show_library_warnings()
    with hidden_library_warnings():
        _obey(connection, setup, index)


def _obey(connection: Connection, setup: WorkerSetup, index: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # what is started here is ended with this process
    if setup.loop:
        signal.signal(signal.SIGTERM, _leave)
    log = _redirect_output(setup.log_of(index))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with as_a_script(setup.loop.reference, setup.folders) if setup.loop else nullcontext():
        _serve(connection, setup, index, log)


def _leave(signum: int, frame: Any) -> None:
    """Leave the loop as any program is left, so that it can close what it has opened."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(1)


def _redirect_output(log: Path | None) -> Path | None:
    """Let what is printed here not stand among what the command prints.

    Returns:
        The log, if there is one and it can be written.
    """
    try:
        if log is None:
            raise FileNotFoundError
        log.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:
        os.dup2(2, 1)
        return None
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    for text in (sys.stdout, sys.stderr):
        if isinstance(text, io.TextIOWrapper):
            text.reconfigure(line_buffering=True)  # a log has what was printed before a kill
    return log


def _serve(connection: Connection, setup: WorkerSetup, index: int, log: Path | None) -> None:
    """Build the engine, then carry out orders as they come."""
    try:
        engine = _build_engine(setup, connection, index)
    except SweepError as error:
        connection.send(error)
        return
    except Exception as error:
        problem = TrainingError(f"a worker cannot start: {type(error).__name__}: {error}")
        problem.add_note(traceback.format_exc())  # it would not get to the coordinator else
        connection.send(problem)
        return
    try:
        _answer(connection, setup, engine, log)
    finally:
        if setup.loop:
            engine.close()  # type: ignore[attr-defined]


def _answer(connection: Connection, setup: WorkerSetup, engine: Engine, log: Path | None) -> None:
    """Carry out orders until the coordinator has gone."""
    answer = Answer(engine.lanes, [], [])
    while True:
        notes, engine.notes[:] = list(engine.notes), []
        if log is not None and log.stat().st_size:
            folder = log.parent
            shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
            notes.append(f"what the loop prints is in {shown}, a file a worker")
            log = None  # once is enough
        try:
            connection.send(replace(answer, notes=notes, engine=engine.description))
            orders = connection.recv()
        except (EOFError, OSError):
            return
        prediction = None if orders.predict is None else predict_test(orders.predict, setup)
        answer = Answer(engine.lanes, _carry_out(orders, engine, setup.answer_secs), [], prediction)


def _carry_out(orders: Orders, engine: Engine, answer_secs: float) -> list[TrialNews]:
    engine.expect(orders.expect)
    if orders.save:
        from sweep.training.saved.model import save_weights
    for save in orders.save:
        try:
            save_weights(save.path, engine.weights(save.number), save.about)
        except OSError as problem:  # the sweep's end trains them once more
            engine.notes.append(f"{save.path}: the weights cannot be written: {problem.strerror}")
    for number in orders.remove:
        engine.remove(number)
    results: list[TrialNews] = []
    for spec in orders.add:
        try:
            engine.add(spec)
        except Exception as error:
            results.append(TrialError.of(spec.number, 0, error))
    started = time.monotonic()
    for _ in range(orders.epochs):
        results += engine.train_epoch()
        if time.monotonic() - started > answer_secs:
            break
    return results


def predict_test(path: Path, setup: WorkerSetup) -> Prediction | None:
    """What a saved model says of the test rows; None if the file cannot be used."""
    import torch

    from sweep.training.build import training_data
    from sweep.training.criterion import Criterion
    from sweep.training.saved.model import ModelFile

    assert setup.data is not None
    criterion = Criterion.of(setup.settings, training_data(setup.data, torch.device("cpu")))
    x, y = setup.data.x_test, torch.from_numpy(setup.data.y_test)
    values, scores = torch.zeros(0).numpy(), dict[str, float]()
    try:
        file = ModelFile.read(path)
        if len(x):
            model = file.load(setup.folders)
            outputs = model.outputs(x)
            values, scores = model.predicted(outputs), criterion.means(outputs, y)
        metric = setup.settings.measure.name
        return Prediction(file.contents.trial, file.saved[metric], values, scores)
    except Exception:  # half a file, or another model's: it is written again
        return None


@contextmanager
def _compiling(connection: Connection) -> Iterator[None]:
    """Inside this context the coordinator knows that a compiler is at work, which may hang."""
    connection.send(Compiling(begins=True))
    try:
        yield
    finally:
        connection.send(Compiling(begins=False))


def _build_engine(setup: WorkerSetup, connection: Connection, index: int) -> Engine:
    if setup.command:
        from sweep.training.own_command.engine import CommandEngine, end_on_signals

        engine = CommandEngine(setup.command, index)
        end_on_signals(engine)
        return engine
    import torch

    from sweep.training.build import build_engine, build_loop_engine, check_schedule

    setup = setup.on_device_of(index)
    if setup.devices and setup.settings.device.startswith("cuda"):
        torch.cuda.set_device(setup.settings.device)  # what says cuda, and no number, means it
    torch.set_num_threads(setup.loop.threads if setup.loop else 1)
    look_in(setup.folders)
    for schedule in setup.custom:
        for horizon in setup.horizons:
            check_schedule(schedule, horizon)
        for horizon in setup.audition_horizons:
            _check_audition(schedule, horizon)
    if setup.loop:
        loop_engine = build_loop_engine(setup.loop, setup.folders)
        gc.freeze()  # what is let go with each trial is looked for among what is newer
        return loop_engine
    assert setup.data is not None
    _keep_freed_memory()
    return build_engine(
        setup.data,
        setup.model,
        setup.folders,
        setup.settings,
        setup.engine,
        setup.lanes,
        lambda: _compiling(connection),
        setup.kinds,
        most=setup.most_lanes,
        measured=not setup.deterministic,
    )


def _keep_freed_memory() -> None:
    """Have what tensors let go be used again by the next ones, rather than by other programs.

    The C library gives memory of large tensors back at once, and fetching it again, page by page,
    takes up to a third of the time of a step of lanes.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _check_audition(schedule: Schedule, steps: int) -> None:
    """Try a schedule of the user's own over the few steps of an audition.

    Raises:
        ScheduleError: It does not fit into them.
    """
    from sweep.training.build import check_schedule

    try:
        check_schedule(schedule, steps)
    except ScheduleError as error:
        raise ScheduleError(
            f"{error}; so it is over the {counted(steps, 'step')} of an audition: let it fit into "
            "them, or do without auditions (--pruner halving)"
        ) from error


def _end_with_parent() -> None:
    """End this process when the coordinator's has ended, even by kill -9."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        if hasattr(os, "getpgrp") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)
