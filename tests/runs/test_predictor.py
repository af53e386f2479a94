"""Predictions of new rows: the numbers of predictions.csv, and what no training row had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from made_models import model_of, table

from sweep.base.csv_cells import frame_from_csv
from sweep.base.errors import DataError, InputError, ModelError
from sweep.data.behaviour_log import behaviour_counts, behaviour_log
from sweep.runs.predictor import Predictor, load_predictor
from sweep.study.file import load_study


def same_numbers(expected: pd.DataFrame, found: pd.DataFrame) -> None:
    """The predictions of two frames, in the same order, to 32-bit rounding."""
    names = [name for name in map(str, expected) if name.startswith(("prediction", "p("))]
    assert names and names == [name for name in found if name != "unseen"]
    for name in names:
        if expected[name].dtype.kind == "f":
            assert found[name].to_numpy() == pytest.approx(expected[name].to_numpy(), rel=2e-6)
        else:
            assert list(expected[name].astype(str)) == list(found[name].astype(str))


STUDIES: dict[str, dict[str, Any]] = {
    "numbers": {"data__target": "price", "data__drop": ["kind"]},
    "dates": {"data__target": "price", "data__drop": ["kind"], "data__dates": True},
    "split by time": {
        "data__target": "price",
        "data__features": ["area", "city"],
        "data__split": {"by": "day"},
    },
    "split by group": {
        "data__target": "price",
        "data__drop": ["kind"],
        "data__split": {"group": "rooms"},
    },
    "constant": {"data__target": "price", "data__drop": ["kind"], "data__constant": "keep"},
    "logarithms": {"data__target": "price", "data__drop": ["kind"], "data__log1p": True},
    "unscaled": {"data__target": "price", "data__drop": ["kind"], "data__scale": False},
    "codes": {
        "data__target": "price",
        "data__features": ["rooms", "city"],
        "data__categories": ["rooms"],
    },
    "classes": {
        "data__target": "kind",
        "data__drop": ["price"],
        "training__loss": "cross_entropy",
    },
    "two classes": {
        "data__target": "always2",
        "training__loss": "binary_cross_entropy",
    },
}


@pytest.mark.parametrize("name", STUDIES)
def test_test_rows_have_their_numbers_again(tmp_path: Path, name: str) -> None:
    rows = table()
    rows["always2"] = np.where(rows["rooms"] > 4, "yes", "no")
    rows.to_csv(tmp_path / "table.csv", index=False)
    path = model_of(tmp_path, data__source="table.csv", model__name="mlp", **STUDIES[name])
    written = frame_from_csv(tmp_path / "predictions.csv")
    predictor = load_predictor(path)
    answers = predictor.predict(tmp_path / "table.csv")
    assert not [note for note in answers.attrs["notes"] if "not used" in note]
    same_numbers(written, answers.iloc[written["row"] - 1])
    assert written.iloc[:, 2:].nunique().max() > 1
    target = STUDIES[name]["data__target"]
    assert list(written["y"]) == list(rows[target].iloc[written["row"] - 1])
    few = rows.iloc[written["row"] - 1].drop(columns=[target, "id"])
    few.to_csv(tmp_path / "few.csv", index=False)
    one = few.head(1)
    one.to_csv(tmp_path / "one.csv", index=False)
    same_numbers(written, predictor.predict(tmp_path / "few.csv"))
    same_numbers(written.head(1), predictor.predict(tmp_path / "one.csv"))


@pytest.mark.parametrize("ending", ["parquet", "feather", "xlsx", "jsonl", "gbk.csv", "tsv.gz"])
def test_any_file_that_training_reads(tmp_path: Path, ending: str) -> None:
    names = {"area": "面积", "city": "城市", "price": "价格", "rooms": "房间"}
    rows = table()[[*names]].rename(columns=names)
    rows["城市"] = rows["城市"].map({"Bern": "北京", "Chur": "上海", "True": "深圳"})
    rows.to_csv(tmp_path / "房价.csv", index=False, encoding="gbk")
    path = model_of(tmp_path, data__source="房价.csv", data__target="价格", model__name="linear")
    new = tmp_path / f"新.{ending}"
    write: dict[str, Callable[[], Any]] = {
        "parquet": lambda: rows.to_parquet(new),
        "feather": lambda: rows.to_feather(new),
        "xlsx": lambda: rows.to_excel(new, index=False),
        "jsonl": lambda: rows.to_json(new, orient="records", lines=True, force_ascii=False),
        "gbk.csv": lambda: rows.to_csv(new, index=False, encoding="gbk", sep=";", decimal=","),
        "tsv.gz": lambda: rows.to_csv(new, index=False, sep="\t"),
    }
    write[ending]()
    written = pd.read_csv(tmp_path / "predictions.csv")
    same_numbers(written, load_predictor(path).predict(new).iloc[written["row"] - 1])


def test_an_event_log_is_counted_as_in_training(tmp_path: Path) -> None:
    log = behaviour_log(40)
    log.to_csv(tmp_path / "log.csv", index=False)
    path = model_of(
        tmp_path,
        data__source="log.csv",
        data__pivot={"index": "user_id", "columns": "behavior_type"},
        data__target="4",
        data__log1p=True,
    )
    written = pd.read_csv(tmp_path / "predictions.csv")
    assert list(written) == ["user_id", "y", "prediction"]
    bought = log[log["behavior_type"] == 4].groupby("user_id").size()
    assert list(written["y"]) == list(bought.reindex(written["user_id"], fill_value=0))
    predictor = load_predictor(path)
    for found in (predictor.predict(log), predictor.predict(tmp_path / "log.csv")):
        same_numbers(written, found.loc[written["user_id"]])
    few = log[(log["user_id"] == 1) & (log["behavior_type"] == 1)]
    strange = pd.DataFrame({"user_id": [1], "behavior_type": [9]})
    found = predictor.predict(pd.concat([few, strange], ignore_index=True))
    assert found.attrs["notes"][:2] == [
        "no event here is '2', '3': counted as 0 in all rows",
        "event '9' not used: the training table had none of that name",
    ]


def test_a_behaviour_log(tmp_path: Path) -> None:
    path = model_of(tmp_path, data__users=200)
    written = pd.read_csv(tmp_path / "predictions.csv")
    rows = behaviour_counts(200)
    same_numbers(written, load_predictor(path).predict(rows).iloc[written["row"] - 1])
    assert list(written["y"]) == list(rows["buy"].iloc[written["row"] - 1])


NET = """
import torch
from torch import nn

def images():
    g = torch.Generator().manual_seed(0)
    return torch.rand(60, 1, 4, 4, generator=g) * 255, torch.arange(60) % 3

def series():
    g = torch.Generator().manual_seed(0)
    return torch.rand(60, 6, generator=g), torch.rand(60, 2, generator=g)

def ids():
    return torch.arange(120).reshape(60, 2) % 9, torch.arange(60) % 5 / 10

class Flat(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))
        self.layers(torch.zeros(1, 16 if outputs == 3 else 6))
    def forward(self, x):
        return self.layers(x)

class Ids(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.last = nn.Linear(4, 1)
    def forward(self, x):
        return self.last(self.embedding(x).mean(1))

class Net(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.last = nn.Linear(features, 1)
    def forward(self, x):
        return self.last(x)
"""


class TestOwnCode:
    @pytest.mark.parametrize(
        ("source", "model", "settings"),
        [
            ("images", "Flat", {"training__loss": "cross_entropy", "data__scale": True}),
            ("series", "Flat", {"data__scale": True}),
            ("ids", "Ids", {}),
        ],
    )
    def test_arrays(self, tmp_path: Path, source: str, model: str, settings: Any) -> None:
        name = f"arrays_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{name}.py").write_text(NET)
        path = model_of(
            tmp_path,
            data__source=f"{name}.py:{source}",
            model__name=f"{name}.py:{model}",
            **settings,
        )
        written = pd.read_csv(tmp_path / "predictions.csv")
        namespace: dict[str, Any] = {}
        exec(NET, namespace)
        x, y = namespace[source]()
        predictor = load_predictor(path, trust=True)
        found = predictor.predict(x)
        same_numbers(written, found.iloc[written["row"] - 1])
        assert (found["unseen"] == "").all()
        truth = y[written["row"].to_numpy() - 1].numpy()
        given = written.filter(regex=r"^y\d?$").to_numpy()
        assert given.reshape(truth.shape).astype(truth.dtype).tolist() == truth.tolist()
        with pytest.raises(DataError, match=r"x: is of shape \(60, 3\) and type .*learnt from"):
            predictor.predict(np.zeros((60, 3)))
        with pytest.raises(InputError, match=r"give an array in a .npy file"):
            predictor.read(Path("new.csv"))
        if source != "ids":
            assert "values are outside" in predictor.predict(x * 9).attrs["notes"][0]
        else:
            with pytest.raises(ModelError, match="its forward pass failed on new rows"):
                predictor.predict(x * 9)

    def test_a_model_of_ones_own_is_run_if_it_is_trusted(self, tmp_path: Path) -> None:
        table().to_csv(tmp_path / "table.csv", index=False)
        (tmp_path / "trusted_net.py").write_text(NET)
        settings = {**STUDIES["numbers"], "data__source": "table.csv"}
        path = model_of(tmp_path, model__name="trusted_net.py:Net", **settings)
        with pytest.raises(
            InputError, match=r"'trusted_net.py:Net', whose module would be run.*--trust"
        ):
            load_predictor(path)
        written = pd.read_csv(tmp_path / "predictions.csv")
        found = load_predictor(path, trust=True).predict(tmp_path / "table.csv")
        same_numbers(written, found.iloc[written["row"] - 1])


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Of a table with dates, whose categories are all frequent."""
    folder = tmp_path_factory.mktemp("predictor")
    rows = table()
    rows["city"] = rows["city"].fillna("Bern")
    rows.to_csv(folder / "table.csv", index=False)
    return load_predictor(
        model_of(
            folder,
            data__source="table.csv",
            data__target="price",
            data__drop=["kind", "street"],
            data__dates=True,
            model__name="mlp",
        )
    )


class TestUnseen:
    def test_is_told_row_by_row_and_column_by_column(self, predictor: Predictor) -> None:
        rows = table().head(4).fillna({"city": "Bern", "area": 100.0})
        rows["area"] = [100.0, 900.0, 100.0, -70.0]
        rows["city"] = ["Bern", "Basel", None, "Chur"]
        rows["day"] = [
            "01.02.2020 10:00",
            "01.02.2031 10:00",
            "01.02.2020 10:00",
            "01.02.2020 10:00",
        ]
        found = predictor.predict(rows)
        assert list(found["unseen"]) == [
            "",
            "area = 900; day.year = 2031; city = Basel",
            "city is missing",
            "area = -70",
        ]
        assert np.isfinite(found["prediction"]).all()
        notes = "\n".join(found.attrs["notes"])
        assert "'area' is far outside of the training rows" in notes
        assert "in 2 of 4 rows: -70 and 900" in notes
        assert "'city' has categories of no training row in 1 of 4 rows: 'Basel' (1)" in notes
        assert "'city' is missing in 1 of 4 rows, and in none of the training rows" in notes

    def test_another_value_than_the_only_one_is_told(self, predictor: Predictor) -> None:
        rows = table().fillna({"city": "Bern"}).head(5)
        rows["always"] = [3, 3.0, 4, np.nan, 3]
        found = predictor.predict(rows)
        assert list(found["unseen"]) == ["", "", "always = 4.0", "", ""]
        assert found.attrs["notes"] == [
            "'always' is '3' in all training rows, and something else in 1 of 5 rows: '4.0'; the "
            "model cannot tell"
        ]

    def test_nothing_is_told_of_rows_like_those_of_the_training(self, predictor: Predictor) -> None:
        rows = table().fillna({"city": "Bern"})
        found = predictor.predict(rows)
        assert (found["unseen"] == "").all()
        assert found.attrs["notes"] == []

    def test_missing_values_are_told_where_there_are_more(self, predictor: Predictor) -> None:
        rows = table().fillna({"city": "Bern"})
        rows.loc[:60, "area"] = np.nan
        (note,) = predictor.predict(rows).attrs["notes"]
        assert note.startswith("'area' is missing in 71 of 150 rows, and in 1")


class TestColumns:
    def test_those_that_lack_are_named_together(self, predictor: Predictor) -> None:
        rows = table().rename(columns={"area": "the area"}).drop(columns="city")
        with pytest.raises(DataError) as problem:
            predictor.predict(rows)
        assert str(problem.value).startswith(
            "the DataFrame: 2 problems\n  no column 'area', which the"
        )
        assert "did you mean 'the area'?" in str(problem.value)
        assert "no column 'city'" in str(problem.value)

    def test_strange_ones_are_told(self, predictor: Predictor) -> None:
        rows = table().fillna({"city": "Bern"}).assign(colour="red")
        assert predictor.predict(rows).attrs["notes"] == [
            "column 'colour' not used: the training table had none of that name"
        ]

    @pytest.mark.parametrize(
        ("column", "value", "text"),
        [
            ("area", "big", "held numbers in the training table, but here data row 1 is 'big'"),
            ("area", np.inf, "is infinite in data row 1"),
            ("day", "soon", "held dates in the training table, but here data row 1 is 'soon'"),
            ("city", pd.Timestamp("2020-01-01"), "held categories in the training table"),
        ],
    )
    def test_those_of_another_kind_are_refused(
        self, predictor: Predictor, column: str, value: Any, text: str
    ) -> None:
        rows = table().head(3).astype({column: object})
        rows[column] = value
        with pytest.raises(DataError, match="the DataFrame: column") as problem:
            predictor.predict(rows)
        assert f"column {column!r} {text}" in str(problem.value)

    def test_a_negative_value_has_no_logarithm(self, tmp_path: Path) -> None:
        table().to_csv(tmp_path / "table.csv", index=False)
        path = model_of(
            tmp_path, data__source="table.csv", **STUDIES["logarithms"], model__name="mlp"
        )
        rows = table().head(3)
        rows.loc[1, "rooms"] = -2
        with pytest.raises(
            DataError, match="column 'rooms' is -2 in data row 2, and the logarithm"
        ):
            load_predictor(path).predict(rows)

    def test_few_values_that_are_none_are_missing(self, predictor: Predictor) -> None:
        rows = table().fillna({"city": "Bern"}).astype({"rooms": object})
        rows.loc[4, "rooms"] = "many"
        notes = predictor.predict(rows).attrs["notes"]
        assert notes[0] == "column 'rooms': 1 value taken as missing, such as 'many' in data row 5"


class TestModelPath:
    def test_a_file_that_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "best_model.pt"
        path.write_bytes(b"no")
        with pytest.raises(InputError, match="cannot be read as a model's file"):
            load_predictor(path)
        torch.save({"state": {}}, path)
        with pytest.raises(InputError, match="holds no model of a study's"):
            load_predictor(path)
        torch.save({"state_dict": {}, "trial": 3}, path)
        with pytest.raises(
            InputError, match="by an earlier version of sweep; running the study again"
        ):
            load_predictor(path)
        torch.save({"state_dict": {}, "trial": -3, "preparation": {}}, path)
        with pytest.raises(InputError, match=r"best_model.pt: \w+: .*running the study again"):
            load_predictor(path)

    @pytest.mark.parametrize(
        ("settings", "text"),
        [
            ({"loop": "train.py:train"}, "its models are the training loop's own"),
            ({"command": "python train.py"}, "its models are the command's own"),
            ({}, "no best model yet; run the study to its end"),
        ],
    )
    def test_a_study_without_one(self, tmp_path: Path, settings: dict[str, Any], text: str) -> None:
        (tmp_path / "study.toml").write_text(load_study(None, settings).to_toml())
        with pytest.raises(InputError, match=text):
            load_predictor(tmp_path)
