"""What a parameter may be: ranges, lists, numbers and words."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from sweep.base.errors import StudyFileError
from sweep.study.fields.dimensions import numbers, numbers_or_words, written
from sweep.study.file import load_study
from sweep.study.settings import StudyConfig
from sweep.study.space import Choice, Dimension, Range, Value, in_words

READ: list[tuple[Any, Dimension]] = [
    ("1e-6:1e-1:log", Range(1e-6, 0.1, log=True)),
    ("0:0.5", Range(0.0, 0.5)),
    ("0.0:1", Range(0.0, 1.0)),
    ("0:1", Range(0, 1, integer=True)),
    ("2:8", Range(2, 8, integer=True)),
    ("16:1024:log", Range(16, 1024, log=True, integer=True)),
    ("-2:-1", Range(-2, -1, integer=True)),
    ("1e0:4", Range(1.0, 4.0)),
    ("1_000_000:3_000_000", Range(1e6, 3e6, integer=True)),
    (64, Range(64, 64, integer=True)),
    ("64", Range(64, 64, integer=True)),
    (0.1, Range(0.1, 0.1)),
    ("1e-3", Range(1e-3, 1e-3)),
    ([128, 64], Choice((64, 128))),
    ([0.5, 1], Choice((0.5, 1))),
    (["relu", "gelu"], Choice(("relu", "gelu"))),
    (["auto", 2], Choice(("auto", 2))),
    (["a:b"], Choice(("a:b",))),
    ("relu", Choice(("relu",))),
    (True, Choice((True,))),
    ([True, False], Choice((True, False))),
]


@pytest.mark.parametrize(("value", "expected"), READ)
def test_it_is_read_and_written_so_that_it_is_read_again(value: Any, expected: Dimension) -> None:
    found = numbers_or_words(value)
    assert found == expected
    again = numbers_or_words(written(found))
    assert again == expected
    assert list(map(type, again.points(3))) == list(map(type, expected.points(3)))


@pytest.mark.parametrize("value", [case for case, _ in READ])
def test_a_study_file_keeps_it(value: Any) -> None:
    settings = {"loop": "train.py:train", "space": {"params": {"x": value}}}
    before = StudyConfig.model_validate(settings)
    after = StudyConfig.model_validate(tomllib.loads(before.to_toml()))
    assert after == before
    kinds = [[*map(type, c.search_space.shared["x"].points(3))] for c in (before, after)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1e-3:1e-1:lgo", "expected 'LOW:HIGH', 'LOW:HIGH:log' or one number; a word with a colon"),
        ("8:2", "low must be at most high: write '2:8'"),
        ("0:4:log", "a :log range must start above 0"),
        ([], "expected a list of numbers or words"),
        ([""], "expected a list of numbers or words"),
        ("", "expected a list of numbers or words"),
        ([[1]], "expected a list of numbers or words"),
        ([float("nan")], "expected a list of numbers or words"),
        (float("inf"), "both ends must be finite"),
        ({"low": 1}, "expected"),
        ([64, 64.0], "a value stands in the list more than once"),
        ([True, 1], "a value stands in the list more than once"),
    ],
)
def test_what_is_refused(value: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected.replace("(", r"\(")):
        numbers_or_words(value)


def test_lists_of_numbers_for_the_schedule() -> None:
    space = {"scheduler": ["step"], "lr": [1, 0.1], "decay": [0.5], "step.drops": [3, 1]}
    config = StudyConfig.model_validate({"space": space})
    found = config.search_space
    assert found.shared["lr"] == Choice((0.1, 1.0))
    assert found.shared["decay"] == Range(0.5, 0.5)
    assert found.own["step.drops"] == Choice((1, 3))
    assert all(type(option) is int for option in found.own["step.drops"].points(2))
    assert StudyConfig.model_validate(tomllib.loads(config.to_toml())) == config
    ends = [end.schedule for end in found.ends("step")]
    assert [(end.lr, end.params["drops"]) for end in ends] == [(0.1, 1), (1.0, 3)]


@pytest.mark.parametrize("value", [["a"], [1, "a"], [True]])
def test_words_are_no_rates(value: Any) -> None:
    with pytest.raises(ValueError, match="expected a list of numbers"):
        numbers(value)


def test_whole_numbers_alone() -> None:
    with pytest.raises(ValueError, match="expected a list of whole numbers"):
        numbers([1, 1.5], integer=True)


def test_in_words() -> None:
    shown = [in_words(numbers_or_words(v)) for v in ("2:8", "0:0.5", [64, 128], ["a", "b"], "a")]
    assert shown == ["2:8 (whole numbers)", "0:0.5", "[64, 128]", "[a, b]", "a"]


LOOP = {"loop": "train.py:train", "metric": "val_loss"}


def refusal(**settings: Any) -> str:
    with pytest.raises(StudyFileError) as raised:
        load_study(None, settings)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lr", "space.params.lr: the schedule's: it is searched as space.lr"),
        ("drops", "space.params.drops: the schedule's: it is searched as space.step.drops"),
        ("seed", "space.params.seed: training code is given its seed already; choose another"),
        ("duration", "space.params.duration: a column of the results has this name"),
        ("final_val_loss", "space.params.final_val_loss: a column of the results has this name"),
        ("class", "space.params.class: expected a name as Python has them"),
        ("a-b", "space.params.a-b: expected a name as Python has them"),
    ],
)
def test_names_that_are_taken(name: str, expected: str) -> None:
    params = {"space.params": {name: "1:2"}, "space.scheduler": ["step"]}
    assert refusal(**LOOP, **params).startswith(expected)


def test_a_model_on_a_table_has_none() -> None:
    text = refusal(**{"space.params.width": [64, 128]})
    assert text.startswith(
        "space.params: belongs to training code of your own (a loop or a command)"
    )
    assert "weight_decay can be searched, in [space]" in text


def test_weight_decay_of_a_loop_says_how() -> None:
    text = refusal(**LOOP, **{"space.weight_decay": "1e-5:1e-1:log"})
    assert text.endswith("--param weight_decay=1e-05:0.1:log")
    ours = load_study(None, {**LOOP, "space.params.weight_decay": "1e-5:1e-1:log"})
    values: dict[str, Value] = {"lr": 0.1, "decay": 0.5, "warmup": 0.0, "weight_decay": 0.01}
    found = ours.search_space.suggestion({"scheduler": "constant", **values})
    assert (found.weight_decay, found.params) == (None, {"weight_decay": 0.01})
    assert found.describe() == "constant, lr 0.1, weight_decay 0.01"


def test_one_dotted_key_stands_beside_a_table(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text("loop = 'a.py:b'\n[space.params]\nwidth = 8\ndropout = '0:0.5'\n")
    config = load_study(study, {"space.params.width": [16, 32]})
    assert config.space.params == {"width": Choice((16, 32)), "dropout": Range(0.0, 0.5)}


def test_what_is_searched_is_comparable() -> None:
    def kept(value: Any) -> Any:
        return load_study(None, {**LOOP, "space.params.x": value}).comparable()["space.params.x"]

    assert kept("0:1") != kept("0.0:1")
    assert kept([2, 1]) == kept([1, 2])
    assert "space.params.x" not in load_study(None, LOOP).comparable()
