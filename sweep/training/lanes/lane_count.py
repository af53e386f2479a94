"""How many lanes an engine trains best at once; on a GPU, found by a short measurement."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from sweep.schedules.schedule import Schedule
from sweep.training.contract import (
    ModelBuilder,
    OptimizerSettings,
    TrainingData,
    TrainingSettings,
    TrialSpec,
)
from sweep.training.lanes.captured import CapturedTrainer, CudaGraphs
from sweep.training.lanes.eager import LaneTrainer
from sweep.training.lanes.kernel_choice import Kernel
from sweep.training.lanes.stack import Lane, LaneRates, LaneStack, OrdersAhead, plan_epoch
from sweep.training.lanes.stacked_model import StackedModel
from sweep.training.lanes.survey import Survey

FIRST, FACTOR, MOST = 16, 4, 1024
"""The lanes that are tried first, how many times more are tried next, and the most."""

_GROWTH = 1.2
"""How much faster each doubling of the lanes must be."""

_KEPT_FREE = 0.1
"""The share of what was free at first that is left to others, and to what is not foreseen."""

_MEASURED_STEPS = 24

_ORDERS = 2**27
"""Row indices in all lanes' orders: 512 MiB, as int32."""

_COPIES = 4
"""Of these orders on a GPU: this epoch's, the next one's, both in pieces and in a table."""

_CACHE_BYTES = 16 * 2**20
"""Activations of all lanes that stacked operations may go through in a step."""

_CALL_SECS = 0.02
"""What a worker should train between two messages at least, so that they cost little."""

_CALL_SHARE = 1 / 5
"""Of a trial: what is trained between two messages where a pruner decides at rungs."""

_MACS_PER_SEC = 5e10
_MOST_LANES = {"eager": 64, "compiled": 64, "native": 16, "captured": 64}


def default_lanes(
    data: TrainingData, settings: TrainingSettings, known: Survey, kernel: Kernel, products: int = 0
) -> int:
    """How many trials an engine trains best at once.

    Stacked operations gain from lanes until their activations leave the cache. On a GPU that is
    measured (`measured_lanes`) or, where it must not depend on timing, a fixed number. A native
    program gains nothing; it takes as many lanes as make a call worth its messages, since every
    trial in flight is one that the sampler has not learnt from.

    Args:
        data: The rows.
        settings: What all trials share.
        known: What a survey of the model has shown.
        kernel: What does the work.
        products: Of a native program: multiplications of weights in a row's forward pass.
    """
    rows = len(data.x_train)
    if kernel == "captured":
        return _MOST_LANES[kernel]
    if kernel == "native":
        secs = 3 * products * rows / _MACS_PER_SEC  # of an epoch
        call_secs = secs * max(settings.epochs * _CALL_SHARE, 1)
        return min(max(math.ceil(_CALL_SECS / call_secs), 1), _MOST_LANES[kernel])
    batch_size = min(settings.batch_size or rows, rows)
    step_bytes = 4 * (batch_size * known.floats_per_row + known.weights)
    return min(max(_CACHE_BYTES // step_bytes, 2), _MOST_LANES[kernel])


def measured_lanes(
    data: TrainingData,
    settings: TrainingSettings,
    build_model: ModelBuilder,
    stacked: StackedModel,
    known: Survey,
    most: int | None = None,
) -> int:
    """How many trials a CUDA device trains best at once, by its speed and its free memory.

    Args:
        data: The rows.
        settings: What all trials share.
        build_model: Builds the model.
        stacked: Its structure.
        known: What a survey of it has shown.
        most: More are not tried; a measurement takes a second.
    """
    device = data.x_train.device

    def build(few: TrainingData) -> LaneTrainer:
        graphs = CudaGraphs(device)
        return CapturedTrainer(few, settings, stacked, known.floats_per_row, graphs, lambda _: None)

    model = build_model(0).to(device)
    secs_of = epoch_secs(build, data, settings, stacked, model, known)
    rows = len(data.x_train)
    fitting = min(1 << ((most or MOST) - 1).bit_length(), MOST, _ORDERS // rows)
    count = lane_count(secs_of, lambda: free_memory(device), max(fitting, FIRST))
    del secs_of
    torch.cuda.empty_cache()
    return count


def lane_count(secs_of: Callable[[int], float], free: Callable[[], int], most: int = MOST) -> int:
    """The greatest number of lanes that pays, and that memory suffices for.

    Where FACTOR times as many as it has found do not pay, or do not fit, twice as many may.

    Args:
        secs_of: Trains so many lanes, and says how long an epoch of all takes; what it has
            allocated stays allocated until it is called again.
        free: The bytes of the device's memory that nobody has.
        most: More are not tried.

    Returns:
        1 if memory does not suffice for more.
    """
    at_first = free()
    chosen, fastest, taken = 1, 0.0, 0

    def pays(tried: int) -> bool:
        """Whether so many lanes fit and pay; they are chosen then."""
        nonlocal chosen, fastest, taken
        times = tried / chosen
        if tried > most or taken * times > at_first * (1 - _KEPT_FREE):
            return False
        try:
            speed = tried / secs_of(tried)
        except torch.OutOfMemoryError:
            return False
        if speed < _GROWTH ** math.log2(times) * fastest:
            return False
        chosen, fastest, taken = tried, speed, at_first - free()
        return True

    if not pays(FIRST):
        return chosen
    while pays(chosen * FACTOR):
        pass
    pays(chosen * 2)
    return chosen


def free_memory(device: torch.device) -> int:
    """The bytes of a GPU that no process has, as its driver says."""
    return torch.cuda.mem_get_info(device)[0]


def epoch_secs(
    build_trainer: Callable[[TrainingData], LaneTrainer],
    data: TrainingData,
    settings: TrainingSettings,
    stacked: StackedModel,
    model: nn.Module,
    known: Survey,
) -> Callable[[int], float]:
    """What measures how long an epoch of some lanes takes, by a few of its steps.

    Args:
        build_trainer: A trainer for other rows.
        data: The rows.
        settings: What all trials share.
        stacked: The model's structure.
        model: The model, on the device.
        known: What a survey of it has shown.
    """
    rows, device = len(data.x_train), data.x_train.device
    batch_size = min(settings.batch_size or rows, rows)
    steps = min(_MEASURED_STEPS, max(rows // batch_size, 1))
    few = replace(data, x_train=data.x_train[: steps * batch_size])
    few = replace(few, y_train=data.y_train[: steps * batch_size])
    spec = TrialSpec(0, 0, Schedule("constant", 1e-6), OptimizerSettings("adam"))
    held: list[object] = []  # what the last measurement has allocated

    def measured(count: int) -> float:
        held.clear()
        _return_memory(data)
        trainer = build_trainer(few)
        stack = LaneStack(stacked, spec.optimizer.name, count, device, known.changing)
        orders = torch.empty(_COPIES, count, rows, dtype=torch.int32, device=device)
        held.extend((trainer, stack, orders))
        lanes = [
            Lane(replace(spec, seed=lane), LaneRates(spec.schedule, 1, steps), stack.add(model))
            for lane in range(count)
        ]
        ahead = OrdersAhead(len(few.x_train), device)
        plan = plan_epoch(lanes, len(few.x_train), known.dropout_calls, steps, ahead)
        took = []
        for _ in range(2):  # the first one makes what the second one finds
            times = [_now(data)]
            trainer.train(stack, plan)
            times.append(_now(data))
            for averaged in (False, True):
                trainer.validate(stack, plan.lanes, averaged)
            times.append(_now(data))
            training, validation = times[1] - times[0], times[2] - times[1]
            took.append(training * rows / len(few.x_train) + validation)
        return took[-1]

    return measured


def _now(data: TrainingData) -> float:
    if data.x_train.is_cuda:
        torch.cuda.synchronize(data.x_train.device)
    return time.perf_counter()


def _return_memory(data: TrainingData) -> None:
    if data.x_train.is_cuda:
        torch.cuda.empty_cache()
