"""Which engine a study gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from twins import NOISY, some_dataset

from sweep.base.errors import InputError
from sweep.study.sections import ModelConfig
from sweep.training.build import build_engine
from sweep.training.contract import TrainingSettings
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.sequential import SequentialEngine

REASON = "1 (AlphaDropout): it draws random numbers otherwise than by dropout"


@pytest.fixture
def noisy(tmp_path: Path) -> tuple[ModelConfig, tuple[Path, ...]]:
    (tmp_path / "noisy_model.py").write_text(NOISY)
    return ModelConfig(name="noisy_model:build"), (tmp_path,)


def test_the_vectorised_engine_is_the_first_choice() -> None:
    settings = TrainingSettings(epochs=1)
    for name in ("auto", "vectorized"):
        engine = build_engine(some_dataset(), ModelConfig(), (), settings, name)
        assert isinstance(engine, VectorizedEngine)
        assert engine.lanes > 1
    engine = build_engine(some_dataset(), ModelConfig(), (), settings, lanes=5)
    assert engine.lanes == 5
    engine = build_engine(some_dataset(), ModelConfig(), (), settings, "sequential")
    assert isinstance(engine, SequentialEngine)
    assert (engine.lanes, engine.notes) == (1, [])


def test_a_model_that_cannot_be_stacked_is_trained_alone(
    noisy: tuple[ModelConfig, tuple[Path, ...]],
) -> None:
    engine = build_engine(some_dataset(), *noisy, TrainingSettings(epochs=1))
    assert isinstance(engine, SequentialEngine)
    assert engine.notes == [f"trials are trained one by one, since {REASON}"]


def test_a_model_that_cannot_be_stacked_is_refused_if_it_must_be(
    noisy: tuple[ModelConfig, tuple[Path, ...]],
) -> None:
    with pytest.raises(InputError) as refused:
        build_engine(some_dataset(), *noisy, TrainingSettings(epochs=1), "vectorized")
    assert str(refused.value) == f"the vectorized engine cannot train this model: {REASON}"
