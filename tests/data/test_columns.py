"""What columns are understood to hold, and what is said of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweep.base.errors import DataError
from sweep.data.dataset import Dataset
from sweep.data.load import load_dataset
from sweep.data.preparation import UnusableColumns
from sweep.data.sources import pivot_counts
from sweep.study.sections import DataConfig

ROWS = 200


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """What NumPy warns of would stand among what a user reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def frame(**columns: Any) -> pd.DataFrame:
    places = np.arange(ROWS)
    return pd.DataFrame({"area": places % 37 + 0.5, "price": places % 7 * 3.0, **columns})


def load(folder: Path, table: pd.DataFrame, parquet: bool = False, **settings: Any) -> Dataset:
    name = "t.parquet" if parquet else "t.csv"
    table.to_parquet(folder / name) if parquet else table.to_csv(folder / name, index=False)
    return load_dataset(DataConfig(source=name, target="price", **settings), 0, (folder,))


def problem(folder: Path, table: pd.DataFrame, **settings: Any) -> str:
    with pytest.raises(DataError) as raised:
        load(folder, table, **settings)
    return str(raised.value)


def own(data: Dataset) -> tuple[str, ...]:
    """The features beside `area`."""
    return tuple(name for name in data.features if name != "area")


def cycle(*values: Any) -> list[Any]:
    return [values[place % len(values)] for place in range(ROWS)]


class TestNumbersAmongTexts:
    def test_most_decide(self, tmp_path: Path) -> None:
        rooms = cycle("1", "2", "3", "4")
        for bad in (3, 5, 8):
            rooms[bad] = f"bad {bad}"
        data = load(tmp_path, frame(rooms=rooms))
        assert own(data) == ("rooms",)
        assert data.missing == {"rooms": 3}
        assert "as missing 3 of 200 values, the first 'bad 3' in data row 4" in data.notes[0]

    def test_can_be_set(self, tmp_path: Path) -> None:
        rooms = cycle("1", "2", "3", "4")
        rooms[7] = "bad"
        data = load(tmp_path, frame(rooms=rooms), categories=["rooms"])
        assert own(data)[:4] == ("rooms=1", "rooms=2", "rooms=3", "rooms=4")
        mixed = frame(rooms=cycle("1", "2", "3", "cellar"))
        data = load(tmp_path, mixed)
        assert own(data) == ("rooms=1", "rooms=2", "rooms=3", "rooms=cellar")
        assert data.notes[0] == (
            "column 'rooms' is taken as categories: numbers, but for 50 of 200 values, the first "
            "'cellar' in data row 4; data.numbers = ['rooms'] takes the others as missing"
        )
        data = load(tmp_path, mixed, numbers=["rooms"])
        assert own(data) == ("rooms",)
        assert data.missing == {"rooms": 50}

    def test_numbers_as_categories(self, tmp_path: Path) -> None:
        data = load(tmp_path, frame(zone=cycle(7.0, 8.0, 9.5)), categories=["zone"])
        assert own(data) == ("zone=7.0", "zone=8.0", "zone=9.5")
        data = load(tmp_path, frame(zone=cycle(7, 8, None)), categories=["zone"])
        assert own(data) == ("zone=(missing)", "zone=7", "zone=8")

    def test_texts_that_were_stored_as_such(self, tmp_path: Path) -> None:
        table = frame(size=cycle("10", "20"), postcode=cycle("01234", "53111"))
        data = load(tmp_path, table, parquet=True)
        assert own(data) == ("size", "postcode=01234", "postcode=53111")
        assert data.notes[0].startswith("column 'size' holds texts that are numbers")

    def test_infinity_in_a_text_is_no_number(self, tmp_path: Path) -> None:
        rooms = cycle("1", "2", "3", "4")
        rooms[2:4] = ["inf", "x"]
        assert load(tmp_path, frame(rooms=rooms)).missing == {"rooms": 2}

    def test_one_column_has_one_kind(self, tmp_path: Path) -> None:
        text = problem(tmp_path, frame(), categories=["area", "price"], numbers=["area", "x"])
        assert "data.numbers = 'area': it is in data.categories, too" in text
        assert "data.categories = 'price': it is the target" in text
        assert "data.numbers = 'x': no such column" in text


class TestDates:
    FORMS = (
        "%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+02:00",
        "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y %I:%M %p", "%d/%m/%y", "%d %b %Y", "%B %d, %Y",
        "%d-%b-%y", "%a, %d %b %Y %H:%M", "%Y%m%d",
        "%Y-%m-%d %H", "%d %b %y",
    )  # fmt: skip
    DAYS = pd.Series(pd.date_range("2019-03-01 09:00", periods=ROWS, freq="47h"))

    @pytest.mark.parametrize("form", FORMS)
    def test_as_in_parquet(self, tmp_path: Path, form: str) -> None:
        texts = self.DAYS.dt.strftime(form)
        data = load(tmp_path, frame(day=texts))
        assert own(data) == ()
        assert data.notes[0].startswith("column 'day' left out: it holds dates; data.dates = true")
        data = load(tmp_path, frame(day=texts), dates=True, scale=False)
        exact = self.DAYS if "%I" in form or "%H" in form else self.DAYS.dt.normalize()
        same = load(tmp_path, frame(day=exact), parquet=True, dates=True, scale=False)
        assert data.features == same.features
        assert (data.x_train == same.x_train).all()

    def test_numbers_of_them(self, tmp_path: Path) -> None:
        days = cycle("2020-02-03 04:10", "2021-12-05 23:59")  # a Monday, a Sunday
        data = load(tmp_path, frame(day=days), dates=True, scale=False)
        assert own(data) == ("day.year", "day.month", "day.weekday", "day.hour")
        assert {tuple(row) for row in data.x_train[:, 1:].tolist()} == {
            (2020, 2, 0, 4),
            (2021, 12, 6, 23),
        }
        assert "dates made into numbers: 'day.year', 'day.month'" in " ".join(data.notes)

    def test_only_those_that_vary(self, tmp_path: Path) -> None:
        data = load(tmp_path, frame(day=cycle("2020-02-03", "2020-02-04")), dates=True)
        assert own(data) == ("day.weekday",)
        assert not any("one value" in note for note in data.notes)

    def test_a_bad_one_is_missing(self, tmp_path: Path) -> None:
        days = cycle("2020-02-03", "2020-02-04")
        days[9] = "soon"
        data = load(tmp_path, frame(day=days), dates=True)
        assert data.missing == {"day.weekday": 1}
        assert "as missing 1 of 200 values, 'soon' in data row 10" in data.notes[0]

    @pytest.mark.parametrize(
        ("texts", "month"),
        [(("13/02/2020", "01/03/2020"), {2, 3}), (("02/13/2020", "3/1/20"), {2, 3})],
    )
    def test_a_column_shows_its_order(
        self, tmp_path: Path, texts: tuple[str, ...], month: set[int]
    ) -> None:
        data = load(tmp_path, frame(day=cycle(*texts)), dates=True, scale=False)
        assert set(data.x_train[:, data.features.index("day.month")]) == month

    def test_an_order_that_does_not_show_is_asked_for(self, tmp_path: Path) -> None:
        table = frame(day=cycle("01/02/2020", "03/04/2020"))
        assert "left out: it holds dates" in load(tmp_path, table).notes[0]
        assert 'data.dates = "day-first" or "month-first"' in problem(tmp_path, table, dates=True)
        for order, months in (("day-first", {2, 4}), ("month-first", {1, 3})):
            data = load(tmp_path, table, dates=order, scale=False)
            assert set(data.x_train[:, data.features.index("day.month")]) == months
            assert f"holds dates, {order.replace('-', 's ')}" in data.notes[0]

    def test_times_of_day(self, tmp_path: Path) -> None:
        assert own(load(tmp_path, frame(at=cycle("10:30", "23:15:59")))) == ()
        data = load(tmp_path, frame(at=cycle("10:30", "23:15:59")), dates=True, scale=False)
        assert own(data) == ("at.hour",)
        assert set(data.x_train[:, 1]) == {10, 23}

    @pytest.mark.parametrize(
        "texts",
        [
            ("1.2.10", "1.3.11"),
            ("123-45-6789", "321-54-9876"),
            ("10-12", "13-15"),
            ("May", "June"),
            ("2020-13-01", "2020-02-30"),
            ("1999-2000", "2000-2001"),
        ],
    )
    def test_what_is_no_date(self, tmp_path: Path, texts: tuple[str, ...]) -> None:
        assert own(load(tmp_path, frame(code=cycle(*texts)))) == tuple(
            f"code={text}" for text in sorted(texts)
        )

    def test_whole_numbers_that_are_not_all_days(self, tmp_path: Path) -> None:
        assert own(load(tmp_path, frame(n=cycle(20200131, 20200199)))) == ("n",)
        assert own(load(tmp_path, frame(n=cycle(20200131, 20200201)), numbers=["n"])) == ("n",)

    def test_durations_are_left_out(self, tmp_path: Path) -> None:
        table = frame(took=pd.to_timedelta(np.arange(ROWS), unit="h"))
        data = load(tmp_path, table, parquet=True, dates=True)
        assert "column 'took' left out: it holds durations" in data.notes[0]


class TestCategories:
    def test_a_column_of_rare_ones_is_left_out(self, tmp_path: Path) -> None:
        shops = [f"shop {place % 200}" for place in range(ROWS * 3)]
        table = pd.concat([frame()] * 3, ignore_index=True).assign(shop=shops, other=shops[::-1])
        data = load(tmp_path, table, drop=["other"])
        assert own(data) == ()
        assert data.notes[0].startswith("column 'shop' left out: each of its ")
        assert data.notes[0].endswith(" different texts is in less than 1% of the training rows")

    def test_of_each_column_it_is_told_how_many_are_kept_and_how_many_are_one(
        self, tmp_path: Path
    ) -> None:
        towns = ["here"] * 80 + [f"town {place % 60}" for place in range(120)]
        (note,) = load(tmp_path, frame(town=towns, kind=cycle("a", "b", "c"))).notes
        told = re.search(r"'town' \((\d+) of (\d+) categories, the others, in (\d+) %", note)
        assert told
        kept, of, share = map(int, told.groups())
        assert kept == 19 and of > 50 and 20 < share < 60
        assert "of the training rows, as (rare)), 'kind' (3 categories)" in note

    def test_those_that_differ_by_blanks_or_case(self, tmp_path: Path) -> None:
        data = load(tmp_path, frame(town=cycle("Bonn", "bonn ", "Köln", "Bonn")))
        assert data.notes[-1] == (
            "column 'town' has categories that differ by blanks or case alone: "
            "'Bonn' (100), 'bonn ' (50)"
        )

    def test_codes_of_a_pivot(self) -> None:
        events = pd.DataFrame({"user": [1, 1, 2, 3], "what": ["buy", "Buy", "buy", "see"]})
        counts, notes = pivot_counts(events, "user", "what")
        assert list(counts.columns) == ["Buy", "buy", "see"]
        assert notes == (
            "values of 'what' that differ by blanks or case are kept apart: 'buy' (2), 'Buy' (1)",
        )

    def test_names_that_clash_are_told_apart(self, tmp_path: Path) -> None:
        table = frame(**{"a": cycle("b", "c"), "a=b": cycle(1, 2, 3), "a=c (2)": cycle(1, 5)})
        assert own(load(tmp_path, table)) == ("a=b", "a=c (2)", "a=b (2)", "a=c")
        table = frame(**{"a": cycle("b=c", "d"), "a=b": cycle("c", "e")})
        assert own(load(tmp_path, table)) == ("a=b=c", "a=d", "a=b=c (2)", "a=b=e")
        days = cycle("2020-01-02", "2020-01-03")
        data = load(tmp_path, frame(**{"d": days, "d.weekday": cycle(1, 9)}), dates=True)
        assert sorted(own(data)) == ["d.weekday", "d.weekday (2)"]


class TestConstant:
    def test_kept(self, tmp_path: Path) -> None:
        late = np.ones(ROWS)
        late[np.random.default_rng(0).permutation(ROWS)[0]] = 1e9  # in a row for the test
        table = frame(one=0.1, text="x", none=np.nan, some=cycle(None, 5.0), late=late)
        dropped = load(tmp_path, table)
        assert own(dropped) == ()
        assert dropped.constant == ("one", "text", "none", "some", "late")
        data = load(tmp_path, table, constant="keep")
        assert own(data) == ("one", "none", "some", "late", "text=x")
        assert data.constant == ()
        every = np.concatenate([data.x_train, data.x_validation, data.x_test])
        assert np.abs(every[:, 1:5]).max() < 1e-6
        assert set(every[:, 5]) == {1}
        raw = load(tmp_path, table, constant="keep", scale=False)
        assert raw.x_train[0, 1:] == pytest.approx([0.1, 0, 5, 1, 1])

    def test_a_date_part_is_not(self, tmp_path: Path) -> None:
        days = cycle("2020-02-03", "2020-02-04")
        assert own(load(tmp_path, frame(day=days), dates=True, constant="keep")) == ("day.weekday",)


class TestUnusable:
    def test_all_in_one_list(self, tmp_path: Path) -> None:
        names = [f"name {place}" for place in range(ROWS)]
        numbers: list[Any] = [str(place) if place % 3 else f"c{place}" for place in range(ROWS)]
        table = frame(
            **{
                'my "name"': names,
                "mass": numbers,
                "far": [np.inf, *[1.0] * (ROWS - 1)],
                "x": 1e300,
            }
        )
        with pytest.raises(UnusableColumns) as raised:
            load(tmp_path, table, drop=["area"])
        lines = str(raised.value).splitlines()
        assert lines[0] == "t.csv: 4 columns cannot be learnt from"
        assert lines[1].endswith("has 200 different texts in 200 rows, too many for categories")
        assert "numbers, but for 67 of 200 values, the first 'c0' in data row 1" in lines[2]
        assert lines[3].startswith("  'far' is infinite in data row 1")
        assert lines[4].startswith("  'x' has values up to 1e+300")
        remedy = 'leave them out with drop = ["area", "my \\"name\\"", "mass", "far", "x"]'
        assert lines[5] == f"  {remedy} under [data]"
        assert list(raised.value.reasons) == ['my "name"', "mass", "far", "x"]

    def test_features_of_ones_own_choice(self, tmp_path: Path) -> None:
        table = frame(name=[f"name {place}" for place in range(ROWS)])
        text = problem(tmp_path, table, features=["area", "name"])
        assert text.endswith("too many for categories; take it out of data.features")


class TestMagnitude:
    @pytest.mark.parametrize("power", [300, 200, 80])
    def test_a_target_too_large(self, tmp_path: Path, power: int) -> None:
        table = frame()
        table["price"] *= 10.0**power
        assert problem(tmp_path, table) == (
            f"t.csv: data.target = 'price' has values up to 1.8e+{power + 1}, whose squares are "
            f"too large for 64-bit numbers; divide them by 1e{power + 1}, or take logarithms with "
            'log1p = ["price"]'
        )
        data = load(tmp_path, table, log1p=["price"])
        assert np.isfinite(data.y_train).all()
        table["price"] *= -1
        assert "log1p" not in problem(tmp_path, table)

    @pytest.mark.parametrize("power", [-300, -200, -80])
    def test_a_target_too_small(self, tmp_path: Path, power: int) -> None:
        table = frame()
        table["price"] *= 10.0**power
        assert problem(tmp_path, table).endswith(
            f"whose square is too small for 64-bit numbers; multiply by 1e{-power - 1}"
        )

    @pytest.mark.parametrize("power", [-60, -20, 20, 60])
    def test_a_target_that_can_be_scaled(self, tmp_path: Path, power: int) -> None:
        table = frame()
        table["price"] *= 10.0**power
        data = load(tmp_path, table)
        assert data.y_train == pytest.approx(load(tmp_path, frame()).y_train, rel=1e-5)
        assert 0 < data.target_scale**4 < np.inf

    def test_without_scaling(self, tmp_path: Path) -> None:
        table = frame()
        for factor, offset, told in (
            (1e20, 0, "divide them by 1e21"),
            (1e-20, 0, "or set data.scale = true"),
            (1, 1e9, "of which 32-bit numbers keep little; set data.scale = true"),
        ):
            table["price"] = frame()["price"] * factor + offset
            assert told in problem(tmp_path, table, scale=False)
            load(tmp_path, table)

    def test_features(self, tmp_path: Path) -> None:
        table = frame(big=np.arange(ROWS) * 1e200, small=np.arange(ROWS) * 1e-200)
        assert "2 columns cannot be learnt from" in problem(tmp_path, table)
        data = load(tmp_path, table, drop=["small"], log1p=["big"])
        assert own(data) == ("big",)
