"""Which settings differ between studies that are compared."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import made_studies as made
import pytest
from made_studies import params, rendered

from sweep.report.comparison.settings import differing_settings
from sweep.report.comparison.studies import Comparison, compare
from sweep.report.terminal import comparison_views as views
from sweep.search.continuation import CODE
from sweep.search.storage.opening import ROWS, SETTINGS
from sweep.study.file import load_study as load_settings

ALL: dict[str, Any] = {
    "epochs": 4,
    "data.source": "diabetes",
    "space.scheduler": ["constant", "cosine"],
    "space.lr": "0.001:1:log",
}


def compared(tmp_path: Path, *studies: dict[str, Any]) -> Comparison:
    """Studies of one trial each; `rows` and `code` are fingerprints."""
    found = []
    for number, given in enumerate(studies):
        settings = {key: v for key, v in given.items() if key not in ("rows", "code")}
        config = load_settings(None, ALL | settings)
        study = made.new_study(f"study-{number}")
        study.set_user_attr(SETTINGS, {ROWS: given.get("rows", "0123456789")})
        if "code" in given:
            study.set_user_attr(CODE, {"first": {"train.py": given["code"]}, "changed": []})
        made.add(study, params("constant", 0.1), [4, 3, 2, 1], config=config)
        found.append((study, config, tmp_path / f"study-{number}"))
    return compare(found)


def told(found: Comparison) -> dict[str, tuple[str, ...]]:
    return {setting.title: setting.texts for setting in found.settings}


def test_only_what_differs_in_the_words_of_the_study_file(tmp_path: Path) -> None:
    other = {"epochs": 5, "space.lr": 0.1, "optimizer.momentum": 0.5, "pruner.name": "none"}
    other |= {"space.warmup": "0:0.1", "name": "other", "storage": "other.journal"}
    found = compared(tmp_path, {}, other)
    assert told(found) == {
        "epochs": ("4", "5"),
        "[optimizer] momentum": ("0.0", "0.5"),
        "[space] lr": ("0.001:1:log", "0.1"),
        "[space] warmup": ("0:0.2", "0:0.1"),
        "[pruner] name": ("auto", "none"),
    }
    assert found.same_settings == ""


def test_what_is_set_in_one_alone(tmp_path: Path) -> None:
    found = compared(tmp_path, {}, {"budget": 20, "baseline": "step, lr=0.05, drops=2"})
    texts = told(found)
    assert texts["budget"] == ("-", "20.0") and texts["trials"] == ("100", "-")
    assert texts["baseline"][0] == "-" and "scheduler = step" in texts["baseline"][1]


def test_data_and_code_that_have_changed(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        {"rows": "aaaaaaaa11", "code": "1234567890"},
        {"rows": "bbbbbbbb11", "code": "1234567890"},
        {"rows": "aaaaaaaa11", "code": "abcdefghij"},
    )
    assert told(found) == {
        "data (its rows)": ("aaaaaaaa", "bbbbbbbb", "aaaaaaaa"),
        "code train.py": ("12345678", "12345678", "abcdefgh"),
    }


def test_nothing_differs(tmp_path: Path) -> None:
    found = compared(tmp_path, {}, {"name": "b"}, {})
    assert found.settings == ()
    sentence = "no setting differs, and the rows are the same"
    assert found.same_settings == sentence
    text = rendered(views.comparison_report(found))
    assert text.startswith("No setting differs, and the rows are the same.\n")
    assert f"## Settings that differ\n\n{sentence}." in views.to_markdown(found)
    assert json.loads(views.to_json(found))["settings"] == {}


def test_it_comes_first_everywhere(tmp_path: Path) -> None:
    found = compared(tmp_path, {}, {"epochs": 5}, {"epochs": 6, "space.lr": 0.1})
    lines = rendered(views.comparison_report(found)).splitlines()
    assert lines[0] == "Settings that differ"
    assert lines[1].split() == ["setting", "study-0", "study-1", "study-2"]
    assert lines[3].split() == ["epochs", "4", "5", "6"]
    assert lines[4].split() == ["[space]", "lr", "0.001:1:log", "0.001:1:log", "0.1"]
    markdown = views.to_markdown(found)
    assert markdown.index("## Settings that differ") < markdown.index("## Studies")
    assert "| epochs | 4 | 5 | 6 |" in markdown
    assert next(iter(json.loads(views.to_json(found)))) == "settings"
    assert json.loads(views.to_json(found))["settings"]["epochs"] == {
        "study-0": 4,
        "study-1": 5,
        "study-2": 6,
    }
    rows = list(csv.DictReader(io.StringIO(views.to_csv(found))))
    assert [row["settings.epochs"] for row in rows] == ["4", "5", "6"]
    assert [row["settings.space.lr"] for row in rows] == ["0.001:1:log", "0.001:1:log", "0.1"]


@pytest.mark.parametrize("count", [2, 6])
def test_no_study_is_left_out_of_a_narrow_terminal(tmp_path: Path, count: int) -> None:
    schedulers = ["constant", "cosine", "step", "linear", "wsd", "onecycle", "exponential"]
    studies = [{"space.scheduler": schedulers[: 2 + n], "epochs": 40 + n} for n in range(count)]
    lines = rendered(views.comparison_report(compared(tmp_path, *studies)), 80).splitlines()
    assert max(map(len, lines)) <= 80
    epochs = next(line for line in lines if line.startswith("epochs"))
    assert epochs.split()[1:] == [str(40 + number) for number in range(count)]


def test_what_is_hostile_stays_text(tmp_path: Path) -> None:
    found = compared(tmp_path, {}, {"data.source": "[red]x[/red]|y.csv", "data.target": "t"})
    assert "[red]x[/red]|y.csv" in " ".join(rendered(views.settings_table(found)).split())
    assert r"\[red]x\[/red]\|y.csv" in views.to_markdown(found)


def test_the_order_is_that_of_the_first_study_that_has_it() -> None:
    found = differing_settings([{"a": 1, "c": 1}, {"a": 2, "b": 3, "c": 2}])
    assert [setting.key for setting in found] == ["a", "c", "b"]
    assert found[2].values == (None, 3)
