"""A study that is being run, in trackers: its trials are sent as they end, beside the sweep."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import optuna

from sweep.base.errors import TrackerError
from sweep.base.wording import counted, duration, verb
from sweep.report.trackers.contract import Study, StudyRun, TrialRun
from sweep.report.trackers.process import Sender
from sweep.report.trackers.runs import study_run, tracked_study, trial_run
from sweep.search.trials import StudyReader, Trial

LAST_SECS = 30.0
"""So long, at its end, a sweep waits for its trackers."""
_MOST_WAITING = 10_000
"""Trials that wait to be sent; those that end beside so many can be exported later."""
_FIRST_PAUSE_SECS, _LONGEST_PAUSE_SECS = 5.0, 300.0
"""Between two tries of a tracker that is away."""


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
        self._lines: list[_Line] = []
        self._given: set[int] = set()
        if places:
            study = tracked_study(reader)
            self._lines += [_Line(Sender(n, place, study), folder) for n, place in places.items()]
            self._give_all()

    def trial_finished(self, trial: Trial) -> None:
        """Send it, soon."""
        self._give(trial)
        self._tell()

    def close(self, study: optuna.Study) -> None:
        """Send the rest and what the study has found, and wait for that LAST_SECS at most."""
        if not self._lines:
            return
        self._give_all()
        if self._given:
            last = study_run(study, self._reader, self._folder)
            for line in self._lines:
                line.give(last)
        deadline = time.monotonic() + LAST_SECS
        for line in self._lines:
            line.close()
        for line in self._lines:
            line.wait(deadline)
        self._tell()

    def _give_all(self) -> None:
        """Also trials that another run, or another machine, has trained."""
        for trial in self._reader.every_trial if self._lines else ():
            self._give(trial)

    def _give(self, trial: Trial) -> None:
        if not self._lines or trial.number in self._given or not (trial.ending and trial.drawn):
            return
        self._given.add(trial.number)
        run = trial_run(trial, self._reader.config)
        for line in self._lines:
            line.give(run)

    def _tell(self) -> None:
        for line in self._lines:
            if text := line.news():
                self._note(text)


class _Line:
    """What waits to be sent to one tracker, in its order, and the thread that sends it."""

    def __init__(self, sender: Sender, folder: Path) -> None:
        self._sender, self._folder = sender, folder
        self._waiting: deque[TrialRun | StudyRun] = deque()
        self._left_out = 0
        self._changed = threading.Condition()
        self._is_closing = self._is_late = False
        self._problem = ""
        self._is_told = False
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self._thread.start()

    def give(self, run: TrialRun | StudyRun) -> None:
        """Have it sent when its turn comes."""
        with self._changed:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append(run)
            else:
                self._left_out += 1
            self._changed.notify()

    def close(self) -> None:
        """Nothing more is given."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def wait(self, deadline: float) -> None:
        """Wait until all is sent, but not longer than to `deadline`."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._is_late = True
            self._sender.end()
            self._thread.join()

    def news(self) -> str:
        """What is to be told of it now; empty if nothing is, or if something has been."""
        with self._changed:
            left = len(self._waiting) + self._left_out
            is_over = self._is_closing and not self._thread.is_alive()
            if self._is_told or not (self._problem or (is_over and left)):
                return ""
            self._is_told = True
        later = f"`sweep export {self._folder} --to {self._sender.option}` sends what is not there"
        if self._problem:
            return f"{self._problem}; the study goes on without it, and {later}"
        return (
            f"{self._sender.shown}: {counted(left, 'run')} {verb(left, 'is', 'are')} not sent yet "
            f"{duration(LAST_SECS)} after the end; {later}"
        )

    def _send_all(self) -> None:
        pause = _FIRST_PAUSE_SECS
        while (run := self._next()) is not None:
            try:
                self._sender.send(run)
            except TrackerError as problem:
                with self._changed:
                    if self._is_late:
                        break
                    self._problem = self._problem or str(problem)
                    if self._is_closing:
                        break
                    self._changed.wait_for(lambda: self._is_closing, pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECS)
            else:
                pause = _FIRST_PAUSE_SECS
                with self._changed:
                    self._waiting.popleft()
        self._sender.close()

    def _next(self) -> TrialRun | StudyRun | None:
        """The run whose turn it is; None if there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            return self._waiting[0] if self._waiting else None


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
    study: Study = tracked_study(reader)
    sender = Sender(name, place, study)
    ended = [trial for trial in reader.every_trial if trial.ending and trial.drawn]
    try:
        for count, trial in enumerate(ended):
            try:
                sender.send(trial_run(trial, reader.config))
            except TrackerError as problem:
                there = f"; {count} of {counted(len(ended), 'trial')} are there" if count else ""
                raise TrackerError(f"{problem}{there}; the same command goes on") from None
        if ended:
            sender.send(study_run(reader.study, reader, folder))
    except BaseException:
        sender.end()
        raise
    finally:
        sender.close()
    return len(ended)
