"""A commented study file for a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweep.base.errors import DataError, InputError
from sweep.data.load import load_dataset
from sweep.runs.before.template import write_study_file
from sweep.study.file import load_study
from sweep.study.locations import locate_study
from sweep.study.settings import StudyConfig


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    places = np.arange(30)
    frame = pd.DataFrame({"area": 10.0 + places, 'rooms\n"4"': places % 4, "größe €": 3.0 * places})
    frame.to_csv("houses.v2.csv", index=False)
    frame.to_parquet("houses.parquet")


def test_a_study_file_that_runs_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study_file(Path("houses.v2.csv"), "größe €", None, False)
    assert path == Path("studies/houses.toml")
    config = load_study(path)
    monkeypatch.chdir("/")
    location = locate_study(str(tmp_path / path))
    data = load_dataset(config.data, config.seed, location.code_folders)
    assert (data.features, data.target) == (("area", 'rooms\n"4"'), "größe €")
    assert path.as_posix() == "studies/houses.toml"


@pytest.mark.parametrize("table", ["houses.v2.csv", "houses.parquet"])
def test_says_what_is_in_the_table(table: str) -> None:
    text = write_study_file(Path(table), "area", Path("mine.toml"), False).read_text()
    assert text.splitlines()[0] == '# 30 rows; columns: rooms "4", größe €, area'
    assert f'\nsource = "{table}" ' in text


def test_only_a_table_outside_the_working_folder_is_named_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def source(table: str, out: str) -> str:
        path = write_study_file(Path(table), "area", Path(out), False)
        return load_study(path).data.source

    assert source("houses.parquet", "studies/deep/mine.toml") == "../../houses.parquet"
    monkeypatch.chdir("studies")
    assert source("../houses.parquet", "mine.toml") == str(tmp_path / "houses.parquet")


def test_writes_the_defaults_but_for_what_it_names() -> None:
    config = load_study(write_study_file(Path("houses.parquet"), "area", None, False))
    default = StudyConfig()
    assert (config.epochs, config.trials) == (default.epochs, default.trials)
    assert (config.sampler, config.pruner) == (default.sampler, default.pruner)
    assert config.space.scheduler == default.space.scheduler
    assert (config.model.name, config.optimizer.momentum) == ("mlp", 0.9)


def test_a_long_list_of_columns_is_cut() -> None:
    names = [f"column_{number:03}" for number in range(100)]
    pd.DataFrame(np.random.default_rng(0).normal(size=(30, 100)), columns=names).to_csv("wide.csv")
    lines = write_study_file(Path("wide.csv"), "column_099", None, False).read_text().splitlines()
    assert len(lines[0]) < 230 and lines[0].endswith(" ...")


def test_writes_over_a_file_only_if_forced() -> None:
    path = write_study_file(Path("houses.parquet"), "area", None, False)
    path.write_text("mine")
    with pytest.raises(InputError) as raised:
        write_study_file(Path("houses.parquet"), "area", None, False)
    assert str(raised.value) == (
        "studies/houses.toml: there already; write over it with --force, or name another --out"
    )
    assert path.read_text() == "mine"
    write_study_file(Path("houses.parquet"), "area", None, True)
    assert path.read_text() != "mine"


@pytest.mark.parametrize(("table", "target"), [("none.csv", "area"), ("houses.parquet", "aera")])
def test_looks_at_the_table_before_it_writes(table: str, target: str) -> None:
    with pytest.raises(DataError):
        write_study_file(Path(table), target, Path("mine.toml"), False)
    assert not Path("mine.toml").exists()


def test_without_a_target_the_columns_are_listed() -> None:
    with pytest.raises(DataError, match="größe €"):
        write_study_file(Path("houses.parquet"), None, None, False)


class TestColumnsThatCannotBeLearntFrom:
    @pytest.fixture
    def table(self) -> Path:
        places = np.arange(80)
        names = [f"person {place}" for place in places]
        frame = pd.DataFrame({"area": 10.0 + places % 9, "y": places % 5, "fixed": 1.0})
        hostile = 'na"me\n[space]\nlr = 1 # x'
        frame[hostile] = names
        frame["half"] = [names[place] if place % 3 else place for place in places]
        frame.to_csv("people.csv", index=False)
        return Path("people.csv")

    def test_are_left_out_with_the_reason_beside_each(self, table: Path) -> None:
        told: list[str] = []
        path = write_study_file(table, "y", None, False, note=told.append)
        config = load_study(path)
        assert config.data.drop == ['na"me\n[space]\nlr = 1 # x', "half"]
        assert config.space == StudyConfig().space.model_copy(update={"lr": config.space.lr})
        assert str(config.space.lr) == "0.0001:1:log"
        text = path.read_text()
        assert text.count("# has 80 different texts in 80 rows, too many for categories") == 2
        assert "# column 'fixed' left out: one value in all training rows" in text
        assert [line.partition(" left out")[0] for line in told] == [
            "column 'na\"me\\n[space]\\nlr = 1 # x'",
            "column 'half'",
            "column 'fixed'",
        ]
        location = locate_study(str(path))
        data = load_dataset(config.data, config.seed, location.code_folders)
        assert data.features == ("area",)

    def test_beside_those_that_are_named(self, table: Path) -> None:
        config = load_study(write_study_file(table, "y", None, False, drop=["fixed"]))
        assert config.data.drop == ["fixed", 'na"me\n[space]\nlr = 1 # x', "half"]

    def test_not_if_none_would_be_left(self, table: Path) -> None:
        with pytest.raises(DataError, match="no feature column is left"):
            write_study_file(table, "y", None, False, drop=["area", "fixed"])
        assert not Path("studies").exists()


class TestOtherSettings:
    @pytest.mark.parametrize(
        "settings",
        [
            {"data.encoding": "cp1252", "data.decimal": ",", "data.log1p": ["y"]},
            {"optimizer.name": "adam", "optimizer.batch_size": "full", "epochs": 5, "seed": 3},
            {"sampler": "tpe", "pruner": "none", "confirm": False, "workers": 1},
            {"space.lr": "1e-3:1e-1:log", "space.step.drops": "1:4", "confirm.top": 3},
            {"model.args": {"width": 3}, "model.name": "net:Net", "data.drop": ["x"]},
        ],
        ids=lambda settings: " ".join(settings),
    )
    def test_stand_in_the_study_file(self, settings: dict[str, object]) -> None:
        lines = ["größe;x;y", *(f"{n},5;{n % 7};1.{n:03}" for n in range(40))]
        Path("t.csv").write_bytes("\n".join(lines).encode("cp1252"))
        path = write_study_file(Path("t.csv"), "y", None, False, settings=settings)
        config = load_study(path)
        plain = load_study(write_study_file(Path("t.csv"), "y", Path("plain.toml"), False))
        given = {"optimizer.momentum": 0.0} if "optimizer.name" in settings else {}
        expected = load_study(Path("plain.toml"), {**given, **settings})
        source = {"data": expected.data.model_copy(update={"source": config.data.source})}
        assert config == expected.model_copy(update=source)
        assert config != plain
        placed = {line.find(" # ") for line in path.read_text().splitlines()[3:]}
        assert placed <= {-1, 29}

    def test_are_heeded_when_the_table_is_read(self) -> None:
        rows = "".join(f"{n},{10.0 ** (n * 10)}\n" for n in range(1, 30))
        Path("t.csv").write_text(f"x,y\n{rows}")
        with pytest.raises(DataError, match=r'log1p = \["y"\]'):
            write_study_file(Path("t.csv"), "y", None, False)
        path = write_study_file(Path("t.csv"), "y", None, False, settings={"data.log1p": ["y"]})
        assert load_study(path).data.log1p == ["y"]

    def test_are_checked_before_anything_is_read(self) -> None:
        with pytest.raises(InputError) as raised:
            write_study_file(Path("none.csv"), "y", None, False, settings={"data.decimals": ","})
        assert str(raised.value) == ("--set data.decimals: unknown key; did you mean 'decimal'?")
