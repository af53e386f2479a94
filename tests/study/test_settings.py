"""The sections of a study file."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from sweep.study.registries.models import MODELS
from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.study.registries.pruners import PRUNERS
from sweep.study.registries.samplers import SAMPLERS
from sweep.study.sections import DataConfig, ModelConfig
from sweep.study.settings import StudyConfig
from sweep.study.space import Choice, Range

EVERYTHING: dict[str, Any] = {
    "name": "order",
    "epochs": 7,
    "trials": 12,
    "seed": 5,
    "objective": "final",
    "trial_seeds": "shared",
    "fair": True,
    "warm_start": "short",
    "baseline": [
        {"scheduler": "step", "lr": 0.05, "drops": 2, "name": "ours"},
        {"torch": "StepLR(3)", "steps_per_epoch": 4, "lr": 1.0, "momentum": 0.5},
    ],
    "timeout": "10m",
    "workers": 3,
    "deterministic": True,
    "engine": "sequential",
    "lanes": 4,
    "device": "cuda:1",
    "storage": "trials.db",
    "cluster": {"address": "auto", "cpus_per_worker": 2.0},
    "track": {"mlflow": "http://host:5000"},
    "training": {"loss": "mae"},
    "data": {
        "source": "shop logs/öl.csv",
        "target": "buy",
        "features": ["fav", "cart"],
        "drop": ["id"],
        "columns": ["user", "what"],
        "split": {"group": "user"},
        "encoding": "gb18030",
        "separator": ";",
        "decimal": ",",
        "thousands": ".",
        "missing": ["?"],
        "pivot": {"index": "user", "columns": "what"},
        "numbers": ["a"],
        "categories": ["b"],
        "dates": "day-first",
        "constant": "keep",
        "log1p": ["fav"],
        "scale": False,
        "augment": "nets:shifted",
        "users": 50,
        "validation": 0.25,
        "test": 0,
    },
    "model": {"name": "nets:Deep", "hidden": [8, 4], "dropout": 0.5, "args": {"bias": False}},
    "optimizer": {
        "name": "sgd",
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 1e-5,
        "betas": [0.8, 0.99],
        "eps": 1e-7,
        "batch_size": "full",
        "clip": 2,
    },
    "confirm": {"enabled": False, "top": 3, "seeds": 7, "share": 0.5},
    "space": {
        "scheduler": ["step", "cyclic", "mine"],
        "lr": "1.23456789e-3:0.1:log",
        "decay": 0.123456789,
        "warmup": "0:0.1",
        "momentum": "0.5:0.99",
        "weight_decay": "1e-6:1e-2:log",
        "step": {"drops": "2:3"},
        "cyclic.mode": ["triangular", "triangular2"],
        "mine.bend": "2:5",
    },
    "sampler": {"name": "tpe", "n_startup_trials": 4},
    "pruner": {
        "name": "patient",
        "signal": "raw",
        "patience": 2,
        "wrapped": {"name": "median"},
    },
    "custom": {"mine": {"factory": "shapes:bent", "params": {"bend": "1:9", "k": 2}}},
}
"""A study file that gives every setting a value other than its default."""


LOOP = {
    "loop": "train.py:train",
    "metric": "val_accuracy",
    "direction": "maximize",
    "horizon": 700,
    "evaluate_every": 100,
    "threads": 3,
}
"""What a study with a training loop of the user's own has in the place of data and model."""

COMMAND = {
    "command": ["python", "train.py", "--name", "a b"],
    "working_folder": "code",
    "gpus_per_trial": 2,
    "keep": True,
    **{key: value for key, value in LOOP.items() if key != "loop"},
}
"""The same with a command of the user's own."""


def config(**values: Any) -> StudyConfig:
    return StudyConfig.model_validate(values)


def problem(**values: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        config(**values)
    return "; ".join(detail["msg"] for detail in raised.value.errors())


def keys(values: Any) -> set[str]:
    """The keys of nested sections, dotted."""
    found = set()
    for key, value in values.items():
        inner = keys(value) if isinstance(value, dict) else set()
        found |= {f"{key}.{name}" for name in inner} or {key}
    return found


class TestToToml:
    def test_everything_is_read_back(self) -> None:
        before = config(**EVERYTHING)
        assert config(**tomllib.loads(before.to_toml())) == before

    def test_everything_differs_from_the_defaults(self) -> None:
        """So that the test above would notice a setting that is not written."""
        default, given = (c.model_dump(mode="json") for c in (config(), config(**EVERYTHING)))
        alike = [
            f"{section}.{name}"
            for section in ("data", "model", "optimizer", "space", "confirm")
            for name, value in given[section].items()
            if value == default[section][name]
        ]
        alike += [name for name, value in given.items() if value == default[name]]
        own = [
            "space.params",
            "space.rates",
            "budget",
            "loop",
            *COMMAND,
        ]  # a budget has the place of the trials
        assert alike == ["optimizer.name", *own]  # sgd: the others have no momentum

    def test_a_budget_is_read_back_in_the_place_of_the_trials(self) -> None:
        before = config(budget=7.5, confirm=False)
        written = tomllib.loads(before.to_toml())
        assert written["budget"] == 7.5 and "trials" not in written
        assert config(**written).trials == before.trials != config().trials

    @pytest.mark.parametrize("own", [LOOP, COMMAND])
    def test_own_code_is_read_back_in_the_place_of_data_and_model(self, own: Any) -> None:
        before = config(**own)
        written = tomllib.loads(before.to_toml())
        assert config(**written) == before
        assert own.items() <= written.items()
        assert written["epochs"] == 7
        assert not {"data", "model", "optimizer"} & set(written)
        assert not any(key.startswith(("data", "model")) for key in before.comparable())
        assert not set(own) & set(config().comparable())

    def test_a_command_in_one_text_is_taken_apart(self) -> None:
        assert config(command="python 'my train.py' --amp").command == [
            *("python", "my train.py", "--amp")
        ]
        assert config(command=["a"]).comparable()["command"] == ["a"]
        assert "command" not in config(loop="a:b").comparable()
        assert config(command="python 'my train.py'").own_code == "python 'my train.py'"

    def test_a_confirmation_is_switched_by_a_word(self) -> None:
        assert config(confirm=False).confirm.enabled is False
        assert config(confirm=True).confirm == config().confirm

    def test_a_fair_study_is_pruned_thoroughly(self) -> None:
        assert config().pruning.name == "auto"
        assert config(fair=True).pruning.name == "thorough"
        assert config(fair=True, pruner="median").pruning.name == "median"
        raw = config(fair=True, pruner={"name": "auto", "signal": "raw"})
        assert raw.pruning.signal == "raw"

    def test_which_trials_have_auditions_and_over_how_many_epochs(self) -> None:
        epochs = {1: 0, 7: 0, 8: 1, 15: 1, 16: 2, 30: 3, 160: 20}
        assert {e: config(epochs=e).audition_epochs for e in epochs} == epochs
        assert config(epochs=30).pruning.name == "auto"
        assert config(epochs=7).pruning.name == "halving"
        for given in ("halving", "none", "median", {"name": "auto", "rungs": [3]}):
            assert config(epochs=30, pruner=given).audition_epochs == 0
        assert config(epochs=30, pruner={"name": "auto", "rungs": [3]}).pruning.name == "halving"
        assert config(epochs=30, fair=True).audition_epochs == 0

    def test_a_longer_search_has_more_candidates(self) -> None:
        assert [config().confirm.most_candidates(runs) for runs in (0, 40, 80, 1000)] == [
            5,
            5,
            10,
            30,
        ]
        assert config(confirm={"top": 3}).confirm.most_candidates(1000) == 3

    def test_the_search_leaves_time_for_the_confirmation(self) -> None:
        assert config(timeout="6m").search_timeout == 300
        assert config(timeout="6m", confirm=False).search_timeout == 360
        assert config().search_timeout is None

    def test_the_defaults_are_read_back(self) -> None:
        assert config(**tomllib.loads(config().to_toml())) == config()

    def test_leaves_out_what_is_not_set(self) -> None:
        written = keys(tomllib.loads(config().to_toml()))
        assert not written & {
            "name",
            "timeout",
            "workers",
            "storage",
            "data.target",
            "optimizer.clip",
        }
        assert {"epochs", "data.source", "space.lr", "sampler.name"} <= written

    def test_writes_ranges_as_they_are_given(self) -> None:
        written = tomllib.loads(config(**EVERYTHING).to_toml())["space"]
        assert written["lr"] == "0.00123456789:0.1:log"
        assert written["decay"] == 0.123456789
        assert written["step.drops"] == "2:3"


class TestTimeout:
    @pytest.mark.parametrize(
        ("given", "secs"),
        [(90, 90), (1.5, 1.5), ("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200)],
    )
    def test_units(self, given: Any, secs: float) -> None:
        assert config(timeout=given).timeout == secs

    @pytest.mark.parametrize("given", ["10x", "m", "", "ten"])
    def test_refuses_other_words(self, given: str) -> None:
        expected = "Value error, expected seconds, or a number with s, m or h: '10m'"
        assert problem(timeout=given) == expected

    def test_must_be_positive(self) -> None:
        assert problem(timeout="0s") == "Input should be greater than 0"


class TestTypes:
    @pytest.mark.parametrize(
        "values",
        [
            {"epochs": True},
            {"epochs": "30"},
            {"epochs": 3.0},
            {"seed": 2**31},
            {"data": {"scale": 1}},
            {"data": {"target": True}},
            {"data": {"validation": "0.2"}},
            {"optimizer": {"nesterov": "yes"}},
            {"optimizer": {"batch_size": 2.0}},
            {"model": {"hidden": ["8"]}},
        ],
    )
    def test_nothing_is_quietly_turned_into_another(self, values: Any) -> None:
        assert "Input should be" in problem(**values)

    def test_a_whole_number_will_do_for_a_number(self) -> None:
        assert config(optimizer={"clip": 2, "momentum": 0}).optimizer.clip == 2.0

    def test_a_column_without_a_header_is_named_by_its_place(self) -> None:
        assert config(data={"target": 4}).data.target == "4"

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            config().epochs = 3  # type: ignore[misc]


class TestNames:
    @pytest.mark.parametrize(
        ("section", "names"),
        [
            ("model", MODELS),
            ("optimizer", OPTIMIZERS),
            ("sampler", SAMPLERS),
            ("pruner", PRUNERS),
        ],
    )
    def test_every_name_is_accepted_and_nothing_else(
        self, section: str, names: dict[str, Any]
    ) -> None:
        for name in names:
            assert getattr(config(**{section: {"name": name}}), section).name == name
        listed = ", ".join(names)
        assert f"unknown {section}" in problem(**{section: {"name": "nothing"}})
        assert listed in problem(**{section: {"name": "nothing"}})

    @pytest.mark.parametrize("section", ["sampler", "pruner"])
    def test_a_word_stands_for_a_section(self, section: str) -> None:
        name = "random" if section == "sampler" else "asha"
        assert config(**{section: name}) == config(**{section: {"name": name}})

    def test_arguments_are_what_stands_beside_the_name(self) -> None:
        assert config(sampler={"name": "grid", "points": 4}).sampler.arguments == {"points": 4}
        assert config(sampler="grid").sampler.arguments == {}


class TestSearchSpace:
    def test_shared_dimensions(self) -> None:
        shared = config(**EVERYTHING).search_space.shared
        assert list(shared) == ["lr", "decay", "warmup", "momentum", "weight_decay"]
        assert shared["lr"] == Range(1.23456789e-3, 0.1, log=True)
        assert list(config().search_space.shared) == ["lr", "decay", "warmup"]

    def test_own_dimensions_are_defaults_that_the_file_narrows(self) -> None:
        space = config(**EVERYTHING).search_space
        assert space.own["step.drops"] == Range(2, 3, integer=True)
        assert space.own["cyclic.mode"] == Choice(("triangular", "triangular2"))
        assert space.own["mine.bend"] == Range(2, 5)
        assert space.own["mine.k"] == Range(2, 2)
        assert space.own["cyclic.cycles"].fixed is False  # as the registry suggests
        assert space.factories == {"mine": "shapes:bent"}

    def test_custom_schedules_that_are_not_searched_stay_out(self) -> None:
        space = config(**{**EVERYTHING, "space": {"scheduler": "cosine"}}).search_space
        assert (space.own, space.factories) == ({}, {})


class TestTrialSeeds:
    def test_loops_and_fair_studies_share_one(self) -> None:
        assert not config().shares_seed
        assert config(loop="train.py:train").shares_seed
        assert not config(loop="train.py:train", trial_seeds="fresh").shares_seed
        assert config(fair=True).shares_seed
        assert not config(fair=True, trial_seeds="fresh").shares_seed
        assert config(trial_seeds="shared").shares_seed

    def test_auto_can_be_compared_with_what_it_stands_for(self) -> None:
        fresh, shared = (config(trial_seeds=kind).comparable() for kind in ("fresh", "shared"))
        assert config().comparable() == fresh != shared


class TestComparable:
    """What may change while a study goes on, and what may not."""

    @pytest.mark.parametrize(
        "change",
        [
            {"trials": 500},
            {"timeout": 60},
            {"workers": 1},
            {"device": "cpu"},
            {"storage": "other.db"},
            {"sampler": "random"},
            {"pruner": {"name": "none", "signal": "raw"}},
            {"name": "other"},
        ],
    )
    def test_how_trials_are_run_may_change(self, change: Any) -> None:
        assert config(**{**EVERYTHING, **change}).comparable() == config(**EVERYTHING).comparable()

    @pytest.mark.parametrize(
        ("change", "key"),
        [
            ({"epochs": 8}, "epochs"),
            ({"objective": "best"}, "objective"),
            ({"fair": False}, "fair"),
            ({"pruner": "patient"}, "pruner.signal"),
            ({"model": {"name": "mlp"}}, "model.name"),
            ({"optimizer": {"batch_size": 8}}, "optimizer.batch_size"),
            ({"space": {"lr": "1e-3:2:log"}}, "space.lr"),
            ({"space": {"scheduler": ["step", "wsd"]}}, "space.scheduler"),
        ],
    )
    def test_what_trials_are_may_not(self, change: Any, key: str) -> None:
        before = config(**EVERYTHING).comparable()
        after = config(**{**EVERYTHING, **change}).comparable()
        assert before[key] != after.get(key)

    def test_tells_near_ranges_apart(self) -> None:
        near = [config(space={"lr": f"0.{digits}:1"}) for digits in ("12345678", "12345679")]
        assert near[0].comparable() != near[1].comparable()


class TestModel:
    @pytest.mark.parametrize(
        ("settings", "model"),
        [
            ({}, "order-pre"),
            ({"data": {"users": 50}}, "order-pre"),
            ({"data": {"source": "one.csv", "target": "y"}}, "mlp"),
            ({"data": {"source": "diabetes"}, "model": {"hidden": [8]}}, "mlp"),
            ({"data": {"source": "my.py:rows"}}, "mlp"),
            ({"data": {"source": "l.csv", "pivot": {"index": "a", "columns": "b"}}}, "order-pre"),
            ({"data": {"source": "one.csv"}, "model": {"name": "order-pre"}}, "order-pre"),
            ({"model": {"name": "linear"}}, "linear"),
        ],
    )
    def test_suits_the_table_unless_it_is_named(self, settings: dict[str, Any], model: str) -> None:
        config = StudyConfig.model_validate(settings)
        assert config.model.name == model
        assert config.model.hidden == settings.get("model", {}).get("hidden", [64, 64])
        saved = StudyConfig.model_validate(tomllib.loads(config.to_toml()))
        assert saved.model == config.model

    def test_of_sections_that_are_built_already(self) -> None:
        assert StudyConfig(data=DataConfig(source="one.csv")).model.name == "mlp"
        own = ModelConfig(name="linear")
        assert StudyConfig(data=DataConfig(source="one.csv"), model=own).model == own

    def test_a_loop_has_none(self) -> None:
        assert "model" not in StudyConfig(loop="train.py:train").model_fields_set


class TestReading:
    """How a table's file is read."""

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"separator": "tab"}, "\t"),
            ({"separator": "\\t"}, "\t"),
            ({"separator": "blanks"}, " "),
            ({"separator": ";"}, ";"),
            ({"encoding": "GBK"}, "GBK"),
            ({"missing": -999}, ["-999"]),
            ({"missing": "?"}, ["?"]),
            ({"missing": ["?", -1.5]}, ["?", "-1.5"]),
            ({"thousands": ""}, ""),
        ],
    )
    def test_words_and_numbers(self, given: dict[str, Any], expected: object) -> None:
        assert getattr(DataConfig(**given), next(iter(given))) == expected

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"separator": ";;"}, "expected one sign"),
            ({"encoding": "utf8x"}, "unknown encoding"),
            ({"encoding": "base64"}, "unknown encoding"),
            ({"decimal": ";"}, "Input should be"),
            ({"missing": [True]}, "Input should be a valid string"),
            ({"decimal": ",", "thousands": ","}, "decimal and thousands are both ','"),
        ],
    )
    def test_what_is_refused(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            DataConfig(**given)

    def test_trials_can_be_compared_however_the_file_was_read(self) -> None:
        one, other = (
            StudyConfig(data=DataConfig(source="a.csv", decimal=decimal)) for decimal in (None, ",")
        )
        assert one.comparable() == other.comparable()
