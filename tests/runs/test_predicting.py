"""`sweep predict`: the file that it writes, what it says, and what it refuses."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from called import called
from made_models import model_of, table
from support import ROOT

import sweep
from sweep.base.csv_cells import frame_from_csv
from sweep.base.errors import InputError
from sweep.runs.predicting import predict_file

PREDICT = ROOT / "docs" / "predict.md"
BLOCKS = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model of a table, `best_model.pt`, and a study `houses` that has it."""
    folder = tmp_path_factory.mktemp("houses")
    rows = table()[["area", "rooms", "city", "price"]]
    rows.to_csv(folder / "houses.csv", index=False)
    model_of(folder, data__source="houses.csv", data__target="price", model__name="mlp")
    study = folder / "studies" / "houses"
    study.mkdir(parents=True)
    (study / "study.toml").write_text('[data]\nsource = "houses.csv"\ntarget = "price"\n')
    (folder / "best_model.pt").rename(study / "best_model.pt")
    (folder / "predictions.csv").rename(study / "predictions.csv")
    return folder


@pytest.fixture(autouse=True)
def tidy(folder: Path) -> Any:
    yield
    for path in folder.glob("new*"):
        path.unlink()


def test_predictions_stand_beside_the_cells_as_they_were(folder: Path) -> None:
    lines = ["area;rooms;city;note", '101,50;3;Bern;="007"', ";04;Basel;-5", '"90";5;Chur;"a;b"']
    (folder / "new.csv").write_bytes("\n".join(lines).encode("utf-16"))
    done = called("predict", "houses", "new.csv", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    said = " ".join(done.stdout.split())
    assert "wrote new.predictions.csv: price predicted for 3 rows by the model of trial 7" in said
    assert 'note: read with encoding = "utf-16", separator = ";", decimal = ","' in said
    assert "note: column 'note' not used" in said
    assert "- 'city' has categories of no training row in 1 of 3 rows: 'Basel' (1)" in said
    text = (folder / "new.predictions.csv").read_bytes().decode("utf-16")
    header, *rows = text.splitlines()
    assert header == "area;rooms;city;note;prediction;unseen"
    assert rows[0].startswith('101,50;3;Bern;"=""007""";') and rows[0].endswith(";")
    assert re.fullmatch(r';04;Basel;-5;\d+,\d+;"area is missing; city = Basel"', rows[1])
    found = pd.read_csv(io.StringIO(text), sep=";", decimal=",")
    frame = pd.DataFrame(
        {"area": [101.5, np.nan, 90], "rooms": [3, 4, 5], "city": ["Bern", "Basel", "Chur"]}
    )
    expected = sweep.load_predictor(folder / "studies" / "houses").predict(frame)
    assert found["prediction"].to_numpy() == pytest.approx(expected["prediction"], rel=2e-6)


def test_an_encoding_that_lacks_a_class_is_changed_aloud(tmp_path: Path) -> None:
    rows = table()[["area", "rooms", "kind"]]
    classes = {"large": "Łódź", "=mid": "Genève", "small": "Köln"}
    rows.assign(kind=rows["kind"].map(classes)).to_csv(tmp_path / "homes.csv", index=False)
    classes_of: dict[str, Any] = {"data__target": "kind", "training__loss": "cross_entropy"}
    path = model_of(tmp_path, data__source="homes.csv", model__name="linear", **classes_of)
    new = rows.drop(columns="kind").assign(town="Zürich")
    new.to_csv(tmp_path / "new.csv", index=False, encoding="cp1252")
    done = called("predict", path, "new.csv", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    told = "written in utf-8, for cp1252, which was read, has no 'Ł'"
    assert json.loads(done.stdout)["notes"][-1] == told
    found = pd.read_csv(tmp_path / "new.predictions.csv")
    assert "p(Łódź)" in found and set(found["town"]) == {"Zürich"}


@pytest.mark.parametrize("ending", ["parquet", "feather", "xlsx", "jsonl", "tsv"])
def test_the_ending_says_what_is_written(folder: Path, ending: str) -> None:
    rows = table()[["area", "rooms", "city"]].assign(prediction="mine").head(9)
    rows.to_excel(folder / "new.xlsx", index=False)
    out = folder / f"new_out.{ending}"
    done = called("predict", "houses", "new.xlsx", "--out", out, "--json", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert (said["path"], said["rows"], said["target"]) == (str(out), 9, "price")
    assert said["columns"] == ["prediction", "unseen"]
    assert (
        "'prediction' is what the model says; the file's own column of that name is 'prediction "
        "(given)' now"
    ) in said["notes"]
    read: dict[str, Any] = {
        "parquet": pd.read_parquet,
        "feather": pd.read_feather,
        "xlsx": pd.read_excel,
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "tsv": lambda path: pd.read_csv(path, sep="\t"),
    }
    found = read[ending](out)
    assert list(found) == ["area", "rooms", "city", "prediction (given)", "prediction", "unseen"]
    assert {*found["prediction (given)"]} == {"mine"}
    assert found["area"].to_numpy() == pytest.approx(rows["area"].to_numpy(), nan_ok=True)
    expected = sweep.load_predictor(folder / "studies" / "houses").predict(rows)
    assert found["prediction"].to_numpy() == pytest.approx(expected["prediction"], rel=2e-6)


def test_predictions_are_predicted_again(folder: Path) -> None:
    rows = table()[["area", "rooms", "city"]].head(9)
    rows.to_csv(folder / "new.csv", index=False, encoding="utf-8-sig")
    predictor = sweep.load_predictor(folder / "studies" / "houses")
    predict_file(predictor, folder / "new.csv")
    again = folder / "new.predictions.csv"
    predict_file(predictor, again)
    frames = [pd.read_csv(path) for path in (again, folder / "new.predictions.predictions.csv")]
    own = ["prediction (given)", "unseen (given)"]
    assert list(frames[1]) == [*rows, *own, "prediction", "unseen"]
    assert [*frames[0]["prediction"]] == [*frames[1]["prediction"]] == [*frames[1][own[0]]]


def test_excel_knows_the_encoding_by_the_mark_that_was_there(folder: Path) -> None:
    rows = table()[["area", "rooms", "city"]].head(9)
    predictor = sweep.load_predictor(folder / "studies" / "houses")
    for encoding, begins in (("utf-8-sig", b"\xef\xbb\xbfarea"), ("utf-8", b"area")):
        rows.to_csv(folder / "new.csv", index=False, encoding=encoding)
        for settings in ([], ["data.encoding=utf-8"]):
            predict_file(predictor, folder / "new.csv", force=True, settings=settings)
            assert (folder / "new.predictions.csv").read_bytes().startswith(begins)


def test_test_rows_have_the_numbers_of_predictions_csv(folder: Path) -> None:
    (folder / "new.csv").write_bytes((folder / "houses.csv").read_bytes())
    alone = folder / "studies" / "houses" / "best_model.pt"
    assert called("predict", alone, "new.csv", cwd=folder).returncode == 0
    found = pd.read_csv(folder / "new.predictions.csv")
    written = frame_from_csv(folder / "studies" / "houses" / "predictions.csv")
    again = found.iloc[written["row"] - 1]
    assert list(again["price"]) == list(written["y"])
    assert again["prediction"].to_numpy() == pytest.approx(written["prediction"], rel=2e-6)


def test_rows_say_the_values_of_no_training_row_as_they_are(folder: Path) -> None:
    (folder / "new.csv").write_text("area,rooms,city\n1234.5,3,Bern\n")
    predict_file(sweep.load_predictor(folder / "studies" / "houses"), folder / "new.csv")
    assert [*pd.read_csv(folder / "new.predictions.csv")["unseen"]] == ["area = 1234.5"]


class TestRefused:
    def test_an_array_where_a_table_was_learnt(self, folder: Path) -> None:
        np.save(folder / "new.npy", np.zeros((2, 3)))
        predictor = sweep.load_predictor(folder / "studies" / "houses")
        with pytest.raises(InputError, match="learnt from a table, not from arrays; give a table"):
            predict_file(predictor, folder / "new.npy")

    def test_names_in_other_letters_are_told_in_one_line(self, folder: Path) -> None:
        rows = table()[["area", "rooms", "city"]].rename(columns={"area": "AREA", "city": "City"})
        predictor = sweep.load_predictor(folder / "studies" / "houses")
        with pytest.raises(InputError) as refused:
            predictor.predict(rows)
        assert str(refused.value) == (
            "the DataFrame: names differ from those that the model learnt from by capital letters: "
            "'AREA' for 'area', 'City' for 'city'; rename them as in the training table"
        )

    def test_truths_where_numbers_were_learnt(self, folder: Path) -> None:
        rows = table()[["area", "rooms", "city"]].assign(rooms=lambda rows: rows["rooms"] > 3)
        rows.to_parquet(folder / "new.parquet")
        predictor = sweep.load_predictor(folder / "studies" / "houses")
        with pytest.raises(InputError, match="column 'rooms' holds True and False here, and other"):
            predict_file(predictor, folder / "new.parquet")

    def test_nothing_is_written_over_unasked(self, folder: Path) -> None:
        table().to_csv(folder / "new.csv", index=False)
        (folder / "new.predictions.csv").write_text("mine")
        refused = called("predict", "houses", "new.csv", cwd=folder)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == (
            "error: new.predictions.csv: there already; write over it with --force, or name "
            "another --out\n"
        )
        assert (folder / "new.predictions.csv").read_text() == "mine"
        own = called("predict", "houses", "new.csv", "--out", "new.csv", "--force", cwd=folder)
        assert "new.csv: is the file that is read; name another one" in own.stderr
        assert called("predict", "houses", "new.csv", "--force", cwd=folder).returncode == 0

    def test_a_wrong_table_leaves_no_file(self, folder: Path) -> None:
        table().drop(columns="rooms").to_csv(folder / "new.csv", index=False)
        refused = called("predict", "houses", "new.csv", cwd=folder)
        assert refused.returncode == 2
        assert refused.stderr.startswith(
            "error: new.csv: no column 'rooms', which the model learnt"
        )
        assert not (folder / "new.predictions.csv").exists()

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (("nowhere.csv",), "nowhere.csv: no such file"),
            (("houses.csv", "--out", "new.txt.gz"), "--out new.txt.gz: unsupported ending"),
            (("houses.csv", "--set", "data.target=x"), "only how the file is read can be set here"),
            (("houses.csv", "--set", 'data.columns=["a"]'), "for this file alone: --set"),
        ],
    )
    def test_what_cannot_be_done(self, folder: Path, arguments: Any, text: str) -> None:
        refused = called("predict", "houses", *arguments, cwd=folder)
        assert refused.returncode == 2
        assert text in refused.stderr


def test_arrays_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text(
        "import torch\n"
        "def data():\n"
        "    return torch.rand(40, 2, 3, generator=torch.Generator().manual_seed(0)), "
        "torch.arange(40) / 7\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.last = torch.nn.Linear(6, 1)\n"
        "    def forward(self, x):\n"
        "        return self.last(x.flatten(1))\n"
    )
    path = model_of(tmp_path, data__source="shapes.py:data", model__name="shapes.py:Net")
    x = torch.rand(40, 2, 3, generator=torch.Generator().manual_seed(0)).numpy()
    np.save(tmp_path / "x.npy", x)
    done = called("predict", path, "x.npy", "--trust", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = pd.read_csv(tmp_path / "x.predictions.csv")
    written = pd.read_csv(tmp_path / "predictions.csv")
    assert list(found) == ["row", "prediction", "unseen"]
    again = found.set_index("row").loc[written["row"]]
    assert again["prediction"].to_numpy() == pytest.approx(written["prediction"], rel=2e-6)


def test_the_page_predicts_the_same_without_sweep(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    table().drop(columns="price").to_csv("new.csv", index=False)
    with_sweep, without = BLOCKS.findall(PREDICT.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for block in (with_sweep, without):
        exec(compile(block, str(PREDICT), "exec"), names)
    answers = names["answers"]["prediction"].to_numpy()
    assert names["price"].numpy() == pytest.approx(answers, rel=1e-5)
    assert "[\"columns 'id'" in capsys.readouterr().out


def test_the_page_names_all_that_the_file_holds(folder: Path) -> None:
    saved = torch.load(folder / "studies/houses/best_model.pt", weights_only=True)
    page = PREDICT.read_text(encoding="utf-8")
    preparation = saved["preparation"]
    fields = {*saved, *preparation["numbers"][0], *preparation["categories"][0]}
    assert {name for name in fields if f"`{name}`" not in page} == set()
