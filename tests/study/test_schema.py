"""The JSON Schema of study files: it takes what the reader takes, and describes every key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from support import ROOT

from sweep.base.errors import StudyFileError
from sweep.study.file import load_study
from sweep.study.locations import shipped_studies
from sweep.study.schema import Schema, study_schema

SCHEMA = study_schema()
FILES = [*shipped_studies().values(), *sorted((ROOT / "examples").rglob("*.toml"))]

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def complaints(schema: Schema, value: Any) -> Iterator[str]:
    """What breaks a schema, by the keywords of draft 7 that ours has."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in schema and all([*complaints(option, value)] for option in schema["anyOf"]):
        yield f"none of them takes {value!r}"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_of(kind, value) for kind in kinds):
        yield f"{value!r} is not {kinds}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is not listed"
    if schema.get("const", value) != value:
        yield f"{value!r} is another"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{value!r} has another form"
    if isinstance(value, int | float):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        above = schema.get("exclusiveMinimum", value - 1)
        below = schema.get("exclusiveMaximum", value + 1)
        if not (low <= value <= high and above < value < below):
            yield f"{value} is out of bounds"
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            yield from complaints(schema["items"], item)
    if isinstance(value, dict):
        yield from complaints_of_keys(schema, value)


def complaints_of_keys(schema: Schema, value: dict[str, Any]) -> Iterator[str]:
    """The same of a table's keys."""
    for key in set(schema.get("required", ())) - value.keys():
        yield f"{key} is missing"
    for key, inner in value.items():
        patterns = schema.get("patternProperties", {})
        fitting = [found for pattern, found in patterns.items() if re.search(pattern, key)]
        if key in schema.get("properties", {}):
            fitting.append(schema["properties"][key])
        more = schema.get("additionalProperties", True)
        if not fitting and more is False:
            yield f"there is no {key}"
        for found in fitting or ([more] if isinstance(more, dict) else []):
            yield from complaints(found, inner)


def is_of(kind: str, value: Any) -> bool:
    """Whether a value is of a type; true and false are no numbers."""
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES[kind])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_studies_that_are_shipped_are_valid(file: Any) -> None:
    assert [*complaints(SCHEMA, tomllib.loads(file.read_text()))] == []


TAKEN = {
    "words for tables": 'sampler = "grid"\npruner = "median"\nconfirm = false',
    "tables, with arguments": 'sampler = {name = "tpe", group = true}\n[pruner]\nkeep = 0.4',
    "ranges": '[space]\nlr = "1e-3:.5:log"\ndecay = 0.1\nwarmup = "0.05"\nmomentum = "0:0.9"',
    "one scheduler": '[space]\nscheduler = "cosine"',
    "own parameters": '[space]\nscheduler = ["step", "cyclic"]\nstep.drops = "1:5"\n'
    'cyclic.mode = "triangular"\n"cyclic.cycles" = 2',
    "choices of an own parameter": '[space]\nscheduler = "cyclic"\n'
    'cyclic.mode = ["triangular", "triangular2"]',
    "a custom schedule": '[space]\nscheduler = ["mine"]\nmine.teeth = 3\n'
    '[custom.mine]\nfactory = "my:mine"\nparams = {teeth = "2:6", depth = 1}',
    "times": 'timeout = "10m"',
    "seconds": "timeout = 90",
    "a code as the target": '[data]\nsource = "log.csv"\ntarget = 4\n'
    'pivot = {index = "user", columns = "behaviour"}',
    "marks for missing values": '[data]\nsource = "a.csv"\nmissing = [-999, "?"]',
    "one of them": '[data]\nsource = "a.csv"\nmissing = -999\n'
    'log1p = ["price"]\ndates = "day-first"',
    "a model of one's own": '[model]\nname = "net:Net"\nargs = {width = 64}',
    "a full batch": '[optimizer]\nname = "adamw"\nbatch_size = "full"\nbetas = [0.8, 0.99]',
    "a loop in steps": 'loop = "a.py:train"\nmetric = "val/f1"\ndirection = "maximize"\n'
    "horizon = 100\nevaluate_every = 10",
}


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_what_the_reader_takes_is_valid(text: str, tmp_path: Any) -> None:
    (tmp_path / "study.toml").write_text(text)
    config = load_study(tmp_path / "study.toml")
    assert [*complaints(SCHEMA, tomllib.loads(text))] == []
    assert [*complaints(SCHEMA, tomllib.loads(config.to_toml()))] == []


REFUSED = {
    "an unknown key": "epoch = 3",
    "an unknown key of a table": '[data]\nsuorce = "a.csv"',
    "an unknown name": 'sampler = "tp"',
    "another range": '[space]\nlr = "1e-3:x"',
    "an own parameter of none": '[space]\nscheduler = ["step"]\nstep.drop = 3',
    "a number out of bounds": "[data]\nvalidation = 1.5",
    "a text for a number": 'epochs = "many"',
    "a model that is none": '[model]\nname = "resnet"',
    "a custom schedule without a factory": "[custom.mine]\nparams = {}",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_with_one_key_is_wrong_for_both(text: str, tmp_path: Any) -> None:
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(StudyFileError):
        load_study(tmp_path / "study.toml")
    assert [*complaints(SCHEMA, tomllib.loads(text))]


TABLES = {"the study": SCHEMA, **SCHEMA["$defs"]}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_key_is_described_and_has_a_valid_default(table: Schema) -> None:
    assert "Args" not in table["description"]
    for key, held in table["properties"].items():
        assert held.get("description"), key
        if "default" in held:
            assert [*complaints(held, held["default"])] == [], key
