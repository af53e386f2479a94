"""Which learning-rate schedule, at which rate and decay, trains a PyTorch model best?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.runs.library import StudyResult, load_study, run_study
    from sweep.schedules.schedule import Schedule

__all__ = ["Schedule", "StudyResult", "__version__", "load_study", "run_study"]
__version__ = "0.1.0"

_HOMES = {
    "Schedule": "schedules.schedule",
    "StudyResult": "runs.library",
    "load_study": "runs.library",
    "run_study": "runs.library",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `sweep --help` is quick."""
    if name in _HOMES:
        return getattr(import_module(f"sweep.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'sweep' has no attribute {name!r}")
