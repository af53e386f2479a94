"""Recorded steps of lanes against the sequential engine.

Without a GPU the operations of a step are recorded by `make_fx`: as in a CUDA graph, numbers of
Python's are those of the recording for ever, and tensors are those that were there then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from twins import (
    CONFIGS,
    EPOCHS,
    FEATURES,
    OPTIMIZERS,
    ZOO,
    Kernel,
    assert_same,
    assert_same_courses,
    builder,
    make_data,
    own,
    settings,
    spec,
    train,
)

from sweep.schedules.schedule import Schedule
from sweep.training.contract import ModelBuilder, OptimizerSettings, TrialError
from sweep.training.lanes import kernel_choice
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.lanes.stacked_model import StackedModel
from sweep.training.sequential import SequentialEngine

CAPTURED: tuple[Kernel, ...] = ("captured",)


def normed() -> nn.Module:
    return nn.Sequential(
        *[nn.Linear(FEATURES, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2)],
        nn.Linear(6, 1),
    )


class Recorder:
    """Keeps what it is given, or records it by `make_fx`; counts recordings and replays.

    Args:
        traces: Which of the two.
    """

    def __init__(self, traces: bool) -> None:
        self._traces = traces
        self.recordings = 0
        self.replays = 0

    def __call__(self, function: Callable[[], None]) -> Callable[[], Any]:
        self.recordings += 1
        for _ in range(3):
            function()

        def nothing_returned() -> tuple[()]:
            function()
            return ()

        graph = make_fx(nothing_returned)() if self._traces else function

        def replay() -> None:
            self.replays += 1
            graph()

        return replay


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Recorder:
    made = Recorder(traces=False)
    monkeypatch.setattr(kernel_choice, "run_again", made)
    return made


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Recorder:
    made = Recorder(traces=True)
    monkeypatch.setattr(kernel_choice, "run_again", made)
    return made


MODELS: dict[str, ModelBuilder] = {
    "order-pre": builder(CONFIGS["order-pre"]),
    "mlp": builder(CONFIGS["mlp"]),
    "batch norm": own(normed),
    "conv2d": own(ZOO["conv2d"]),
    "attention": own(ZOO["attention"]),
}


TRACED = [
    ("order-pre", OPTIMIZERS["adamw"]),
    ("batch norm", OPTIMIZERS["nesterov"]),
    ("conv2d", OPTIMIZERS["adamw"]),
    ("attention", OPTIMIZERS["momentum"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "chosen"), TRACED)
def test_operations_that_are_recorded(
    tracer: Recorder, model: str, chosen: OptimizerSettings
) -> None:
    specs = [spec(n, n % 3, Schedule("cosine", 0.01 / (n + 1)), chosen) for n in range(5)]
    arrivals, departures = {0: specs[:4], 2: specs[4:]}, {2: [0], 3: [2], 4: [1]}
    shared = settings(50, clip=1.0)
    assert_same_courses(MODELS[model], arrivals, shared, departures=departures, kernels=CAPTURED)
    assert tracer.recordings == 2 * 4  # of four lanes and, in the end, of one


def test_lanes_come_and_go(recorder: Recorder) -> None:
    chosen = OPTIMIZERS["adamw"]
    specs = [spec(n, n % 3, Schedule("cosine", 0.01 / (n + 1)), chosen) for n in range(9)]
    arrivals = {0: specs[:3], 1: specs[3:5], 2: specs[5:]}
    departures = {1: [0], 2: [2, 3], 3: [1, 6, 8]}
    assert_same_courses(
        MODELS["batch norm"], arrivals, settings(), departures=departures, kernels=CAPTURED, lanes=2
    )
    assert recorder.replays > recorder.recordings > 0


@pytest.mark.parametrize("batch_size", [7, 40, 119, None])
def test_the_last_batch_has_its_own_weight(recorder: Recorder, batch_size: int | None) -> None:
    specs = [spec(0), spec(1, 5), spec(2, 5, Schedule("plateau", 0.05))]
    assert_same_courses(
        builder(CONFIGS["order-pre"]), {0: specs}, settings(batch_size), kernels=CAPTURED
    )


@pytest.mark.parametrize("optimizer", ["momentum", "rmsprop"])
def test_lanes_that_share_a_course(recorder: Recorder, optimizer: str) -> None:
    chosen = OPTIMIZERS[optimizer]
    specs = [spec(n, 7, Schedule("linear", 0.01 / (n + 1)), chosen) for n in range(3)]
    later = [spec(3, 7, None, chosen)]
    assert_same_courses(
        builder(CONFIGS["mlp"]), {0: specs, 1: later}, settings(), kernels=CAPTURED, lanes=2
    )


def test_sizes_are_powers_of_two_that_are_recorded_once(recorder: Recorder) -> None:
    engine = VectorizedEngine(make_data(), MODELS["mlp"], settings(), kernel="captured", lanes=8)
    kinds = 4  # of steps whole batches and the last one; of validations weights and averages
    seen = set()
    for count in (5, 6, 8, 7, 3, 5, 4, 6, 1, 2, 8):
        for number in range(8):
            engine.remove(number)
        for number in range(count):
            engine.add(spec(number, number))
        train(engine)
        seen.add(1 << (count - 1).bit_length())
        assert recorder.recordings == kinds * len(seen)


@pytest.mark.parametrize("groups", [1, 2])
def test_groups_of_lanes(recorder: Recorder, groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.training.lanes.captured.CapturedTrainer.group", lambda _: groups)
    specs = [spec(n, n) for n in range(5)]
    assert_same_courses(
        MODELS["batch norm"], {0: specs}, settings(), departures={1: [1]}, kernels=CAPTURED, lanes=4
    )


def test_momentum_that_comes_and_goes(recorder: Recorder) -> None:
    plain, heavy = spec(0, 1), spec(1, 2, None, OPTIMIZERS["momentum"])
    assert_same_courses(
        MODELS["mlp"], {0: [plain], 1: [heavy]}, settings(), departures={3: [1]}, kernels=CAPTURED
    )


@pytest.mark.parametrize("objective", ["best", "averaged"])
def test_weights_are_those_of_the_objective(recorder: Recorder, objective: Any) -> None:
    shared = replace(settings(), objective=objective)
    specs = [spec(0, 0, Schedule("exponential", 0.5)), spec(1, 1)]
    assert_same_courses(MODELS["batch norm"], {0: specs}, shared, kernels=CAPTURED)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_goes_on_where_recording_fails(
    at: int, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    """At the first recording or a later one; what was trained meanwhile is undone."""
    calls = []

    def fails(function: Callable[[], None]) -> Callable[[], Any]:
        calls.append(function)
        function()
        if len(calls) == at:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        function()
        return function

    monkeypatch.setattr(kernel_choice, "run_again", fails)
    data, build = make_data(), MODELS["batch norm"]
    engine = VectorizedEngine(data, build, settings(), kernel="captured")
    twin = SequentialEngine(data, build, settings())
    for each in (engine, twin):
        for number in range(3):
            each.add(spec(number, number, None, OPTIMIZERS["adamw"]))
    for _ in range(EPOCHS):
        assert_same(train(engine), train(twin))
    assert engine.notes == [
        "training is slower than it could be, since its step cannot be recorded as a CUDA graph: "
        "RuntimeError: operation not permitted when stream is capturing"
    ]
    assert len(calls) == at


@pytest.mark.parametrize("kernel", ["eager", "captured"])
@pytest.mark.parametrize("at", [0, 3, 5, 20])
def test_an_allocation_that_fails_halves_the_lanes(
    kernel: Kernel, at: int, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of an epoch, or in its validation; nothing is lost, nor trained twice."""
    calls = 0
    losses, sums = StackedModel.losses, StackedModel.sums

    def limited(function: Any) -> Any:
        def call(stacked: StackedModel, flat: Tensor, *rest: Tensor, **how: bool) -> Tensor:
            nonlocal calls
            calls += 1
            if calls > at and len(flat) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            result: Tensor = function(stacked, flat, *rest, **how)
            return result

        return call

    data, build = make_data(), MODELS["batch norm"]
    engine = VectorizedEngine(data, build, settings(), kernel=kernel)
    twin = SequentialEngine(data, build, settings())
    monkeypatch.setattr(StackedModel, "losses", limited(losses))
    monkeypatch.setattr(StackedModel, "sums", limited(sums))
    for each in (engine, twin):
        for number in range(7):
            each.add(spec(number, number, None, OPTIMIZERS["momentum"]))
    for _ in range(EPOCHS):
        assert_same(train(engine), train(twin))
    assert engine.notes == [
        f"memory did not suffice for {more} trials at once: there are {fewer} trials from now on"
        for more, fewer in ((7, 4), (4, 2))
    ]


def test_memory_that_does_not_suffice_for_one_lane_is_its_error(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    engine = VectorizedEngine(make_data(), MODELS["mlp"], settings(), kernel="captured")
    monkeypatch.setattr(StackedModel, "losses", fails)
    for number in range(2):
        engine.add(spec(number))
    for error in engine.train_epoch():
        assert isinstance(error, TrialError)
        assert error.error == "OutOfMemoryError: CUDA out of memory"
