"""From what a command was given to a study's places and settings."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.base.errors import InputError
from sweep.study.file import read_study
from sweep.study.locations import Location, locate_study
from sweep.study.problems import Problem
from sweep.study.registries.entry import alternatives
from sweep.study.registries.trackers import TRACKERS
from sweep.study.sections import SplitConfig
from sweep.study.settings import StudyConfig
from sweep.study.space import SHARED
from sweep.study.training.optimizer import SEARCHED

KEYS = {
    "scheduler": "space.scheduler",
    "lr": "space.lr",
    "decay": "space.decay",
    "warmup": "space.warmup",
    "momentum": "space.momentum",
    "weight_decay": "space.weight_decay",
    "trials": "trials",
    "budget": "budget",
    "timeout": "timeout",
    "sampler": "sampler.name",
    "pruner": "pruner.name",
    "seed": "seed",
    "data": "data.source",
    "target": "data.target",
    "split": "data.split",
    "model": "model.name",
    "optimizer": "optimizer.name",
    "loss": "training.loss",
    "loop": "loop",
    "command": "command",
    "metric": "metric",
    "direction": "direction",
    "epochs": "epochs",
    "batch_size": "optimizer.batch_size",
    "workers": "workers",
    "cluster": "cluster.address",
    "gpus_per_trial": "gpus_per_trial",
    "threads": "threads",
    "keep": "keep",
    "deterministic": "deterministic",
    "engine": "engine",
    "lanes": "lanes",
    "device": "device",
    "storage": "storage",
    "no_confirm": "confirm.enabled",
    "fair": "fair",
    "warm_start": "warm_start",
    "baseline": "baseline",
}
"""The settings that command-line parameters stand for, by the parameter's name."""

_NUMBERS_OR_WORDS = ("timeout", "batch_size")


def configured(
    given: Mapping[str, Any], when_read: Callable[[StudyConfig], None] | None = None
) -> tuple[Location, StudyConfig]:
    """Find and read the study that a command names, flags included.

    Args:
        given: A command's parameters by name: `study`, `out`, `setting` (a list of `KEY=VALUE`)
            and any of KEYS; others mean nothing here.
        when_read: Told the settings before it is checked that they can be run, which takes a
            second: the libraries of the search are loaded for it.

    Raises:
        InputError: There is no such study, or its settings are not valid.
    """
    location, config, problems = checked(given, when_read)
    if problems:
        raise problems
    return location, config


def checked(
    given: Mapping[str, Any], when_read: Callable[[StudyConfig], None] | None = None
) -> tuple[Location, StudyConfig, InputError | None]:
    """As `configured`, but with the default in the place of what is not valid, and what that is.

    Raises:
        InputError: There is no such study.
    """
    overrides: dict[str, Any] = {}
    flags: dict[str, str] = {}
    for name, key in KEYS.items():
        value = _value(name, given.get(name))
        if value is not None:
            overrides[key] = value
            flags[key] = f"--{name.replace('_', '-')}"
    if given.get("command"):
        flags["command"] = "--"
    for text in given.get("param") or []:
        name, values = read_param(text)
        overrides[f"space.params.{name}"] = values
        flags[f"space.params.{name}"] = f"--param {name}"
    for text in given.get("track") or []:
        name, place = read_track(text)
        overrides[f"track.{name}"] = place
        flags[f"track.{name}"] = f"--track {name}"
    for text in given["setting"] or []:
        key, value = read_setting(text)
        overrides[key] = value
        flags[key] = f"--set {key}"
    return found(given["study"], given["out"], overrides, flags, when_read)


def found(
    study: str | None,
    out: Path | None,
    overrides: Mapping[str, Any],
    flags: Mapping[str, str] | None = None,
    when_read: Callable[[StudyConfig], None] | None = None,
) -> tuple[Location, StudyConfig, InputError | None]:
    """The study that a name and some settings mean, for a command as for a script.

    Args:
        study: Its name, its file or its results folder; None for the default study or, where the
            settings give a loop, a command or a data source, for a study named after that.
        out: The results folder, if not the study's own.
        overrides: Settings by dotted key, in the place of those of its file.
        flags: How the command line spells those keys.
        when_read: As `configured` has it.

    Returns:
        Its places; its settings, with the default in the place of what is not valid; what that is.

    Raises:
        InputError: There is no such study.
    """
    source, loop, command = (overrides.get(key) for key in ("data.source", "loop", "command"))
    if command:  # it is given here, and not in a study's file
        overrides = {"working_folder": str(Path.cwd()), **overrides}
    location = locate_study(study, out, _text(source), _text(loop), _words(command))

    def check(config: StudyConfig) -> Iterator[Problem]:
        if when_read:
            when_read(config)
        from sweep.search.strategies.problems import search_problems  # with all that it needs

        return search_problems(config)

    config, problems = read_study(location.file, overrides, flags, check)
    if config.name:
        location = replace(location, name=config.name)
    return location, config, problems


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _words(command: object) -> list[str]:
    """A command's words, as far as it can be taken apart."""
    if isinstance(command, str):
        with suppress(ValueError):
            return shlex.split(command)
    return [*map(str, command)] if isinstance(command, Sequence) else []


def _value(name: str, value: Any) -> Any:
    """The setting's value; None if the parameter was not given."""
    if name == "no_confirm":
        return False if value else None
    if name in ("scheduler", "fair", "deterministic", "keep", "command", "baseline"):
        return value or None
    if name == "split" and value is not None:
        return read_split(value)
    if name == "lr" and value is not None and "=" in value:
        return _by_name(value)
    if name in (*SHARED, *SEARCHED) and value is not None and "," in value:
        return _one_or_several(value)
    if name in _NUMBERS_OR_WORDS and value is not None:
        return int(value) if value.isdigit() else value
    return value


def read_param(text: str) -> tuple[str, Any]:
    """Read `NAME=VALUES`: a range, one value, or several with commas between them.

    Raises:
        InputError: It has another form.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name or not value:
        raise InputError(f"--param {text}: expected NAME=VALUES, such as width=64,128")
    return name, _one_or_several(value)


def read_split(text: str) -> dict[str, str]:
    """Read `by=COLUMN`, `group=COLUMN` or `column=COLUMN`.

    Raises:
        InputError: It has another form.
    """
    how, equals, column = (part.strip() for part in text.partition("="))
    if not equals or not column or how not in SplitConfig.model_fields:
        raise InputError(
            f"--split {text}: expected by=COLUMN (of time), group=COLUMN or column=COLUMN (of "
            "train, validation and test)"
        )
    return {how: column}


def read_track(text: str) -> tuple[str, str]:
    """Read `TRACKER=PLACE`.

    Raises:
        InputError: It has another form.
    """
    name, equals, place = (part.strip() for part in text.partition("="))
    if not equals or not name or not place:
        places = alternatives(f"{each.name}={each.place}" for each in TRACKERS.values())
        raise InputError(f"--track {text}: expected TRACKER=PLACE: {places}")
    return name, place


def _by_name(text: str) -> dict[str, Any]:
    """Read `NAME=VALUE,NAME=VALUE`.

    Raises:
        InputError: It has another form.
    """
    parts = [part.partition("=") for part in text.split(",")]
    if not all(name.strip() and value.strip() for name, _, value in parts):
        raise InputError(
            f"--lr {text}: expected a range, or one of each optimizer: "
            "sgd=1e-3:1:log,adamw=1e-5:1e-2:log"
        )
    return {name.strip(): _number_or_word(value.strip()) for name, _, value in parts}


def _one_or_several(text: str) -> Any:
    """A value, or a list of those with commas between them."""
    listed = text.removeprefix("[").removesuffix("]") if text[:1] == "[" else text
    if listed == text and "," not in text:
        return _number_or_word(text)
    return [_number_or_word(part.strip()) for part in listed.split(",") if part.strip()]


def _number_or_word(text: str) -> float | str | bool:
    """What a text says; quotes make a word of whatever they hold."""
    if text in ("true", "false"):
        return text == "true"
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


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
