"""The JSON Schema of a study file, by which editors complete and check one while it is written."""

from __future__ import annotations

import re
from typing import Any

from sweep.schedules.schedule import SHAPES
from sweep.study.baselines.settings import BaselineConfig
from sweep.study.fields.dimensions import RANGE_SCHEMA
from sweep.study.sections import SpaceConfig
from sweep.study.settings import StudyConfig

Schema = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
"""The one that editors of TOML know."""

_ARGUMENT = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
"""An argument in a docstring, and what is said of it."""


def study_schema() -> Schema:
    """The JSON Schema (draft 7) of what the reader of study files accepts.

    It derives from the settings: types, bounds and defaults from their fields, descriptions from
    the `Args` of their docstrings. What holds of several keys together is left to the reader, which
    says it better.
    """
    schema = _for_toml(StudyConfig.model_json_schema())
    sections = schema["$defs"]
    keys = schema["properties"]
    for key in keys.values():
        if "$ref" in key:  # a section's defaults as a study file has them: "0.001:1:log"
            for name, value in key.pop("default").items():
                sections[_section(key)]["properties"][name]["default"] = value
    for name in ("sampler", "pruner"):
        names = sections[_section(keys[name])]["properties"]["name"]
        keys[name] = _or_word(keys[name], {"type": "string", "enum": names["enum"]})
    keys["cluster"] = _or_word(keys["cluster"], {"type": "string"})
    keys["confirm"] = _or_word(keys["confirm"], {"type": "boolean"})
    _add_own_parameters(sections[SpaceConfig.__name__])
    _add_baseline_texts(keys["baseline"], sections[BaselineConfig.__name__])
    return {"$schema": _DRAFT, **schema}


def _section(key: Schema) -> str:
    """The name of the section that a key holds."""
    return str(key["$ref"]).rpartition("/")[2]


def _or_word(table: Schema, word: Schema) -> Schema:
    """A key that holds a table, for which a word may stand."""
    return {"anyOf": [{"$ref": table.pop("$ref")}, word], **table}


def _add_own_parameters(space: Schema) -> None:
    """Schedulers' own parameters: TOML reads `step.drops = "1:5"` as a table in the space."""
    del space["properties"]["rates"]  # they stand under `lr`
    described = {"description": space["properties"].pop("own")["description"]}
    for name, shape in SHAPES.items():
        own: Schema = {}
        for param in shape.params:
            ends = _words(param.choices) if param.choices else RANGE_SCHEMA
            own[param.name] = {**ends, "description": param.help}
        space["properties"][name] = {
            **{"type": "object", "properties": own, "additionalProperties": False},
            **described,
        }
    quoted = {"type": ["number", "string", "array"], **described}  # "step.drops" = "1:5"
    space["patternProperties"] = {r"\.": quoted}
    space["additionalProperties"] = {"type": "object", **described}  # of custom schedules


def _add_baseline_texts(baselines: Schema, table: Schema) -> None:
    """A baseline may be a text; as a table, it holds its scheduler's own parameters."""
    own = table["properties"].pop("own")
    kinds = {"type": ["number", "string"], "description": own["description"]}
    table["additionalProperties"] = kinds
    text: Schema = {"type": "string"}
    several = {"type": "array", "items": {"anyOf": [baselines.pop("items"), text]}}
    del baselines["type"]
    baselines["anyOf"] = [several, text]


def _words(choices: tuple[str, ...]) -> Schema:
    word = {"type": "string", "enum": [*choices]}
    return {"anyOf": [word, {"type": "array", "items": word, "minItems": 1}]}


def _for_toml(value: Any) -> Any:
    """A schema of pydantic's without null, which TOML has not, and with draft 7's words.

    What a docstring says of an argument goes to the property of that name.
    """
    if isinstance(value, list):
        return [_for_toml(item) for item in value if item != {"type": "null"}]
    if not isinstance(value, dict):
        return value
    kept = {key: _for_toml(item) for key, item in value.items() if item is not None}
    if len(kept.get("anyOf", "  ")) == 1:
        kept |= kept.pop("anyOf")[0]
    if "prefixItems" in kept:
        kept["items"] = kept.pop("prefixItems")
    if isinstance(kept.get("title"), str):  # else a setting of that name
        del kept["title"]
    if isinstance(kept.get("properties"), dict) and "description" in kept:
        summary, _, arguments = kept["description"].partition("\n\nArgs:\n")
        kept["description"] = " ".join(summary.split())
        for name, text in _ARGUMENT.findall(arguments):
            kept["properties"][name]["description"] = " ".join(text.split())
    return kept
