"""Ask, hand out, report, prune, tell: the one process that speaks to Optuna."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.errors import TrainingError
from sweep.records import TrialRecord, has_diverged, write_record
from sweep.settings import StudyConfig
from sweep.space import Suggestion
from sweep.storage import abandoned_trials, claim, flush, turn_to_ask
from sweep.training.engine import EpochResult, OptimizerSettings, TrialError, TrialSpec
from sweep.training.seeds import mix
from sweep.workers import Died, Orders, Save, WorkerPool

_WAIT_SECS = 0.2
_TRIES = 2
"""How often a trial is started before a worker's death counts as its failure."""


@dataclass(frozen=True)
class Status:
    """Where a sweep stands.

    Args:
        total: Trials asked for.
        completed: Trials trained to their last epoch, earlier runs included.
        pruned: Trials stopped early by the pruner.
        diverged: Trials whose loss or gradient became infinite or NaN.
        failed: Trials that raised.
        running: Trials in training now.
        best: The best completed trial, or None.
        epochs: Epochs trained in this run.
        elapsed_secs: Since this run's first trial was handed out.
        remaining_secs: Estimate from the trials of this run; None before the first has ended.
    """

    total: int
    completed: int
    pruned: int
    diverged: int
    failed: int
    running: int
    best: FrozenTrial | None
    epochs: int
    elapsed_secs: float
    remaining_secs: float | None

    @property
    def finished(self) -> int:
        """Trials that have ended, in whatever way."""
        return self.completed + self.pruned + self.diverged + self.failed


@dataclass
class _Running:
    """A trial that a worker has.

    `reported` is the last epoch that an interrupted run has reported already: up to there the
    trial has been judged, and Optuna takes no second report.
    """

    trial: optuna.Trial
    spec: TrialSpec
    tries: int = 1
    reported: int = 0
    curve: list[EpochResult] = field(default_factory=list)


class Coordinator:
    """Runs one study's trials on a pool of workers until their total is reached.

    Args:
        study: Where the trials are kept, with its sampler and pruner.
        config: The study's settings.
        owner: Who this coordinator is, for `storage.abandoned_trials`.
        shared: Whether other coordinators may work on the same storage.
        trials: The total, earlier runs included.
        variance: Of the validation target, in the unit of the MSE.
        weights: Makes the order to save the weights of a trial that is the best so far.
        on_finished: Called with each trial that has ended and where the sweep stands.
        on_tick: Called often with where the sweep stands.
        on_note: Called with a sentence that a user should read.
    """

    def __init__(
        self,
        study: optuna.Study,
        config: StudyConfig,
        *,
        owner: str,
        shared: bool,
        trials: int,
        variance: float,
        weights: Callable[[FrozenTrial], Save],
        on_finished: Callable[[FrozenTrial, Status], None],
        on_tick: Callable[[Status], None],
        on_note: Callable[[str], None],
    ) -> None:
        self._study = study
        self._config = config
        self._space = config.search_space
        self._owner = owner
        self._shared = shared
        self._total = trials
        self._variance = variance
        self._weights = weights
        self._on_finished = on_finished
        self._on_tick = on_tick
        self._on_note = on_note
        self._waiting: deque[_Running] = deque()
        self._running: dict[int, dict[int, _Running]] = {}
        self._capacity: dict[int, int] = {}
        self._notes: set[str] = set()
        self._stop = threading.Event()
        self._epochs = 0
        self._ended = 0
        self._started = time.monotonic()

    def stop(self) -> None:
        """Hand out nothing more and come back soon; trials in training stay to be resumed."""
        self._stop.set()

    def has_work(self) -> bool:
        """Whether the study wants any training at all."""
        return self._resume_abandoned() or self._wants_more()

    def run(self, pool: WorkerPool) -> None:
        """Train until the total is reached, the time is up, or `stop` is called.

        Raises:
            TrainingError: Workers die again and again before they train anything.
        """
        self._running = {index: {} for index in range(len(pool))}
        self._started = time.monotonic()
        idle: set[int] = set()
        deaths_in_a_row = 0
        flushed = time.monotonic()
        while not self._stop.is_set():
            for index, message in pool.wait(_WAIT_SECS):
                if self._stop.is_set():  # a signal to the whole group ends the workers too
                    break
                if isinstance(message, Died):
                    idle.discard(index)
                    deaths_in_a_row += 1
                    if deaths_in_a_row > 3 * len(pool):
                        raise TrainingError(f"workers keep dying: {message.reason}")
                    self._bury(index, message)
                    pool.replace(index)
                    continue
                self._capacity[index] = message.lanes
                for note in message.notes:
                    if note not in self._notes:
                        self._notes.add(note)
                        self._on_note(note)
                deaths_in_a_row = 0 if message.results else deaths_in_a_row
                orders = self._handle(index, message.results)
                idle.add(index)
                self._give(pool, index, orders, idle)
            for index in sorted(idle):
                self._give(pool, index, Orders(), idle)
            if time.monotonic() - flushed > _WAIT_SECS:
                flush(self._study)
                flushed = time.monotonic()
            self._on_tick(self.status())
            if len(idle) == len(pool) and not self._resume_abandoned():
                return

    def _give(self, pool: WorkerPool, index: int, orders: Orders, idle: set[int]) -> None:
        """Add new trials to a worker's orders; leave a worker without any in peace."""
        for _ in range(self._room(index)):
            running = self._next()
            if running is None:
                break
            self._running[index][running.trial.number] = running
            orders.add.append(running.spec)
        orders.expect = self._epochs_left() // len(pool)
        if orders.given or self._running[index]:
            idle.discard(index)
            pool.send(index, orders)

    def _room(self, index: int) -> int:
        """How many more trials a worker should have.

        A trial in flight is one that the sampler has not learnt from, so they are no more than a
        quarter of the study; and near its end the workers share what is left evenly.
        """
        workers = len(self._running)
        in_flight = sum(len(lanes) for lanes in self._running.values())
        left = self._total - self._started_trials() + len(self._waiting) + in_flight
        most = max(1, min(self._total // (4 * workers), -(-left // workers)))
        if self._config.lanes is not None:
            most = -(-left // workers)
        return min(self._capacity.get(index, 1), most) - len(self._running[index])

    def _epochs_left(self) -> int:
        """Epochs of single trials that are still to come if none is pruned."""
        in_flight = sum(len(lanes) for lanes in self._running.values())
        left = self._total - self._started_trials() + len(self._waiting) + in_flight
        return max(left, 0) * self._config.epochs

    def _resume_abandoned(self) -> bool:
        """Queue what a killed run of ours left; whether there was any."""
        ours = {n for lanes in self._running.values() for n in lanes}
        ours |= {waiting.trial.number for waiting in self._waiting}
        with turn_to_ask(self._study):
            abandoned = abandoned_trials(self._study, self._owner, self._shared)
            for trial in abandoned:
                claim(trial, self._owner)
        resumed = [self._prepare(trial) for trial in abandoned if trial.number not in ours]
        self._waiting.extend(resumed)
        if resumed:
            numbers = ", ".join(str(running.trial.number) for running in resumed)
            self._on_note(f"resuming trials that were interrupted: {numbers}")
        return bool(resumed)

    def _next(self) -> _Running | None:
        """The next trial to train: an interrupted one, else a new one if the study wants more."""
        if self._waiting:
            return self._waiting.popleft()
        timeout = self._config.timeout
        if timeout is not None and time.monotonic() - self._started > timeout:
            return None
        with turn_to_ask(self._study):
            if not self._wants_more():
                return None
            trial = self._study.ask()
            claim(trial, self._owner)
            return self._prepare(trial)  # drawn before another may ask: it counts what is drawn

    def _wants_more(self) -> bool:
        return self._started_trials() < self._total

    def _started_trials(self) -> int:
        trials = self._study.get_trials(deepcopy=False)
        return sum(trial.state != TrialState.WAITING for trial in trials)

    def _prepare(self, trial: optuna.Trial) -> _Running:
        suggestion = self._space.suggest(trial)
        before = trial.storage.get_trial(trial._trial_id).intermediate_values
        spec = trial_spec(self._config, trial.number, suggestion)
        return _Running(trial, spec, reported=max(before, default=0))

    def _handle(self, index: int, results: list[EpochResult | TrialError]) -> Orders:
        """Report a worker's results, end the trials that are over, and say what to do next."""
        orders = Orders()
        for result in results:
            running = self._running[index].get(result.number)
            if running is None:
                continue
            if isinstance(result, TrialError):
                where = f"epoch {result.epoch}" if result.epoch else "start"
                self._end(index, running, TrialState.FAIL, f"{where}: {result.error}")
                continue
            self._epochs += 1
            running.curve.append(result)
            over = self._judge(running, result)
            if over is None:
                continue
            state, reason = over
            finished = self._end(index, running, state, reason)
            if state == TrialState.COMPLETE and self._is_best(finished):
                orders.save.append(self._weights(finished))
            orders.remove.append(result.number)
        return orders

    def _judge(self, running: _Running, result: EpochResult) -> tuple[TrialState, str] | None:
        """Report an epoch; how the trial ends with it, if it does, and why."""
        diverged = _what_diverged(result)
        if diverged:
            return TrialState.PRUNED, f"diverged at epoch {result.epoch}: {diverged}"
        is_new = result.epoch > running.reported
        if is_new:
            running.trial.report(result.val_mse, result.epoch)
        if result.epoch >= self._config.epochs:
            return TrialState.COMPLETE, ""
        if is_new and running.trial.should_prune():
            name = self._config.pruner.name
            return TrialState.PRUNED, f"pruned at epoch {result.epoch} by {name}"
        return None

    def _end(self, index: int, running: _Running, state: TrialState, reason: str) -> FrozenTrial:
        record = TrialRecord.from_curve(running.spec.seed, running.curve, reason)
        objective = self._config.objective
        write_record(running.trial, record, objective, self._variance)
        complete = state == TrialState.COMPLETE
        value = record.val_mse(objective) if complete else None
        frozen = self._study.tell(running.trial, value, state)
        del self._running[index][running.trial.number]
        self._ended += 1
        self._on_finished(frozen, self.status())
        return frozen

    def _is_best(self, trial: FrozenTrial) -> bool:
        return self._study.best_trial.number == trial.number

    def _bury(self, index: int, died: Died) -> None:
        """Retry a dead worker's trials once; after that they have failed."""
        for running in list(self._running[index].values()):
            number = running.trial.number
            if running.tries >= _TRIES:
                reason = f"its worker was {died.reason}, {running.tries} times"
                self._end(index, running, TrialState.FAIL, reason)
                continue
            self._on_note(f"the worker of trial {number} was {died.reason}; the trial is retried")
            del self._running[index][number]
            reported = max(running.reported, len(running.curve))
            self._waiting.append(_Running(running.trial, running.spec, running.tries + 1, reported))

    def status(self) -> Status:
        """Where the sweep stands."""
        trials = self._study.get_trials(deepcopy=False)
        count = {state: sum(t.state == state for t in trials) for state in TrialState}
        complete = [t for t in trials if t.state == TrialState.COMPLETE]
        diverged = sum(has_diverged(trial) for trial in trials)
        elapsed = time.monotonic() - self._started
        left = self._total - len(trials) + count[TrialState.RUNNING] + count[TrialState.WAITING]
        return Status(
            total=self._total,
            completed=count[TrialState.COMPLETE],
            pruned=count[TrialState.PRUNED] - diverged,
            diverged=diverged,
            failed=count[TrialState.FAIL],
            running=sum(len(lanes) for lanes in self._running.values()),
            best=min(complete, key=lambda t: t.values[0], default=None),
            epochs=self._epochs,
            elapsed_secs=elapsed,
            remaining_secs=elapsed / self._ended * max(left, 0) if self._ended else None,
        )


def _what_diverged(result: EpochResult) -> str:
    named = {
        "validation MSE": result.val_mse,
        "training MSE": result.train_mse,
        "gradient norm": result.grad_norm,
    }
    return ", ".join(f"{name} is {v}" for name, v in named.items() if not math.isfinite(v))


def trial_spec(config: StudyConfig, number: int, suggestion: Suggestion) -> TrialSpec:
    """What an engine is told of a trial: the study's settings and what was suggested."""
    optimizer = config.optimizer
    default_decay = 0.01 if optimizer.name == "adamw" else 0.0  # torch's own defaults
    weight_decay = (suggestion.weight_decay, optimizer.weight_decay, default_decay)
    momentum = (suggestion.momentum, optimizer.momentum)
    settings = OptimizerSettings(
        name=optimizer.name,
        momentum=next(value for value in momentum if value is not None),
        nesterov=optimizer.nesterov,
        weight_decay=next(value for value in weight_decay if value is not None),
        betas=optimizer.betas,
        eps=optimizer.eps,
    )
    seed = config.seed if config.trial_seeds == "shared" else mix(config.seed, 4, number)
    return TrialSpec(number, seed, suggestion.schedule, settings)
