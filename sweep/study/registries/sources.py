"""The built-in sources of tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sweep.study.registries.entry import by_name

if TYPE_CHECKING:
    import pandas as pd

BEHAVIOUR_COUNTS = "behaviour-log"
"""The generated log of a shop; the source of a study that names none."""


@dataclass(frozen=True)
class Source:
    """A built-in source.

    Args:
        name: What a study file calls it.
        table: From the settings of a study's data to the table.
        target: The column that is learnt unless the settings name another.
    """

    name: str
    table: Callable[[Any], pd.DataFrame]
    target: str


def _behaviour_counts(settings: Any) -> pd.DataFrame:
    """A synthetic shopping log, counted per user and behaviour."""
    log = import_module("sweep.data.behaviour_log")  # above the study: named, and not imported
    counts: pd.DataFrame = log.behaviour_counts(settings.users)
    return counts


def _diabetes(settings: Any) -> pd.DataFrame:
    """442 patients and their disease's progression after a year."""
    from sklearn.datasets import load_diabetes

    frame: pd.DataFrame = load_diabetes(as_frame=True, scaled=False).frame
    return frame.rename(columns={"target": "progression"})


def _digits(settings: Any) -> pd.DataFrame:
    """1,797 handwritten digits, of 8 x 8 grey values each."""
    from sklearn.datasets import load_digits

    frame: pd.DataFrame = load_digits(as_frame=True).frame
    return frame.rename(columns={"target": "digit"})


SOURCES = by_name(
    Source(BEHAVIOUR_COUNTS, _behaviour_counts, target="buy"),
    Source("diabetes", _diabetes, target="progression"),
    Source("digits", _digits, target="digit"),
)
