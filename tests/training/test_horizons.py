"""A trial with a horizon of its own: what it gives is what a study of so many epochs gives."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import commands
import loops
import pytest
import torch
from twins import CONFIGS, KERNELS, Kernel, assert_same, builder, make_data, settings, spec, train

from sweep.schedules.schedule import SHAPES, Schedule
from sweep.training.contract import (
    Engine,
    EpochResult,
    TrainingSettings,
    TrialEnd,
    TrialNews,
    TrialSpec,
    steps_over,
)
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.sequential import SequentialEngine

ENGINES = ("sequential", *KERNELS)


def engine_of(kind: str, shared: TrainingSettings) -> Engine:
    build = builder(CONFIGS["order-pre"])
    if kind == "sequential":
        return SequentialEngine(make_data(), build, shared)
    kernel: Kernel = "native" if kind == "native" else "eager"
    return VectorizedEngine(make_data(), build, shared, kernel=kernel)


def course(shared: TrainingSettings, given: TrialSpec, epochs: int) -> list[EpochResult]:
    """A trial's epochs in the sequential engine."""
    engine = engine_of("sequential", shared)
    engine.add(given)
    return [result for _ in range(epochs) for result in train(engine)]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", ENGINES)
def test_lanes_of_several_horizons_train_as_studies_of_so_many_epochs(kind: str) -> None:
    """One audition ends while others train on; a whole trial takes its place, under its number."""
    shared = replace(settings(), epochs=6)
    horizons = {0: 2, 1: 3, 2: None, 3: 1}
    names = ("cosine", "plateau", "onecycle", "linear")
    specs = {
        number: replace(spec(number, number % 3, Schedule(name, 0.02)), epochs=horizons[number])
        for number, name in enumerate(names)
    }
    engine = engine_of(kind, shared)
    for one in specs.values():
        engine.add(one)
    found: dict[int, list[EpochResult]] = {number: [] for number in specs}
    whole: list[EpochResult] = []
    for _ in range(8):
        for result in train(engine):
            is_whole = result.number == 0 and len(found[0]) == 2
            (whole if is_whole else found[result.number]).append(result)
        for number, results in found.items():
            if len(results) == (horizons[number] or 6) and not (number == 0 and whole):
                engine.remove(number)
                if number == 0:
                    engine.add(replace(specs[0], epochs=None))
    for number, given in specs.items():
        epochs = horizons[number] or 6
        study = replace(shared, epochs=epochs)
        assert_same(found[number], course(study, replace(given, epochs=None), epochs))
    assert_same(whole, course(shared, replace(specs[0], epochs=None), 6))


@pytest.mark.parametrize("scheduler", SHAPES)
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
def test_every_schedule_fits_into_a_few_steps(scheduler: str, steps: int) -> None:
    shape = SHAPES[scheduler]
    for warmup in (0.0, 0.1, 0.3) if shape.uses_warmup else (0.0,):
        for decay in (1e-4, 0.5):
            given = Schedule(
                scheduler, 0.1, decay=decay if shape.uses_decay else 1.0, warmup=warmup
            )
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
            attached = given.attach(optimizer, total_steps=steps)
            for _ in range(steps):
                rate = optimizer.param_groups[0]["lr"]
                assert math.isfinite(rate) and 0 <= rate <= 0.1 * (1 + 1e-9)
                optimizer.step()
                attached.step(*[1.0] * (scheduler == "plateau"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("horizon", "every", "steps"),
    [(None, None, None), (640, 20, 40), (640, None, 40), (35, 20, 35)],
)
def test_steps_over_a_part_of_the_epochs(
    horizon: int | None, every: int | None, steps: int | None
) -> None:
    assert steps_over(2, horizon, every, 32) == steps


BY_STEPS_PER_EPOCH = "schedule.attach(optimizer, steps_per_epoch=10)"
FORMS = {
    "steps_per_epoch": BY_STEPS_PER_EPOCH,
    "total_steps": "schedule.attach(optimizer, total_steps=10 * epochs)",
    "epochs": "schedule.attach(optimizer, steps_per_epoch=10, epochs=epochs)",
    "horizon": "schedule.attach(optimizer)",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_loop_of_a_shorter_horizon(form: str, tmp_path: Path) -> None:
    code = loops.LINE.replace(BY_STEPS_PER_EPOCH, FORMS[form])
    given = {"horizon": 160, "evaluate_every": 10} if form == "horizon" else {}
    engine = loops.engine_of(tmp_path, code, epochs=16, **given)
    engine.add(replace(loops.spec(), epochs=2))
    found = loops.train(engine, 2)
    assert {result.total_steps for result in found} == {20}
    short = {**given, "horizon": 20} if given else {}
    alone = loops.engine_of(tmp_path, code, epochs=2, **short)
    alone.add(loops.spec())
    for one, other in zip(found, loops.train(alone, 2), strict=True):
        assert (one.value, one.lr_first, one.lr_last) == (
            other.value,
            other.lr_first,
            other.lr_last,
        )
    assert engine.notes == alone.notes


def test_a_loop_is_told_its_horizon(tmp_path: Path) -> None:
    code = loops.LINE.replace("*, epochs, seed, device", "*, epochs, seed, horizon, evaluate_every")
    code = code.replace(
        "    x = torch",
        "    assert (epochs, horizon, evaluate_every) == (2, 20, 10)\n    x = torch",
    )
    engine = loops.engine_of(tmp_path, code, epochs=16, horizon=160, evaluate_every=10)
    engine.add(replace(loops.spec(), epochs=2))
    assert len(loops.train(engine, 2)) == 2


def test_rates_by_hand_are_those_of_the_horizon(tmp_path: Path) -> None:
    code = (
        "def train(schedule, epochs):\n"
        "    rates = schedule.rates(4 * epochs)\n"
        "    for epoch in range(epochs):\n"
        "        yield float(rates[4 * epoch + 3])\n"
    )
    engine = loops.engine_of(tmp_path, code, epochs=32)
    engine.add(replace(loops.spec(), epochs=2))
    found = loops.train(engine, 2)
    rates = loops.spec().schedule.rates(8)
    assert [result.value for result in found] == pytest.approx([rates[3], rates[7]])
    assert [result.lr_first for result in found] == pytest.approx([rates[0], rates[4]])
    assert found[-1].total_steps == 8


FOLDER = """
def train(schedule, epochs, trial, state=None):
    rates = schedule.rates(4 * epochs)
    kept = trial.folder / "kept.txt"
    left = kept.exists()
    for epoch in range(state or 0, epochs):
        kept.write_text(f"{epoch + 1} of {epochs}")
        yield {"val_mse": 1.0 / (epoch + 1), "state": epoch + 1, "left": int(left)}
    kept.write_text("after the last epoch")
"""


def test_nothing_of_an_audition_is_left(tmp_path: Path) -> None:
    """Neither its folder nor its state, before its worker hears that it is over."""
    places = {"folders": tmp_path / "trials", "checkpoints": tmp_path / "checkpoints"}
    engine = loops.engine_of(tmp_path, FOLDER, epochs=16, **places)
    engine.add(replace(loops.spec(), epochs=2))
    found = loops.train(engine, 2)
    assert [result.value for result in found] == [1.0, 0.5]
    assert not (tmp_path / "trials/0").exists()
    other = loops.engine_of(tmp_path, FOLDER, epochs=16, **places)  # of another worker
    other.add(loops.spec())
    assert loops.train(other, 3)[0].metrics == {"left": 0.0}
    engine.remove(0)
    assert (tmp_path / "trials/0/kept.txt").read_text() == "3 of 16"
    loops.train(other, 13)
    other.remove(0)
    assert (tmp_path / "trials/0/kept.txt").read_text() == "after the last epoch"
    assert (tmp_path / "trials/0/state.pt").exists()


@pytest.mark.parametrize("first", [2, None])
def test_a_state_is_that_of_its_horizon(first: int | None, tmp_path: Path) -> None:
    """An interrupted audition and the whole trial do not take each other's states."""
    places = {"folders": tmp_path / "trials", "checkpoints": tmp_path / "checkpoints"}
    killed = loops.engine_of(tmp_path, FOLDER, epochs=16, **places)
    killed.add(replace(loops.spec(), epochs=first))
    loops.train(killed, 1)
    assert len([*(tmp_path / "checkpoints").iterdir()]) == 1
    second = None if first else 2
    other = loops.engine_of(tmp_path, FOLDER, epochs=16, **places)
    other.add(replace(loops.spec(), epochs=second))
    assert other.notes == []
    assert loops.train(other, 1)[0].epoch == 1
    again = loops.engine_of(tmp_path, FOLDER, epochs=16, **places)
    again.add(replace(loops.spec(), epochs=first))
    assert again.notes == ["trial 0 goes on after its epoch 1"]
    assert [result.epoch for result in loops.train(again, 1)] == [1, 2]


RETURNS = """
def train(schedule, epochs, trial):
    (trial.folder / "model.txt").write_text("a model")
    rates = schedule.rates(4 * epochs)
    return 1.0 / epochs
"""
STOPS = """
def train(schedule, epochs, trial):
    (trial.folder / "model.txt").write_text("a model")
    rates = schedule.rates(4 * epochs)
    yield 1.0 / epochs
"""


@pytest.mark.parametrize("code", [RETURNS, STOPS])
def test_an_audition_that_ends_before_its_horizon_leaves_nothing(code: str, tmp_path: Path) -> None:
    engine = loops.engine_of(tmp_path, code, epochs=48, folders=tmp_path / "trials")
    engine.add(replace(loops.spec(), epochs=3))
    news = [each for _ in range(2) for each in engine.train_epoch()]
    results = [each for each in news if isinstance(each, EpochResult)]
    assert [result.value for result in results] == [pytest.approx(1 / 3)]
    assert len(news) == 2
    assert not (tmp_path / "trials/0").exists()
    engine.add(loops.spec())
    [each for _ in range(2) for each in engine.train_epoch()]
    assert (tmp_path / "trials/0/model.txt").exists()


SCRIPT = """
import sweep
trial = sweep.current_trial()
print(trial.epochs, trial.horizon, trial.seed)
rates = trial.schedule.rates(trial.epochs * 4)
print("found", *sorted(path.name for path in trial.folder.iterdir()))
for epoch in range(trial.epochs):
    trial.checkpoint.write_text("a checkpoint")
    trial.report(float(rates[-1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True])
def test_a_command_of_a_shorter_horizon(keep: bool, tmp_path: Path) -> None:
    """What its audition has left in the folder is not seen by the whole training."""
    log = tmp_path / "trials/0/log.txt"
    with commands.engine_of(tmp_path, SCRIPT, epochs=32, horizon=128, keep=keep) as engine:
        engine.add(replace(commands.spec(), epochs=2))
        news = engine.train_epoch() + engine.train_epoch()
        rates = commands.spec().schedule.rates(8)
        assert commands.values(news) == pytest.approx([rates[-1]] * 2)
        assert {each.total_steps for each in news if isinstance(each, EpochResult)} == {8}
        assert log.exists() is keep
        if keep:
            assert log.read_text().splitlines()[0] == "2 8 3"
        engine.remove(0)
        engine.add(commands.spec())
        assert len(commands.values(engine.train_epoch())) == 1
        assert log.read_text().splitlines() == ["32 128 3", "found log.txt trial.json"]
        assert not any("goes on" in note for note in engine.notes)


@pytest.mark.slow
def test_a_script_that_reports_once_is_heard_at_its_horizon(tmp_path: Path) -> None:
    code = (
        "import sweep\ntrial = sweep.current_trial()\n"
        "rates = trial.schedule.rates(trial.epochs * 4)\ntrial.report(1 / trial.epochs)\n"
    )
    with commands.engine_of(tmp_path, code, epochs=48) as engine:
        for epochs in (3, None):
            engine.add(replace(commands.spec(), epochs=epochs))
            news: list[TrialNews] = []
            while not news or not isinstance(news[-1], TrialEnd):
                news += engine.train_epoch()
            result, _ = news
            assert isinstance(result, EpochResult)
            # what the first trial reports is not known to be all of it
            assert (result.epoch, result.total_steps) == ((1, 12) if epochs else (48, 192))
            assert result.value == pytest.approx(1 / (epochs or 48))
