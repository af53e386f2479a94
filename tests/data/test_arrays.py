"""Arrays of any shape in the place of a table."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sweep.base.errors import DataError
from sweep.data.dataset import Dataset
from sweep.data.load import load_dataset
from sweep.data.sources import give
from sweep.study.sections import DataConfig

random = np.random.default_rng(0)
X = random.normal(size=(40, 2, 3))
Y = random.normal(size=40)
KINDS = np.arange(40) % 3
IDS = random.integers(0, 9, (40, 5))


def loaded(*given: Any, loss: str = "mse", **settings: Any) -> Dataset:
    config = DataConfig(source=give(given), **settings)
    return load_dataset(config, 0, loss=loss)


def parts(data: Dataset) -> list[np.ndarray[Any, Any]]:
    return [data.x_train, data.x_validation, data.x_test]


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, np.ndarray.tolist])
def test_rows_are_split_as_those_of_a_table_and_stay_as_they_are(kind: Any) -> None:
    data = loaded(kind(X), kind(Y))
    assert [len(part) for part in parts(data)] == [28, 8, 4]
    order = np.random.default_rng(0).permutation(40)
    assert data.x_train.dtype == data.y_train.dtype == np.float32
    assert (data.x_train == X[order[12:]].astype(np.float32)).all()
    assert (data.y_test == Y[order[:4]].astype(np.float32)).all()
    assert (data.target_mean, data.target_scale) == (0.0, 1.0)
    assert data.features == () and data.inputs == "arrays (2, 3) of float32"
    assert "x and y are learnt from unscaled; data.scale = true standardises" in data.notes


def test_scaled_where_it_is_asked_for() -> None:
    data = loaded(X, Y, scale=True)
    assert data.x_train.mean(0) == pytest.approx(np.zeros((2, 3)), abs=1e-6)
    assert data.x_train.std(0) == pytest.approx(np.ones((2, 3)), rel=1e-5)
    order = np.random.default_rng(0).permutation(40)
    assert data.to_target_units(data.y_test) == pytest.approx(Y[order[:4]], rel=1e-5)
    assert not data.notes


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, np.uint16])
def test_whole_numbers_stay_whole(kind: Any) -> None:
    data = loaded(IDS.astype(kind), IDS[:, 0] % 2, loss="cross_entropy")
    assert data.x_train.dtype == (np.int64 if kind is np.uint16 else kind)
    assert data.y_train.dtype == np.int64 and data.classes == ("0", "1")
    torch.from_numpy(data.x_train)


def test_a_split_of_ones_own() -> None:
    data = loaded(X[:30], Y[:30], X[30:], Y[30:])
    assert [len(part) for part in parts(data)] == [30, 10, 0]
    assert (data.x_validation == X[30:].astype(np.float32)).all()
    assert data.x_test.shape == (0, 2, 3) and data.y_test.shape == (0,)
    six = loaded(X[:20], Y[:20], X[20:30], Y[20:30], X[30:], Y[30:])
    assert (six.x_test == X[30:].astype(np.float32)).all()


def test_targets_of_several_numbers_and_classes() -> None:
    several = loaded(X, np.stack([Y, -Y], 1))
    assert several.y_train.shape == (28, 2)
    assert loaded(X, Y[:, None]).y_train.shape == (28,)
    classes = loaded(X, KINDS, loss="cross_entropy")
    assert classes.classes == ("0", "1", "2") and classes.y_train.dtype == np.int64
    assert "y: 3 classes, with their shares" in classes.notes[1]
    tags = loaded(IDS, IDS % 4, loss="cross_entropy")
    assert tags.y_train.shape == (28, 5) and len(tags.classes) == 4
    yes = loaded(X, KINDS > 0, loss="binary_cross_entropy")
    assert yes.y_train.dtype == np.float32 and yes.classes == ("0", "1")
    of_own = [loaded(X, y, loss="own:loss") for y in (KINDS, Y)]
    assert [len(data.classes) for data in of_own] == [3, 0]
    assert loaded(X, KINDS).y_train.dtype == np.float32


def test_what_whole_numbers_may_mean_is_told() -> None:
    numbers = loaded(X, KINDS)
    assert any("give --loss cross_entropy" in note for note in numbers.notes)
    assert not any("give --loss" in note for note in loaded(X, Y).notes)
    strange = np.where(np.arange(len(X)) == 3, 4, KINDS)
    classes = loaded(X, KINDS, X, strange, loss="cross_entropy")
    assert "y: 4 is in no training row" in " ".join(classes.notes)
    assert classes.classes == ("0", "1", "2", "4")


@pytest.mark.parametrize("ids", [(0, 1, 5), (10, 20, 10**9), (-1, 1, 2)])
def test_classes_whose_numbers_have_gaps_have_an_output_each(ids: tuple[int, ...]) -> None:
    y = np.array(ids)[KINDS]
    plain, data = (loaded(X, each, loss="cross_entropy") for each in (KINDS, y))
    assert data.classes == tuple(map(str, ids))
    assert (data.y_train == plain.y_train).all() and data.fingerprint == plain.fingerprint
    named = ", ".join(map(str, ids))
    told = f"y: to the loss and the model its classes {named} are 0, 1, 2; results have their own"
    assert any(note.startswith(told) for note in data.notes)
    assert not any("results have their own" in note for note in plain.notes)
    signs = loaded(X, np.where(KINDS > 0, ids[1], ids[0]), loss="binary_cross_entropy")
    assert {*signs.y_train} == {0.0, 1.0} and signs.classes == tuple(map(str, ids[:2]))


def test_numbers_that_may_mean_something_stay() -> None:
    """Ids of tokens, and whatever a loss of the user's own does with them."""
    for given, loss in (((IDS, IDS % 3 * 2), "cross_entropy"), ((X, KINDS * 2), "own:loss")):
        data = loaded(*given, loss=loss)
        assert {*data.y_train.ravel()} == {0, 2, 4} and len(data.classes) == 5
        assert "y: 3 of the numbers from 0 to 4 occur, and the model has" in " ".join(data.notes)


def test_columns_of_real_numbers_are_a_table_as_ever() -> None:
    x = X.reshape(40, 6)
    pair = loaded(x, Y)
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(6)]).assign(y=Y)
    table = load_dataset(DataConfig(source=give(frame), target="y"), 0)
    assert pair.features == table.features and pair.fingerprint == table.fingerprint
    assert pair.target_scale != 1.0


BROKEN = X.copy()
BROKEN[3, 1, 2] = np.nan
HUGE = X * 1e300


@pytest.mark.parametrize(
    ("given", "settings", "loss", "expected"),
    [
        (
            (X, Y[:39]),
            {},
            "mse",
            "x of shape (40, 2, 3) and y of shape (39,); expected (rows, ...)",
        ),
        ((X, 3.0), {}, "mse", "y of shape (); expected (rows, ...)"),
        ((X[:0], Y[:0]), {}, "mse", "x of shape (0, 2, 3)"),
        ((X, Y, X[:5], Y[:4]), {}, "mse", "y of shape (4,) for validation; expected"),
        ((X, Y, X[:5, :1], Y[:5]), {}, "mse", "x of shape (5, 1, 3) and type float64 for valid"),
        ((X, KINDS, X, Y), {}, "mse", "y of shape (40,) and type float64 for validation, but of"),
        ((X, Y, X), {}, "mse", "expected a pandas DataFrame or a pair (x, y) of arrays"),
        ((BROKEN, Y), {}, "mse", "x[3, 1, 2] is nan, as 1 value in all; a model learns from fin"),
        ((HUGE, Y), {}, "mse", "too large for 32 bits, as 240 values in all"),
        ((X, np.where(Y > 0, np.inf, Y)), {}, "mse", "is inf, as"),
        (
            (X.astype(object), Y),
            {},
            "mse",
            "returned x of type object; expected real numbers, or a DataFrame",
        ),
        (
            (X, KINDS.astype(str)),
            {},
            "cross_entropy",
            "number the classes 0, 1, 2 ..., or",
        ),
        ((X + 1j, Y), {}, "mse", "returned x of type complex128"),
        (
            (X, Y),
            {},
            "cross_entropy",
            "y holds classes: whole numbers, but here it is of type float64",
        ),
        ((X, np.where(Y > 0, np.nan, 0)), {}, "cross_entropy", "is nan, as"),
        ((X, IDS * 10**6), {}, "cross_entropy", "the greatest is 8,000,000; number those that"),
        ((X, np.full(40, 7)), {}, "cross_entropy", "y is 7 in all training rows; there is nothing"),
        ((X, Y, X), {}, "mse", "returned an object of type tuple with 3 items; expected"),
        ((X, KINDS - 1), {}, "own:loss", "y holds classes: whole numbers, but the least is -1"),
        ((X, KINDS), {}, "binary_cross_entropy", "is of two classes, but y has 3: 0, 1, 2; give"),
        ((X, IDS), {}, "binary_cross_entropy", "is of two classes, but y has 9: 0, 1"),
        ((X, np.ones(40)), {}, "mse", "y is 1 in all training rows; there is nothing to learn"),
        ((X[:4], Y[:4]), {}, "mse", "too few rows"),
        ((X, Y, X[:1], Y[:1]), {}, "mse", "training and validation need at least 2 rows"),
        ((X, Y), {"features": ["a"]}, "mse", "data.features does not fit data.source = 'data': it"),
        ((X, Y), {"categories": ["a"]}, "mse", "data.categories does not fit"),
        ((X, Y), {"log1p": True}, "mse", "data.log1p does not fit data.source = 'data': it has no"),
        ((X, Y), {"pivot": {"index": "a", "columns": "b"}}, "mse", "returned arrays, not an event"),
        ((X, Y, X, Y), {"test": 0.3}, "mse", "data.test does not fit data.source = 'data': it bri"),
        ((X, Y), {"decimal": ","}, "mse", "data.decimal does not fit"),
    ],
)
def test_what_is_refused(given: Any, settings: dict[str, Any], loss: str, expected: str) -> None:
    with warnings.catch_warnings(), pytest.raises(DataError) as raised:
        warnings.simplefilter("error")
        loaded(*given, loss=loss, **settings)
    assert expected in str(raised.value)


def test_a_loss_of_ones_own_has_classes_where_a_table_holds_words() -> None:
    frame = pd.DataFrame({"a": Y, "word": np.where(KINDS > 0, "yes", "no"), "b": Y * 2})
    words = load_dataset(DataConfig(source=give(frame), target="word"), 0, loss="own:loss")
    assert words.classes == ("no", "yes") and words.y_train.dtype == np.int64
    numbers = load_dataset(
        DataConfig(source=give(frame), target="b", drop=["word"]), 0, loss="own:loss"
    )
    assert not numbers.classes and numbers.target_scale != 1.0


def test_a_function_is_called_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "made_of_arrays.py").write_text(
        "import torch\ndef make(): return torch.zeros(9, 1, 2), torch.arange(9) / 2\n"
    )
    data = load_dataset(DataConfig(source="made_of_arrays:make", test=0), 0, (tmp_path,))
    assert data.x_train.shape == (7, 1, 2) and len(data.x_test) == 0
    with pytest.raises(DataError, match=r"'made_of_arrays:make'.*it has no columns"):
        load_dataset(DataConfig(source="made_of_arrays:make", drop=["a"]), 0, (tmp_path,))
