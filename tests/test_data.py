"""Reading, preparing and splitting of tables."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweep.behaviour_log import LOG_COVARIANCE, LOG_MEANS, ZERO_SHARES, behaviour_log
from sweep.data import SOURCES, Dataset, load_dataset
from sweep.errors import DataError
from sweep.sources import pivot_counts
from sweep.study import DATA_SOURCES, DataConfig

LOG = """\
ann,pv,1
ann,pv,2
ann,buy,3
bob,fav,1
bob,pv,5
cid,pv,6
cid,cart,7
cid,buy,8
cid,buy,9
"""
LOG_COLUMNS = ["user", "behaviour", "time"]
PIVOT = {"index": "user", "columns": "behaviour"}


@pytest.fixture(autouse=True)
def own_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])


def table(rows: int = 20) -> pd.DataFrame:
    """A small table of two features and a price."""
    places = np.arange(rows)
    return pd.DataFrame(
        {"area": 10.0 + places, "rooms": 1 + places % 4, "price": 100.0 + 3 * places % 7}
    )


def write(folder: Path, frame: pd.DataFrame, name: str = "homes.csv") -> None:
    frame.to_csv(folder / name, index=False)


def load(folder: Path, seed: int = 0, **settings: Any) -> Dataset:
    settings = {"source": "homes.csv", "target": "price"} | settings
    return load_dataset(DataConfig(**settings), seed, (folder,))


def error(folder: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as raised:
        load(folder, **settings)
    return str(raised.value)


def raw_targets(data: Dataset) -> np.ndarray[Any, Any]:
    """The targets of all rows in their own unit."""
    parts = [data.y_train, data.y_validation, data.y_test]
    return np.concatenate(parts) * data.target_scale + data.target_mean


def test_registry_has_the_names_of_the_settings() -> None:
    assert tuple(SOURCES) == DATA_SOURCES


@pytest.mark.parametrize("name", DATA_SOURCES)
def test_every_source_gives_a_standardised_data_set(name: str) -> None:
    data = load_dataset(DataConfig(source=name, users=300), seed=0)
    assert data.target == data.unit == SOURCES[name].target
    assert data.notes == ()
    for part in ("train", "validation", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert x.dtype == y.dtype == np.float32
        assert x.shape == (len(y), len(data.features))
        assert np.isfinite(x).all() and np.isfinite(y).all()
    assert data.x_train.mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert data.x_train.std(axis=0) == pytest.approx(1, abs=1e-5)
    assert data.y_train.mean() == pytest.approx(0, abs=1e-5)
    assert data.y_train.std() == pytest.approx(1, abs=1e-5)


def test_importing_the_data_module_does_not_import_torch() -> None:
    code = "import sys, sweep.data; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


class TestBehaviourLog:
    def test_has_the_moments_that_it_imitates(self) -> None:
        counts, _ = pivot_counts(behaviour_log(4000), "user_id", "behavior_type")
        logs = np.log1p(counts.to_numpy())
        assert list(counts.columns) == ["1", "2", "3", "4"]
        assert logs.mean(axis=0) == pytest.approx(LOG_MEANS, abs=0.08)
        assert np.cov(logs.T) == pytest.approx(LOG_COVARIANCE, abs=0.15)
        assert (logs == 0).mean(axis=0) == pytest.approx(ZERO_SHARES, abs=0.02)

    def test_views_are_heavy_tailed(self) -> None:
        log = behaviour_log(2000)
        views = log[log["behavior_type"] == 1].groupby("user_id").size()
        assert len(views) == 2000
        assert views.mean() > 2 * views.median()
        assert views.max() > 10 * views.mean()

    def test_first_users_of_a_larger_log_are_those_of_a_smaller_one(self) -> None:
        small, large = behaviour_log(10), behaviour_log(30)
        assert large[large["user_id"] <= 10].equals(small)

    def test_study_seed_decides_the_split_and_not_the_data(self) -> None:
        first, second = (load_dataset(DataConfig(users=50), seed) for seed in (0, 1))
        assert first.features == ("view", "favourite", "cart")
        assert first.fingerprint != second.fingerprint
        counts = [np.sort(raw_targets(data).round(3)) for data in (first, second)]
        assert counts[0] == pytest.approx(counts[1])


class TestFiles:
    @pytest.mark.parametrize("name", ["homes.csv", "homes.csv.gz", "homes.parquet"])
    def test_reads_every_ending(self, tmp_path: Path, name: str) -> None:
        if name.endswith("parquet"):
            table().to_parquet(tmp_path / name)
        else:
            write(tmp_path, table(), name)
        data = load(tmp_path, source=name)
        assert data.features == ("area", "rooms")
        assert np.sort(raw_targets(data)) == pytest.approx(np.sort(table()["price"]))

    def test_looks_into_the_folders_in_order(self, tmp_path: Path) -> None:
        for name in ("study", "working"):
            (tmp_path / name).mkdir()
        write(tmp_path / "working", table())
        folders = (tmp_path / "study", tmp_path / "working")
        config = DataConfig(source="homes.csv", target="price")
        assert len(load_dataset(config, 0, folders).x_train) == 14
        write(tmp_path / "study", table(10))
        assert len(load_dataset(config, 0, folders).x_train) == 7

    def test_file_without_a_header(self, tmp_path: Path) -> None:
        table().to_csv(tmp_path / "homes.csv", index=False, header=False)
        data = load(tmp_path, columns=["area", "rooms", "price"])
        assert len(raw_targets(data)) == 20
        assert error(tmp_path, columns=["area", "price"]) == (
            "homes.csv: data.columns has 2 names, but the file has 3 columns; "
            "its first row is 10.0, 1, 100.0"
        )
        assert error(tmp_path) == (
            "homes.csv: data.target = 'price': no such column (columns: 10.0, 1, 100.0); "
            "if the file has no header, name its columns with data.columns"
        )

    def test_named_index_of_a_parquet_file_is_a_column(self, tmp_path: Path) -> None:
        table().set_index("area").to_parquet(tmp_path / "homes.parquet")
        assert load(tmp_path, source="homes.parquet").features == ("area", "rooms")

    def test_missing_file(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        assert error(tmp_path, source="home.csv") == (
            f"home.csv: no such file (looked in {tmp_path}); did you mean 'homes.csv'?"
        )

    def test_folder(self, tmp_path: Path) -> None:
        (tmp_path / "homes.csv").mkdir()
        assert error(tmp_path) == (
            "homes.csv: is a folder; expected a file ending in .csv, .csv.gz or .parquet"
        )

    def test_unsupported_ending(self, tmp_path: Path) -> None:
        (tmp_path / "homes.xlsx").touch()
        assert error(tmp_path, source="homes.xlsx") == (
            "homes.xlsx: unsupported ending; expected .csv, .csv.gz or .parquet"
        )

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "homes.csv: is empty"),
            ("area,price\n", "homes.csv: has no rows"),
            (
                "area,price\n1,2\n3,4,5\n",
                "homes.csv: cannot be read as CSV: Expected 2 fields in line 3, saw 3",
            ),
            (
                "area,price\n1,2,3\n",
                "homes.csv: cannot be read as CSV: Length of header or names does not match "
                "length of data. This leads to a loss of data with index_col=False.",
            ),
            ("area,price,area\n1,2,3\n", "homes.csv: more than one column is named 'area'"),
        ],
    )
    def test_broken_csv(self, tmp_path: Path, text: str, expected: str) -> None:
        (tmp_path / "homes.csv").write_text(text)
        assert error(tmp_path) == expected

    def test_file_that_is_not_what_its_ending_says(self, tmp_path: Path) -> None:
        (tmp_path / "homes.parquet").write_text("area,price\n1,2\n")
        (tmp_path / "homes.csv.gz").write_bytes(gzip.compress(b"area,price\n1,2\n" * 99)[:-20])
        (tmp_path / "homes.csv").write_bytes(b"\xff\xfe\x00")
        for name, kind in (("parquet", "Parquet"), ("csv.gz", "CSV"), ("csv", "CSV")):
            text = error(tmp_path, source=f"homes.{name}")
            assert text.startswith(f"homes.{name}: cannot be read as {kind}: ")

    def test_unknown_source(self, tmp_path: Path) -> None:
        assert error(tmp_path, source="behavior-log") == (
            "data.source = 'behavior-log': unknown source; did you mean 'behaviour-log'? "
            "(behaviour-log, diabetes, a path ending in .csv, .csv.gz or .parquet, "
            "or 'module:function')"
        )

    def test_settings_of_a_file_do_not_fit_a_built_in_source(self, tmp_path: Path) -> None:
        assert error(tmp_path, source="behaviour-log", target="buy", pivot=PIVOT) == (
            "data.pivot does not fit data.source = 'behaviour-log': "
            "the built-in source 'behaviour-log' is a table already"
        )

    def test_parquet_files_name_their_own_columns(self, tmp_path: Path) -> None:
        table().to_parquet(tmp_path / "homes.parquet")
        assert error(tmp_path, source="homes.parquet", columns=["a"]) == (
            "homes.parquet: data.columns names the columns of a CSV file without a header"
        )


class TestPivot:
    def test_counts_events_in_sorted_columns(self) -> None:
        events = pd.DataFrame([line.split(",") for line in LOG.split()], columns=LOG_COLUMNS)
        counts, notes = pivot_counts(events, "user", "behaviour")
        expected = pd.DataFrame(
            [[1, 0, 0, 2], [0, 0, 1, 1], [2, 1, 0, 1]], columns=["buy", "cart", "fav", "pv"]
        )
        pd.testing.assert_frame_equal(counts, expected)
        assert notes == ()

    def test_numbers_as_codes_sort_as_numbers(self) -> None:
        events = pd.DataFrame({"user": [1, 1, 2, 2], "code": [10.0, 2.0, 2.0, np.nan]})
        counts, notes = pivot_counts(events, "user", "code")
        assert list(counts.columns) == ["2", "10"]
        assert counts.to_numpy().tolist() == [[1, 1], [1, 0]]
        assert notes == ("1 of 4 events left out: no 'user' or no 'code'",)

    def test_log_without_a_header_becomes_a_data_set(self, tmp_path: Path) -> None:
        (tmp_path / "log.csv").write_text(LOG)
        log = {"source": "log.csv", "columns": LOG_COLUMNS, "pivot": PIVOT, "scale": False}
        data = load(tmp_path, **log, target="buy", validation=0.3, features=["pv"], test=0)
        assert (data.features, data.target) == (("pv",), "buy")
        rows = np.concatenate([data.x_train, data.x_validation])[:, 0]
        targets = np.concatenate([data.y_train, data.y_validation])
        assert sorted(zip(rows, targets, strict=True)) == [(1, 0), (1, 2), (2, 1)]

    def test_target_is_the_code_as_text(self, tmp_path: Path) -> None:
        events = behaviour_log(40)
        write(tmp_path, events, "log.csv")
        pivot = {"index": "user_id", "columns": "behavior_type"}
        data = load(tmp_path, source="log.csv", target=4, pivot=pivot)
        assert data.features == ("1", "2", "3")
        built_in = load_dataset(DataConfig(users=40), 0)
        assert (data.x_train == built_in.x_train).all()
        assert data.fingerprint == built_in.fingerprint

    def test_keys_that_are_not_there(self, tmp_path: Path) -> None:
        (tmp_path / "log.csv").write_text("user,behaviour\n" + "a,pv\n")
        pivot = {"index": "usr", "columns": "action"}
        assert error(tmp_path, source="log.csv", pivot=pivot) == (
            "log.csv: 2 problems\n"
            "  data.pivot.index = 'usr': no such column; did you mean 'user'? "
            "(columns: user, behaviour)\n"
            "  data.pivot.columns = 'action': no such column (columns: user, behaviour)"
        )

    def test_columns_that_hold_no_codes(self, tmp_path: Path) -> None:
        write(tmp_path, pd.DataFrame({"user": 1, "item": range(1001)}), "log.csv")
        pivot = {"index": "user", "columns": "item"}
        assert error(tmp_path, source="log.csv", pivot=pivot) == (
            "log.csv: data.pivot.columns = 'item': 1001 different codes would become as many "
            "columns (at most 1000); name the column that says what happened"
        )
        assert error(tmp_path, source="log.csv", pivot={"index": "user", "columns": "user"}) == (
            "log.csv: data.pivot: index and columns are both 'user'; name two columns"
        )


class TestOwnFunction:
    def write(self, folder: Path, name: str, code: str) -> str:
        (folder / f"{name}.py").write_text(f"import numpy as np\nimport pandas as pd\n{code}\n")
        return f"{name}:make"

    def test_frame_is_treated_as_a_table(self, tmp_path: Path) -> None:
        code = "def make(): return pd.DataFrame({'a': range(9), 'price': range(9), 3: 1})"
        data = load(tmp_path, source=self.write(tmp_path, "own_frame", code))
        assert data.features == ("a",)
        assert data.notes == ("column '3' left out: one value in all training rows",)

    def test_frame_is_treated_as_a_log(self, tmp_path: Path) -> None:
        code = "def make(): return pd.DataFrame({'user': [1, 1, 2, 3], 'behaviour': list('abba')})"
        source = self.write(tmp_path, "own_log", code)
        assert "3 with a target" in error(
            tmp_path, source=source, pivot=PIVOT, target="a", validation=0.5
        )

    @pytest.mark.parametrize("shape", ["(9,)", "(9, 1)"])
    def test_pair_of_arrays(self, tmp_path: Path, shape: str) -> None:
        name = f"own_arrays_{len(shape)}"
        code = f"def make(): return np.arange(9), np.arange(9.0).reshape({shape})"
        data = load(tmp_path, source=self.write(tmp_path, name, code), target=None)
        assert (data.features, data.target) == (("x0",), "y")
        assert np.sort(raw_targets(data)) == pytest.approx(np.arange(9))

    def test_pair_of_tensors(self, tmp_path: Path) -> None:
        code = (
            "import torch\n"
            "def make(): return torch.eye(8, 2, requires_grad=True), torch.arange(8).bfloat16()"
        )
        data = load(tmp_path, source=self.write(tmp_path, "own_tensors", code), scale=False)
        assert (data.features, data.target) == (("x0", "x1"), "price")
        assert np.sort(raw_targets(data)) == pytest.approx(np.arange(8))

    def test_pair_of_pandas(self, tmp_path: Path) -> None:
        code = (
            "def make():\n"
            "    frame = pd.DataFrame({'a': range(9), 'price': range(9)}, index=range(5, 14))\n"
            "    return frame[['a']], frame['price']"
        )
        data = load(tmp_path, source=self.write(tmp_path, "own_pandas", code))
        assert data.features == ("a",)
        assert len(raw_targets(data)) == 9

    @pytest.mark.parametrize(
        ("name", "code", "expected"),
        [
            (
                "own_shapes",
                "def make(): return np.ones((4, 2)), np.ones((4, 3))",
                "'own_shapes:make' returned x of shape (4, 2) and y of shape (4, 3); "
                "expected (rows, features) or (rows,) and (rows,) or (rows, 1)",
            ),
            (
                "own_lengths",
                "def make(): return np.ones((4, 2)), np.ones(3)",
                "'own_lengths:make' returned x of shape (4, 2) and y of shape (3,); "
                "expected (rows, features) or (rows,) and (rows,) or (rows, 1)",
            ),
            (
                "own_raises",
                "def make(): return 1 / 0",
                "'own_raises:make': calling it failed: ZeroDivisionError: division by zero",
            ),
            (
                "own_other",
                "def make(): return {}",
                "'own_other:make' returned an object of type dict; "
                "expected a pandas DataFrame or a pair (x, y) of arrays or tensors",
            ),
            (
                "own_value",
                "make = 3",
                "'own_value:make' is of type int; expected a function without arguments",
            ),
            (
                "own_typo",
                "def mak(): ...",
                "'own_typo:make': module 'own_typo' has no 'make'; did you mean 'mak'?",
            ),
        ],
    )
    def test_wrong_functions(self, tmp_path: Path, name: str, code: str, expected: str) -> None:
        assert error(tmp_path, source=self.write(tmp_path, name, code)) == expected


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
        values[32] = "?"
        write(tmp_path, table(60).assign(power=values))
        assert error(tmp_path).endswith("most of them are numbers, but data row 33 is '?'")

    def test_many_texts_that_repeat_are_refused_too(self, tmp_path: Path) -> None:
        codes = [f"code {place % 1001}" for place in range(2500)]
        write(tmp_path, table(2500).assign(code=codes))
        assert "has 1001 different texts in 2500 rows" in error(tmp_path)

    def test_dates(self, tmp_path: Path) -> None:
        frame = table().assign(day=pd.date_range("2024-01-01", periods=20))
        frame.to_parquet(tmp_path / "homes.parquet")
        data = load(tmp_path, source="homes.parquet")
        assert data.notes == ("column 'day' left out: it holds dates",)
        assert error(tmp_path, source="homes.parquet", features=["day"]) == (
            "homes.parquet: data.features = 'day': it holds dates; turn them into numbers first"
        )
        assert error(tmp_path, source="homes.parquet", target="day") == (
            "homes.parquet: data.target = 'day': it holds dates, not numbers"
        )

    def test_no_feature_is_left(self, tmp_path: Path) -> None:
        write(tmp_path, table().assign(area=1, rooms=np.nan))
        assert error(tmp_path) == (
            "homes.csv: no feature column is left\n"
            "  columns 'area', 'rooms' left out: one value in all training rows"
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
        prices = ["100", None, "$1,200", *["7"] * 17]
        write(tmp_path, table().assign(price=prices))
        assert error(tmp_path) == (
            "homes.csv: data.target = 'price': data row 3 is '$1,200', not a number"
        )

    def test_target_that_is_constant_in_the_training_rows(self, tmp_path: Path) -> None:
        write(tmp_path, table().assign(price=5))
        assert error(tmp_path) == (
            "homes.csv: data.target = 'price' is 5 in all 14 training rows; "
            "there is nothing to learn"
        )

    @pytest.mark.parametrize("column", ["area", "price"])
    def test_infinite_values(self, tmp_path: Path, column: str) -> None:
        frame = table()
        frame.loc[4, column] = np.inf
        frame.loc[1, "price"] = np.nan
        write(tmp_path, frame)
        assert error(tmp_path) == (
            f"homes.csv: column {column!r} is infinite in data row 5; "
            "leave the row out, or put a number in its place"
        )

    def test_values_too_large(self, tmp_path: Path) -> None:
        write(tmp_path, table().assign(area=1e300 * np.arange(20)))
        assert error(tmp_path, scale=False) == (
            "homes.csv: values too large for 32-bit numbers in 'area'; "
            "divide them by a constant, or take their logarithm with data.log1p"
        )


class TestPreparation:
    def test_is_fitted_on_the_training_rows_alone(self, tmp_path: Path) -> None:
        frame = table(100)
        write(tmp_path, frame)
        held_out = load(tmp_path, scale=False, features=["area"])
        rows = np.concatenate([held_out.x_validation, held_out.x_test])[:, 0]
        places = np.flatnonzero(frame["area"].isin(rows))
        frame["town"] = np.where(frame.index % 2, "here", "there")
        write(tmp_path, frame)
        fitted = load(tmp_path)
        frame.loc[places, ["area", "price"]] += 1e4
        frame.loc[places, "town"] = "elsewhere"
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
        towns = ["here"] * 200 + ["there"] * 150 + [None] * 48 + ["rare 1", "rare 2"]
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
        assert data.notes == ("texts encoded as 4 columns of 0 and 1: 'town'",)
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
        assert sorted(sum(parts, [])) == list(table(50)["area"])

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

    def test_at_least_one_validation_row(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        data = load(tmp_path, validation=0.001)
        assert data.x_validation.shape == (1, 2)

    def test_too_few_rows(self, tmp_path: Path) -> None:
        write(tmp_path, table(3))
        assert error(tmp_path, validation=0.4, test=0.3) == (
            "homes.csv: too few rows: of 3 with a target, data.validation = 0.4 takes 1 and "
            "data.test = 0.3 takes 1, but training needs at least 2"
        )

    def test_fingerprint_tells_changed_data(self, tmp_path: Path) -> None:
        write(tmp_path, table())
        first = load(tmp_path)
        assert load(tmp_path).fingerprint == first.fingerprint
        write(tmp_path, table().assign(rooms=range(20)))
        assert load(tmp_path).fingerprint != first.fingerprint
