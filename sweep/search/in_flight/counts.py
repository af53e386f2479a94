"""How many trials a study has of each kind, here or elsewhere, at a cost that does not grow."""

from __future__ import annotations

from optuna.trial import TrialState

from sweep.search.attributes import completes
from sweep.search.status import Tally
from sweep.search.storage.optuna_private import excluded_trials, shown_trials
from sweep.search.storage.trial_list import numbered
from sweep.search.trials import StudyReader, Trial


class Counts:
    """A tally that is kept: only trials that had not ended are looked at again.

    Args:
        reader: Reads the study.

    Attributes:
        tally: As of the last look.
    """

    def __init__(self, reader: StudyReader) -> None:
        self._reader = reader
        self._excluded = self._excluded_now()
        self.count_anew()

    def count_anew(self) -> None:
        """Count all of them: one that had ended has not."""
        self._begin()
        self.look()

    def _begin(self) -> None:
        self.tally = Tally(self._reader.config.measure)
        self._open: dict[int, None] = {}  # those that had not ended, or were not shown
        self._next = 0
        self._drawn = 0  # of those that have ended

    def _excluded_now(self) -> list[int]:
        return [trial.number for trial in excluded_trials(self._reader.study)]

    def look(self) -> list[Trial]:
        """Count what has ended or begun since the last look, here or elsewhere.

        Others go on meanwhile, so all is counted from one reading of the trials.

        Returns:
            The trials that have ended since then; all that have, where earlier ones have come to
            count for nothing, or to count again.
        """
        # first, so that what is excluded from here on shows at the next look
        excluded = self._excluded_now()
        trials = shown_trials(self._reader.study)
        if excluded != self._excluded:
            self._excluded = excluded
            self._begin()
        last = trials[-1].number + 1 if trials else 0
        numbers = [*self._open, *range(self._next, last)]
        ended, self._open, self._next = list[Trial](), {}, max(self._next, last)
        begun = to_complete = 0
        for number in numbers:
            trial = numbered(trials, number)
            if trial is not None and trial.state.is_finished():
                ended.append(self._reader.trial(trial))
                continue
            self._open[number] = None
            if trial is not None:
                is_drawn, waits = completes(trial) is None, trial.state == TrialState.WAITING
                begun += is_drawn and not waits
                to_complete += waits and not is_drawn
        if any(trial.completes is not None for trial in ended):  # it takes a pruned one's place
            every = [self._reader.trial(trial) for trial in trials]
            self.tally = Tally.of(every, self._reader.config.measure)
        else:
            for each in ended:
                self.tally.count(each)
        self._drawn += sum(trial.completes is None for trial in ended)
        self.tally.started, self.tally.to_complete = self._drawn + begun, to_complete
        return ended

    def end(self, trial: Trial) -> list[Trial]:
        """Count a trial that has ended here, and what else a look shows where one is needed.

        A look goes through all trials that have not ended.

        Returns:
            Those that are counted now, as `look` does.
        """
        is_plain = trial.number in self._open and trial.number not in self._excluded
        if not is_plain or trial.completes is not None:
            return self.look()
        del self._open[trial.number]
        self.tally.count(trial)
        self._drawn += 1
        return [trial]
