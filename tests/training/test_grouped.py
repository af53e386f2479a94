"""Trials of several optimizers and batch sizes in one engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from twins import some_dataset

from sweep.base.errors import ModelError
from sweep.schedules.schedule import Schedule
from sweep.study.sections import ModelConfig
from sweep.training.build import build_engine
from sweep.training.contract import (
    EngineName,
    EpochResult,
    OptimizerSettings,
    TrainingSettings,
    TrialError,
    TrialSpec,
)
from sweep.training.lanes.grouped import GroupedEngine
from sweep.training.specs import LaneKind

NORMED = """
from torch import nn

def build(features):
    return nn.Sequential(nn.Linear(features, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
"""
KINDS = [LaneKind(name, size) for name in ("sgd", "adamw") for size in (16, "full")]
MODEL = ModelConfig(name="mlp", hidden=[8])


def spec_of(number: int, kind: LaneKind) -> TrialSpec:
    schedule = Schedule("cosine", lr=0.02, decay=0.1)
    optimizer = OptimizerSettings(kind.optimizer)
    return TrialSpec(number, number, schedule, optimizer, batch_size=kind.batch_size)


def courses(engine: EngineName, together: bool) -> dict[int, list[EpochResult]]:
    """Three epochs of two trials of each kind, in one engine or each in its own."""
    settings, found = TrainingSettings(epochs=3), dict[int, list[EpochResult]]()
    specs = [spec_of(number, kind) for number, kind in enumerate([*KINDS, *KINDS[::-1]])]
    groups = [specs] if together else [[spec] for spec in specs]
    for group in groups:
        own = settings if together else settings.with_batches_of(group[0].batch_size)
        built = build_engine(
            some_dataset(), MODEL, (), own, engine, kinds=KINDS if together else ()
        )
        assert isinstance(built, GroupedEngine) == together
        for spec in group:
            built.add(spec)
        for _ in range(3):
            news = built.train_epoch()
            assert [one.number for one in news] == [spec.number for spec in group]
            for one in news:
                assert isinstance(one, EpochResult)
                found.setdefault(one.number, []).append(one)
    return found


def test_each_is_trained_as_if_it_were_alone() -> None:
    alone = courses("sequential", together=False)
    engines: tuple[EngineName, ...] = ("sequential", "vectorized")
    for engine in engines:
        both = courses(engine, together=True)
        for number, course in alone.items():
            for ours, theirs in zip(course, both[number], strict=True):
                assert theirs.value == pytest.approx(ours.value, rel=1e-4)
                assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-4)
                rates = (ours.lr_first, ours.lr_last)
                assert (theirs.lr_first, theirs.lr_last) == pytest.approx(rates, rel=1e-9)


def test_trials_come_and_go_and_kinds_are_built_when_they_are_needed() -> None:
    built: list[LaneKind] = []
    settings = TrainingSettings(epochs=9)

    def build(kind: LaneKind) -> object:
        built.append(kind)
        engine = build_engine(some_dataset(), MODEL, (), settings.with_batches_of(kind.batch_size))
        engine.notes.append("said once")
        return engine

    engine = GroupedEngine(build, KINDS[0])  # type: ignore[arg-type]
    assert built == KINDS[:1] and engine.notes == ["said once"]
    for number, kind in enumerate((KINDS[3], KINDS[0], KINDS[3])):
        engine.add(spec_of(number, kind))
    assert built == [KINDS[0], KINDS[3]] and engine.notes == ["said once"]
    engine.train_epoch()
    engine.remove(0)
    engine.remove(0)
    assert [one.number for one in engine.train_epoch()] == [1, 2]
    assert engine.weights(1).keys() == engine.weights(2).keys()
    engine.remove(2)
    assert [one.number for one in engine.train_epoch()] == [1]


NORMED = """
from torch import nn

def build(features):
    return nn.Sequential(nn.Linear(features, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
"""


def test_the_last_batch_of_every_size_is_tried(tmp_path: Path) -> None:
    (tmp_path / "normed_too.py").write_text(NORMED)
    model, settings = ModelConfig(name="normed_too:build"), TrainingSettings(epochs=1)
    kinds = [LaneKind("sgd", 10), LaneKind("sgd", 49)]  # of 50 rows
    with pytest.raises(ModelError, match="the last batch of an epoch has 1 of the 50"):
        build_engine(some_dataset(), model, (tmp_path,), settings, kinds=kinds)


def test_a_trial_that_raises_leaves_the_others() -> None:
    engine = build_engine(some_dataset(), MODEL, (), TrainingSettings(epochs=2), kinds=KINDS)
    with pytest.raises(KeyError):
        engine.add(spec_of(0, LaneKind("none")))
    engine.add(spec_of(1, KINDS[1]))
    assert not isinstance(engine.train_epoch()[0], TrialError)
