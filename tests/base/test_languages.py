"""Sentences in the reader's language: every one has a translation, and no translation is left."""

from __future__ import annotations

import ast
import string
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

from sweep.base.languages.sentences import (
    CHINESE,
    ENGLISH,
    _,
    current,
    kept,
    language,
    language_of,
    plural,
    read_back,
)
from sweep.base.wording import counted, listed

PACKAGE = Path(__file__).parent.parent.parent / "sweep"

CATALOGUE = tomllib.loads((PACKAGE / "base" / "languages" / "zh.toml").read_text(encoding="utf-8"))

SENTENCES = "sweep.base.languages.sentences"

KEYS = {"_": 0, "plural": 2, "kept": 0}
"""The functions that take a template, and which of their arguments is the key of a translation."""

Template = tuple[str, str, frozenset[str] | None]
"""Where it stands, the English, and the names of the values it is given; None if not in sight."""


def called_in_code(path: Path) -> Iterator[tuple[str, Template]]:
    """The templates of a module that takes its sentences from the catalogue, by the function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == SENTENCES]
    if not any(alias.name in KEYS for each in imports for alias in each.names):
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        place, name = f"{path.relative_to(PACKAGE)}:{node.lineno}", node.func.id
        if name in KEYS:
            template = node.args[KEYS[name]]
            assert isinstance(template, ast.Constant), f"{place}: a template is written out"
            given = frozenset(str(word.arg) for word in node.keywords)
            yield name, (place, str(template.value), None if "None" in given else given)
        elif name in ("counted", "amount"):
            noun = node.args[-1]
            if isinstance(noun, ast.Constant):
                yield "counted", (place, f"{{count}} {noun.value!s}", frozenset({"count"}))


def called_in_page() -> Iterator[tuple[str, Template]]:
    """The templates of the report's page."""
    path = PACKAGE / "report" / "page" / "template.html"
    tree = jinja2.Environment().parse(path.read_text(encoding="utf-8"))
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in KEYS:
            template = call.args[KEYS[call.node.name]]
            assert isinstance(template, nodes.Const), call
            given = frozenset(word.key for word in call.kwargs)
            place = f"{path.name}:{call.lineno}"
            yield call.node.name, (place, template.value, given)
    for each in tree.find_all(nodes.Filter):
        if each.name == "counted":
            (noun,) = each.args
            assert isinstance(noun, nodes.Const)
            place = f"{path.name}:{each.lineno}"
            yield "counted", (place, f"{{count}} {noun.value!s}", frozenset({"count"}))


def called() -> list[tuple[str, Template]]:
    """Every template of the package, with the function that takes it."""
    code = [found for path in sorted(PACKAGE.rglob("*.py")) for found in called_in_code(path)]
    return [*code, *called_in_page()]


CALLED = called()


def fields(template: str) -> set[str]:
    """The names of a template's values."""
    return {name for _text, name, *_rest in string.Formatter().parse(template) if name}


def test_every_sentence_has_a_translation() -> None:
    for function, (place, english, _given) in CALLED:
        assert translation_of(function, english), f"{place}: no translation of {english!r}"


def translation_of(function: str, english: str) -> str:
    """The Chinese in the catalogue; empty if there is none."""
    known = CATALOGUE["kept" if function == "kept" else "said"]
    return str(known.get(english) or CATALOGUE["kept"].get(english, ""))


def test_a_translation_has_the_values_of_its_sentence() -> None:
    for function, (place, english, given) in CALLED:
        assert fields(translation_of(function, english)) == fields(english), place
        if given is not None:
            counts = {"count"} if function == "plural" else set()
            assert fields(english) <= given | counts and given <= fields(english), place


def test_no_translation_is_left_over() -> None:
    kept_ones = {template[1] for function, template in CALLED if function == "kept"}
    said = {template[1] for function, template in CALLED if function != "kept"}
    assert CATALOGUE["said"].keys() == said
    assert CATALOGUE["kept"].keys() == kept_ones


def test_a_sentence_is_said_in_the_language_of_the_moment() -> None:
    assert current() == ENGLISH
    with language(CHINESE):
        assert current() == CHINESE
        assert _("{distance} behind", distance="3 %") == "落后 3 %"
        with language(ENGLISH):
            assert _("{distance} behind", distance="3 %") == "3 % behind"
        assert counted(1200, "trial") == "1,200 次试验"
        assert listed(["cosine", "step"]) == "cosine、step"
        assert plural(1, "trial {numbers}", "trials {numbers}", numbers="7") == "试验 7"
    assert counted(1, "trial") == "1 trial"
    assert plural(1, "trial {numbers}", "trials {numbers}", numbers="7") == "trial 7"


def test_what_has_no_translation_stays_english_and_values_stay_as_they_are() -> None:
    with language(CHINESE):
        assert _("nobody says {this}", this="{that}") == "nobody says {that}"
        assert counted(2, "cow") == "2 cows"


@pytest.mark.parametrize("english", CATALOGUE["kept"])
def test_a_sentence_that_was_kept_is_read_back(english: str) -> None:
    values = {name: f"<{name}>" for name in fields(english)}
    text = kept(english, **values)
    assert read_back(text) == text
    with language(CHINESE):
        assert kept(english, **values) == text
        assert read_back(text) == CATALOGUE["kept"][english].format(**values)


def test_what_is_within_a_kept_sentence_is_read_back_with_it() -> None:
    with language(CHINESE):
        told = read_back(
            "nothing was confirmed on fresh seeds: of a budget of 2 whole trainings, too little is "
            "left for that; each schedule was trained from one seed, 3 of 4 to the end"
        )
        assert told == (
            "没有用新种子验证：预算是 2 次完整训练，剩下的不够；"
            "每个调度只用一个种子训练，4 次中有 3 次训练到最后"
        )
        assert read_back("words of the user's own; 2 trials") == "words of the user's own; 2 trials"


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, ENGLISH),
        ({"LANG": "zh_CN.UTF-8"}, CHINESE),
        ({"LANG": "zh"}, CHINESE),
        ({"LANG": "C.UTF-8"}, ENGLISH),
        ({"LANG": "de_DE.UTF-8"}, ENGLISH),
        ({"LC_MESSAGES": "zh_TW.UTF-8", "LANG": "en_US.UTF-8"}, CHINESE),
        ({"LC_ALL": "C", "LC_MESSAGES": "zh_CN.UTF-8", "LANG": "zh_CN.UTF-8"}, ENGLISH),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.GBK"}, CHINESE),
    ],
)
def test_an_environment_asks_for_a_language(environment: dict[str, str], asked: str) -> None:
    assert language_of(environment) == asked
