"""Ask, hand out, report, prune, tell: the one process that speaks to Optuna."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from sweep.base.wording import counted, duration
from sweep.search.attributes import completes
from sweep.search.auditions import ENOUGH, Auditions
from sweep.search.completion import next_enqueued
from sweep.search.failures import Failures
from sweep.search.in_training import InTraining
from sweep.search.status import Status, Tally
from sweep.search.storage.opening import flush
from sweep.search.storage.optuna_private import stored
from sweep.search.storage.owners import (
    BEAT_SECS,
    SILENT_SECS,
    SignsOfLife,
    abandoned_trials,
    claim,
    give_back,
    in_turn,
    is_claimed,
    others_running,
)
from sweep.search.strategies.pruners import build_pruner, decision_epochs
from sweep.search.trials import StudyReader, Trial
from sweep.study.sections import PrunerConfig
from sweep.training.contract import EpochResult, TrialEnd, TrialSpec
from sweep.training.workers.dispatcher import Dispatcher, Verdict
from sweep.training.workers.messages import Save
from sweep.training.workers.pool import WorkerPool
from sweep.training.workers.time_limit import TimeLimit

_TICK_SECS = 0.2
_LOOK_SECS = 0.5


class Coordinator:
    """The source of a study's trials until their total is reached.

    Args:
        reader: Reads the study, which has its sampler and pruner.
        owner: Who this coordinator is, for `storage.abandoned_trials`.
        shared: Whether other coordinators may work on the same storage.
        trials: The total, earlier runs included.
        variance: Of the validation target, in the unit of the MSE; 0 where there is none.
        weights: Makes the order to save the weights of a trial that is the best so far; None if
            there is none to give.
        on_finished: Called with each trial that has ended and where the sweep stands.
        on_tick: Called often with where the sweep stands.
        on_note: Called with a sentence that a user should read.
        deadline: When to draw nothing more, as `time.monotonic` has it.
        draws: Whether trials are drawn at all; else only those that complete a pruned one, and
            those that were interrupted, are trained.
        limit: When to be over; trials in training then wait to be trained again.
        stop: Set from anywhere to hand out nothing more and come back soon; trials in training
            stay to be resumed.
    """

    kind = "trial"

    def __init__(
        self,
        reader: StudyReader,
        *,
        owner: str,
        shared: bool,
        trials: int,
        variance: float,
        weights: Callable[[Trial], Save] | None,
        on_finished: Callable[[Trial, Status], None],
        on_tick: Callable[[Status], None],
        on_note: Callable[[str], None],
        deadline: float,
        limit: TimeLimit,
        stop: threading.Event,
        draws: bool = True,
    ) -> None:
        config = reader.config
        self.epochs = config.epochs
        self._reader = reader
        self._study = study = reader.study
        self._config = config
        self._metric = config.measure
        self._owner = owner
        self._shared = shared
        self._total = trials
        self._draws = draws
        self._variance = variance
        self._weights = weights
        self._on_finished = on_finished
        self._on_tick = on_tick
        self._on_note = on_note
        self._decisions = _decisions(config.pruning, config.epochs)
        self._waiting: deque[InTraining] = deque()
        self._running: dict[int, InTraining] = {}
        earlier = reader.trials
        self._auditions = Auditions(config.audition_epochs, min(ENOUGH, trials), earlier)
        self._tally = Tally.of(earlier, self._metric)
        self._failures = Failures(len(config.space.scheduler))
        self._deadline = deadline
        self._limit = limit
        self._stop = stop
        self._signs = SignsOfLife(study, owner)
        self._workers = 1
        self._epochs = 0
        self._ended = 0
        self._started = self._ticked = time.monotonic()

    def has_work(self) -> bool:
        """Whether the study wants any training at all."""
        wanted = self._resume_abandoned() or self._wants_more()
        return wanted or (self._shared and bool(others_running(self._study, self._owner)))

    def run(self, pool: WorkerPool) -> None:
        """Train until the total is reached, the time is up, or `stop` is set.

        Raises:
            TrainingError: Workers die again and again before they train anything, or all trials
                fail in the same way.
        """
        self._workers = len(pool)
        self._started = self._ticked = time.monotonic()
        self._show_life()
        Dispatcher(pool, self, self._stop, self._on_note, self._limit).run()
        while self._shared and not self._limit.is_over and self._await_others():
            Dispatcher(pool, self, self._stop, self._on_note, self._limit).run()
        if not self._stop.is_set():
            self._give_back()
        self.tick(at_once=True)

    def _give_back(self) -> None:
        """Let what there was no time for be trained by whoever asks next."""
        in_flight = [*self._running.values(), *self._waiting, *self._auditions.waiting]
        if in_flight:
            give_back(self._study, [running.trial for running in in_flight], self._owner)
            self._on_note(
                f"the time is up: {counted(len(in_flight), 'trial')} had not ended; the same "
                "command trains what is left"
            )
        self._running.clear()
        self._waiting.clear()
        self._auditions.drop()

    def next(self) -> TrialSpec | None:
        """The next trial to train: an interrupted one, else a new one if the study wants more."""
        self._ask()
        if not self._waiting and not self._running and self._shared:
            self._resume_abandoned()
        if not self._waiting and not any(each.is_audition for each in self._running.values()):
            self._decide(at_once=True)
        if not self._waiting:
            return None
        running = self._waiting.popleft()
        self._running[running.trial.number] = running
        return running.spec

    def prepare(self) -> bool:
        """Ask for a trial that a worker will soon want, so that it need not wait for it."""
        return len(self._waiting) < self._workers and self._ask(ahead=True)

    def most_lanes(self, workers: int) -> int:
        """How many trials a worker should have at most.

        A trial in flight is one that the sampler has not learnt from, so they are no more than a
        quarter of the study; and near its end the workers share what is left evenly.
        """
        left = max(1, -(-self._trials_left() // workers))
        if self._config.lanes is not None:
            return left
        return max(1, min(self._total // (4 * workers), left))

    def epochs_left(self) -> int:
        """Epochs of single trials that are still to come if none is pruned."""
        return self._trials_left() * self._config.epochs

    def epochs_to_decision(self, number: int, epoch: int) -> int:
        """After how many more epochs a trial may end."""
        running = self._running.get(number)
        if running and running.spec.epochs:
            return running.spec.epochs - epoch
        if self._decisions is None:
            return 1
        return next(decision for decision in self._decisions if decision > epoch) - epoch

    def hear(self, result: EpochResult) -> Verdict:
        """Report a trial's epoch, and end the trial if it is over."""
        if self._shared and self._signs.silent_secs > SILENT_SECS / 2:
            self._show_life()  # this process was stopped, or the storage was away
        running = self._running.get(result.number)
        if running is None:  # another has taken it over
            return Verdict(over=True)
        self._epochs += 1
        self._failures.trained(result.epoch)
        try:
            over = running.judge(result, self._config, self._decisions)
        except UpdateFinishedTrialError:
            self._lose(running)
            return Verdict(over=True)
        if over is None:
            return Verdict(over=self._has_auditioned(running))
        state, reason = over
        finished = self._end(running, state, reason)
        best = self._tally.best
        is_best = finished is not None and best is not None and best.number == finished.number
        save = self._weights(finished) if finished and self._weights and is_best else None
        return Verdict(over=True, save=save)

    def end(self, end: TrialEnd) -> None:
        """End a trial that has stopped of itself."""
        running = self._running.get(end.number)
        if running:
            over = running.ended_early(end, self._config)
            if over is None:
                self._has_auditioned(running)
            else:
                self._end(running, *over)

    def _has_auditioned(self, running: InTraining) -> bool:
        """Whether a trial's audition is over; it then waits until it is decided on."""
        if running.ignores_horizon(self._config.epochs):
            self._do_without_auditions()
            running.skip_audition()
            self._waiting.append(running)
        elif running.awaits_decision:
            self._auditions.take(running)
        else:
            return False
        del self._running[running.trial.number]
        self._decide()
        return True

    def _decide(self, at_once: bool = False) -> None:
        """Let the trials go on that have passed their audition, and end the others."""
        for running in self._auditions.due(at_once):
            over = running.decide()
            if over is None:
                self._waiting.append(running)
            else:
                self._running[running.trial.number] = running
                self._end(running, *over)

    def _do_without_auditions(self) -> None:
        """Compare trials by the epochs that they have trained."""
        if self._auditions.epochs:
            self._auditions.epochs = 0
            halving = PrunerConfig(name="halving", signal=self._config.pruner.signal)
            self._study.pruner = build_pruner(halving, self._config.epochs)
            self._decisions = _decisions(halving, self._config.epochs)
            self._on_note(
                "the training code takes the steps of a whole trial for its schedule where it is "
                "told fewer epochs: no trial gets an audition; let it train `epochs` epochs, and "
                "tell attach no others"
            )

    def fail(self, number: int, reason: str, traceback: str = "") -> None:
        """End a trial that raised, or whose workers died.

        Raises:
            TrainingError: All trials fail like this one.
        """
        running = self._running.get(number)
        if running is None or self._end(running, TrialState.FAIL, reason, traceback) is None:
            return
        scheduler = running.spec.schedule.scheduler
        epochs, completed = len(running.curve), self._tally.endings.completed
        first = self._failures.count(reason, scheduler, epochs, completed)
        if first and traceback:
            self._on_note(f"trial {number} raised:\n{traceback.rstrip()}")

    def restart(self, number: int) -> None:
        """Begin a trial's course again."""
        running = self._running.get(number)
        if running:
            running.restart()

    def tick(self, at_once: bool = False) -> None:
        """Now and then, write down what waits in memory and say where the sweep stands."""
        now = time.monotonic()
        if not at_once and now - self._ticked < _TICK_SECS:
            return
        self._ticked = now
        flush(self._study)
        if self._shared:
            if self._signs.silent_secs > BEAT_SECS:
                self._show_life()
            self._tally = Tally.of(self._reader.trials, self._metric)
        self._on_tick(self.status())

    def _trials_left(self) -> int:
        """Trials that have not ended, and those that have not been asked for."""
        in_flight = len(self._running) + len(self._waiting) + len(self._auditions.waiting)
        to_draw = max(self._total - self._tally.started, 0) if self._draws else 0
        return to_draw + self._tally.to_complete + in_flight

    def _ask(self, ahead: bool = False) -> bool:
        """Ask for a new trial if the study wants one and none waits; whether it was asked for."""
        late = time.monotonic() > self._deadline or not self._limit.allows(self.epochs)
        if late or (self._waiting and not ahead):
            return False

        def ask() -> InTraining | None:
            if not self._wants_more():
                return None
            lacks = self._tally.to_complete > 0  # one that completes a pruned one goes first
            trial = next_enqueued(self._study) if lacks else self._study.ask()
            claim(trial, self._owner)
            # drawn before another may ask: it counts what is drawn
            return InTraining.of(trial, self._config, self._auditions.epochs)

        running = in_turn(self._study, ask)
        if running is not None:
            is_drawn = completes(running.trial) is None
            self._tally.started += is_drawn
            self._tally.to_complete -= not is_drawn
            self._waiting.append(running)
        return running is not None

    def _wants_more(self) -> bool:
        if self._shared:  # others ask too
            self._tally = Tally.of(self._reader.trials, self._metric)
        to_draw = self._draws and self._tally.started < self._total
        return to_draw or self._tally.to_complete > 0

    def _resume_abandoned(self) -> bool:
        """Queue what a killed run of ours left, or one that is gone; whether there was any."""
        queued = (*self._waiting, *self._auditions.waiting)
        ours = {*self._running, *(waiting.trial.number for waiting in queued)}
        silent: set[str] = set()

        def take() -> list[optuna.Trial]:
            if self._shared:
                self._signs.look()
                silent.update(self._signs.silent())
            abandoned = abandoned_trials(self._study, self._owner, self._shared, silent)
            for trial in abandoned:
                claim(trial, self._owner)
            return [trial for trial in abandoned if trial.number not in ours]

        resumed = [
            InTraining.of(trial, self._config, self._auditions.epochs)
            for trial in in_turn(self._study, take)
        ]
        for running in resumed:
            if running.awaits_decision:
                self._auditions.take_back(running)
            else:
                self._waiting.append(running)
        if resumed:
            numbers = ", ".join(str(running.trial.number) for running in resumed)
            told = f"resuming trials that were interrupted: {numbers}"
            if silent:
                gone, secs = ", ".join(sorted(silent)), duration(SILENT_SECS)
                told += f"; nothing was heard of {gone} for {secs}"
            self._on_note(told)
        return bool(resumed)

    def _show_life(self) -> None:
        """Give a sign of life, let go of what others have taken, take what others have lost."""
        if not self._shared:
            return
        was_gone = self._signs.silent_secs > SILENT_SECS / 2
        self._signs.beat()
        if was_gone and self._running:
            trials = self._study.get_trials(deepcopy=False)
            for number, running in list(self._running.items()):
                if not is_claimed(trials[number], self._owner):
                    self._lose(running)
        self._signs.look()
        if self._signs.silent():
            self._resume_abandoned()

    def _lose(self, running: InTraining) -> None:
        """Another coordinator has taken a trial over, since it heard nothing of this one."""
        number = running.trial.number
        del self._running[number]
        self._on_note(f"trial {number} was taken over by another run while this one was silent")

    def _await_others(self) -> bool:
        """Wait until it is known that the others live; whether there is more to train then."""
        self._signs.look()
        told = False
        while not self._stop.is_set() and time.monotonic() < self._deadline:
            uncertain = self._signs.uncertain()
            if self._signs.silent() and self._resume_abandoned():
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
            self._stop.wait(_LOOK_SECS)
            self._signs.look()
            self.tick()
        return bool(self._waiting)

    def _end(
        self, running: InTraining, state: TrialState, reason: str, traceback: str = ""
    ) -> Trial | None:
        """End a trial; None if it is another's by now."""

        def end() -> Trial | None:
            trial = running.trial
            if self._shared:
                now = stored(trial)
                if not is_claimed(now, self._owner):
                    return None
                if now.state.is_finished():  # the answer to an earlier attempt was lost
                    return self._reader.trial(now)
            settings = (self._study, self._config, self._variance)
            return self._reader.trial(running.tell(*settings, state, reason, traceback))

        ended = in_turn(self._study, end) if self._shared else end()
        if ended is None:
            self._lose(running)
            return None
        del self._running[running.trial.number]
        self._ended += 1
        if ended.completes is None:
            self._tally.count(ended)
        else:  # it takes a pruned one's place
            self._tally = Tally.of(self._reader.trials, self._metric)
        self._on_finished(ended, self.status())
        return ended

    def status(self) -> Status:
        """Where the sweep stands."""
        elapsed = time.monotonic() - self._started
        expected = elapsed / self._ended * self._trials_left() if self._ended else None
        return Status(
            total=self._total,
            endings=self._tally.endings,
            running=len(self._running),
            best=self._tally.best,
            epochs=self._epochs,
            elapsed_secs=elapsed,
            remaining_secs=self._limit.cut(expected, self._deadline),
            lanes=tuple(running.lane for _, running in sorted(self._running.items())),
            course=self._tally.course,
            families=dict(self._tally.families),
        )


def _decisions(pruner: PrunerConfig, epochs: int) -> list[int] | None:
    """The epochs after which a trial may end, its last one included; None if it may be any."""
    decisions = decision_epochs(pruner, epochs)
    return None if decisions is None else sorted({*decisions, epochs})
