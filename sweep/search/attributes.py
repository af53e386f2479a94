"""Attributes of trials and studies, as far as they are what they should be.

Whoever can write to a storage can put anything there; what is of another type is as good as not
there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TypeGuard


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that a float can hold, and finite."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max


def number(attributes: Mapping[str, Any], name: str) -> float | None:
    """A finite number."""
    value = attributes.get(name)
    return value if is_number(value) else None


def whole_number(attributes: Mapping[str, Any], name: str) -> int | None:
    """A whole number of at least 0."""
    value = number(attributes, name)
    return value if isinstance(value, int) and 0 <= value < 2**63 else None


def text(attributes: Mapping[str, Any], name: str) -> str:
    """A text; empty if there is none."""
    value = attributes.get(name)
    return value if isinstance(value, str) else ""


def table(attributes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A table; empty if there is none."""
    value = attributes.get(name)
    return value if isinstance(value, dict) else {}
