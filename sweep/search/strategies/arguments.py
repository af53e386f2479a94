"""Arguments that a study file passes on to one of Optuna's classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from sweep.base.errors import StudyFileError, did_you_mean

_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
_NO_TOML = ("Callable", "BaseSampler", "BasePruner", "FamilyPlan")


def build(kind: type, section: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Call a class with defaults and the study file's arguments.

    Args:
        kind: The class.
        section: Where the arguments stand, for errors: `sampler` or `pruner`.
        defaults: Ours; the given ones take their place.
        given: From the study file.

    Raises:
        StudyFileError: An argument is unknown or of another type, or the class refuses it.
    """
    known = _arguments_of(kind)
    for name, value in given.items():
        if name not in known:
            raise StudyFileError(
                f"{section}.{name}: {kind.__name__} has no such argument"
                f"{did_you_mean(name, known)} ({', '.join(known) or 'it has none'})"
            )
        expected = [word for word in known[name].split(" | ") if word != "None"]
        if set(expected) <= set(_WORDS) and not _is_one_of(value, expected):
            words = " or ".join(_WORDS[word] for word in expected)
            raise StudyFileError(f"{section}.{name}: expected {words}, got {value!r}")
    try:
        return kind(**{**defaults, **given})
    except (ValueError, TypeError) as refused:
        raise StudyFileError(
            f"{section}: {kind.__name__} refuses {dict(given)}: {refused}"
        ) from None


def _arguments_of(kind: type) -> dict[str, str]:
    """The arguments that a study file can spell, with their annotations."""
    annotations = {
        name: inspect.formatannotation(parameter.annotation).strip("'")
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    return {n: a for n, a in annotations.items() if not any(word in a for word in _NO_TOML)}


def _is_one_of(value: Any, types: list[str]) -> bool:
    name = type(value).__name__
    return name in types or (name == "int" and "float" in types)
