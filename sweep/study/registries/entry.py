"""What the registries have in common.

The command line's help is made of them, so they import nothing but Python's own library: a class of
torch or Optuna is named, or imported in the function that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar


class Named(Protocol):
    """An entry of a registry."""

    @property
    def name(self) -> str:
        """What a study file calls it."""


class Configurable(Named, Protocol):
    """An entry with settings of its own."""

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Those that it has."""


@dataclass(frozen=True)
class Setting:
    """A key of a study file's section that belongs to some of a registry's entries.

    Args:
        name: The key.
        type: Of its value: a class, or a tuple or list of one.
        default: Of a setting that is new: None, which each entry's `defaults` give a meaning. So
            nothing of it is written down for studies that have no use for it.
        help: What it is, as half a sentence that begins in lower case.
        bounds: Of the value, or of each in a list, in pydantic's words: `{"ge": 0, "lt": 1}`.
        refused: Whether it is refused beside an entry that has it not, and not just unused.
    """

    name: str
    type: Any
    default: Any
    help: str
    bounds: Mapping[str, float] = field(default_factory=dict)
    refused: bool = False


E = TypeVar("E", bound=Named)


def by_name(*entries: E) -> dict[str, E]:
    """A registry: entries by their names, in the order that lists and help have them in."""
    return {entry.name: entry for entry in entries}


def owners(registry: Mapping[str, Configurable], setting: str) -> list[str]:
    """The names of the entries that have a setting."""
    return [
        name
        for name, entry in registry.items()
        if setting in (known.name for known in entry.settings)
    ]


def settings_of(entries: Iterable[Configurable]) -> dict[str, Setting]:
    """All settings of a registry's entries, by name."""
    return {setting.name: setting for entry in entries for setting in entry.settings}


def alternatives(words: Iterable[str]) -> str:
    """`sgd, adam or adamw`."""
    return _joined([*words], "or")


def together(words: Iterable[str]) -> str:
    """`sgd, adam and adamw`."""
    return _joined([*words], "and")


def _joined(words: Sequence[str], last: str) -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
