"""A study's trials as a list that is kept, so that asking for them costs little."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container

from optuna.trial import FrozenTrial, TrialState


class TrialList:
    """A study's trials by number, as they were when they were last put here.

    Optuna's own storages go through all trials of a study each time that they are asked for them,
    which is several times a trial.
    """

    def __init__(self) -> None:
        self._trials: list[FrozenTrial] = []
        self._open: dict[int, FrozenTrial] = {}  # those that have not ended, by number

    def __len__(self) -> int:
        return len(self._trials)

    def put(self, trial: FrozenTrial) -> None:
        """Take in a new one, or one that has changed."""
        place = self._place(trial.number)
        is_known = place < len(self._trials) and self._trials[place].number == trial.number
        self._trials[place : place + is_known] = [trial]
        self._open[trial.number] = trial
        if trial.state.is_finished():
            del self._open[trial.number]

    def _place(self, number: int) -> int:
        """Where a trial stands or belongs; some may be lacking that others have begun."""
        at_its_number = self._trials[number : number + 1]
        if at_its_number and at_its_number[0].number == number:
            return number
        return bisect_left(self._trials, number, key=lambda trial: trial.number)

    def of(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """Those in one of these states, all of them if None; by number, in a list of its own."""
        if states is None:
            return self._trials.copy()
        has_ended = any(state in states for state in TrialState if state.is_finished())
        among = self._trials if has_ended else [self._open[n] for n in sorted(self._open)]
        return [trial for trial in among if trial.state in states]
