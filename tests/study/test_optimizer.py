"""Optimizers and batch sizes that are searched: the settings, the space, what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import optuna
import pytest

from sweep.base.errors import StudyFileError
from sweep.runs.overrides import configured
from sweep.study.baselines.points import parameters_of
from sweep.study.baselines.reading import baselines
from sweep.study.file import load_study
from sweep.study.settings import StudyConfig
from sweep.study.space import Range
from sweep.training.specs import LaneKind, lane_kinds, trial_spec

RATES = {"sgd": "1e-3:1:log", "adamw": "1e-5:1e-2:log"}
OWN = {"sgd": Range(1e-3, 1.0, log=True), "adamw": Range(1e-5, 1e-2, log=True)}
SEVERAL: dict[str, Any] = {
    "optimizer.name": ["sgd", "adamw"],
    "optimizer.batch_size": [128, "full", 32],
    "space.lr": RATES,
}


def several(**changes: Any) -> StudyConfig:
    return load_study(None, SEVERAL | {k.replace("__", "."): v for k, v in changes.items()})


def problem(**settings: Any) -> str:
    with pytest.raises(StudyFileError) as raised:
        several(**settings)
    return str(raised.value)


def test_they_are_dimensions_of_a_trial_and_rates_follow_the_optimizer() -> None:
    config = several(optimizer__momentum=0.9, space__momentum="0.5:0.9")
    space = config.search_space
    assert [*space.shared][:3] == ["optimizer", "batch_size", "lr"]
    assert space.shared["lr"] == Range(1e-5, 1.0, log=True)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    kinds = set()
    for number in range(60):
        suggestion = space.suggest(study.ask())
        spec = trial_spec(config, number, suggestion)
        own = OWN[spec.optimizer.name]
        assert own.low <= spec.schedule.lr <= own.high
        is_sgd = spec.optimizer.name == "sgd"
        assert (suggestion.momentum is not None) == is_sgd
        assert ("momentum" in spec.optimizer.arguments) == is_sgd
        assert not spec.params
        assert parameters_of(space, suggestion) is not None
        kinds.add(LaneKind.of(spec))
    assert kinds == {*lane_kinds(config)} and len(kinds) == 6


def test_a_list_of_one_is_the_plain_value() -> None:
    one = {"optimizer.name": ["adamw"], "optimizer.batch_size": [32], "space.lr": "1e-3:1:log"}
    plain = {"optimizer.name": "adamw", "optimizer.batch_size": 32}
    assert load_study(None, one) == load_study(None, plain)
    of_one = load_study(None, {**one, "space.lr": {"adamw": RATES["adamw"]}}).search_space
    assert of_one.shared["lr"] == OWN["adamw"] and not of_one.rates
    spec = trial_spec(load_study(None, plain), 0, load_study(None, plain).search_space.constant())
    assert spec.batch_size is None and not spec.params


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    config = several()
    assert StudyConfig.model_validate(tomllib.loads(config.to_toml())) == config
    nested = tmp_path / "study.toml"
    nested.write_text(
        '[optimizer]\nname = ["sgd", "adamw"]\nbatch_size = [128, "full", 32]\n'
        "[space.lr]\n" + "\n".join(f'{n} = "{r}"' for n, r in RATES.items())
    )
    assert load_study(nested) == config
    assert load_study(nested, {"space.lr.adamw": 0.001}).search_space.rates["adamw"].fixed


def test_the_command_line_has_them_with_commas() -> None:
    given = {"optimizer": "sgd,adamw", "batch_size": "128,full,32"}
    rates = ",".join(f"{name}={rate}" for name, rate in RATES.items())
    _, config = configured({"study": None, "out": None, "setting": [], "lr": rates, **given})
    wanted = several()
    assert config.optimizer == wanted.optimizer
    assert (config.space.lr, config.space.rates) == (wanted.space.lr, wanted.space.rates)


def test_what_may_not_change_is_said_once() -> None:
    before, now = load_study(None).comparable(), several().comparable()
    changed = {key for key in {*before, *now} if before.get(key) != now.get(key)}
    rates = {"space.lr", "space.lr.sgd", "space.lr.adamw"}
    assert changed == {"optimizer.name", "optimizer.batch_size", *rates}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"optimizer__name": ["sgd", "adan"]}, "unknown optimizer; did you mean 'adam'?"),
        ({"optimizer__name": ["sgd", "sgd"]}, "nothing stands twice"),
        ({"optimizer__batch_size": [32, 0]}, "or a list of them"),
        ({"optimizer__batch_size": []}, "or a list of them"),
        ({"space__lr": {"sgd": "0.1:1"}}, "lacks the rates of adamw"),
        ({"space__lr": {"sgd": "0.1:1", "adamw": "0.1:1:log"}}, "all of them with :log, or none"),
        ({"space__lr": {"sgd": "0.1:x", "adamw": 1}}, "space.lr: sgd: expected 'LOW:HIGH'"),
        ({"space__lr": {**RATES, "adan": 1}}, "space.lr.adan = 1: unknown optimizer"),
        (
            {"space__lr": {**RATES, "adam": 1e-3}},
            "space.lr.adam = 0.001: leave its rates out: the study's optimizer is sgd or adamw; to "
            "search adam, too: --optimizer sgd,adamw,adam",
        ),
        ({"optimizer__name": ["adam", "adamw"], "space__momentum": 0.5}, "adam or adamw has no"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], expected: str) -> None:
    assert expected in problem(**settings)


@pytest.mark.parametrize(
    ("own", "remedy"),
    [
        ({"loop": "train.py:train"}, "--param batch_size=32,64 and use its argument batch_size"),
        ({"command": "python train.py"}, 'and use trial.params["batch_size"]'),
    ],
)
def test_own_code_searches_them_as_its_parameters(own: dict[str, str], remedy: str) -> None:
    with pytest.raises(StudyFileError) as raised:
        load_study(None, {**own, "optimizer.batch_size": [32, 64]})
    assert remedy in str(raised.value)
    with pytest.raises(StudyFileError, match="builds its optimizer"):
        load_study(None, {**own, "space.lr": RATES})
    config = load_study(None, {**own, "space.params.optimizer": ["sgd", "adamw"]})
    spec = trial_spec(config, 0, config.search_space.constant())
    assert spec.params == {"optimizer": "sgd"} and spec.batch_size is None


def test_baselines_have_the_first_of_each_or_their_own() -> None:
    given = ["step, lr=0.1", "cosine, lr=0.001, optimizer=adamw, batch_size=64, decay=0.1"]
    config = several(baseline=given)
    first, own = (each.suggestion for each in baselines(config))
    assert first.params == {"optimizer": "sgd", "batch_size": 32}
    assert own.params == {"optimizer": "adamw", "batch_size": 64}
    assert parameters_of(config.search_space, first) and not parameters_of(config.search_space, own)
    assert LaneKind.of(trial_spec(config, 0, own)) == LaneKind("adamw", 64)
    for text, expected in (
        ("optimizer=adan", "unknown optimizer 'adan'"),
        ("optimizer=adam", "optimizer=adam: the study's optimizer is sgd or adamw; to search adam"),
        ("batch_size=0", "expected a number of rows or 'full'"),
        ("optimizer=adamw, momentum=0.9", "momentum: adamw has none"),
    ):
        assert expected in problem(baseline=f"step, lr=0.1, {text}")
    with pytest.raises(StudyFileError, match="where the study searches it"):
        load_study(None, {"baseline": "step, lr=0.1, optimizer=adamw"})
    (only,) = baselines(load_study(None, {"baseline": "step, lr=0.1, optimizer=sgd"}))
    assert only.suggestion.params == {}  # as all of its trials have it


def test_a_flag_may_name_fewer_than_the_file_has_rates_of(tmp_path: Path) -> None:
    file = tmp_path / "both.toml"
    text = '[optimizer]\nname = ["sgd", "adamw"]\n[space.lr]\nsgd = "0.01:1:log"\nadamw = 1e-3\n'
    file.write_text(text)
    config = load_study(file, {"optimizer.name": "adamw"}, {"optimizer.name": "--optimizer"})
    assert config.search_space.shared["lr"] == Range(1e-3, 1e-3, log=True)
    with pytest.raises(StudyFileError, match="lacks the rates of adam:"):
        load_study(file, {"optimizer.name": "adam"})
    with pytest.raises(StudyFileError, match="leave its rates out"):
        load_study(file, {"optimizer.name": "sgd", "space.lr": {"sgd": 1, "adamw": 1}})
    file.write_text(text.replace('name = ["sgd", "adamw"]', 'name = "sgd"'))
    with pytest.raises(StudyFileError, match=r"^.*space\.lr\.adamw = 0\.001: leave its rates out"):
        load_study(file)


def test_a_grid_has_each_optimizers_own_rates_and_momentum() -> None:
    config = several(
        optimizer__batch_size=64, space__scheduler=["constant"], space__warmup=0.0,
        space__momentum=[0.0, 0.9],
    )  # fmt: skip
    points = config.search_space.grid(2)
    found = {(p["optimizer"], p["lr"], p.get("momentum")) for p in points}
    of_sgd = {("sgd", lr, momentum) for lr in (1e-3, 1.0) for momentum in (0.0, 0.9)}
    assert found == of_sgd | {("adamw", lr, 0.0) for lr in (1e-5, 1e-2)}
    assert len(points) == len(found)
