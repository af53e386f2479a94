"""New rows are read as the training table was, where their own cells leave it open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_models import model_of

from sweep.data.fitted.columns import TablePreparation
from sweep.data.fitted.new_rows import new_rows
from sweep.data.fitted.new_table import NewTable, new_table_of
from sweep.runs.predictor import load_predictor
from sweep.study.sections import DataConfig

ROWS = 60


def read(
    folder: Path,
    train: list[str],
    new: list[str],
    settings: dict[str, Any] | None = None,
    ending: str = "csv",
    **study: Any,
) -> NewTable:
    """New rows of the column `a`, as the model of training rows with these cells reads them."""
    cells = [train[row % len(train)] for row in range(ROWS)]
    frame = pd.DataFrame({"a": cells, "b": np.arange(ROWS) % 7, "code": "A1"})
    frame["code"] = [["01", "02", "03", "A1"][row % 4] for row in range(ROWS)]
    frame["y"] = np.arange(ROWS) % 11
    frame.to_csv(folder / "table.csv", index=False)
    path = model_of(folder, data__source="table.csv", data__target="y", **study)
    rows = pd.DataFrame({"a": new, "b": 1, "code": ["01", "02", "03"][: len(new)]})
    file = folder / f"new.{ending}"
    if ending == "xlsx":
        rows.to_excel(file, index=False)
    elif ending == "jsonl":
        rows.to_json(file, orient="records", lines=True)
    else:
        rows.to_csv(file, index=False)
    predictor = load_predictor(path)
    table = predictor.read(file, settings)
    predictor.answer(table)
    return table


COMMA, POINT = ["0,5", "1,234", "17,25"], ["0.5", "1234.25", "17.125"]


@pytest.mark.parametrize("ending", ["csv", "xlsx", "jsonl"])
def test_training_tells_the_decimal_mark_of_numbers_that_do_not(
    tmp_path: Path, ending: str
) -> None:
    table = read(tmp_path, COMMA, ["1,234", "2,500"], ending=ending)
    assert [*table.frame["a"]] == [1.234, 2.5]
    (why,) = [note for note in table.notes if "could be" in note]
    assert why == (
        "1,234 in 'a' is read as 1.234 and could be 1234: the training table's decimals follow "
        "','; --set data.decimal=. changes that"
    )


@pytest.mark.parametrize(
    ("train", "new", "expected"),
    [
        (COMMA, ["1.234", "849"], [1234, 849]),
        (COMMA, ["1,230", "849"], [1.23, 849]),
        (POINT, ["1,234", "2,500"], [1234, 2500]),
        (POINT, ["1.230", "849"], [1.23, 849]),
        (["1,234.5", "17.25"], ["1,234"], [1234]),
        (["1.234.567", "849"], ["1.234"], [1234]),
        (["1", "2", "3"], ["1,234"], [1234]),
    ],
)
def test_either_mark(
    tmp_path: Path, train: list[str], new: list[str], expected: list[float]
) -> None:
    assert [*read(tmp_path, train, new).frame["a"]] == expected


def test_a_file_that_plainly_has_the_other_mark_is_read_by_it_and_told(tmp_path: Path) -> None:
    table = read(tmp_path, COMMA, ["1.5", "1234.25"])
    assert [*table.frame["a"]] == [1.5, 1234.25]
    assert (
        "decimals follow '.' here, as 1.5 in 'a' shows, and ',' in the training table; "
        "--set data.decimal=, changes that"
    ) in table.notes


def test_a_setting_for_the_file_wins(tmp_path: Path) -> None:
    assert [*read(tmp_path, COMMA, ["1,234"], {"decimal": "."}).frame["a"]] == [1234]
    assert [*read(tmp_path, POINT, ["1,234"], {"decimal": ","}).frame["a"]] == [1.234]


def test_columns_that_are_no_numbers_decide_nothing(tmp_path: Path) -> None:
    folder = tmp_path
    read(folder, COMMA, ["1,234"])
    (folder / "new.csv").write_text('a,b,code,version\n"1,234",1,01,1.5\n')
    table = load_predictor(folder / "best_model.pt").read(folder / "new.csv")
    assert [*table.frame["a"]] == [1.234]


def test_a_table_that_is_plain_is_read_without_a_word(tmp_path: Path) -> None:
    assert read(tmp_path, POINT, ["1.234", "2.500"]).notes == ()


def test_categories_are_no_numbers_with_leading_zeros(tmp_path: Path) -> None:
    table = read(tmp_path, POINT, ["0.5", "1.5"])
    assert [*table.frame["code"]] == ["01", "02"]
    assert not [note for note in table.notes if "leading zeros" in note]


@pytest.mark.parametrize(
    ("new", "months", "told"),
    [
        (["03/04/2020", "05/06/2020"], [4, 6], False),
        (["03/04/2020", "31/06/2020", "31/07/2020"] + ["28/02/2020"] * 40, [4, None, 7], False),
        (["03/04/2020", "05/31/2020"], [3, 5], True),
    ],
)
def test_training_tells_whether_days_come_first(
    tmp_path: Path, new: list[str], months: list[int | None], told: bool
) -> None:
    days = pd.date_range("2020-01-01", periods=ROWS).strftime("%d/%m/%Y")
    frame = pd.DataFrame({"day": days, "b": np.arange(ROWS) % 7, "y": np.arange(ROWS) % 11})
    frame.to_csv(tmp_path / "table.csv", index=False)
    path = model_of(tmp_path, data__source="table.csv", data__target="y", data__dates=True)
    predictor = load_predictor(path)
    learnt = predictor.contents.preparation
    assert isinstance(learnt, TablePreparation)
    rows = new_rows(new_table_of(pd.DataFrame({"day": new, "b": 1}), DataConfig()), learnt, "y")
    month = next(number.name for number in learnt.numbers if number.part == "month")
    found = rows.frame[month].head(3)
    assert [None if pd.isna(value) else value for value in found] == months
    assert [note for note in rows.notes if "first" in note] == [
        "column 'day' is read with months first, as '05/31/2020' in data row 2 shows, and had days "
        "first in the training table"
    ] * told
