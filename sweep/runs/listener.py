"""Who hears how a run goes."""

from __future__ import annotations

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

        There is no data where the training loop is the user's own.
        """

    def on_note(self, text: str) -> None:
        """Something that a user should read."""

    def on_finished(self, trial: Trial, status: Status) -> None:
        """A trial has ended."""

    def on_tick(self, status: Status) -> None:
        """Some time has passed, at most a fifth of a second."""

    def on_retraining(self, what: str, epochs: int, most: int) -> None:
        """Trials are being trained again, and why: so many epochs of at most so many."""

    def on_unwritten(self, what: str, problem: Exception) -> None:
        """What people look at could not be written, and why; the results are safe."""
        self.unwritten = (what, problem)
