"""Text tables in every dialect, and what is left out, refused and told on the way."""

from __future__ import annotations

import csv
import io
import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweep.base.errors import DataError
from sweep.data.reading.text import ReadTable, read_text_table
from sweep.study.sections import DataConfig


def read(text: str | bytes, plain_separator: str = ",", **settings: Any) -> ReadTable:
    data = text if isinstance(text, bytes) else text.encode()
    return read_text_table(data, DataConfig(**settings), plain_separator)


def error(text: str | bytes, **settings: Any) -> str:
    with pytest.raises(DataError) as raised:
        read(text, **settings)
    return str(raised.value)


def columns(table: ReadTable) -> dict[str, list[Any]]:
    return {str(name): values.tolist() for name, values in table.frame.items()}


class TestDialects:
    """A table that is written in any dialect is read back, to the last digit."""

    @staticmethod
    def truth(rows: int = 60) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        return pd.DataFrame(
            {
                "Größe": rng.normal(scale=3000, size=rows).round(2),
                "count": rng.integers(0, 10**7, rows),
                "share": rng.uniform(size=rows).round(5),
                "town": rng.choice(
                    ["Köln", 'Bonn; "am Rhein"', "Aachen, West", "Orléans\tSud"], rows
                ),
            }
        )

    @staticmethod
    def written(frame: pd.DataFrame, separator: str, decimal: str, thousands: str) -> str:
        swapped = str.maketrans({",": thousands, ".": decimal})
        out = io.StringIO()
        writer = csv.writer(out, delimiter=separator)
        writer.writerow(frame.columns)
        for row in frame.itertuples(index=False):
            size, count, share, town = row
            numbers = f"{size:,.2f}", f"{count:,}", f"{share:,.5f}"
            writer.writerow([*(number.translate(swapped) for number in numbers), town])
        return out.getvalue()

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    @pytest.mark.parametrize(
        ("decimal", "thousands"),
        [
            pair
            for pair in itertools.product(".,", ["", ".", ",", " ", "\u00a0", "'"])
            if pair[0] != pair[1]
        ],
    )
    def test_round_trip(self, encoding: str, separator: str, decimal: str, thousands: str) -> None:
        truth = self.truth()
        text = self.written(truth, separator, decimal, thousands)
        found = read(text.encode(encoding))
        pd.testing.assert_frame_equal(found.frame, truth, check_exact=True, check_dtype=False)
        assert [found.frame[name].dtype for name in truth.columns[:3]] == [float, int, float]
        told = " ".join(found.notes)
        assert ("encoding" in told) == (not encoding.startswith("utf-8"))
        assert ("separator = " in told) == (separator != ",")
        assert ("decimal" in told) == (decimal == ",")
        assert ("thousands" in told) == (thousands != "")

    def test_chinese(self) -> None:
        text = "面积,城市,价格\n106.4,上海,272.28\n62.4,广州,140.79\n"
        found = read(text.encode("gbk"))
        assert columns(found) == columns(read(text))
        assert found.notes == ('read with encoding = "gb18030"',)

    def test_runs_of_blanks(self) -> None:
        text = "  a   b  town\n 1.5  2  'x'\n10.25 30 \"New York\"\n\n"
        found = read(text)
        assert columns(found) == {"a": [1.5, 10.25], "b": [2, 30], "town": ["'x'", "New York"]}
        assert found.notes == ('read with separator = " "',)

    def test_blanks_after_separators_are_no_part_of_cells(self) -> None:
        found = read('a, b, c\n1, "x, y", 3\n2, z, 4\n')
        assert columns(found) == {"a": [1, 2], "b": ["x, y", "z"], "c": [3, 4]}

    def test_what_numpy_writes(self) -> None:
        for separator in (",", " "):
            out = io.BytesIO()
            np.savetxt(
                out, np.array([[1.5, 2], [3, 4]]), delimiter=separator, header=f"x{separator}y"
            )
            assert columns(read(out.getvalue())) == {"x": [1.5, 3.0], "y": [2.0, 4.0]}

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
    def test_ends_of_lines(self, end: str) -> None:
        assert columns(read(f"a,b{end}1,2{end}3,4{end}\x1a")) == {"a": [1, 3], "b": [2, 4]}

    def test_plain_tables_are_read_without_a_word(self) -> None:
        assert read("a,b\n1.5,x\n2.25,y\n").notes == ()
        assert read("a\tb\n1.5\tx\n", plain_separator="\t").notes == ()

    def test_one_column_of_texts_is_one_column(self) -> None:
        cells = ["plain", "with a blank", "a, comma", "x;y", "two b", ""] * 3
        text = pd.DataFrame({"c": cells}).to_csv(index=False)
        assert columns(read(text))["c"][:5] == cells[:5]

    def test_settings_overrule_what_is_found(self) -> None:
        assert columns(read("a;b,c\n1;2,3\n", separator=","))["a;b"] == ["1;2"]
        assert read("a,b\n1.234,5\n2.345,6\n", decimal=",").frame["a"].tolist() == [1234, 2345]
        assert read("a;b\n1.234;5\n2.345;6\n", decimal=".").frame["a"].tolist() == [1.234, 2.345]
        assert read('a,b\n"1,234",5\n', thousands=",").frame["a"].tolist() == [1234]
        assert read('a,b\n"1,234",5\n', thousands=".").frame["a"].tolist() == [1.234]
        assert read("a,b\nKöln,1\n".encode("latin-1"), encoding="latin-1").frame["a"][0] == "Köln"


class TestLines:
    """What is no row."""

    def test_separator_line_of_excel(self) -> None:
        assert columns(read("sep=;\na;b\n1,5;x,y,z\n2;z\n")) == {
            "a": [1.5, 2.0],
            "b": ["x,y,z", "z"],
        }

    def test_titles(self) -> None:
        for title in ("Houses report\n\n", "Houses report,,\n,,\n"):
            found = read(f"{title}area,rooms,price\n1,2,3\n4,5,6\n")
            assert columns(found) == {"area": [1, 4], "rooms": [2, 5], "price": [3, 6]}
            assert found.notes == ("line 1 left out, a title: 'Houses report'",)

    @pytest.mark.parametrize(
        "comments", [["# exported 2026-11-27"], ["# exported 2026-11-27, by me", "", "#rows, 2"]]
    )
    def test_comments_above_a_header(self, comments: list[str]) -> None:
        text = "".join(f"{comment}\n" for comment in comments)
        found = read(f"{text}area,price\n1,3\n4,6\n")
        assert found.frame.to_dict("list") == {"area": [1, 4], "price": [3, 6]}
        assert found.notes == tuple(
            f"line {line} left out, a comment: {comment!r}"
            for line, comment in enumerate(comments, start=1)
            if comment
        )
        with pytest.raises(DataError, match=f"line {len(comments) + 3} has 3 fields"):
            read(f"{text}area,price\n1,3\n4,6,7\n")

    @pytest.mark.parametrize("header", ["# area,price", "#area,price"])
    def test_a_header_may_begin_with_a_hash_sign(self, header: str) -> None:
        found = read(f"# two columns\n{header}\n1,3\n4,6\n")
        assert [str(name).lstrip("# ") for name in found.frame] == ["area", "price"]
        assert found.notes == ("line 1 left out, a comment: '# two columns'",)

    def test_rows_may_begin_with_a_hash_sign(self) -> None:
        found = read("# colours\n#f00,3\n#0f0,4\nred,5\n", columns=["colour", "price"])
        assert list(found.frame["colour"]) == ["#f00", "#0f0", "red"]
        assert found.notes == ("line 1 left out, a comment: '# colours'",)

    def test_a_short_first_row_is_no_title(self) -> None:
        assert error("5\n1,2\n3,4\n").startswith(
            "line 2 has 2 fields, and the header (line 1) has 1"
        )
        assert error("price\n1,2\n3,4\n").startswith("line 2 has 2 fields")

    def test_row_names_of_r(self) -> None:
        for rows in ('"1",80,5\n"2",70,6\n', '"Mazda RX4",80,5\n"Fiat 128",70,6\n'):
            found = read(f'"area","price"\n{rows}')
            assert list(found.frame) == ["Unnamed: 0", "area", "price"]
            assert found.frame["area"].tolist() == [80, 70]
            assert "the first is the rows' names" in found.notes[0]

    def test_a_missing_name_is_no_row_name(self) -> None:
        text = "area,rooms\n80,2,5\n70,3,6\n80,4,7\n"
        assert error(text) == "line 2 has 3 fields, and the header (line 1) has 2"

    def test_separators_at_the_end(self) -> None:
        for text in ("a,b\n1,2,\n3,4,\n", "a,b,\n1,2\n3,4\n"):
            assert columns(read(text)) == {"a": [1, 3], "b": [2, 4]}

    def test_ragged_rows(self) -> None:
        assert error('a,b\n"x\ny",2\n3\n5,6\n7,8,9\n') == (
            "line 4 has 1 field, and the header (line 1) has 2; "
            "1 more line with another number than 2"
        )
        assert error("1,2\n3,4\n5,6,7\n", columns=["a", "b"]) == (
            "line 3 has 3 fields, and the other lines have 2"
        )

    def test_a_quotation_mark_that_is_not_closed(self) -> None:
        for text in ('a,b\n1,2\n3,"4\n5,6\n7,8\n', 'a,b\n1,2\n"3,4\n5,6\n7,8\n'):
            assert error(text) == 'line 3: a quotation mark (") is opened and not closed'

    def test_stray_quotation_marks_are_characters(self) -> None:
        assert columns(read('size,n\n5" pipe,1\n6",2\n'))["size"] == ['5" pipe', '6"']


class TestHeader:
    NAMES = ("user", "code", "time")

    def test_header_beside_names(self) -> None:
        for header in ("user,code,time", "USER,Code,time", "id,what,when"):
            found = read(f"{header}\n7,pv,10\n8,buy,11\n", columns=list(self.NAMES))
            assert columns(found) == {"user": [7, 8], "code": ["pv", "buy"], "time": [10, 11]}
            assert "line 1 left out, a header" in found.notes[0]

    @pytest.mark.parametrize("first", ["7,pv,10", "?,pv,10", ",pv,NA", "7,,10"])
    def test_a_first_row_is_no_header(self, first: str) -> None:
        found = read(f"{first}\n8,pv,11\n9,buy,12\n", columns=list(self.NAMES))
        assert len(found.frame) == 3

    def test_a_first_row_that_could_be_either_is_refused(self) -> None:
        text = "user_id,1,2\n7,3,4\n8,5,6\n"
        assert "the first row is user_id, 1, 2: if it is a header, leave data.columns out" in error(
            text, columns=["a", "b", "c"]
        )
        assert len(read(text, columns=["a", "b", "c"], missing=["user_id"]).frame) == 3

    @pytest.mark.parametrize("text", ["7,pv,1\n8,pv,2\n9,buy,3\n", "1.5,2\n3.5,4\n4.5,5\n"])
    def test_a_row_that_is_taken_for_a_header_is_told(self, text: str) -> None:
        assert "looks like a row" in read(text).notes[0]

    def test_numbers_can_be_names(self) -> None:
        assert read("user_id,1,2\n7,3,4\n8,5,6\n").notes == ()
        assert read("2019,2020\n7,3\n8,5\n").notes == ()
