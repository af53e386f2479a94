"""Which learning-rate schedule, at which rate and decay, trains a PyTorch model best?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.schedules import Schedule

__all__ = ["Schedule", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `sweep --help` is quick."""
    if name == "Schedule":
        from sweep.schedules import Schedule

        return Schedule
    raise AttributeError(f"module 'sweep' has no attribute {name!r}")
