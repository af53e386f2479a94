"""Losses and metrics in a study's settings."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.base.errors import StudyFileError
from sweep.study.file import load_study
from sweep.study.metric import Metric
from sweep.study.registries.losses import LOSSES
from sweep.study.settings import StudyConfig


def config(**overrides: Any) -> StudyConfig:
    return load_study(None, {key.replace("__", "."): v for key, v in overrides.items()})


def test_by_default_nothing_of_it_is_written_down() -> None:
    plain = config()
    assert plain.measure == Metric("val_mse")
    assert "training" not in plain.to_toml() and "metric" not in plain.to_toml()
    kept = plain.comparable()
    assert not any(key.startswith(("training", "metric")) for key in kept)
    assert config(training__loss="mse", metric="mse").comparable() == kept


@pytest.mark.parametrize("loss", LOSSES)
def test_the_metric_is_the_loss_by_default(loss: str) -> None:
    assert config(training__loss=loss).measure == Metric(f"val_{loss}")


@pytest.mark.parametrize(
    ("loss", "metric", "expected"),
    [
        ("mse", "r2", Metric("val_r2", True, "train_mse")),
        ("mae", "val_mse", Metric("val_mse", False, "train_mae")),
        ("huber", "mae", Metric("val_mae", False, "train_huber")),
        ("cross_entropy", "accuracy", Metric("val_accuracy", True, "train_cross_entropy")),
        ("cross_entropy", "val_cross_entropy", Metric("val_cross_entropy")),
    ],
)
def test_another_metric(loss: str, metric: str, expected: Metric) -> None:
    study = config(training__loss=loss, metric=metric)
    assert study.measure == expected
    again = StudyConfig.model_validate(_read(study.to_toml()))
    assert again.measure == expected and again.comparable() == study.comparable()
    assert study.comparable() != config().comparable()
    other = metric.removeprefix("val_") if metric.startswith("val_") else f"val_{metric}"
    assert config(training__loss=loss, metric=other).comparable() == study.comparable()
    assert study.measure.named("training") == f"train_{loss}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"training.loss": "mine:focal"}, Metric("val_focal")),
        (
            {"training.loss": "pkg/mine.py:focal", "metric": "mine:top2", "direction": "maximize"},
            Metric("val_top2", True, "train_focal"),
        ),
        ({"metric": "mine:worst_case"}, Metric("val_worst_case", False, "train_mse")),
        (
            {"training.loss": "mine:focal", "metric": "accuracy"},
            Metric("val_accuracy", True, "train_focal"),
        ),
    ],
)
def test_functions_of_ones_own(given: dict[str, Any], expected: Metric) -> None:
    study = load_study(None, given)
    assert study.measure == expected
    again = StudyConfig.model_validate(_read(study.to_toml()))
    assert again.measure == expected and again.comparable() == study.comparable()
    assert study.comparable() != config().comparable()


def test_new_keys_of_the_data_change_nothing_of_studies_that_there_are() -> None:
    kept = config().comparable()
    assert kept["data.scale"] is True and "data.augment" not in kept
    assert "scale" not in config().to_toml() and "augment" not in config().to_toml()
    assert config(data__scale=True).comparable() == kept
    assert config(data__scale=False).comparable() != kept
    assert config(data__augment="mine:flip").comparable()["data.augment"] == "mine:flip"


def _read(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"training.loss": "crossentropy"}, "did you mean 'cross_entropy'?"),
        ({"metric": "accuracy"}, "is of classes, but the loss mse is not: give --loss cross_ent"),
        ({"metric": "val_auc"}, "with the loss mse it is mse, mae, huber or r2"),
        ({"training.loss": "cross_entropy", "metric": "mae"}, "it is cross_entropy or accuracy"),
        ({"training.loss": "cross_entropy", "metric": "binary_cross_entropy"}, "accuracy"),
        ({"metric": "r2", "direction": "minimize"}, "of r2 it is maximize: leave it out"),
        ({"metric": "mine:f1"}, "missing: more of f1 is usually better; give --direction maximize"),
        ({"metric": "mine:mse"}, "in results, val_mse is the built-in one; rename the function"),
        ({"training.loss": "mine:huber"}, "val_huber is the built-in one; rename the function"),
        ({"training.loss": "a:own", "metric": "b:own"}, "the loss has this name, too"),
        ({"metric": "mine:2"}, "metric"),
        ({"loop": "train.py:train", "metric": "a:b"}, "a training loop of your own tells it"),
        ({"loop": "train.py:train", "training.loss": "mae"}, "not used: a training loop"),
    ],
)
def test_what_is_refused(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(StudyFileError) as raised:
        load_study(None, given)
    assert expected in str(raised.value)


def test_a_loop_has_its_own_metric() -> None:
    study = config(loop="train.py:train", metric="val_accuracy", direction="maximize")
    assert study.measure == Metric("val_accuracy", True)
