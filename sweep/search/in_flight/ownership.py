"""Which trials in flight are a coordinator's own, where others may be at work on the storage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import optuna
from optuna.trial import FrozenTrial

from sweep.base.wording import duration
from sweep.search.attributes import whole_number
from sweep.search.in_flight.in_training import InTraining
from sweep.search.in_flight.trials import InFlight
from sweep.search.storage.optuna_private import set_trial_attribute, stored
from sweep.search.storage.owners import (
    BEAT_SECS,
    SILENT_SECS,
    SignsOfLife,
    abandoned_trials,
    batches_ends,
    claim,
    end_in_batch,
    give_back,
    in_turn,
    is_claimed,
    let_go,
    others_running,
    others_trials,
    state_now,
)

_LOOK_SECS = 0.5

_COMMITTED = "sweep:committed"
"""Of a trial in training: the epochs that it may cost."""


class Ownership:
    """Takes over what others have left, and lets go of what they have taken over.

    Args:
        study: The study.
        owner: Who this coordinator is, for `storage.abandoned_trials`.
        shared: Whether other coordinators may work on the same storage.
        in_flight: This coordinator's trials.
        on_note: Called with a sentence that a user should read.
    """

    def __init__(
        self,
        study: optuna.Study,
        owner: str,
        shared: bool,
        in_flight: InFlight,
        on_note: Callable[[str], None],
    ) -> None:
        self.shared = shared
        self._study = study
        self._owner = owner
        self._in_flight = in_flight
        self._on_note = on_note
        self._signs = SignsOfLife(study, owner)

    @property
    def others_train(self) -> bool:
        """Whether others have trials in training."""
        return self.shared and bool(others_running(self._study, self._owner))

    def claim(self, trial: optuna.Trial) -> None:
        """Write down that a trial is ours."""
        claim(trial, self._owner)

    def commit(self, trial: optuna.Trial, epochs: int) -> None:
        """Let the others know how many epochs a trial may cost; call it in a turn."""
        if self.shared:
            set_trial_attribute(trial, _COMMITTED, epochs)

    @property
    def committed_elsewhere(self) -> int:
        """Epochs that the trials of others may still cost."""
        if not self.shared:
            return 0
        others = others_trials(self._study, self._owner)
        return sum(whole_number(trial.system_attrs, _COMMITTED) or 0 for trial in others)

    def take_abandoned(self) -> bool:
        """Go on with what a killed run of ours left, or one that is gone; whether there was any."""
        silent: set[str] = set()

        def take() -> list[optuna.Trial]:
            if self.shared:
                self._signs.look()
                silent.update(self._signs.silent())
            abandoned = abandoned_trials(self._study, self._owner, self.shared, silent)
            for trial in abandoned:
                self.claim(trial)
            ours = self._in_flight.numbers
            return [trial for trial in abandoned if trial.number not in ours]

        abandoned = in_turn(self._study, take)
        for trial in abandoned:
            self._in_flight.take_back(trial)
        if abandoned:
            numbers = ", ".join(str(trial.number) for trial in abandoned)
            told = f"resuming trials that were interrupted: {numbers}"
            if silent:
                gone, secs = ", ".join(sorted(silent)), duration(SILENT_SECS)
                told += f"; nothing was heard of {gone} for {secs}"
            self._on_note(told)
        return bool(abandoned)

    def give_back(self, trials: Sequence[InTraining]) -> None:
        """Let trials of ours be trained by whoever asks next."""
        give_back(self._study, [running.trial for running in trials], self._owner)
        self._in_flight.remove(trials)

    def show_life(self, after_secs: float = 0.0) -> None:
        """Give a sign of life, let go of what others have taken, take what others have lost.

        Args:
            after_secs: Only if the last one was longer ago.
        """
        if not self.shared or self._signs.silent_secs < after_secs:
            return
        was_gone = self._signs.silent_secs > SILENT_SECS / 2
        self._signs.beat()
        if was_gone and len(self._in_flight):
            for running in self._in_flight:
                if not state_now(self._study, running.trial, self._owner)[1]:
                    self.lose(running)
        self._signs.look()
        if self._signs.silent():
            self.take_abandoned()

    def show_life_regularly(self) -> None:
        """Give a sign of life if one is due."""
        self.show_life(after_secs=BEAT_SECS)

    def show_life_after_silence(self) -> None:
        """Give a sign of life if this process was stopped, or the storage was away."""
        self.show_life(after_secs=SILENT_SECS / 2)

    def lose(self, running: InTraining) -> None:
        """Another coordinator has taken a trial over, since it heard nothing of this one."""
        self._in_flight.remove([running])
        let_go(self._study, running.trial)
        self._on_note(
            f"trial {running.trial.number} was taken over by another run while this one was silent"
        )

    def end(self, running: InTraining, tell: Callable[[], FrozenTrial]) -> FrozenTrial | None:
        """A trial of ours, told how it has ended; None, and lost, if it is another's by now.

        Where the storage writes ends in batches, that may show only when it `is_settled`.
        """
        if not self.shared:
            return tell()
        if batches_ends(self._study):
            told = end_in_batch(self._study, running.trial, tell)
            if told is None:
                self.lose(running)
            return told

        def end() -> FrozenTrial | None:
            state, is_ours = state_now(self._study, running.trial, self._owner)
            if not is_ours:
                return None
            if state.is_finished():  # an earlier attempt's answer is lost
                let_go(self._study, running.trial)
                return stored(running.trial)
            return tell()

        ended = in_turn(self._study, end)
        if ended is None:
            self.lose(running)
        return ended

    def is_ended(self, running: InTraining) -> bool:
        """Whether a trial of ours that was told how it has ended has done so; else it is lost."""
        if not self.shared:
            return True
        frozen = stored(running.trial)
        is_ours = frozen.state.is_finished() and is_claimed(frozen, self._owner)
        if not is_ours:
            self.lose(running)
        return is_ours

    def await_others(
        self, stop: threading.Event, deadline: float, tick: Callable[[], None]
    ) -> bool:
        """Wait until it is known that the others live; whether there is more to train then.

        Args:
            stop: Ends it.
            deadline: When to wait no longer, as `time.monotonic` has it.
            tick: Called every now and then.
        """
        if not self.shared:
            return False
        self._signs.look()
        told = False
        while not stop.is_set() and time.monotonic() < deadline:
            uncertain = self._signs.uncertain()
            if self._signs.silent() and self.take_abandoned():
                return True
            if not uncertain:
                break
            if not told:
                told = True
                self._on_note(
                    f"trials are in training elsewhere ({', '.join(sorted(uncertain))}); waiting "
                    f"for a sign of life from there: without one for {duration(SILENT_SECS)}, "
                    "they are taken over"
                )
            stop.wait(_LOOK_SECS)
            self._signs.look()
            tick()
        return self._in_flight.waiting > 0 and not stop.is_set()
