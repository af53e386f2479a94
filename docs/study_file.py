"""Write docs/study-file.md from the settings: `.venv/bin/python docs/study_file.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomlkit

from sweep.schedules.schedule import SHAPES
from sweep.study.fields.dimensions import RANGE_SCHEMA, RATES_SCHEMA, default_own_dimensions
from sweep.study.schema import Schema, study_schema

PAGE = Path(__file__).parent / "study-file.md"

INTRODUCTION = """\
# The study file

All keys, with their defaults. (`.venv/bin/python docs/study_file.py` writes this page from the
settings; a test checks that it is in step.) Every key can be left out; a key that is not listed is
refused, with the nearest that is. On the command line, `--set data.log1p=true` gives any of them,
and the common ones have flags: `sweep run --help`.

A *range* is `"LOW:HIGH"`, `"LOW:HIGH:log"`, a list of numbers, or one number, which fixes the
parameter.

```toml
epochs = 30
sampler = "tpe"               # a word stands for a table: {name = "tpe"}

[data]
source = "houses.csv"
target = "price"

[space]
scheduler = ["constant", "cosine", "step"]
lr = "1e-3:1:log"
warmup = 0.05                 # fixed
step.drops = "1:5"            # a scheduler's own parameter

[confirm]                     # or, above all tables, confirm = false
seeds = 30
```

## In an editor

```console
sweep schema > study.schema.json
```

and, as the first line of a study file beside it:

```toml
#:schema ./study.schema.json
```

[Even Better TOML](https://marketplace.visualstudio.com/items?itemName=tamasfe.even-better-toml) in
VS Code, and whatever else uses [Taplo](https://taplo.tamasfe.dev), then completes keys and names,
says what each is, and underlines what is wrong. What holds of several keys together, `sweep check`
says.
"""


def page() -> str:
    """The page, as the settings have it."""
    schema = study_schema()
    sections = schema["$defs"]
    keys = schema["properties"]
    parts = [INTRODUCTION, "## Beside the tables", table(at_top(keys))]
    for name, key in keys.items():
        ref = section_of(key)
        if ref is None:
            continue
        heading = f"[{name}.<name>]" if "additionalProperties" in key else f"[{name}]"
        heading = f"[{heading}]" if any("items" in way for way in key.get("anyOf", [])) else heading
        parts += [f"## `{heading}`", sections[ref]["description"], table(sections[ref])]
        for inner, held in sections[ref]["properties"].items():
            deeper = section_of(held)
            if deeper:
                described = sections[deeper]["description"]
                parts += [f"### `{name}.{inner}`", described, table(sections[deeper])]
        if name == "space":
            parts += ["### Schedulers' own parameters", OWN, own_parameters()]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


OWN = """\
Searched over these ranges where their scheduler is, unless the space says otherwise
(`step.drops = 3`). [schedules.md](schedules.md) draws the schedulers."""


def at_top(keys: Schema) -> Schema:
    """The keys that are no tables."""
    return {"properties": {n: key for n, key in keys.items() if section_of(key) is None}}


def section_of(key: Schema) -> str | None:
    """The section that a key holds, or that each of its entries is."""
    more = key.get("additionalProperties")
    options = [key, *key.get("anyOf", []), *([more] if isinstance(more, dict) else [])]
    entries = [way["items"] for way in options if isinstance(way.get("items"), dict)]
    options += [option for entry in entries for option in entry.get("anyOf", [])]
    refs = [option["$ref"].rpartition("/")[2] for option in options if "$ref" in option]
    return refs[0] if refs else None


def table(section: Schema) -> str:
    """A section's keys: what they may be, their defaults, what they mean."""
    rows = ["| key | | default | |", "|---|---|---|---|"]
    for name, key in section["properties"].items():
        if name in SHAPES and key.get("type") == "object":
            continue  # its parameters have a table of their own
        default = f"`{toml(key['default'])}`" if "default" in key else ""
        rows.append(row(f"`{name}`", ", ".join(kinds(key)), default, key["description"]))
    return "\n".join(rows)


def own_parameters() -> str:
    """The schedulers' own parameters, with the ranges that are searched by default."""
    rows = ["| key | | default | |", "|---|---|---|---|"]
    for shape in SHAPES.values():
        searched = default_own_dimensions(shape.name)
        for param in shape.params:
            ends = toml(list(param.choices) or str(searched[f"{shape.name}.{param.name}"]))
            kind = ", ".join(f"`{toml(word)}`" for word in param.choices) or "range"
            if param.kind == "int":
                kind += " of whole numbers"
            rows.append(row(f"`{shape.name}.{param.name}`", kind, f"`{ends}`", param.help))
    return "\n".join(rows)


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def kinds(key: Schema) -> Iterator[str]:
    """What a key may be, in words."""
    if key.get("anyOf") == RANGE_SCHEMA["anyOf"]:
        yield "range"
    elif key.get("anyOf") == RATES_SCHEMA["anyOf"]:
        yield "range, table of ranges by optimizer"
    elif "anyOf" in key:
        yield from dict.fromkeys(kind for option in key["anyOf"] for kind in kinds(option))
    elif "enum" in key or "const" in key:
        yield from (f"`{toml(word)}`" for word in key.get("enum", [key.get("const")]))
    elif key.get("type") == "array":
        inner = key.get("items", {})
        words = [*kinds(inner[0] if isinstance(inner, list) else inner)]
        yield "list of them" if words[0][0] == "`" else f"list of {' or '.join(words)}"
    elif isinstance(key.get("type"), list):
        yield from (WORDS.get(word, word) for word in key["type"])
    elif key.get("type") in ("integer", "number"):
        word = "whole number" if key["type"] == "integer" else "number"
        yield " ".join([word, *bounds(key)])
    else:
        yield WORDS.get(key.get("type", "table"), "text")


WORDS = {"boolean": "`true`, `false`", "object": "table", "table": "table", "string": "text"}


def bounds(key: Schema) -> Iterator[str]:
    """Between which ends a number lies."""
    said = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
    }
    yield from (text.format(key[bound]) for bound, text in said.items() if bound in key)


def toml(value: Any) -> str:
    """A value as a study file writes it."""
    if value == {}:
        return "{}"
    return str(tomlkit.item(value).as_string())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
