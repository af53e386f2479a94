"""What a command was given becomes places and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer.main

from sweep.base.errors import InputError, StudyFileError
from sweep.cli import app
from sweep.runs.overrides import KEYS, checked, configured, read_param, read_setting
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig

NOTHING: dict[str, Any] = {"study": None, "out": None, "data": None, "setting": None}


def parameters(command: str) -> set[str]:
    """The names of a command's parameters."""
    params = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    return {str(param.name) for param in params}


class TestParameters:
    def test_every_flag_of_run_reaches_the_settings(self) -> None:
        others = {"study", "out", "setting", "param", "track", "fresh", "yes", "quiet"}
        others |= {"as_json", "lang"}
        assert parameters("run") - others == set(KEYS)

    @pytest.mark.parametrize(("command", "lacks"), [("check", set()), ("lr-range", {"fresh"})])
    def test_others_take_a_study_as_run_does(self, command: str, lacks: set[str]) -> None:
        assert parameters("run") - parameters(command) == {"yes", "quiet", "lang"} | lacks


class TestConfigured:
    def test_flags_and_settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        given = {**NOTHING, "data": "houses.csv", "setting": ["epochs=3", "data.log1p = true"]}
        location, config = configured({**given, "batch_size": "full", "no_confirm": True})
        assert location == Location("houses", None, Path("studies/houses"))
        assert (config.epochs, config.data.log1p, config.data.source) == (3, True, "houses.csv")
        assert (config.optimizer.batch_size, config.confirm.enabled) == ("full", False)

    @pytest.mark.parametrize(
        ("flag", "setting", "name"),
        [
            ({"data": "houses.csv"}, "data.source=houses.csv", "houses"),
            ({"loop": "train.py:train"}, "loop=train.py:train", "train"),
        ],
    )
    def test_a_setting_names_the_study_as_its_flag_does(
        self, flag: dict[str, str], setting: str, name: str
    ) -> None:
        expected = Location(name, None, Path("studies") / name)
        by_flag, config = configured({**NOTHING, **flag})
        by_setting, same = configured({**NOTHING, "setting": [setting]})
        assert (by_flag, by_setting, same) == (expected, expected, config)

    def test_what_was_not_given_stays_as_the_study_has_it(self) -> None:
        given = {**NOTHING, "study": "diabetes", "no_confirm": False, "scheduler": []}
        _, config = configured(given)
        assert config.confirm.enabled and len(config.space.scheduler) == 7

    def test_what_is_wrong_is_left_out_and_told(self) -> None:
        given = {**NOTHING, "study": "diabetes", "pruner": "medain", "epochs": 0, "trials": 7}
        _, config, wrong = checked(given)
        assert (config.trials, config.pruner) == (7, StudyConfig().pruner)
        assert isinstance(wrong, StudyFileError) and set(wrong.keys) == {"pruner.name", "epochs"}
        assert "--pruner 'medain'" in str(wrong) and "--epochs 0" in str(wrong)
        with pytest.raises(StudyFileError) as raised:
            configured(given)
        assert str(raised.value) == str(wrong)

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("data.log1p=maybe", "--set data.log1p='maybe': expected true, false or a list"),
            ("data.columns=[1]", "--set data.columns: data.columns.0 = 1: expected a text"),
            ("sampler=tpee", "--set sampler: sampler.name = 'tpee': unknown sampler; did you"),
            ("optimizer={lr=1}", "--set optimizer: optimizer.lr: unknown key"),
            ("data.lag.x=1", "--set data.lag.x: unknown key"),
            ("pruner.name=threshold", "--set pruner.name: threshold needs 'lower'"),
        ],
    )
    def test_the_flag_is_the_place_and_not_the_file(self, given: str, expected: str) -> None:
        _, _, wrong = checked({**NOTHING, "study": "diabetes", "setting": [given]})
        assert str(wrong).startswith(expected)

    def test_a_section_is_the_files_if_it_stands_there(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.toml"
        file.write_text("[pruner]\nname = 'threshold'\n")
        given = {**NOTHING, "study": str(file), "setting": ["pruner.signal=raw"]}
        assert str(checked(given)[2]).startswith(f"{file}: pruner: threshold needs 'lower'")

    def test_a_flag_is_not_to_blame_for_its_neighbours(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.toml"
        file.write_text("epochs = 0\n[pruner]\nname = 'medain'\n")
        given = {**NOTHING, "study": str(file), "setting": ["pruner.signal=raw", "epoch=3"]}
        lines = str(checked(given)[2]).splitlines()
        assert lines[0] == f"{file}: 3 problems"
        assert {line.partition(":")[0].strip() for line in lines[1:]} == {
            "epochs = 0",
            "--set epoch",
            "pruner.name = 'medain'",
        }


def test_settings_are_toml_or_text() -> None:
    assert read_setting("a.b = [1, 2]") == ("a.b", [1, 2])
    assert read_setting("name=x:y") == ("name", "x:y")
    with pytest.raises(InputError, match="expected KEY=VALUE"):
        read_setting("=1")


class TestParams:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("width=64,128", [64, 128]),
            ("width = [64, 128]", [64, 128]),
            ("width=[64]", [64]),
            ("width=64", 64),
            ("dropout=0:0.5", "0:0.5"),
            ("weight_decay=1e-6:1e-1:log", "1e-6:1e-1:log"),
            ("rate=.5,1e-3", [0.5, 0.001]),
            ("activation=relu,gelu", ["relu", "gelu"]),
            ("mode='64',\"a\"", ["64", "a"]),
            ("amp=true,false", [True, False]),
        ],
    )
    def test_it_is_read(self, text: str, expected: Any) -> None:
        name, value = read_param(text)
        assert name == text.partition("=")[0].strip()
        assert value == expected
        values, wanted = ([v] if not isinstance(v, list) else v for v in (value, expected))
        assert [*map(type, values)] == [*map(type, wanted)]

    @pytest.mark.parametrize("text", ["width", "width=", "=64", " = "])
    def test_what_is_refused(self, text: str) -> None:
        with pytest.raises(InputError, match="expected NAME=VALUES, such as width=64,128"):
            read_param(text)

    def test_it_is_a_setting(self) -> None:
        given = {"loop": "train.py:train", "param": ["width=64,128", "act=relu"], "lr": "0.1,0.3"}
        _, config = configured({**NOTHING, **given})
        assert {name: str(d) for name, d in config.space.params.items()} == {
            "width": "64, 128",
            "act": "relu",
        }
        assert str(config.space.lr) == "0.1, 0.3"

    def test_what_is_wrong_is_told_by_its_flag(self) -> None:
        given = {"loop": "train.py:train", "param": ["width=8:2", "seed=3"]}
        _, _, wrong = checked({**NOTHING, **given})
        assert "--param width='8:2': low must be at most high: write '2:8'" in str(wrong)
        assert "--param seed: training code is given its seed already" in str(wrong)
