"""The study file: load, validate and override."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sweep.base.errors import StudyFileError
from sweep.study.problems import Problem, explain, key_of, space_problems
from sweep.study.settings import StudyConfig

Check = Callable[[StudyConfig], Iterable[Problem]]
"""Finds what is wrong with settings whose types are right."""

_STANDS_FOR = {"cluster": "address", "confirm": "enabled"}
"""The key of a table that a value in its place is; of other tables, a word is the name."""


def load_study(
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    flags: Mapping[str, str] | None = None,
    check: Check = space_problems,
) -> StudyConfig:
    """Read a study file, put the overrides in its place, and check the whole.

    Args:
        path: A TOML file, or None for the defaults alone.
        overrides: Values by dotted key (`optimizer.batch_size`), as the command line gave them.
        flags: How the command line spells those keys: `--batch-size`.
        check: What must hold of the whole; there is more of it for a study that is to be run.

    Raises:
        StudyFileError: All problems together: file or flag, key, value, what was expected.
    """
    config, problems = read_study(path, overrides, flags, check)
    if problems:
        raise problems
    return config


def read_study(
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    flags: Mapping[str, str] | None = None,
    check: Check = space_problems,
) -> tuple[StudyConfig, StudyFileError | None]:
    """As `load_study`, but what is not valid is left at its default, and told beside the rest.

    Returns:
        The settings, and what was left out of them; the keys at fault are in its `keys`.

    Raises:
        StudyFileError: The file cannot be read as TOML.
    """
    values = _read_toml(path) if path else {}
    of_file = _optimizers(values)
    sections = _made_for(flags or {}, values)
    for key, value in (overrides or {}).items():
        _put(values, key, value)
    _keep_the_nearer(values, overrides or {}, of_file)
    found: list[Problem] = []
    config = StudyConfig()
    for _ in range(3):  # what is wrong is taken out, so that the rest is checked all the same
        try:
            config = StudyConfig.model_validate(values)
            break
        except ValidationError as error:
            for detail in error.errors():
                problem = explain(detail)
                if problem.key not in {earlier.key for earlier in found}:
                    found.append(problem)  # else missing for being taken out, or said already
                _take_out(values, key_of(detail))
    told = {problem.key for problem in found}
    found += [problem for problem in check(config) if problem.key not in told]
    if not found:
        return config, None
    keys = tuple(problem.key for problem in found)
    return config, StudyFileError(_listed(path, found, flags or {}, sections), keys)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise StudyFileError(f"{path}: not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"{path}: cannot be read: {error}") from None


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; a value that stands for a table (`sampler = "tpe"`) becomes one."""
    is_dimension = key.startswith("space.") and not key.startswith("space.params.")
    *sections, last = key.split(".", 1 if is_dimension else -1)
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            stands = isinstance(inner, str) or section in _STANDS_FOR
            inner = values[section] = {_STANDS_FOR.get(section, "name"): inner} if stands else {}
        values = inner
    values[last] = value


def _keep_the_nearer(
    values: dict[str, Any], overrides: Mapping[str, Any], of_file: set[Any]
) -> None:
    """Of the file's trials and a flag's budget, or the other way round, the flag's alone.

    Of the rates of the file's optimizers, those that a flag's optimizers have.
    """
    for key, other in (("trials", "budget"), ("budget", "trials")):
        if key in overrides and other not in overrides:
            values.pop(other, None)
    space = values.get("space")
    rates = space.get("lr") if isinstance(space, dict) and "space.lr" not in overrides else None
    now = _optimizers(values)
    if "optimizer.name" in overrides and isinstance(rates, dict) and now & {*rates}:
        for name in of_file - now:
            rates.pop(name, None)


def _optimizers(values: Mapping[str, Any]) -> set[Any]:
    """The names of a file's optimizers, as they stand there."""
    section = values.get("optimizer")
    names = section.get("name", []) if isinstance(section, dict) else section
    return {
        name for name in (names if isinstance(names, list) else [names]) if isinstance(name, str)
    }


def _take_out(values: Any, location: list[str]) -> None:
    """Remove the innermost table's entry that a location leads to."""
    *sections, last = location
    for position, section in enumerate(sections):
        inner = values.get(section)
        if not isinstance(inner, dict):
            last = sections[position]
            break
        values = inner
    values.pop(last, None)


def _made_for(flags: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    """The tables that a file lacks, and the first flag that gives a key in them."""
    made: dict[str, str] = {}
    for key, flag in flags.items():
        inner: Any = values
        sections = key.split(".")[:-1]
        for depth, section in enumerate(sections, start=1):
            inner = inner.get(section) if isinstance(inner, dict) else None
            if inner is None:
                made.setdefault(".".join(sections[:depth]), flag)
    return made


def _listed(
    path: Path | None,
    problems: list[Problem],
    flags: Mapping[str, str],
    sections: Mapping[str, str],
) -> str:
    by_flag = [problem.by_flag(flags, sections) for problem in problems]
    place = f"{path}: " if path is not None and None in by_flag else ""
    shown = (flag or problem.in_file for problem, flag in zip(problems, by_flag, strict=True))
    lines = list(dict.fromkeys(shown))
    if len(lines) == 1:
        return place + lines[0]
    return "\n".join([f"{place}{len(lines)} problems", *(f"  {line}" for line in lines)])
