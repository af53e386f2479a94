"""How many trials a study has of each kind, here or elsewhere, at a cost that does not grow."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import TrialState

from sweep.search.attributes import completes
from sweep.search.status import Tally
from sweep.search.storage.optuna_private import hidden_trials
from sweep.search.storage.trial_list import numbered
from sweep.search.trials import StudyReader, Trial


class Counts:
    """A tally that is kept: only trials that had not ended are looked at again.

    Args:
        reader: Reads the study.
        trials: Its trials, by number.

    Attributes:
        tally: As of the last look.
    """

    def __init__(self, reader: StudyReader, trials: Sequence[Trial]) -> None:
        self._reader = reader
        self._begin(trials)

    def _begin(self, trials: Sequence[Trial]) -> None:
        self.tally = Tally.of(trials, self._reader.config.measure)
        self._open = [trial.number for trial in trials if trial.ending is None]
        self._next = trials[-1].number + 1 if trials else 0
        ended = [trial for trial in trials if trial.ending is not None]
        self._drawn = sum(trial.completes is None for trial in ended)
        self._hidden = self._hidden_now()

    def _hidden_now(self) -> list[int]:
        return [trial.number for trial in hidden_trials(self._reader.study)]

    def take_in(self, ended: Sequence[Trial]) -> None:
        """Count trials that have ended."""
        if any(trial.completes is not None for trial in ended):  # it takes a pruned one's place
            self.tally = Tally.of(self._reader.trials, self._reader.config.measure)
        else:
            for trial in ended:
                self.tally.count(trial)

    def look(self) -> list[Trial]:
        """Count what has ended or begun since the last look, here or elsewhere.

        Returns:
            The trials that have ended since then; all of them, where earlier ones have come to
            count for nothing, or to count again.
        """
        trials = self._reader.study.get_trials(deepcopy=False)
        last = trials[-1].number + 1 if trials else 0
        numbers = [*self._open, *range(self._next, last)]
        ended, self._open, self._next = list[Trial](), [], last
        begun = to_complete = 0
        for number in numbers:
            trial = numbered(trials, number)
            if trial is None:
                continue
            if trial.state.is_finished():
                ended.append(self._reader.trial(trial))
                continue
            self._open.append(number)
            is_drawn, waits = completes(trial) is None, trial.state == TrialState.WAITING
            begun += is_drawn and not waits
            to_complete += waits and not is_drawn
        if self._hidden != self._hidden_now():
            every = self._reader.trials
            self._begin(every)
            return every
        self._drawn += sum(trial.completes is None for trial in ended)
        self.take_in(ended)
        self.tally.started, self.tally.to_complete = self._drawn + begun, to_complete
        return ended
