"""What a framework's evaluations come to: a report for each that follows a step."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from sweep.training.own_command.current_trial import current_trial


class Evaluations:
    """The evaluations of one training.

    Those before the first step, and further ones after the same step, say nothing new: frameworks
    evaluate to see that it works, and once more in the end.
    """

    def __init__(self) -> None:
        self._reported = 0

    def report(self, metrics: Mapping[str, Any], step: int) -> None:
        """Report the numbers of an evaluation to the sweep; without one, nothing happens.

        Args:
            metrics: By name; at least the study's.
            step: How many optimizer steps were taken before it.

        Raises:
            SystemExit: The trial is to stop.
            TrainingError: The study's metric is not among them.
        """
        trial = current_trial()
        if trial.metric is None or step <= self._reported:
            return
        self._reported = step
        told = {name: value for name, value in metrics.items() if _is_number(value)}
        trial.report(told)


def _is_number(value: Any) -> bool:
    if hasattr(value, "numel"):
        return bool(value.numel() == 1)
    return isinstance(value, Real) and not isinstance(value, bool)
