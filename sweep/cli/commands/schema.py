"""`sweep schema`."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON Schema of study files, so that an editor completes and checks them.

    Even Better TOML (VS Code) and Taplo use it for a file that begins with the line
    `#:schema ./study.schema.json`, a path from the study file.

    Example:

      sweep schema > study.schema.json
    """
    from sweep.study.schema import study_schema

    typer.echo(json.dumps(study_schema(), indent=2))
