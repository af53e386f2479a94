"""What a command was given becomes places and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer.main

from sweep.cli import app
from sweep.errors import InputError, StudyFileError
from sweep.locations import Location
from sweep.overrides import KEYS, checked, configured, read_setting
from sweep.settings import StudyConfig

NOTHING: dict[str, Any] = {"study": None, "out": None, "data": None, "setting": None}


def parameters(command: str) -> set[str]:
    """The names of a command's parameters."""
    params = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    return {str(param.name) for param in params}


class TestParameters:
    def test_every_flag_of_run_reaches_the_settings(self) -> None:
        others = {"study", "out", "setting", "fresh", "yes", "quiet", "as_json"}
        assert parameters("run") - others == set(KEYS)

    @pytest.mark.parametrize("command", ["check", "lr-range"])
    def test_others_take_a_study_as_run_does(self, command: str) -> None:
        assert parameters("run") - parameters(command) == {"fresh", "yes", "quiet"}


class TestConfigured:
    def test_flags_and_settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        given = {**NOTHING, "data": "houses.csv", "setting": ["epochs=3", "data.log1p = true"]}
        location, config = configured({**given, "batch_size": "full", "no_confirm": True})
        assert location == Location("houses", None, Path("studies/houses"))
        assert (config.epochs, config.data.log1p, config.data.source) == (3, True, "houses.csv")
        assert (config.optimizer.batch_size, config.confirm.enabled) == ("full", False)

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


def test_settings_are_toml_or_text() -> None:
    assert read_setting("a.b = [1, 2]") == ("a.b", [1, 2])
    assert read_setting("name=x:y") == ("name", "x:y")
    with pytest.raises(InputError, match="expected KEY=VALUE"):
        read_setting("=1")
