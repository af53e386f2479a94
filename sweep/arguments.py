"""Arguments that a study file passes on to one of Optuna's classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from sweep.errors import StudyFileError, did_you_mean


def build(kind: type, section: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Call a class with defaults and the study file's arguments.

    Args:
        kind: The class.
        section: Where the arguments stand, for errors: `sampler` or `pruner`.
        defaults: Ours; the given ones take their place.
        given: From the study file.

    Raises:
        StudyFileError: An argument is unknown, or the class refuses its value.
    """
    known = list(inspect.signature(kind).parameters)
    for name in given:
        if name not in known:
            raise StudyFileError(
                f"{section}.{name}: {kind.__name__} has no such argument"
                f"{did_you_mean(name, known)} ({', '.join(known)})"
            )
    try:
        return kind(**{**defaults, **given})
    except (ValueError, TypeError) as refused:
        raise StudyFileError(
            f"{section}: {kind.__name__} refuses {dict(given)}: {refused}"
        ) from None
