"""Ask, hand out, report, prune, tell: the one process that speaks to Optuna."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from sweep.base.wording import counted
from sweep.search.failures import Failures
from sweep.search.in_flight.allowance import Allowance
from sweep.search.in_flight.auditions import FEWEST_AUDITIONS, Auditions
from sweep.search.in_flight.counts import Counts
from sweep.search.in_flight.ends_to_show import EndsToShow
from sweep.search.in_flight.in_training import InTraining
from sweep.search.in_flight.new_trials import NewTrials
from sweep.search.in_flight.ownership import Ownership
from sweep.search.in_flight.trials import InFlight
from sweep.search.status import Lane, Status, secs_for_epochs, secs_for_trials
from sweep.search.storage.opening import flush
from sweep.search.strategies.pruners import possible_ends
from sweep.search.strategies.without_auditions import FEWEST_STEPS, go_on_without_auditions, too_few
from sweep.search.trials import StudyReader, Trial
from sweep.training.contract import EpochResult, TrialEnd, TrialSpec
from sweep.training.workers.dispatcher import Dispatcher, Verdict
from sweep.training.workers.messages import IN_TRAINING_SHARE, Save
from sweep.training.workers.pool import Pool
from sweep.training.workers.time_limit import TimeLimit

_TICK_SECS = 0.2

_IGNORES_HORIZON = (
    "the training code spreads its schedule over a whole trial's steps even where it is told fewer "
    "epochs, so no trial gets an audition: let it train as many as it is told, and tell attach so"
)


class Coordinator:
    """The source of a study's trials until their total is reached.

    Args:
        reader: Reads the study, which has its sampler and pruner.
        owner: Who this coordinator is, for `storage.abandoned_trials`.
        shared: Whether other coordinators may work on the same storage.
        trials: The total, earlier runs included; with a budget, about how many come of it.
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
        stop: Set from anywhere to come back soon; trials in training stay to be resumed.
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
        self._total = trials
        most = trials
        if config.budget is not None and config.sampling.name != "grid":
            most = int(config.budget * config.epochs)  # or those that raise at once never end
        self._variance = variance
        self._weights = weights
        self._on_finished = on_finished
        self._on_tick = on_tick
        self._on_note = on_note
        self._decisions = possible_ends(config.pruning, config.epochs)
        self._counts = Counts(reader)
        earlier = reader.trials
        self._auditions = Auditions(config.audition_epochs, min(FEWEST_AUDITIONS, trials), earlier)
        self._in_flight = InFlight(config, self._auditions)
        self._ownership = Ownership(study, owner, shared, self._in_flight, on_note)
        self._allowance = Allowance(reader, earlier, self._in_flight, self._ownership)
        self._ends_to_show = EndsToShow(reader, self._ownership, self._counts)
        self._new_trials = NewTrials(
            reader,
            self._in_flight,
            self._auditions,
            self._ownership,
            self._counts,
            self._allowance,
            total=trials,
            most=most,
            draws=draws,
        )
        self._failures = Failures(len(config.space.scheduler))
        self._deadline = deadline
        self._limit = limit
        self._stop = stop
        self._lanes: tuple[Lane, ...] = ()
        self._epochs = self._ended = 0
        self._started = self._ticked = time.monotonic()

    def has_work(self) -> bool:
        """Whether the study wants any training at all."""
        wanted = self._ownership.take_abandoned() or self._new_trials.wants_more()
        return wanted or self._ownership.others_train

    def run(self, pool: Pool) -> None:
        """Train until the total is reached, the time is up, or `stop` is set.

        Raises:
            TrainingError: Workers die again and again before they train anything, or all trials
                fail in the same way.
        """
        self._started = self._ticked = time.monotonic()
        self._ownership.show_life()
        try:
            Dispatcher(pool, self, self._stop, self._on_note, self._limit).run()
            while not self._limit.is_over and self._ownership.await_others(
                self._stop, self._deadline, self.tick
            ):
                Dispatcher(pool, self, self._stop, self._on_note, self._limit).run()
            if not self._stop.is_set():
                self._give_back()
        except BaseException as problem:
            try:
                self._settle()
            except Exception as second:  # often of the same cause
                problem.add_note(f"what had ended could not be written either: {second}")
            raise
        self.tick(at_once=True)

    def _give_back(self) -> None:
        """Let what there was no time for be trained by whoever asks next."""
        left = [*self._in_flight]
        if left:
            self._ownership.give_back(left)
            self._on_note(
                f"the time is up: {counted(len(left), 'trial')} had not ended; the same "
                "command trains what is left"
            )

    def next(self, wanted: int = 1) -> TrialSpec | None:
        """The next trial to train: an interrupted one, else a new one if the study wants more."""
        in_flight = self._in_flight
        if not in_flight.waiting:
            self._ask(wanted)
        if not in_flight.waiting and not in_flight.training and self._ownership.shared:
            self._ownership.take_abandoned()
        if not in_flight.waiting and not in_flight.any_in_audition:
            self._decide(at_once=True)
        running = in_flight.begin()
        if running is None:
            return None
        if self._allowance.uncommitted < 0:  # it was begun under a larger budget
            self._ownership.give_back([running])
            return None
        return running.spec

    def prepare(self, wanted: int) -> bool:
        """Ask for trials that workers will soon want, so that they need not wait for them."""
        lacking = wanted - self._in_flight.waiting
        return (
            lacking > 0
            and 2 * lacking >= min(wanted, 2 * self._new_trials.at_once)
            and self._ask(lacking)
        )

    def most_lanes(self, workers: int) -> int:
        """How many trials a worker should have at most.

        They are no more than a share of the study; and near its end the workers share what is left
        evenly.
        """
        left = max(1, -(-self._new_trials.left // workers))
        if self._config.lanes is not None:
            return left
        return max(1, min(int(self._total * IN_TRAINING_SHARE) // workers, left))

    def epochs_left(self) -> int:
        """Epochs of single trials that are still to come if none is pruned."""
        left = max(self._allowance.left, 0)
        return int(min(self._new_trials.left * self._config.epochs, left))

    def epochs_to_decision(self, number: int, epoch: int) -> int:
        """After how many more epochs a trial may end."""
        running = self._in_flight.training.get(number)
        if running and running.spec.epochs:
            return running.spec.epochs - epoch
        if self._decisions is None:
            return 1
        return next(decision for decision in self._decisions if decision > epoch) - epoch

    def hear(self, result: EpochResult) -> Verdict:
        """Report a trial's epoch, and end the trial if it is over."""
        self._ownership.show_life_after_silence()
        running = self._in_flight.training.get(result.number)
        if running is None:  # another has taken it over
            return Verdict(over=True)
        self._epochs += 1
        self._failures.trained(result.epoch)
        try:
            over = running.judge(result, self._config, self._decisions)
        except UpdateFinishedTrialError:
            self._ownership.lose(running)
            return Verdict(over=True)
        if running.ignores_horizon(self.epochs):
            self._do_without_auditions(_IGNORES_HORIZON)
        if over is None:
            return Verdict(over=self._has_auditioned(running))
        state, reason = over
        finished = self._end(running, state, reason)
        best = self._counts.tally.best
        is_best = finished is not None and best is not None and best.number == finished.number
        save = self._weights(finished) if finished and self._weights and is_best else None
        return Verdict(over=True, save=save)

    def end(self, end: TrialEnd) -> None:
        """End a trial that has stopped of itself."""
        running = self._in_flight.training.get(end.number)
        if running:
            try:
                over = running.ended_early(end, self._config)
            except UpdateFinishedTrialError:
                self._ownership.lose(running)
                return
            if over is None:
                self._has_auditioned(running)
            else:
                self._end(running, *over)

    def _has_auditioned(self, running: InTraining) -> bool:
        """Whether a trial's audition is over; it then waits until it is decided on."""
        if running.is_audition and running.ignores_horizon(self.epochs):
            self._do_without_auditions(_IGNORES_HORIZON)
            running.skip_audition()
            self._in_flight.wait(running)
        elif running.awaits_decision:
            self._allowance.count_audition(running)
            self._in_flight.wait_for_decision(running)
            if running.audition_steps and running.audition_steps < FEWEST_STEPS:
                self._do_without_auditions(too_few(running.audition_steps))
        else:
            return False
        self._decide(at_once=not self._auditions.epochs)
        return True

    def _decide(self, at_once: bool = False) -> None:
        """Let the trials go on that have passed their audition, and end the others."""
        due = self._auditions.due(at_once)  # the best first: there may not be enough for all
        for running in sorted(due, key=lambda each: each.audition_rank(self._metric)):
            over = running.decide()
            try:
                if over is None and not self._allowance.go_on(running):
                    over = TrialState.PRUNED, "the budget is spent"
            except UpdateFinishedTrialError:
                self._ownership.lose(running)
                continue
            if over is not None:
                self._end(running, *over)

    def _do_without_auditions(self, reason: str) -> None:
        """Compare trials by the epochs that they have trained."""
        if self._auditions.epochs:
            self._auditions.epochs = 0
            self._in_flight.skip_auditions()
            self._config = go_on_without_auditions(self._study, self._config)
            self._decisions = possible_ends(self._config.pruning, self.epochs)
            self._on_note(reason)

    def fail(self, number: int, reason: str, traceback: str = "") -> None:
        """End a trial that raised, or whose workers died.

        Raises:
            TrainingError: All trials fail like this one.
        """
        running = self._in_flight.training.get(number)
        reason = running.failure(reason) if running else reason
        if running is None or self._end(running, TrialState.FAIL, reason, traceback) is None:
            return
        scheduler = running.spec.schedule.scheduler
        epochs, completed = len(running.curve), self._counts.tally.endings.completed
        first = self._failures.count(reason, scheduler, epochs, completed)
        if first and traceback:
            self._on_note(f"trial {number} raised:\n{traceback.rstrip()}")

    def restart(self, number: int) -> None:
        """Begin a trial's course again."""
        running = self._in_flight.training.get(number)
        if running:
            running.restart()

    def tick(self, at_once: bool = False) -> None:
        """Now and then, write down what waits in memory and say where the sweep stands."""
        now = time.monotonic()
        if not at_once and now - self._ticked < _TICK_SECS:
            return
        self._ticked = now
        self._settle()
        if self._ownership.shared:
            self._ownership.show_life_regularly()
        self._allowance.count(self._counts.look())  # what has ended or begun elsewhere
        self._lanes = self._in_flight.lanes  # here alone: there may be very many
        self._on_tick(self.status())

    def _ask(self, count: int) -> bool:
        """Ask for so many new trials, if the study wants them; whether there were any."""
        if time.monotonic() > self._deadline or not self._limit.allows(self.epochs):
            return False
        has_asked = self._new_trials.ask(count)
        self._show()
        return has_asked

    def _end(
        self, running: InTraining, state: TrialState, reason: str, traceback: str = ""
    ) -> Trial | None:
        """End a trial; None if it is another's by now."""

        def tell() -> FrozenTrial:
            settings = (self._study, self._config, self._variance)
            return running.tell(*settings, state, reason, traceback)

        told = self._ownership.end(running, tell)
        if told is None:
            return None
        ended = self._reader.trial(told)
        self._in_flight.remove([running])
        self._ended += 1
        self._allowance.count(self._counts.end(ended))
        self._ends_to_show.add(running)
        if self._allowance.is_limited:
            self._decide()  # another one may fit now
        self._show()
        return ended

    def _settle(self) -> None:
        """Write down what waits in memory, and show what has ended with it."""
        flush(self._study)
        self._show()

    def _show(self) -> None:
        """Show the trials that have ended, as far as the storage knows it."""
        for ended in self._ends_to_show.settled():
            self._on_finished(ended, self.status())

    def status(self) -> Status:
        """Where the sweep stands."""
        elapsed = time.monotonic() - self._started
        running = len(self._in_flight.training)
        if self._allowance.is_limited:
            left = max(self._allowance.left, 0.0)
            expected = secs_for_epochs(elapsed, self._epochs, left)
        else:
            expected = secs_for_trials(elapsed, self._ended, running, self._new_trials.left)
        return Status(
            total=self._total,
            endings=self._counts.tally.endings,
            running=running,
            best=self._counts.tally.best,
            epochs=self._epochs,
            elapsed_secs=elapsed,
            remaining_secs=self._limit.cut(expected, self._deadline),
            lanes=self._lanes,
            course=self._counts.tally.course,
            families=dict(self._counts.tally.families),
            spent=self._allowance.spent,
        )
