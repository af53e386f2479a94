"""Predictions that need no model, against what the losses say of the same predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from homes import load, write

from sweep.data.dataset import Dataset
from sweep.data.examine.naive import NaivePrediction, naive_predictions
from sweep.data.load import load_dataset
from sweep.data.sources import give
from sweep.study.registries.losses import LOSSES
from sweep.study.sections import DataConfig
from sweep.training.build import training_data
from sweep.training.contract import TrainingSettings
from sweep.training.criterion import Criterion

ROWS = 80


def numbers(folder: Path, **settings: Any) -> Dataset:
    generator = np.random.default_rng(0)
    area = generator.normal(size=ROWS)
    price = 100 + 3 * area + generator.exponential(20, size=ROWS)
    write(folder, pd.DataFrame({"day": np.arange(ROWS), "area": area, "price": price}))
    return load(folder, **settings)


def classes(folder: Path, loss: str) -> Dataset:
    generator = np.random.default_rng(0)
    kinds = generator.choice(["no", "yes"], ROWS, p=[0.7, 0.3])
    write(folder, pd.DataFrame({"area": generator.normal(size=ROWS), "kind": kinds}))
    return load_dataset(DataConfig(source="homes.csv", target="kind"), 0, (folder,), loss)


def told(data: Dataset, loss: str, prediction: torch.Tensor) -> dict[str, float]:
    """What the training's own criterion makes of one prediction for every validation row."""
    rows = training_data(data, torch.device("cpu"))
    criterion = Criterion.of(TrainingSettings(epochs=1, loss=loss), rows)
    y = rows.y_validation
    return criterion.means(prediction.expand(len(y), *prediction.shape), y)


@pytest.mark.parametrize("loss", [name for name, loss in LOSSES.items() if loss.power])
def test_numbers_by_the_loss_of_a_training(tmp_path: Path, loss: str) -> None:
    data = numbers(tmp_path)
    (naive,) = naive_predictions(data, loss)
    if loss not in naive.validation:
        pytest.skip("an entry of somebody's own")
    middle = np.median if loss == "mae" else np.mean
    guess = torch.tensor(middle(data.y_train.astype(np.float64)), dtype=torch.float32)
    assert naive.validation[loss] == pytest.approx(told(data, loss, guess)[loss], rel=1e-5)
    assert naive.what == f"the {'median' if loss == 'mae' else 'mean'} of the training rows"


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_classes_by_the_loss_of_a_training(tmp_path: Path, loss: str) -> None:
    data = classes(tmp_path, loss)
    (naive,) = naive_predictions(data, loss)
    yes = float((data.y_train == 1).mean())
    logits = np.log([1 - yes, yes])
    guess = torch.tensor(logits if loss == "cross_entropy" else logits[1] - logits[0])
    found = told(data, loss, guess.float())
    assert naive.validation[loss] == pytest.approx(found[loss], rel=1e-5)
    assert naive.validation["accuracy"] == pytest.approx(found["accuracy"])
    assert "most are 'no'" in naive.what


def test_r2_of_the_mean_of_other_rows_is_at_most_0(tmp_path: Path) -> None:
    data = numbers(tmp_path)
    (naive,) = naive_predictions(data, "mse")
    variance = float(data.validation_variance)
    assert naive.validation["r2"] == pytest.approx(1 - naive.validation["mse"] / variance)
    assert naive.validation["r2"] <= 0
    assert naive.test.keys() == naive.validation.keys()


def test_the_last_value_of_a_split_by_time(tmp_path: Path) -> None:
    data = numbers(tmp_path, split={"by": "day"})
    mean, last = naive_predictions(data, "mse")
    frame = pd.read_csv(tmp_path / "homes.csv").price.to_numpy()
    assert last.validation["mse"] == pytest.approx(np.mean((frame[56:72] - frame[55]) ** 2))
    assert last.test["mse"] == pytest.approx(np.mean((frame[72:] - frame[55]) ** 2))
    assert mean.test["mse"] == pytest.approx(np.mean((frame[72:] - frame[:56].mean()) ** 2))


def test_several_numbers_a_row_have_a_mean_each() -> None:
    x = np.random.default_rng(0).normal(size=(ROWS, 2, 2)).astype(np.float32)
    y = np.stack([np.full(ROWS, 1000.0), np.arange(ROWS)], axis=1)
    data = load_dataset(DataConfig(source=give((x, y)), test=0.0), seed=0)
    (naive,) = naive_predictions(data, "mse")
    assert naive.validation["mse"] == pytest.approx(
        ((data.y_validation - data.y_train.mean(axis=0)) ** 2).mean(), rel=1e-5
    )
    assert naive.validation["mse"] < 1000 and naive.test == {}


def test_a_class_in_no_training_row_has_no_finite_loss() -> None:
    x, y = np.zeros((10, 2, 2), np.float32), np.array([0, 1] * 5)
    parts = (x, y, x, np.array([2] + [1] * 9))
    data = load_dataset(DataConfig(source=give(parts)), seed=0, loss="cross_entropy")
    assert naive_predictions(data, "cross_entropy")[0].validation == {"accuracy": 0.0}


def test_what_a_storage_keeps_is_read_back(tmp_path: Path) -> None:
    (naive,) = naive_predictions(numbers(tmp_path), "mse")
    assert NaivePrediction.read(naive.to_dict()) == naive
    assert NaivePrediction.read({"what": 3}) is None
    damaged = {"what": "x", "validation": {"mse": "much", "mae": 1, "r2": float("nan")}}
    assert NaivePrediction.read(damaged) == NaivePrediction("x", {"mae": 1.0}, {})
