"""The settings that are not the same in several studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from sweep.search.continuation import first_code
from sweep.search.storage.opening import ROWS
from sweep.search.trials import StudyReader
from sweep.study.settings import StudyConfig

_PLACES = {"name", "storage"}
"""What a study is called and where its trials are makes no difference to them."""
_CODE = "code "
_SHOWN_OF_HASH = 8
"""Characters: as many tell two hashes apart."""


@dataclass(frozen=True)
class Setting:
    """A setting that is not the same in all studies.

    Args:
        key: As `--set` takes it: `space.lr`; `data (its rows)` is the fingerprint of the prepared
            rows, `code train.py` that of a file of the user's own code.
        values: In each study; None where it is not set.
    """

    key: str
    values: tuple[Any, ...]

    @property
    def title(self) -> str:
        """As it stands in a study file: `epochs`, `[space] lr`."""
        section, dot, name = self.key.partition(".")
        if not dot or self.key.startswith((_CODE, ROWS)):
            return self.key
        return f"[{section}] {name}"

    @property
    def texts(self) -> tuple[str, ...]:
        """The values, short; a dash where it is not set."""
        return tuple("-" if value is None else _shown(value) for value in self.values)

    @property
    def cells(self) -> tuple[str, ...]:
        """The same; empty where it is not set."""
        return tuple("" if value is None else _shown(value) for value in self.values)


def settings_of(study: optuna.Study, config: StudyConfig) -> dict[str, Any]:
    """All settings of a study, flat, and fingerprints of what else its trials depend on.

    Args:
        study: Its trials.
        config: Its settings.
    """
    settings = {key: v for key, v in config.to_flat().items() if key not in _PLACES}
    if rows := StudyReader(study, config).rows:
        settings[ROWS] = rows[:_SHOWN_OF_HASH]
    code = first_code(study)
    return settings | {f"{_CODE}{name}": code[name][:_SHOWN_OF_HASH] for name in code}


def differing_settings(studies: Sequence[Mapping[str, Any]]) -> tuple[Setting, ...]:
    """What is not the same in all studies, in the order of a study file."""
    keys = dict.fromkeys(key for settings in studies for key in settings)
    every = (Setting(key, tuple(settings.get(key) for settings in studies)) for key in keys)
    return tuple(each for each in every if any(v != each.values[0] for v in each.values[1:]))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_shown(part)}" for name, part in value.items())
    if isinstance(value, list):
        separator = "; " if any(isinstance(part, Mapping | list) for part in value) else ", "
        return separator.join(map(_shown, value)) or "none"
    return str(value)
