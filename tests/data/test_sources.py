"""Reading of tables: files, event logs, the user's own functions."""

from __future__ import annotations

import gzip
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from homes import error, load, raw_targets, table, write

from sweep.data.behaviour_log import behaviour_log
from sweep.data.load import load_dataset
from sweep.data.sources import Table, pivot_counts, read_source
from sweep.study.sections import DataConfig

ENDINGS = (
    ".csv, .tsv, .txt, .jsonl, .ndjson, .parquet, .feather or .xlsx "
    "(text also with .gz, .bz2, .xz or .zip)"
)
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


class TestFiles:
    @pytest.mark.parametrize(
        "name",
        [
            *("homes.csv", "homes.csv.gz", "homes.csv.bz2", "homes.csv.xz", "homes.csv.zip"),
            *("homes.tsv", "homes.txt", "homes.TSV.GZ", "homes.zip", "homes.parquet"),
            *("homes.jsonl", "homes.ndjson.gz", "homes.feather", "homes.xlsx"),
        ],
    )
    def test_reads_every_ending(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        if name.endswith("xlsx"):
            pytest.importorskip("openpyxl")
            table().to_excel(path, index=False)
        elif name.endswith("parquet"):
            table().to_parquet(path)
        elif name.endswith("feather"):
            table().to_feather(path)
        elif "json" in name:
            table().to_json(path, orient="records", lines=True)
        elif name == "homes.zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("folder/table.csv", table().to_csv(index=False))
                archive.writestr("__MACOSX/._table.csv", "x")
        elif name == "homes.TSV.GZ":
            path.write_bytes(gzip.compress(table().to_csv(index=False, sep="\t").encode()))
        else:
            table().to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
        data = load(tmp_path, source=name)
        assert data.features == ("area", "rooms")
        assert np.sort(raw_targets(data)) == pytest.approx(np.sort(table()["price"]))

    @pytest.mark.parametrize("separator", [";", "\t"])
    def test_reads_other_separators(self, tmp_path: Path, separator: str) -> None:
        frame = table().rename(columns={"area": "area, m²"})
        frame.to_csv(tmp_path / "homes.csv", index=False, sep=separator)
        data = load(tmp_path)
        assert data.features == ("area, m²", "rooms")
        assert np.sort(raw_targets(data)) == pytest.approx(np.sort(frame["price"]))
        frame.to_csv(tmp_path / "homes.csv", index=False, header=False, sep=separator)
        assert load(tmp_path, columns=["area", "rooms", "price"]).features == ("area", "rooms")

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
        assert error(tmp_path) == f"homes.csv: is a folder; expected a file ending in {ENDINGS}"

    def test_unsupported_ending(self, tmp_path: Path) -> None:
        for name in ("homes.ods", "homes.csv.lz4", "homes.parquet.gz", "homes."):
            (tmp_path / name).touch()
            assert error(tmp_path, source=name) == f"{name}: unsupported ending; expected {ENDINGS}"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "homes.csv: is empty"),
            ("area,price\n", "homes.csv: has no rows"),
            (
                "area,price\n1,2\n3,4,5\n",
                "homes.csv: line 3 has 3 fields, and the header (line 1) has 2",
            ),
            (
                "area,price\n1,2,3\n",
                "homes.csv: line 2 has 3 fields, and the header (line 1) has 2",
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
        for name, kind in (("parquet", "Parquet"), ("csv.gz", "CSV")):
            text = error(tmp_path, source=f"homes.{name}")
            assert text.startswith(f"homes.{name}: cannot be read as {kind}: ")

    def test_zip_file_of_several_tables(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "homes.zip", "w") as archive:
            archive.writestr("a.csv", "x\n1\n")
            archive.writestr("b.csv", "x\n1\n")
        assert error(tmp_path, source="homes.zip") == (
            "homes.zip: a ZIP file with one table in it is expected; it holds 'a.csv', 'b.csv'"
        )

    def test_json_lines_are_read_as_a_text_table_is(self, tmp_path: Path) -> None:
        rows = [
            f'{{"date": "0{row}", "area": "{row},5 m", "price": {row}}}' for row in range(1, 10)
        ]
        (tmp_path / "homes.jsonl").write_text("\n".join(rows))
        data = load(tmp_path, source="homes.jsonl", scale=False, features=["area"])
        x = np.concatenate([data.x_train, data.x_validation, data.x_test])[:, 0]
        assert sorted(x) == [row + 0.5 for row in range(1, 10)]
        assert "'m' stripped from the numbers in 'area'" in data.notes
        (tmp_path / "homes.jsonl").write_text('{"price": 1, "area": [1]}\n')
        assert "columns with objects or lists: 'area'" in error(tmp_path, source="homes.jsonl")
        (tmp_path / "homes.jsonl").write_text('{"price": 1}\n\n{"price": \n')
        assert "line 3 cannot be read as JSON: " in error(tmp_path, source="homes.jsonl")

    def test_excel_without_its_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "homes.xlsx").touch()
        monkeypatch.setitem(sys.modules, "openpyxl", None)
        assert "pip install 'sweep-lr[excel]'" in error(tmp_path, source="homes.xlsx")

    def test_first_sheet_of_an_excel_file(self, tmp_path: Path) -> None:
        pytest.importorskip("openpyxl")
        with pd.ExcelWriter(tmp_path / "homes.xlsx") as book:
            table().assign(area=[f"{row},5 €" for row in range(20)]).to_excel(book, index=False)
            table(3).to_excel(book, sheet_name="other")
        data = load(tmp_path, source="homes.xlsx")
        assert data.features == ("area", "rooms")
        assert data.notes[0] == "sheet 'Sheet1' read, the first of 2"

    @pytest.mark.parametrize("key", ["encoding", "separator", "decimal", "thousands", "missing"])
    def test_how_a_file_is_read_does_not_fit_other_sources(self, tmp_path: Path, key: str) -> None:
        settings = {key: {"encoding": "utf-8", "missing": ["?"]}.get(key, ",")}
        for source in ("diabetes", "somewhere:make"):
            (tmp_path / "somewhere.py").write_text("def make(): return [1], [1]")
            assert f"data.{key} does not fit" in error(tmp_path, source=source, **settings)
        table().to_parquet(tmp_path / "homes.parquet")
        text = error(tmp_path, source="homes.parquet", **settings)
        assert text.startswith(f"homes.parquet: data.{key} is for a text file")

    def test_unknown_source(self, tmp_path: Path) -> None:
        assert error(tmp_path, source="behavior-log") == (
            "data.source = 'behavior-log': unknown source; did you mean 'behaviour-log'? "
            f"(behaviour-log, diabetes, digits, a path ending in {ENDINGS}, or 'module:function')"
        )

    def test_settings_of_a_file_do_not_fit_a_built_in_source(self, tmp_path: Path) -> None:
        assert error(tmp_path, source="behaviour-log", target="buy", pivot=PIVOT) == (
            "data.pivot does not fit data.source = 'behaviour-log': "
            "the built-in source 'behaviour-log' is a table already"
        )

    def test_parquet_files_name_their_own_columns(self, tmp_path: Path) -> None:
        table().to_parquet(tmp_path / "homes.parquet")
        text = "data.columns is for a text file; one ending in .parquet says that itself"
        assert error(tmp_path, source="homes.parquet", columns=["a"]) == f"homes.parquet: {text}"


class TestPivot:
    def test_counts_events_in_sorted_columns(self) -> None:
        events = pd.DataFrame([line.split(",") for line in LOG.split()], columns=LOG_COLUMNS)
        counts, notes = pivot_counts(events, "user", "behaviour")
        expected = pd.DataFrame(
            [[1, 0, 0, 2], [0, 0, 1, 1], [2, 1, 0, 1]],
            index=pd.Index(["ann", "bob", "cid"], name="user"),
            columns=["buy", "cart", "fav", "pv"],
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
        (tmp_path / "log.csv").write_text(LOG + "dan,buy,3\n" * 3)
        log: dict[str, Any] = {
            "source": "log.csv",
            "columns": LOG_COLUMNS,
            "pivot": PIVOT,
            "scale": False,
        }
        data = load(tmp_path, **log, target="buy", validation=0.5, features=["pv"], test=0)
        assert (data.features, data.target) == (("pv",), "buy")
        rows = np.concatenate([data.x_train, data.x_validation])[:, 0]
        targets = np.concatenate([data.y_train, data.y_validation])
        assert sorted(zip(rows, targets, strict=True)) == [(0, 3), (1, 0), (1, 2), (2, 1)]

    def test_target_is_the_code_as_text(self, tmp_path: Path) -> None:
        events = behaviour_log(40)
        write(tmp_path, events, "log.csv")
        pivot = {"index": "user_id", "columns": "behavior_type"}
        data = load(tmp_path, source="log.csv", target=4, pivot=pivot)
        assert data.features == ("1", "2", "3")
        built_in = load_dataset(DataConfig(users=40), 0)
        assert (data.x_train == built_in.x_train).all()
        assert data.fingerprint == built_in.fingerprint

    def test_header_of_a_log_whose_columns_are_named(self, tmp_path: Path) -> None:
        log: dict[str, Any] = {"columns": LOG_COLUMNS, "pivot": PIVOT, "test": 0, "target": "buy"}
        (tmp_path / "log.csv").write_text(LOG)
        (tmp_path / "headed.csv").write_text(f"user,action,time\n{LOG}")
        plain, headed = (
            read_source(DataConfig(source=name, **log), (tmp_path,))
            for name in ("log.csv", "headed.csv")
        )
        assert isinstance(plain, Table) and isinstance(headed, Table)
        pd.testing.assert_frame_equal(plain.frame, headed.frame)
        assert headed.notes == (
            "line 1 left out, a header: user, action, time; data.columns names the columns",
        )

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
        assert data.notes == (
            "column '3' left out: one value in all training rows "
            '(data.constant = "keep" keeps it)',
        )

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
                "def make(): return np.ones((4, 2)), np.ones((5, 3))",
                "'own_shapes:make' returned x of shape (4, 2) and y of shape (5, 3); "
                "expected (rows, ...) and (rows, ...), with as many rows",
            ),
            (
                "own_lengths",
                "def make(): return np.ones((4, 2)), np.ones(3)",
                "'own_lengths:make' returned x of shape (4, 2) and y of shape (3,); "
                "expected (rows, features) or (rows,) and (rows,) or (rows, 1)",
            ),
            (
                "own_ragged",
                "def make(): return [[1, 2], [3]], [1, 2]",
                "'own_ragged:make' returned a pair, but not of arrays: setting an array element "
                "with a sequence. The requested array has an inhomogeneous shape after 1 "
                "dimensions. The detected shape was (2,) + inhomogeneous part.",
            ),
            (
                "own_empty",
                "def make(): return pd.DataFrame({'area': [], 'price': []})",
                "own_empty:make: has no rows",
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
                "expected a pandas DataFrame or a pair (x, y) of arrays or tensors, or four of "
                "them, (x, y, x_validation, y_validation), or six, with x_test, y_test",
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
