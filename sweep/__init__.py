"""Which learning-rate schedule, at which rate and decay, trains a PyTorch model best?

What scripts and notebooks may rely on is in `__all__`; modules within may move.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.base.errors import InterruptedSweep, SweepError
    from sweep.cli.progress import Progress
    from sweep.data.behaviour_log import behaviour_log
    from sweep.runs.library import StudyResult, load_study, run_study
    from sweep.runs.listener import Listener
    from sweep.runs.predictor import Predictor, load_predictor
    from sweep.schedules.schedule import Schedule
    from sweep.training.examine.gradient_graph import gradient_graph, tree_lines
    from sweep.training.own_command.current_trial import CurrentTrial, current_trial

__all__ = [
    "CurrentTrial",
    "InterruptedSweep",
    "Listener",
    "Predictor",
    "Progress",
    "Schedule",
    "StudyResult",
    "SweepError",
    "__version__",
    "behaviour_log",
    "current_trial",
    "gradient_graph",
    "load_predictor",
    "load_study",
    "run_study",
    "tree_lines",
]
__version__ = "0.1.0"

_HOMES = {
    "CurrentTrial": "training.own_command.current_trial",
    "InterruptedSweep": "base.errors",
    "Listener": "runs.listener",
    "Predictor": "runs.predictor",
    "Progress": "cli.progress",
    "Schedule": "schedules.schedule",
    "StudyResult": "runs.library",
    "SweepError": "base.errors",
    "behaviour_log": "data.behaviour_log",
    "current_trial": "training.own_command.current_trial",
    "gradient_graph": "training.examine.gradient_graph",
    "load_predictor": "runs.predictor",
    "load_study": "runs.library",
    "run_study": "runs.library",
    "tree_lines": "training.examine.gradient_graph",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `sweep --help` is quick."""
    if name in _HOMES:
        return getattr(import_module(f"sweep.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'sweep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
