"""Numbers as people write them, and texts that only look like numbers."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from sweep.base.errors import DataError
from sweep.data.reading.text import ReadTable, read_text_table
from sweep.study.sections import DataConfig


def read(*cells: str, other: str = "x", separator: str = ";", **settings: Any) -> ReadTable:
    """A table with the cells in column `a`, and a column `b` of one other cell."""
    rows = [f'"{cell}"{separator}{other}' for cell in cells]
    text = "\n".join([f"a{separator}b", *rows])
    return read_text_table(text.encode(), DataConfig(**settings), separator)


def values(*cells: str, **settings: Any) -> list[Any]:
    return list(read(*cells, **settings).frame["a"].tolist())


def notes(*cells: str, **settings: Any) -> str:
    return "\n".join(read(*cells, **settings).notes)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.2D3", "0.5d-2", "1E2"], [1200, 0.005, 100]),
        (["\u22125", "+7", "3"], [-5, 7, 3]),
        ([" 5", "6 ", "\u00a07"], [5, 6, 7]),
        (["0,8", "1,5"], [0.8, 1.5]),
        (["1.638,2", "978,75"], [1638.2, 978.75]),
        (["1,638.2", "978.75"], [1638.2, 978.75]),
        (["12.345.678", "849"], [12345678, 849]),
        (["1 234,5", "2\u202f345,25"], [1234.5, 2345.25]),
        (["1'234.5", "2\u2019345.25"], [1234.5, 2345.25]),
        (["-$5.50", "$1,234.00", "$-2.5"], [-5.5, 1234, -2.5]),
        (["USD 5", "USD 7"], [5, 7]),
        (["41.5%", "7 %"], [41.5, 7]),
        (["5 m2", "7.5 m2"], [5, 7.5]),
        (["5,5 €", "7 €"], [5.5, 7]),
        (["30.5°C", "-2.0°C"], [30.5, -2]),
        (["True", "false"], [True, False]),
        (["- 5.2", "7.5"], [-5.2, 7.5]),
        (["- $5.20", "$7.50", "-$1.00"], [-5.2, 7.5, -1]),
        (["(1,805.50)", "1,777.39"], [-1805.5, 1777.39]),
        (["($5.20)", "$7.50"], [-5.2, 7.5]),
        (["3.11-", "4.5"], [-3.11, 4.5]),
        (["₹74,13,948.07", "₹5,200.50"], [7413948.07, 5200.5]),
        (["12,34,567", "1,234"], [1234567, 1234]),
    ],
)
def test_numbers(cells: list[str], expected: list[float]) -> None:
    assert values(*cells) == expected


@pytest.mark.parametrize(
    "cells",
    [
        ["01.02.2024", "03.04.2024"],
        ["(1)", "(2)"],
        ["(1)", "-2"],
        ["5-", "7-"],
        ["2024-01-02", "2024-03-04"],
        ["12:30", "13:45"],
        ["1.2.3", "1.10.4"],
        ["192.168.1.1", "10.0.0.12"],
        ["030 123", "030 124"],
        ["555-1234", "555-2345"],
        ["0x1F", "0x2A"],
        ["3d7", "4e", "a1"],
        ["5 kg", "500 g"],
        ["5 kg", "7"],
        ["Q1", "Q2"],
        ["1st", "2nd"],
        ["3/4", "1/2"],
        ["1_000", "2_000"],
        ["-", "?"],
    ],
)
def test_texts_stay_as_they_are(cells: list[str]) -> None:
    assert values(*cells) == cells


class TestDecimal:
    def test_one_convention_for_all_columns(self) -> None:
        found = read("1.234", "849", "2.345", other="0,5")
        assert found.frame["a"].tolist() == [1234, 849, 2345]
        assert found.frame["b"].tolist() == [0.5] * 3

    def test_column_of_the_other_convention_is_told(self) -> None:
        text = notes("1,2", "3,4", other="0.5", separator="|")
        assert "column 'a' is read as texts: '1,2' is no number with decimal = \".\"" in text

    def test_whole_numbers_below_1000_beside_thousands(self) -> None:
        cells = ["4.146", "849", "2.400"]
        for separator in ";|\t":
            assert values(*cells, separator=separator) == [4146, 849, 2400]
        told = notes(*cells)
        assert "4.146 in 'a' is read as 4146" in told
        assert 'decimal = "." under [data] changes that' in told
        assert values(*cells, decimal=".") == [4.146, 849, 2.4]

    @pytest.mark.parametrize(
        ("separator", "cell", "expected"),
        [(";", "4.146", 4146), (";", "4,146", 4.146), ("|", "4.146", 4.146), ("|", "4,146", 4146)],
    )
    def test_what_nothing_decides_is_told(self, separator: str, cell: str, expected: float) -> None:
        cells = [cell, cell.replace("4", "5", 1)]
        assert values(*cells, separator=separator)[0] == expected
        assert f"{cell} in 'a' is read as {expected} and could be " in notes(
            *cells, separator=separator
        )

    def test_other_columns_decide_and_a_strange_one_is_told(self) -> None:
        told = notes("4.146", "849", "2.400", other="0.5")
        assert "4.146 in 'a' is read as 4.146 as in other columns, but could be 4146" in told

    @pytest.mark.parametrize(("usual", "odd"), [("1.5", "2,5"), ("1,5", "2.5"), ("7", "2,5x")])
    def test_one_late_cell_of_the_other_convention(self, usual: str, odd: str) -> None:
        cells = [usual] * 3000 + [odd]
        if odd == "2,5x":
            assert values(*cells)[-1] == odd
            return
        with pytest.raises(DataError, match=f"line 3002: '{odd}' in column 'a' does not fit"):
            read(*cells)

    def test_decimal_that_shows_in_one_late_row(self) -> None:
        assert values(*["4.146"] * 3000, "0.5")[0] == 4.146
        assert values(*["4.146"] * 3000, "0,5")[0] == 4146

    def test_numbers_among_a_few_mistakes_are_written_plainly(self) -> None:
        assert values(*["1,5"] * 20, "abc") == ["1.5"] * 20 + ["abc"]


class TestMissing:
    @pytest.mark.parametrize(
        "mark", ["?", "-", ".", "n.a.", "N/A", "null", "None", "#DIV/0!", "#NV", r"\N", ""]
    )
    def test_marks_among_numbers(self, mark: str) -> None:
        found = values("1.5", mark, "2.5")
        assert math.isnan(found[1])
        assert found[::2] == [1.5, 2.5]

    def test_marks_are_told(self) -> None:
        assert "'?' read as missing in 'a' (2)" in notes("1.5", "?", "?")

    def test_marks_among_texts_are_texts(self) -> None:
        assert values("x", "?", "-") == ["x", "?", "-"]

    def test_setting_names_all_marks(self) -> None:
        found = values("-999", "5", "", missing=["-999"])
        assert found[1] == 5
        assert math.isnan(found[0])
        assert math.isnan(found[2])
        assert values("?", "5", missing=["-999"]) == ["?", "5"]
        assert values("NA", "x", missing=["-999"]) == ["NA", "x"]


class TestStandIns:
    @pytest.mark.parametrize(
        ("code", "others"),
        [
            ("-99", [18, 30, 89]),
            ("9999", [20, 50, 90]),
            ("-999.9", [1.5, -3, 20]),
            ("99", [1, 2, 5]),
            ("-200", [600, 1500, 2000]),
        ],
    )
    def test_are_told(self, code: str, others: list[float]) -> None:
        cells = [code, *map(str, others)] * 3
        assert f"{code} in 'a' (3 times) is read as a number, far from all others" in notes(*cells)
        assert "read as a number" not in notes(*cells, missing=[code])
        assert "read as a number" not in notes(*cells[:4])

    @pytest.mark.parametrize(
        "cells",
        [
            ["-1", "5", "9", "12"],
            ["99", "98", "50", "20"],
            ["0", "40", "50", "60"],
            ["-99", "-50", "10", "100"],
            ["99", "1"],
        ],
    )
    def test_not_what_is_among_the_others(self, cells: list[str]) -> None:
        assert "read as a number" not in notes(*cells * 3)


def test_negative_numbers_without_a_sign_before_them_are_told() -> None:
    assert "'(1.5)' and its like read as negative in 'a'" in notes("(1.5)", "2.5")
    assert "'3.11-' and its like read as negative in 'a'" in notes("4.5", "3.11-")


class TestWholeNumbers:
    def test_leading_zeros_are_told(self) -> None:
        assert values("007", "012") == [7, 12]
        assert "leading zeros read as numbers in 'a'" in notes("007", "012")

    def test_codes_that_would_become_one_stay_texts(self) -> None:
        assert values("007", "7") == ["007", "7"]
        assert "differ by leading zeros alone" in notes("007", "7")

    def test_no_two_ids_become_one(self) -> None:
        long = ["123456789012345678901", "123456789012345678902"]
        assert values(*long) == list(map(int, long))
        found = read("9007199254740993", "", "9007199254740992").frame["a"]
        assert found.nunique() == 2
        assert pd.api.types.is_numeric_dtype(found)

    def test_types(self) -> None:
        assert read("1", "2").frame["a"].dtype == int
        assert read("1", "").frame["a"].dtype == float
        assert read("1", "2.0").frame["a"].dtype == float
        assert read("", "").frame["a"].dtype == float


class TestUnits:
    def test_units_are_told(self) -> None:
        assert notes("5 kg", "7 kg").endswith("'kg' stripped from the numbers in 'a'")

    def test_a_missing_value_needs_no_unit(self) -> None:
        found = values("5 kg", "-", "7 kg")
        assert math.isnan(found[1])
