"""A study's trials as a list that is kept, so that asking for them costs little."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Container, Iterable, Sequence

from optuna.trial import FrozenTrial, TrialState


def numbered(trials: Sequence[FrozenTrial], number: int) -> FrozenTrial | None:
    """The trial of this number among trials by number; None if it is not there.

    Some may be lacking: those that count for nothing, and those that others have just begun.
    """
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
        self._trials: list[FrozenTrial] = []
        self._open: dict[int, FrozenTrial] = {}  # those that have not ended, by number

    def __len__(self) -> int:
        return len(self._trials)

    def put(self, trial: FrozenTrial) -> None:
        """Take in a new one, or one that has changed."""
        place = _place(self._trials, trial.number)
        is_known = place < len(self._trials) and self._trials[place].number == trial.number
        self._trials[place : place + is_known] = [trial]
        self._open[trial.number] = trial
        if trial.state.is_finished():
            del self._open[trial.number]

    def remove(self, number: int) -> None:
        """Have one no more, if it is there."""
        if numbered(self._trials, number) is not None:
            del self._trials[_place(self._trials, number)]
            self._open.pop(number, None)

    def of(
        self, states: Container[TrialState] | None, without: Collection[int] = ()
    ) -> list[FrozenTrial]:
        """Those in one of these states, all of them if None; by number, in a list of its own.

        Args:
            states: Those that are asked for.
            without: Numbers of trials that are left out.
        """
        if states is None:
            found = self._trials.copy()
        else:
            has_ended = any(state in states for state in TrialState if state.is_finished())
            among = self._trials if has_ended else [self._open[n] for n in sorted(self._open)]
            found = [trial for trial in among if trial.state in states]
        return [trial for trial in found if trial.number not in without] if without else found

    def numbered(self, numbers: Iterable[int]) -> list[FrozenTrial]:
        """Those of these numbers that there are, by number."""
        found = (numbered(self._trials, number) for number in sorted(numbers))
        return [trial for trial in found if trial is not None]
