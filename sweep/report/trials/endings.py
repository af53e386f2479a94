"""How a trial ended, in a word."""

from __future__ import annotations

from sweep.base.languages.sentences import _
from sweep.search.trials import Ending


def ending_word(ending: Ending) -> str:
    """In the reader's language: `pruned`."""
    words = {
        Ending.COMPLETED: _("completed"),
        Ending.PRUNED: _("pruned"),
        Ending.DIVERGED: _("diverged"),
        Ending.FAILED: _("failed"),
    }
    return words[ending]
