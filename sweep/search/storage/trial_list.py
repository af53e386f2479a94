"""A study's trials as a list that is kept, so that asking for them costs little."""

from __future__ import annotations

from collections.abc import Container, Iterable

from optuna.trial import FrozenTrial, TrialState


class TrialList:
    """A study's trials by number, as they were when they were last put here.

    Optuna's own storages go through all trials of a study each time that they are asked for them,
    which is several times a trial.
    """

    def __init__(self) -> None:
        self._trials: list[FrozenTrial] = []
        self._open: dict[int, FrozenTrial] = {}  # those that have not ended, by number, rising

    def __len__(self) -> int:
        return len(self._trials)

    def add(self, trials: Iterable[FrozenTrial]) -> None:
        """Take in new ones: the next by number."""
        for trial in trials:
            self._trials.append(trial)
            if not trial.state.is_finished():
                self._open[trial.number] = trial

    def replace(self, trial: FrozenTrial) -> None:
        """Take in one that has changed, if it was here before."""
        if trial.number < len(self._trials):
            self._trials[trial.number] = trial
            if not trial.state.is_finished():
                self._open[trial.number] = trial
            else:
                self._open.pop(trial.number, None)

    def of(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """Those in one of these states, all of them if None; by number, in a list of its own."""
        if states is None:
            return self._trials.copy()
        has_ended = any(state in states for state in TrialState if state.is_finished())
        among = self._trials if has_ended else self._open.values()
        return [trial for trial in among if trial.state in states]
