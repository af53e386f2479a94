"""Divergence as the reason why a trial ended, in the words that are kept with it."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from sweep.training.divergence import is_divergence


def has_diverged(trial: FrozenTrial) -> bool:
    """Whether a trial was stopped because a loss or gradient was not finite."""
    return is_divergence(str(trial.user_attrs.get("reason", "")))
