"""Targets that are classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweep.base.errors import DataError
from sweep.data.dataset import Dataset
from sweep.data.load import load_dataset
from sweep.study.sections import DataConfig

ROWS = 60


def load(folder: Path, labels: Any, loss: str = "cross_entropy", **settings: Any) -> Dataset:
    frame = pd.DataFrame({"x": np.arange(ROWS) % 17, "kind": labels})
    frame.to_csv(folder / "table.csv", index=False)
    config = DataConfig(source="table.csv", target="kind", **settings)
    return load_dataset(config, 0, (folder,), loss)


def every(*labels: Any) -> list[Any]:
    return [labels[i % len(labels)] for i in range(ROWS)]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (every("pear", "apple", "fig"), ("apple", "fig", "pear")),
        (every("yes", "no"), ("no", "yes")),
        (every(True, False), ("False", "True")),
        (every(10, 9, -1), ("-1", "9", "10")),
        (every(3.0, 7.0), ("3", "7")),
        (every("b2", "10", "9"), ("9", "10", "b2")),
    ],
)
def test_classes_are_those_of_the_training_rows_in_their_order(
    tmp_path: Path, labels: list[Any], classes: tuple[str, ...]
) -> None:
    data = load(tmp_path, labels)
    assert data.classes == classes
    assert (data.target_mean, data.target_scale) == (0, 1)
    assert data.y_train.dtype == data.y_test.dtype == np.int64
    table = pd.read_csv(tmp_path / "table.csv", dtype=str)
    assert len(data.y_train) + len(data.y_validation) + len(data.y_test) == ROWS
    counts = table["kind"].str.removesuffix(".0").value_counts()
    found = np.bincount(np.concatenate([data.y_train, data.y_validation, data.y_test]))
    assert dict(zip(classes, found.tolist(), strict=True)) == counts.to_dict()


def test_each_row_keeps_its_class(tmp_path: Path) -> None:
    labels = ["even" if i % 17 % 2 == 0 else "odd" for i in range(ROWS)]
    data = load(tmp_path, labels, scale=False)
    for part in ("train", "validation", "test"):
        x, y = getattr(data, f"x_{part}")[:, 0], getattr(data, f"y_{part}")
        assert (np.array(data.classes)[y] == np.where(x % 2 == 0, "even", "odd")).all()


def test_two_classes_for_one_output_are_float32(tmp_path: Path) -> None:
    data = load(tmp_path, every("no", "yes"), "binary_cross_entropy")
    assert data.y_train.dtype == np.float32 and {*data.y_train.tolist()} == {0.0, 1.0}


def test_rows_without_a_class_and_rows_of_strange_classes_are_left_out(tmp_path: Path) -> None:
    first = load(tmp_path, every("a", "b"))
    order = np.random.default_rng(0).permutation(ROWS)
    labels = every("a", "b")
    tested, validated = int(order[0]), int(order[len(first.y_test)])
    labels[tested] = labels[validated] = "c"
    data = load(tmp_path, labels)
    assert data.classes == ("a", "b")
    assert len(data.y_test) == len(first.y_test) - 1
    assert len(data.y_validation) == len(first.y_validation) - 1
    assert "1 validation row left out: 'c' is in no training row" in data.notes
    assert "1 test row left out: 'c' is in no training row" in data.notes
    assert len(data.x_test) == len(data.y_test) and len(data.x_validation) == len(data.y_validation)
    missing = load(tmp_path, [None, *labels[1:]])
    assert f"1 of {ROWS} rows left out: no 'kind'" in missing.notes


def test_shares_are_told(tmp_path: Path) -> None:
    notes = load(tmp_path, every("a", "b")).notes
    assert any(note.startswith("kind: 2 classes, with their shares") for note in notes)


@pytest.mark.parametrize(
    ("labels", "loss", "settings", "expected"),
    [
        (every(0.5, 1), "cross_entropy", {}, "data row 1 is 0.5; classes are words"),
        (every("a"), "cross_entropy", {}, "is 'a' in all 42 training rows"),
        (every("a", "b", "c"), "binary_cross_entropy", {}, "give --loss cross_entropy"),
        ([str(i) for i in range(ROWS)], "binary_cross_entropy", {}, "has 42 different values"),
        (every(1, 2), "cross_entropy", {"log1p": ["kind"]}, "it is the target, a class"),
        (
            [f"2024-01-{i % 28 + 1:02}" for i in range(ROWS)],
            "mse",
            {},
            "for classes give --loss cross_entropy",
        ),
    ],
)
def test_what_is_refused(
    tmp_path: Path, labels: list[Any], loss: str, settings: dict[str, Any], expected: str
) -> None:
    with pytest.raises(DataError, match=r"data\.(target|log1p) = 'kind'") as raised:
        load(tmp_path, labels, loss, **settings)
    assert expected in str(raised.value)


def test_more_values_than_classes_can_be(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(300) % 17, "kind": np.arange(300)})
    frame.to_csv(tmp_path / "table.csv", index=False)
    config = DataConfig(source="table.csv", target="kind")
    with pytest.raises(DataError, match="at most 100 are classes: for numbers, give --loss mse"):
        load_dataset(config, 0, (tmp_path,), "cross_entropy")


def test_log1p_of_all_numbers_leaves_a_class_alone(tmp_path: Path) -> None:
    data = load(tmp_path, every(1, 2), log1p=True)
    assert data.classes == ("1", "2") and data.unit == "kind"
