"""Divergence as the reason why a trial ended, in the words that are kept with it."""

from __future__ import annotations

from sweep.base.languages.sentences import kept

_DIVERGED = "diverged"


def divergence(epoch: int, what: str) -> str:
    """The reason of a trial in which numbers were not finite after an epoch.

    Args:
        epoch: From 1.
        what: Which numbers, and what they were.
    """
    return kept("diverged at epoch {epoch}: {what}", epoch=epoch, what=what)


def is_divergence(reason: str) -> bool:
    """Whether a trial ended for that reason because a loss or gradient was not finite."""
    return reason.startswith(_DIVERGED)
