"""The vectorised engine against its sequential twin, and what only it has."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from twins import (
    CONFIGS,
    EPOCHS,
    KERNELS,
    MSE_ALONE,
    OPTIMIZERS,
    SGD,
    ZOO,
    Kernel,
    assert_same,
    assert_same_courses,
    assert_same_weights,
    builder,
    make_data,
    own,
    settings,
    spec,
    train,
)

from sweep.base.errors import TrainingError
from sweep.schedules.schedule import SHAPES, Schedule
from sweep.study.registries.models import MODELS
from sweep.study.sections import ModelConfig
from sweep.training.contract import (
    EpochResult,
    ModelBuilder,
    OptimizerSettings,
    TrainingSettings,
    TrialSpec,
)
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.lanes.lane_count import default_lanes
from sweep.training.lanes.survey import survey
from sweep.training.sequential import SequentialEngine

pytestmark = pytest.mark.usefixtures("one_thread")


SCHEDULES = [
    *(("linear", scheduler) for scheduler in SHAPES),
    *((model, scheduler) for model in MODELS for scheduler in ("cosine", "plateau")),
]
"""All rates but those of plateau are known before the first step, so one model tests them."""


@pytest.mark.slow
@pytest.mark.parametrize(("model", "scheduler"), dict.fromkeys(SCHEDULES))
def test_models_and_schedules(model: str, scheduler: str) -> None:
    warmup = 0.2 if SHAPES[scheduler].uses_warmup else 0.0
    specs = [
        spec(0, 3, Schedule(scheduler, 0.05)),
        spec(1, 3, Schedule(scheduler, 0.02, warmup=warmup)),
        spec(2, 4, Schedule("constant", 0.01)),
    ]
    assert_same_courses(builder(CONFIGS[model]), {0: specs}, settings(), kernels=KERNELS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_models_and_optimizers(model: str, optimizer: str) -> None:
    settled = OPTIMIZERS[optimizer]
    less = {"momentum": settled.arguments["momentum"] / 2} if settled.name == "sgd" else {}
    other = OptimizerSettings(settled.name, **{**settled.arguments, **less, "weight_decay": 0.05})
    specs = [spec(0, 3, None, settled), spec(1, 3, None, other), spec(2, 4, None, settled)]
    assert_same_courses(builder(CONFIGS[model]), {0: specs}, settings(clip=0.7), kernels=KERNELS)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", (*KERNELS, "captured"))
@pytest.mark.parametrize("lanes", [37, 512])
def test_any_number_of_lanes(lanes: int, kernel: Kernel) -> None:
    """Some of them leave, and others come in their places."""
    data, shared = make_data(), settings()
    build = builder(ModelConfig(name="mlp", hidden=[8]))
    engine = VectorizedEngine(data, build, shared, lanes=lanes, kernel=kernel)
    assert engine.lanes == lanes
    for number in range(lanes):
        engine.add(spec(number, number))
    looked_at, odd = (0, lanes // 2, lanes - 1), range(1, lanes, 3)
    watched = {number: train_alone(build, shared, spec(number, number)) for number in looked_at}
    first = {result.number: result for result in train(engine)}
    assert len(first) == lanes
    for number in odd:
        engine.remove(number)
    for number in odd:
        engine.add(spec(lanes + number, number))
    second = {result.number: result for result in train(engine)}
    assert len(second) == lanes
    for number, courses in watched.items():
        assert_same([first[number]], courses[:1])
        again, later = (lanes + number, 0) if number in odd else (number, 1)
        ours, theirs = second[again], replace(courses[later], number=again)
        assert_same([ours], [theirs])


def train_alone(
    build: ModelBuilder, shared: TrainingSettings, trial: TrialSpec
) -> list[EpochResult]:
    engine = SequentialEngine(make_data(), build, shared)
    engine.add(trial)
    return [result for _ in range(2) for result in train(engine)]


@pytest.mark.parametrize("batch_size", [7, 50, 150, 151, None])
def test_batch_sizes(batch_size: int | None) -> None:
    specs = [spec(0), spec(1, 5)]
    assert_same_courses(
        builder(CONFIGS["order-pre"]), {0: specs}, settings(batch_size), kernels=KERNELS
    )


@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
def test_lanes_come_and_go(optimizer: str) -> None:
    chosen = OPTIMIZERS[optimizer]
    specs = [spec(n, n % 3, Schedule("linear", 0.01 / (n + 1)), chosen) for n in range(8)]
    arrivals = {0: specs[:3], 1: specs[3:4], 2: specs[4:6], 3: specs[6:]}
    departures = {2: [0], 3: [3, 5]}
    assert_same_courses(
        builder(CONFIGS["mlp"]),
        arrivals,
        settings(),
        departures=departures,
        lanes=2,
        kernels=KERNELS,
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_trial_takes_the_same_course_alone_and_beside_others(kernel: Kernel) -> None:
    build, data = builder(CONFIGS["order-pre"]), make_data()
    alone = VectorizedEngine(data, build, settings(), kernel=kernel)
    among = VectorizedEngine(data, build, settings(), kernel=kernel)
    among.add(spec(0, 9, Schedule("constant", 0.01)))
    train(among)
    for engine in (alone, among):
        engine.add(spec(1, 7))
    for number in (2, 3):
        among.add(spec(number, 7, Schedule("step", 0.5)))
    for _ in range(EPOCHS):
        expected = train(alone)
        assert_same([r for r in among.train_epoch() if r.number == 1], expected)  # type: ignore[misc]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_diverging_lane_stays_alone(kernel: Kernel) -> None:
    build, data = builder(CONFIGS["order-pre"]), make_data()
    calm, beside = (VectorizedEngine(data, build, settings(), kernel=kernel) for _ in range(2))
    calm.add(spec(1))
    beside.add(spec(0, 0, Schedule("constant", 1e6)))
    beside.add(spec(1))
    for _ in range(EPOCHS):
        (expected,) = train(calm)
        wild, same = train(beside)
        assert_same([same], [expected])
    assert not math.isfinite(wild.value)
    assert_same_weights(beside, calm, 1)
    for number in (0, 1):
        beside.remove(number)
    beside.add(spec(2))
    fresh = SequentialEngine(data, build, settings())
    fresh.add(spec(2))
    assert_same(train(beside), train(fresh))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("objective", ["best", "final", "averaged"])
def test_weights_are_those_of_the_objective(objective: str, kernel: Kernel) -> None:
    shared = replace(settings(), objective=objective)  # type: ignore[arg-type]
    build, data = builder(CONFIGS["linear"]), make_data()
    engine, twin = (
        VectorizedEngine(data, build, shared, kernel=kernel),
        SequentialEngine(data, build, shared),
    )
    for each in (engine, twin):
        each.add(spec(0, 0, Schedule("exponential", 1.1)))
        assert_same_weights(engine, twin, 0) if each is twin else None
    for _ in range(EPOCHS):
        engine.train_epoch()
        twin.train_epoch()
        assert_same_weights(engine, twin, 0)


def test_another_optimizer_beside_is_refused() -> None:
    engine = VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings())
    engine.add(spec(0))
    with pytest.raises(TrainingError, match="same optimizer, but got 'adam' beside 'sgd'"):
        engine.add(spec(1, 0, None, OPTIMIZERS["adam"]))
    assert [result.number for result in train(engine)] == [0]
    engine.remove(0)
    engine.add(spec(3, 0, None, OPTIMIZERS["adam"]))
    assert [result.number for result in train(engine)] == [3]


@pytest.mark.parametrize("name", ZOO)
def test_layer_zoo(name: str) -> None:
    specs = [spec(0), spec(1, 4), spec(2, 4, Schedule("step", 0.02))]
    assert_same_courses(own(ZOO[name]), {0: specs}, settings())


COMPILES = pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")


@pytest.mark.slow
@COMPILES
def test_compiled_steps() -> None:
    specs = [spec(0), spec(1, 4), spec(2, 4, Schedule("step", 0.02), SGD)]
    arrivals = {0: specs, 1: [spec(3)]}  # four lanes are trained uncompiled
    compiled: list[Kernel] = ["compiled"]
    assert_same_courses(own(ZOO["residual"]), arrivals, settings(), kernels=compiled)


@COMPILES
def test_compiles_when_enough_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []

    def compile(step: Any, **_: object) -> Any:
        compiled.append(step)
        return step

    monkeypatch.setattr(torch, "compile", compile)
    engine = VectorizedEngine(make_data(), own(ZOO["residual"]), settings())
    engine.add(spec(0))
    for expected, times in ((0, 0), (10, 0), (10**7, 0), (10**7, 1), (10**7, 1)):
        engine.expect(expected)
        train(engine)
        assert len(compiled) == times


@pytest.mark.parametrize(
    ("fault", "note"), [("raises", "RuntimeError: no compiler"), ("differs", "compiled results")]
)
def test_goes_on_when_compiling_fails(
    fault: str, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(parameters: Tensor, *_: object) -> tuple[Tensor, Tensor]:
        if fault == "raises":
            raise RuntimeError("no compiler\nand more")
        return parameters[:, 0], parameters

    monkeypatch.setattr(torch, "compile", lambda *_, **__: step)
    data, build = make_data(), builder(CONFIGS["mlp"])
    engine = VectorizedEngine(data, build, settings(), kernel="compiled")
    twin = SequentialEngine(data, build, settings())
    for each in (engine, twin):
        each.add(spec(0))
    assert_same(train(engine), train(twin))
    assert len(engine.notes) == 1
    assert engine.notes[0].startswith(f"training goes on uncompiled: {note}")


def test_lanes_suit_model_batch_and_rows() -> None:
    def lanes(rows: int, batch_size: int | None, kernel: Kernel) -> int:
        data, config = make_data(rows), builder(CONFIGS["order-pre"])
        known = survey(config, data.x_train, data.y_train, MSE_ALONE)
        return default_lanes(data, settings(batch_size), known, kernel, products=6_498)

    assert lanes(8_000, 64, "eager") == 64
    assert 8 <= lanes(8_000, 256, "eager") <= 64
    assert lanes(8_000, None, "eager") == 2
    assert lanes(400, 64, "native") == 16
    assert lanes(50_000, 64, "native") < 8
    engine = VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings(), lanes=3)
    assert engine.lanes == 3
