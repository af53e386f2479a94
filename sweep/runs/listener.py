"""Who hears how a run goes."""

from __future__ import annotations

import importlib
import sys
import time
from html import escape
from typing import Any

from sweep.base.wording import counted, duration, number
from sweep.data.dataset import Dataset
from sweep.search.status import Status
from sweep.search.trials import Trial
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig


class Listener:
    """Hears how a sweep goes; each method does nothing unless it is overridden.

    Attributes:
        unwritten: What `on_unwritten` was told last; None if all was written.
    """

    unwritten: tuple[str, Exception] | None = None

    def on_start(self, location: Location, config: StudyConfig, data: Dataset | None) -> None:
        """The settings are valid and the data is prepared; workers are starting.

        Args:
            location: Where the study and its results are.
            config: The settings: `config.epochs`, `config.space.scheduler`.
            data: The table, prepared and split; None where the training code is the user's own.
        """

    def on_note(self, text: str) -> None:
        """Something that a user should read: `text`, a sentence or some."""

    def on_finished(self, trial: Trial, status: Status) -> None:
        """A trial has ended, however: `trial.ending` says how, `status` where the sweep stands."""

    def on_tick(self, status: Status) -> None:
        """Some time has passed, at most a fifth of a second."""

    def on_retraining(self, what: str, epochs: int, most: int) -> None:
        """Trials are being trained again, on fresh seeds for instance.

        Args:
            what: Which, and why.
            epochs: Epochs that have been trained of it.
            most: Epochs that it takes at most.
        """

    def on_unwritten(self, what: str, problem: Exception) -> None:
        """What people look at could not be written; the results are safe.

        Args:
            what: Which of it: `report.html`.
            problem: Why.
        """
        self.unwritten = (what, problem)


_SHOWN_EVERY_SECS = 0.5


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class InNotebook(Listener):
    """Shows under the cell how a sweep goes: a line that is kept current, and its notes."""

    def __init__(self) -> None:
        self._line = "starting workers ..."
        self._notes: list[str] = []
        self._handle: Any = None
        self._shown = 0.0
        self._metric = ""

    def on_start(self, location: Location, config: StudyConfig, data: Dataset | None) -> None:
        """Begin to show it."""
        self._metric = config.measure.title
        self._notes += data.warnings if data else ()
        self._show(at_once=True)

    def on_note(self, text: str) -> None:
        """Show it below the line."""
        self._notes.append(text)
        self._show(at_once=True)

    def on_finished(self, trial: Trial, status: Status) -> None:
        """Show the state."""
        self.on_tick(status)

    def on_tick(self, status: Status) -> None:
        """Show the state, now and then."""
        ended = f"{status.endings.ended} of {counted(status.total, 'trial')} ended"
        best = status.best
        parts = [ended]
        if best is not None:
            parts.append(f"best {self._metric} {number(best.value)}: {best.suggestion.describe()}")
        if status.remaining_secs is not None:
            parts.append(f"about {duration(status.remaining_secs)} left")
        self._line = "; ".join(parts)
        self._show(at_once=status.endings.ended >= status.total)

    def on_retraining(self, what: str, epochs: int, most: int) -> None:
        """Show what is trained again."""
        self._line = f"{what}: {epochs} of at most {counted(most, 'epoch')}"
        self._show()

    def _show(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._shown < _SHOWN_EVERY_SECS:
            return
        self._shown = now
        shows = importlib.import_module("IPython.display")  # a notebook has it, others need it not
        notes = "".join(f"<br><small>note: {escape(note)}</small>" for note in self._notes)
        shown = shows.HTML(f"<div>{escape(self._line)}{notes}</div>")
        if self._handle is None:
            self._handle = shows.display(shown, display_id=True)
        else:
            self._handle.update(shown)
