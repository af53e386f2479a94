"""What a study file's sections take from the registries: names, and settings of the entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, create_model

from sweep.base.errors import did_you_mean
from sweep.study.registries.entry import Configurable, Setting, owners, settings_of, together


def check_known(value: Any, names: Mapping[str, Any], kind: str, also: str = "") -> None:
    """Refuse what is none of some names.

    Args:
        value: What a study file says.
        names: Those that there are.
        kind: What they are names of, for an error to say.
        also: What else it may be, likewise.

    Raises:
        ValueError: It is another word, or none.
    """
    if not isinstance(value, str) or value not in names:
        listed = ", ".join(names) + (f", or {also}" if also else "")
        raise ValueError(f"unknown {kind}{did_you_mean(str(value), names)} ({listed})")


def known(names: Mapping[str, Any], kind: str) -> BeforeValidator:
    """A check that a word is one of `names`."""

    def check(value: Any) -> Any:
        check_known(value, names, kind)
        return value

    return BeforeValidator(check)


def one_of(names: Mapping[str, Any], *, also: dict[str, Any] | None = None) -> WithJsonSchema:
    """What an editor is told of a setting that is one of `names`, or what `also` describes."""
    named = {"type": "string", "enum": [*names]}
    return WithJsonSchema({"anyOf": [named, also]} if also else named)


def with_settings_of(registry: Mapping[str, Configurable], base: type[BaseModel]) -> Any:
    """A class of sections with a `name` and the settings of all entries of a registry.

    Args:
        registry: Its entries; a setting that not all of them have says whose it is.
        base: What it is besides.
    """
    fields: dict[str, Any] = {
        setting.name: _field(setting, owners(registry, setting.name), len(registry))
        for setting in settings_of(registry.values()).values()
    }
    return create_model(f"_{base.__name__}", __base__=base, name=(str, ...), **fields)


def _field(setting: Setting, of: list[str], entries: int) -> tuple[Any, Any]:
    """A setting's type and its field, as pydantic takes them."""
    bounds: dict[str, Any] = dict(setting.bounds)
    kind: Any = get_origin(setting.type)
    if kind is None:
        annotation: Any = Annotated[setting.type, Field(**bounds)]
    else:
        annotation = kind[
            tuple(Annotated[part, Field(**bounds)] for part in get_args(setting.type))
        ]
    if kind is tuple:
        annotation = Annotated[annotation, Field(strict=False)]  # which TOML writes as a list
    if setting.default is None:
        annotation = annotation | None
    whose = "" if len(of) == entries else f"Of {together(f'`{name}`' for name in of)}: "
    text = f"{whose}{setting.help}."
    return annotation, Field(setting.default, description=text)
