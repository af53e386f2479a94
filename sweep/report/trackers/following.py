"""A study that is being run, in trackers: its trials are sent as they end, beside the sweep."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import optuna

from sweep.base.errors import TrackerError
from sweep.base.wording import counted, duration, verb
from sweep.report.trackers.contract import StudyRun
from sweep.report.trackers.process import Sender
from sweep.report.trackers.runs import study_run, tracked_study, trial_run
from sweep.search.trials import StudyReader, Trial
from sweep.study.settings import StudyConfig

LAST_SECS = 30.0
"""So long, at its end, a sweep waits for its trackers."""
_FIRST_PAUSE_SECS, _LONGEST_PAUSE_SECS = 5.0, 300.0
"""Between two tries of a tracker that is away."""
_KILLED_SECS = 5.0
"""So long a thread is waited for whose process has been killed."""


class Following:
    """Sends a study's trials to its trackers while it runs.

    Nothing that a tracker does stops or slows the run: each has a thread and a process of its own,
    and is given LAST_SECS at the end. What is wrong with one is told once.

    Args:
        reader: Reads the study.
        folder: Its results.
        places: Where the runs of each tracker are kept, by the trackers' names.
        note: Tells the user a sentence; it is called from this thread alone.
    """

    def __init__(
        self,
        reader: StudyReader,
        folder: Path,
        places: Mapping[str, str],
        note: Callable[[str], None],
    ) -> None:
        self._reader, self._folder, self._note = reader, folder, note
        self._queues: list[_SendQueue] = []
        self._given: set[int] = set()
        if places:
            study, trials = tracked_study(reader), reader.every_trial
            for name, place in places.items():
                self._queues.append(_SendQueue(Sender(name, place, study), reader.config, folder))
            self._give(trials)

    def trial_finished(self, trial: Trial) -> None:
        """Send it, soon."""
        self._give([trial])
        self._tell()

    def close(self, study: optuna.Study) -> None:
        """Send the rest and what the study has found, and wait for that LAST_SECS at most."""
        if not self._queues:
            return
        try:
            self._give(self._reader.every_trial)  # also what another run, or machine, has trained
            if self._given:
                found = study_run(study, self._reader, self._folder)
                for queue in self._queues:
                    queue.give(found)
        finally:  # what was given before is sent, whatever the study's storage says now
            deadline = time.monotonic() + LAST_SECS
            for queue in self._queues:
                queue.close()
            try:
                for queue in self._queues:
                    queue.wait(deadline)
            finally:  # also if somebody waits no longer
                for queue in self._queues:
                    queue.end()
            self._tell()

    def _give(self, trials: Iterable[Trial]) -> None:
        """Those of them that have ended and were not given yet."""
        for trial in trials:
            if trial.number not in self._given and _is_sent(trial):
                self._given.add(trial.number)
                for queue in self._queues:
                    queue.give(trial)

    def _tell(self) -> None:
        for queue in self._queues:
            if text := queue.news():
                self._note(text)


class _SendQueue:
    """What waits to be sent to one tracker, in its order, and the thread that sends it.

    Trials wait as the study's reader keeps them, and become runs when their turn comes: so many
    can wait as a study has.
    """

    def __init__(self, sender: Sender, config: StudyConfig, folder: Path) -> None:
        self._sender, self._config, self._folder = sender, config, folder
        self._waiting: deque[Trial | StudyRun] = deque()
        self._changed = threading.Condition()
        self._is_closing = self._is_late = False
        self._problem = ""
        self._is_told = False
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self._thread.start()

    def give(self, item: Trial | StudyRun) -> None:
        """Have it sent when its turn comes."""
        with self._changed:
            self._waiting.append(item)
            self._changed.notify()

    def close(self) -> None:
        """Nothing more is given."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def wait(self, deadline: float) -> None:
        """Wait until all is sent and written, but not longer than to `deadline`."""
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def end(self) -> None:
        """Send and write nothing from now on."""
        if self._thread.is_alive():
            with self._changed:
                self._is_late = True
                self._changed.notify()
            self._sender.end()
            self._thread.join(_KILLED_SECS)

    def news(self) -> str:
        """What is to be told of it now; empty if nothing is, or if something has been."""
        with self._changed:
            left = len(self._waiting) if self._is_closing else 0
            if self._is_told or not (self._problem or self._is_late or left):
                return ""
            self._is_told = True
        later = f"`sweep export {self._folder} --to {self._sender.option}` sends what is not there"
        if self._problem:
            return f"{self._problem}; the study goes on without it, and {later}"
        lacking = f"{counted(left, 'run')} {verb(left, 'is', 'are')} not sent yet"
        if not left:
            lacking = "it has not written all that it was sent"
        return f"{self._sender.shown}: {lacking} {duration(LAST_SECS)} after the end; {later}"

    def _send_all(self) -> None:
        try:
            pause = _FIRST_PAUSE_SECS
            while (item := self._next()) is not None:
                try:
                    _send(self._sender, item, self._config)
                except TrackerError as problem:
                    self._pause(str(problem), pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECS)
                else:
                    pause = _FIRST_PAUSE_SECS
                    with self._changed:
                        self._waiting.popleft()
        finally:
            self._sender.close()

    def _next(self) -> Trial | StudyRun | None:
        """What has its turn; None if there will be nothing."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            return self._waiting[0] if self._waiting and not self._is_late else None

    def _pause(self, problem: str, secs: float) -> None:
        """After a problem; at the end, when little time is left, none is long."""
        with self._changed:
            if self._is_late:  # it is of our own making
                return
            self._problem = self._problem or problem
            if not self._is_closing:
                self._changed.wait_for(lambda: self._is_closing, secs)
            else:
                self._changed.wait_for(lambda: self._is_late, min(secs, _FIRST_PAUSE_SECS))


def _is_sent(trial: Trial) -> bool:
    """Whether a trial is one that trackers have: it has ended, and it is known what it was."""
    return trial.ending is not None and trial.drawn is not None


def _send(sender: Sender, item: Trial | StudyRun, config: StudyConfig) -> None:
    """Send a trial, unless it is there, or what a study has found.

    Raises:
        TrackerError: The tracker is away, or has not taken it.
    """
    if isinstance(item, StudyRun):
        sender.send(item)
    elif not sender.has_trial(item.number):
        sender.send(trial_run(item, config))


@contextmanager
def following(
    reader: StudyReader, folder: Path, places: Mapping[str, str], note: Callable[[str], None]
) -> Iterator[Following]:
    """Send a study's trials to trackers for as long as a run of it takes.

    What goes wrong in the run is not made worse: then what the study has found may stay unsent.
    """
    followed = Following(reader, folder, places, note)
    try:
        yield followed
    finally:
        try:
            followed.close(reader.study)
        except Exception as problem:  # of whatever kind: the study's own results are safe
            note(f"the trackers lack what the study has found: {problem}")


def export(reader: StudyReader, folder: Path, name: str, place: str) -> int:
    """Send a study that has been run, or is being run, to a tracker; what is there stays.

    Args:
        reader: Reads the study.
        folder: Its results.
        name: The tracker's.
        place: Where its runs are kept.

    Returns:
        How many trials are there now.

    Raises:
        TrackerError: The tracker is away, or has not taken something.
    """
    sender = Sender(name, place, tracked_study(reader))
    ended = [*filter(_is_sent, reader.every_trial)]
    try:
        for count, trial in enumerate(ended):
            try:
                _send(sender, trial, reader.config)
            except TrackerError as problem:
                there = f"; {count} of {counted(len(ended), 'trial')} are there" if count else ""
                raise TrackerError(f"{problem}{there}; the same command goes on") from None
        if ended:
            sender.send(study_run(reader.study, reader, folder))
        sender.close()
    except BaseException:
        sender.end()
        sender.close()
        raise
    return len(ended)
