"""A study's trials as a list that is kept, so that asking for them costs little."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Sequence

from optuna.trial import FrozenTrial, TrialState


def numbered(trials: Sequence[FrozenTrial], number: int) -> FrozenTrial | None:
    """The trial of this number among trials by number; None if it is not there.

    Some may be lacking: those that count for nothing, and those that others have just begun.
    """
    if number < len(trials) and trials[number].number == number:  # as almost always
        return trials[number]
    place = _place(trials, number)
    found = trials[place] if place < len(trials) else None
    return found if found is not None and found.number == number else None


def _place(trials: Sequence[FrozenTrial], number: int) -> int:
    """Where a trial stands or belongs."""
    if number < len(trials) and trials[number].number == number:
        return number
    return bisect_left(trials, number, key=lambda trial: trial.number)


class TrialList:
    """A study's trials by number, as they were when they were last put here.

    Optuna's own storages go through all trials of a study each time that they are asked for them,
    which is several times a trial.
    """

    def __init__(self) -> None:
        self._shown: list[FrozenTrial] = []
        self._open: dict[int, FrozenTrial] = {}  # of those, the ones that have not ended, by number
        self._excluded: dict[int, FrozenTrial] = {}  # by number
        self._numbers_excluded: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self._shown) + len(self._excluded)

    def put(self, trial: FrozenTrial) -> None:
        """Take in a new one, or one that has changed."""
        if trial.number in self._numbers_excluded:
            self._excluded[trial.number] = trial
            return
        place = _place(self._shown, trial.number)
        is_known = place < len(self._shown) and self._shown[place].number == trial.number
        self._shown[place : place + is_known] = [trial]
        self._open[trial.number] = trial
        if trial.state.is_finished():
            del self._open[trial.number]

    def remove(self, number: int) -> None:
        """Have one no more, if it is there."""
        self._excluded.pop(number, None)
        if numbered(self._shown, number) is not None:
            del self._shown[_place(self._shown, number)]
            self._open.pop(number, None)

    def exclude(self, numbers: frozenset[int]) -> None:
        """Show all trials but those of these numbers, from now on."""
        if numbers == self._numbers_excluded:
            return
        every = [*self._shown, *self._excluded.values()]
        self._shown, self._open, self._excluded = [], {}, {}
        self._numbers_excluded = numbers
        for trial in sorted(every, key=lambda trial: trial.number):
            self.put(trial)

    @property
    def shown(self) -> Sequence[FrozenTrial]:
        """Those that are not excluded, by number: not copied, so it changes as this does.

        A copy is as long as the study, and to make one and to throw it away goes through the memory
        of all trials: at 100,000 it takes longer than all else that a trial needs.
        """
        return self._shown

    @property
    def excluded(self) -> list[FrozenTrial]:
        """The others, by number."""
        return [trial for _, trial in sorted(self._excluded.items())]

    def of(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """Those shown that are in one of these states, all if None; in a list of its own."""
        if states is None:
            return self._shown.copy()
        has_ended = any(state in states for state in TrialState if state.is_finished())
        among = self._shown if has_ended else [self._open[n] for n in sorted(self._open)]
        return [trial for trial in among if trial.state in states]
