"""From what a command was given to a study's places and settings."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sweep.base.errors import InputError
from sweep.search.strategies.problems import search_problems
from sweep.study.file import read_study
from sweep.study.locations import Location, locate_study
from sweep.study.settings import StudyConfig

KEYS = {
    "scheduler": "space.scheduler",
    "lr": "space.lr",
    "decay": "space.decay",
    "warmup": "space.warmup",
    "momentum": "space.momentum",
    "weight_decay": "space.weight_decay",
    "trials": "trials",
    "timeout": "timeout",
    "sampler": "sampler.name",
    "pruner": "pruner.name",
    "seed": "seed",
    "data": "data.source",
    "target": "data.target",
    "model": "model.name",
    "optimizer": "optimizer.name",
    "loop": "loop",
    "metric": "metric",
    "direction": "direction",
    "epochs": "epochs",
    "batch_size": "optimizer.batch_size",
    "workers": "workers",
    "deterministic": "deterministic",
    "engine": "engine",
    "lanes": "lanes",
    "device": "device",
    "storage": "storage",
    "no_confirm": "confirm.enabled",
    "fair": "fair",
    "warm_start": "warm_start",
}
"""The settings that command-line parameters stand for, by the parameter's name."""

_NUMBERS_OR_WORDS = ("timeout", "batch_size")


def configured(given: Mapping[str, Any]) -> tuple[Location, StudyConfig]:
    """Find and read the study that a command names, flags included.

    Args:
        given: A command's parameters by name: `study`, `out`, `setting` (a list of `KEY=VALUE`)
            and any of KEYS; others mean nothing here.

    Raises:
        InputError: There is no such study, or its settings are not valid.
    """
    location, config, problems = checked(given)
    if problems:
        raise problems
    return location, config


def checked(given: Mapping[str, Any]) -> tuple[Location, StudyConfig, InputError | None]:
    """As `configured`, but with the default in the place of what is not valid, and what that is.

    Raises:
        InputError: There is no such study.
    """
    location = locate_study(given["study"], given["out"], given["data"], given.get("loop"))
    overrides: dict[str, Any] = {}
    flags: dict[str, str] = {}
    for name, key in KEYS.items():
        value = _value(name, given.get(name))
        if value is not None:
            overrides[key] = value
            flags[key] = f"--{name.replace('_', '-')}"
    for text in given["setting"] or []:
        key, value = read_setting(text)
        overrides[key] = value
        flags[key] = f"--set {key}"
    config, problems = read_study(location.file, overrides, flags, search_problems)
    if config.name:
        location = replace(location, name=config.name)
    return location, config, problems


def _value(name: str, value: Any) -> Any:
    """The setting's value; None if the parameter was not given."""
    if name == "no_confirm":
        return False if value else None
    if name in ("scheduler", "fair", "deterministic"):
        return value or None
    if name in _NUMBERS_OR_WORDS and value is not None:
        return int(value) if value.isdigit() else value
    return value


def read_setting(text: str) -> tuple[str, Any]:
    """Read `KEY=VALUE`; the value is TOML, or a text if it is no TOML.

    Raises:
        InputError: It has another form.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text}: expected KEY=VALUE, such as data.log1p=true")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
