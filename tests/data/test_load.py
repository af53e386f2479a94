"""Preparing and splitting of tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from homes import error, load, raw_targets, table, write
from support import ROOT

from sweep.data.load import load_dataset
from sweep.study.registries.sources import SOURCES
from sweep.study.sections import DataConfig


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_a_standardised_data_set(name: str) -> None:
    data = load_dataset(DataConfig(source=name, users=300), seed=0)
    assert data.target == data.unit == SOURCES[name].target
    assert all("one value in all training rows" in note for note in data.notes)
    for part in ("train", "validation", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert x.dtype == y.dtype == np.float32
        assert x.shape == (len(y), len(data.features))
        assert np.isfinite(x).all() and np.isfinite(y).all()
    assert data.x_train.mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert data.x_train.std(axis=0, dtype=np.float64) == pytest.approx(1, abs=1e-5)
    assert data.y_train.mean() == pytest.approx(0, abs=1e-5)
    assert data.y_train.std() == pytest.approx(1, abs=1e-5)


def test_study_seed_decides_the_split_and_not_the_data() -> None:
    first, second = (load_dataset(DataConfig(users=50), seed) for seed in (0, 1))
    assert first.features == ("view", "favourite", "cart")
    assert first.fingerprint != second.fingerprint
    counts = [np.sort(raw_targets(data).round(3)) for data in (first, second)]
    assert counts[0] == pytest.approx(counts[1])


@pytest.mark.slow
def test_importing_the_data_module_does_not_import_torch() -> None:
    code = "import sys, sweep.data.load; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


class TestColumns:
    def test_target_must_be_named(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        assert error(tmp_path, target=None) == (
            "homes.csv: data.target is missing: name the column to predict "
            "(columns: area, rooms, price)"
        )

    def test_wrong_names_are_reported_together(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        columns = "(columns: area, rooms, price)"
        settings = {"target": "prise", "features": ["aera"], "drop": ["x"], "log1p": ["room"]}
        assert error(tmp_path, **settings) == (
            "homes.csv: 4 problems\n"
            f"  data.target = 'prise': no such column; did you mean 'price'? {columns}\n"
            f"  data.features = 'aera': no such column; did you mean 'area'? {columns}\n"
            f"  data.drop = 'x': no such column {columns}\n"
            f"  data.log1p = 'room': no such column; did you mean 'rooms'? {columns}"
        )

    def test_columns_with_two_roles(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        assert error(tmp_path, features=["price", "area"], drop=["area"]) == (
            "homes.csv: 2 problems\n"
            "  data.features = 'price': it is the target\n"
            "  data.features = 'area': it is in data.drop, too"
        )

    def test_features_and_drop_choose_columns(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        assert load(tmp_path, features=["rooms"]).features == ("rooms",)
        assert load(tmp_path, drop=["rooms"]).features == ("area",)

    @pytest.mark.parametrize("name", ["id", "user_id", "userId", "UUID", "Unnamed: 0"])
    def test_column_that_tells_rows_apart_is_left_out(self, tmp_path: Path, name: str) -> None:
        write(tmp_path, table().assign(**{name: range(100, 120)}))
        data = load(tmp_path)
        assert data.features == ("area", "rooms")
        assert data.notes == (
            f"column '{name}' left out: it tells rows apart (20 different values in 20 rows); "
            "name it in data.features to keep it",
        )
        assert load(tmp_path, features=["area", name]).features == ("area", name)

    def test_index_that_pandas_wrote_is_left_out(self, tmp_path: Path) -> None:
        table().to_csv(tmp_path / "homes.csv")
        assert load(tmp_path).notes[0].startswith("column 'Unnamed: 0' left out: it tells rows")

    @pytest.mark.parametrize("name", ["GRID", "paid", "width"])
    def test_other_distinct_numbers_are_kept(self, tmp_path: Path, name: str) -> None:
        write(tmp_path, table().assign(**{name: range(100, 120)}))
        assert load(tmp_path).features == ("area", "rooms", name)

    def test_id_that_repeats_is_kept(self, tmp_path: Path) -> None:
        write(tmp_path, table().assign(shop_id=np.arange(20) % 5))
        assert load(tmp_path).features == ("area", "rooms", "shop_id")

    def test_texts_that_are_no_categories(self, tmp_path: Path) -> None:
        write(tmp_path, table(90).assign(street=[f"street {place % 60}" for place in range(90)]))
        assert error(tmp_path) == (
            "homes.csv: column 'street' has 60 different texts in 90 rows, too many for "
            'categories; leave it out with drop = ["street"] under [data]'
        )
        assert load(tmp_path, drop=["street"]).features == ("area", "rooms")

    def test_numbers_with_a_text_among_them(self, tmp_path: Path) -> None:
        values = [str(place) for place in range(60)]
        values[32] = "much"
        write(tmp_path, table(60).assign(power=values))
        data = load(tmp_path)
        assert data.features == ("area", "rooms", "power")
        assert data.missing == {"power": 1}
        assert data.notes[0] == (
            "column 'power' is taken as numbers, and as missing 1 of 60 values, 'much' in data "
            "row 33; data.categories = ['power'] takes it as categories"
        )

    def test_many_texts_that_repeat_are_refused_too(self, tmp_path: Path) -> None:
        codes = [f"code {place % 1001}" for place in range(2500)]
        write(tmp_path, table(2500).assign(code=codes))
        assert "has 1001 different texts in 2500 rows" in error(tmp_path)

    def test_dates(self, tmp_path: Path) -> None:
        frame = table().assign(day=pd.date_range("2024-01-01", periods=20))
        frame.to_parquet(tmp_path / "homes.parquet")
        data = load(tmp_path, source="homes.parquet")
        remedy = "data.dates = true makes numbers of them: year, month, weekday and hour"
        assert data.notes == (f"column 'day' left out: it holds dates; {remedy}",)
        assert error(tmp_path, source="homes.parquet", features=["day"]) == (
            f"homes.parquet: column 'day' holds dates; {remedy}; take it out of data.features"
        )
        assert error(tmp_path, source="homes.parquet", target="day") == (
            "homes.parquet: data.target = 'day': it holds dates, not numbers"
        )

    def test_no_feature_is_left(self, tmp_path: Path) -> None:
        write(tmp_path, table().assign(area=1, rooms=np.nan))
        assert error(tmp_path) == (
            "homes.csv: no feature column is left\n"
            "  columns 'area', 'rooms' left out: one value in all training rows "
            '(data.constant = "keep" keeps them)'
        )
        assert error(tmp_path, drop=["area", "rooms"]) == "homes.csv: no feature column is left"

    @pytest.mark.parametrize("dtype", ["bool", "boolean", "object", "Int64", "decimal"])
    def test_other_number_types(self, tmp_path: Path, dtype: str) -> None:
        from decimal import Decimal

        flags = [place % 2 for place in range(20)]
        values: Any = [Decimal(f) for f in flags] if dtype == "decimal" else flags
        if dtype == "object":
            values = [bool(f) for f in flags]
        column = pd.Series(values, dtype="object" if dtype == "decimal" else dtype)
        frame = table().assign(flag=column, price=column)
        frame.to_parquet(tmp_path / "homes.parquet")
        data = load(tmp_path, source="homes.parquet", scale=False)
        assert data.features == ("area", "rooms", "flag")
        assert set(data.x_train[:, 2]) == set(data.y_train) == {0, 1}


class TestTarget:
    def test_rows_without_a_target_are_left_out(self, tmp_path: Path) -> None:
        frame = table()
        frame.loc[[3, 8], "price"] = np.nan
        write(tmp_path, frame)
        data = load(tmp_path)
        assert len(raw_targets(data)) == 18
        assert data.notes == ("2 of 20 rows left out: no 'price'",)
        write(tmp_path, frame.assign(price=np.nan))
        assert error(tmp_path) == "homes.csv: data.target = 'price' is missing in every row"

    def test_target_that_is_no_number(self, tmp_path: Path) -> None:
        prices: Any = ["100", None, "$1,200", *["7"] * 17]
        write(tmp_path, table().assign(price=prices))
        assert error(tmp_path) == (
            "homes.csv: data.target = 'price': data row 3 is '$1,200', not a number; "
            "mend it, or name in data.missing what stands for nothing"
        )

    def test_target_that_is_constant_in_the_training_rows(self, tmp_path: Path) -> None:
        write(tmp_path, table().assign(price=5))
        assert error(tmp_path) == (
            "homes.csv: data.target = 'price' is 5 in all 14 training rows; "
            "there is nothing to learn"
        )

    @pytest.mark.parametrize(
        ("column", "place", "also"),
        [
            ("area", "column 'area'", '; leave it out with drop = ["area"] under [data]'),
            ("price", "data.target = 'price'", ""),
        ],
    )
    def test_infinite_values(self, tmp_path: Path, column: str, place: str, also: str) -> None:
        frame = table()
        frame.loc[4, column] = np.inf
        frame.loc[1, "price"] = np.nan
        write(tmp_path, frame)
        assert error(tmp_path) == (
            f"homes.csv: {place} is infinite in data row 5; "
            f"leave the row out, or put a number in its place{also}"
        )


class TestPreparation:
    def test_is_fitted_on_the_training_rows_alone(self, tmp_path: Path) -> None:
        frame = table(100)
        write(tmp_path, frame)
        held_out = load(tmp_path, scale=False, features=["area"])
        rows = np.concatenate([held_out.x_validation, held_out.x_test])[:, 0]
        places = np.flatnonzero(frame["area"].isin(rows))
        frame["town"] = np.where(frame.index % 2, "here", "there")
        frame["garden"] = 0
        write(tmp_path, frame)
        fitted = load(tmp_path)
        frame.loc[places, ["area", "price"]] += 1e4
        frame.loc[places, "town"] = "elsewhere"
        frame.loc[places, "garden"] = 1
        write(tmp_path, frame)
        shifted = load(tmp_path)
        assert shifted.features == fitted.features
        assert (shifted.x_train == fitted.x_train).all()
        assert (shifted.y_train == fitted.y_train).all()
        assert shifted.target_mean == fitted.target_mean
        assert shifted.x_validation[:, 0].min() > 100
        assert (shifted.x_validation[:, 2:] == 0).all()
        assert shifted.fingerprint != fitted.fingerprint

    def test_missing_numbers_become_the_training_median(self, tmp_path: Path) -> None:
        frame = table().assign(place=range(20))
        frame.loc[[0, 5], "area"] = np.nan
        write(tmp_path, frame)
        data = load(tmp_path, scale=False, features=["area", "place"])
        assert data.notes == ("missing values filled with the training median: 'area' (2)",)
        median = frame["area"].iloc[data.x_train[:, 1].astype(int)].median()
        rows = np.concatenate([data.x_train, data.x_validation, data.x_test])
        filled = {int(place): float(area) for area, place in rows}
        assert [filled[0], filled[5]] == [median, median]
        assert filled[7] == frame["area"][7]

    def test_rare_and_missing_texts(self, tmp_path: Path) -> None:
        towns: Any = ["here"] * 200 + ["there"] * 150 + [None] * 48 + ["rare 1", "rare 2"]
        write(tmp_path, table(400).assign(town=towns))
        data = load(tmp_path)
        assert data.features == (
            "area",
            "rooms",
            "town=(missing)",
            "town=here",
            "town=there",
            "town=(rare)",
        )
        (note,) = data.notes
        assert note.startswith("texts encoded as 4 columns of 0 and 1: 'town' (3 of ")
        assert (data.x_validation[:, 2:].sum(axis=1) == 1).all()

    def test_texts_never_become_more_than_twenty_columns(self, tmp_path: Path) -> None:
        write(tmp_path, table(400).assign(town=[f"town {place % 40}" for place in range(400)]))
        assert len(load(tmp_path).features) == 2 + 20

    def test_without_scaling_values_stay_as_they_are(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        data = load(tmp_path, scale=False)
        assert (data.target_mean, data.target_scale) == (0, 1)
        assert set(data.x_train[:, 1]) <= {1, 2, 3, 4}
        assert set(data.y_train) <= set(table()["price"])

    def test_logarithm_of_everything(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        plain, logs = (load(tmp_path, scale=False, log1p=log1p) for log1p in (False, True))
        assert logs.unit == "log(1 + price)"
        assert logs.x_train == pytest.approx(np.log1p(plain.x_train), rel=1e-6)
        assert logs.y_train == pytest.approx(np.log1p(plain.y_train), rel=1e-6)

    @pytest.mark.parametrize(("column", "unit"), [("area", "price"), ("price", "log(1 + price)")])
    def test_logarithm_of_one_column(self, tmp_path: Path, column: str, unit: str) -> None:
        write(tmp_path, table())
        plain, logs = (load(tmp_path, scale=False, log1p=log1p) for log1p in (False, [column]))
        assert logs.unit == unit
        assert (logs.x_train[:, 1] == plain.x_train[:, 1]).all()
        assert (logs.x_train == plain.x_train).all() == (column == "price")
        assert (logs.y_train == plain.y_train).all() == (column == "area")

    @pytest.mark.parametrize("column", ["area", "price"])
    def test_logarithm_of_a_negative_value(self, tmp_path: Path, column: str) -> None:
        frame = table()
        frame.loc[6, column] = -0.5
        write(tmp_path, frame)
        assert error(tmp_path, log1p=True) == (
            f"homes.csv: data.log1p = '{column}': data row 7 is -0.5; "
            "log(1 + value) needs values of at least 0"
        )

    def test_logarithm_of_other_columns(self, tmp_path: Path) -> None:
        write(tmp_path, table().assign(town=["a", "b"] * 10))
        assert error(tmp_path, log1p=["town"]) == (
            "homes.csv: data.log1p = 'town': it is not a number"
        )
        assert error(tmp_path, log1p=["area"], drop=["area"]) == (
            "homes.csv: data.log1p = 'area': it is not a feature"
        )


class TestSplit:
    def places(self, folder: Path, **settings: Any) -> list[list[float]]:
        """The rows' areas, which number them, in each part."""
        data = load(folder, scale=False, features=["area"], **settings)
        parts = (data.x_train, data.x_validation, data.x_test)
        return [[float(value) for value in part[:, 0]] for part in parts]

    def test_every_row_is_in_one_part(self, tmp_path: Path) -> None:
        write(tmp_path, table(50))
        parts = self.places(tmp_path)
        assert [len(part) for part in parts] == [35, 10, 5]
        assert sorted([*parts[0], *parts[1], *parts[2]]) == list(table(50)["area"])

    def test_seed_decides(self, tmp_path: Path) -> None:
        write(tmp_path, table(50))
        assert self.places(tmp_path) == self.places(tmp_path)
        assert self.places(tmp_path) != self.places(tmp_path, seed=1)

    def test_test_rows_stay_when_validation_grows(self, tmp_path: Path) -> None:
        write(tmp_path, table(50))
        assert self.places(tmp_path)[2] == self.places(tmp_path, validation=0.4)[2]

    def test_no_test_rows(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        data = load(tmp_path, test=0)
        assert data.x_test.shape == (0, 2)
        assert data.y_test.shape == (0,)

    def test_the_fewest_rows(self, tmp_path: Path) -> None:
        write(tmp_path, table(5))
        parts = self.places(tmp_path, validation=0.4, test=0.2)
        assert [len(part) for part in parts] == [2, 2, 1]

    @pytest.mark.parametrize(
        ("rows", "validation", "test", "taken"),
        [(4, 0.5, 0.25, (2, 1, 1)), (20, 0.05, 0.1, (1, 2, 17)), (20, 0.2, 0.01, (4, 0, 16))],
    )
    def test_too_few_rows(
        self, tmp_path: Path, rows: int, validation: float, test: float, taken: tuple[int, ...]
    ) -> None:
        write(tmp_path, table(rows))
        assert error(tmp_path, validation=validation, test=test) == (
            f"homes.csv: too few rows: of {rows} with a target, data.validation = {validation} "
            f"takes {taken[0]} and data.test = {test} takes {taken[1]}, which leaves {taken[2]} "
            "to train on; training and validation need at least 2, the test 1 unless data.test = 0"
        )

    def test_fingerprint_tells_changed_data(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        first = load(tmp_path)
        assert load(tmp_path).fingerprint == first.fingerprint
        write(tmp_path, table().assign(rooms=range(20)))
        assert load(tmp_path).fingerprint != first.fingerprint
