"""The user's own training loop: a generator that yields its metric once an epoch."""

from __future__ import annotations

import gc
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from sweep.base.errors import TrainingError
from sweep.base.files import write_whole
from sweep.base.wording import counted
from sweep.training.contract import (
    EpochResult,
    LoopSettings,
    TrialEnd,
    TrialError,
    TrialNews,
    TrialSpec,
)
from sweep.training.own_loop.advice import remarks, warnings
from sweep.training.own_loop.checkpoints import Checkpoint, Checkpoints, plain_data
from sweep.training.own_loop.course import Course, LoopSchedule
from sweep.training.own_loop.loading import Loop, Returned
from sweep.training.own_loop.trial import STATE, OwnTrial
from sweep.training.own_loop.yielded import Yielded

_DIVERGED = (FloatingPointError, OverflowError)
"""What a loop raises where a number is not finite, or too large: `math.exp(loss)`."""
_PRUNED = "TrialPruned"
"""The name of Optuna's exception for a trial that is to end; this package does without Optuna."""


@dataclass
class _Run:
    """A trial whose loop is suspended where it yielded its last epoch.

    `settings` are those of its horizon. `results` are of all its epochs; the first `kept` were
    trained before it was interrupted, and some of them are still `untold`.
    """

    spec: TrialSpec
    settings: LoopSettings
    course: Course
    generator: Iterator[Any]
    trial: OwnTrial | None
    results: list[EpochResult]
    untold: list[EpochResult]
    kept: int = 0
    state: Any = None
    has_completed: bool = False

    @property
    def epoch(self) -> int:
        """The last one that it has trained."""
        return len(self.results)


class LoopEngine:
    """Trains its trials one after the other, each by a generator of the user's own.

    Args:
        loop: What makes the generators.
        settings: What all trials share.
    """

    lanes = 1
    description = "a training loop of your own, one trial after the other in each worker"

    def __init__(self, loop: Loop, settings: LoopSettings) -> None:
        self._loop = loop
        self._settings = settings
        self._checkpoints = Checkpoints(settings.checkpoints) if settings.checkpoints else None
        self._runs: dict[int, _Run] = {}
        self.notes: list[str] = []
        self._noted: set[str] = set()
        self._frozen = False

    def add(self, spec: TrialSpec) -> None:
        """Take a trial in; it starts with the next epoch, or goes on where it was interrupted.

        The epochs that it had are told again with its next one.
        """
        kept = None
        if self._checkpoints and self._loop.takes_state:
            try:
                kept = self._checkpoints.load(spec)
            except TrainingError as problem:
                self.notes.append(f"trial {spec.number} is trained from its start: {problem}")
        results = kept.results if kept else []
        settings = self._settings.over(spec.epochs)
        course = Course(settings.epochs, settings.horizon, settings.metric, len(results))
        schedule = LoopSchedule.of(spec.schedule, course)
        if results:
            course.report(results[-1].value)
            self.notes.append(f"trial {spec.number} goes on after its epoch {len(results)}")
        state, trial = (kept.state if kept else None), self._trial(spec, settings)
        generator = self._loop.start(schedule, spec, settings, state, trial)
        self._runs[spec.number] = _Run(
            spec, settings, course, generator, trial, results, list(results), len(results)
        )

    def _trial(self, spec: TrialSpec, settings: LoopSettings) -> OwnTrial | None:
        """What a loop may be told of its trial; None where nothing of it is to be written."""
        if settings.folders is None:
            return None
        place = settings.folders / (spec.name or str(spec.number))
        return OwnTrial(spec.number, spec.seed, settings.epochs, place, spec.params)

    def expect(self, epochs: int) -> None:
        """Nothing needs preparation here."""

    def remove(self, number: int) -> None:
        """Let a trial go, finished or not: its generator is closed, so that its `finally` runs.

        What it wrote into its folder stays only if it has trained to its end.
        """
        run = self._runs.pop(number, None)
        if run is None:
            return
        if self._checkpoints:
            self._checkpoints.drop(run.spec)
        try:
            self._close(run)
        except Exception as error:
            self.notes.append(f"trial {number} raised when it was closed: {self._told(error)}")
        if not run.has_completed:
            _remove_folder(run)
        del run
        gc.collect()  # models and optimizers refer to each other in circles
        if not self._frozen and not self._runs:
            gc.freeze()  # what the first trial has imported is not gone through after each
            self._frozen = True

    def _close(self, run: _Run) -> None:
        close = getattr(run.generator, "close", None)
        if close is not None:
            close()

    def close(self) -> None:
        """Let all loops close what they have opened; what was kept of their trials stays."""
        for run in self._runs.values():
            with suppress(Exception):
                self._close(run)
        self._runs.clear()

    def weights(self, number: int) -> dict[str, Tensor]:
        """There are none to give: a loop of the user's own keeps its models itself."""
        raise TrainingError(f"trial {number}: the weights are the training loop's own")

    def train_epoch(self) -> list[TrialNews]:
        """Train every trial for one epoch of its own; a trial that ends or raises leaves."""
        results: list[TrialNews] = []
        for number in list(self._runs):
            run = self._runs[number]
            results += run.untold
            run.untold = []
            news = self._news(run)
            results += news
            del run  # else what it holds would outlive it, and be frozen with the first trial
            if not isinstance(news[-1], EpochResult):
                self.remove(number)
        return results

    def _news(self, run: _Run) -> list[TrialNews]:
        """What comes of a trial's next epoch."""
        number = run.spec.number
        try:
            return self._train(run)
        except Exception as error:
            kinds = {kind.__name__ for kind in type(error).__mro__}
            if _PRUNED in kinds:
                reason = str(error) or "by the loop itself"
                return [TrialEnd(number, run.epoch, "pruned", reason)]
            if isinstance(error, _DIVERGED):
                return [TrialEnd(number, run.epoch, "diverged", self._told(error))]
            return [TrialError.of(number, run.epoch + 1, error, self._told(error))]

    def _train(self, run: _Run) -> list[TrialNews]:
        started = time.perf_counter()
        settings = run.settings
        try:
            told = next(run.generator)
        except StopIteration as end:
            if run.epoch or end.value is None:
                return [self._ended(run)]
            told = Returned(end.value)
        returned = isinstance(told, Returned)
        yielded = Yielded.read(told.value if returned else told, settings.metric)
        if not run.course.is_known:
            raise TrainingError(
                "the loop has not attached its schedule: scheduler = schedule.attach(optimizer, "
                "steps_per_epoch=len(loader))"
            )
        epoch = settings.epochs if returned else run.epoch + 1
        first, last = run.course.end_epoch()
        run.course.report(yielded.value)
        self._advise(run, yielded, returned)
        seen = run.course.seen(self._share(run, epoch))
        run.state = yielded.state
        if epoch == settings.epochs:
            self._write_state(run, epoch, yielded.value)
            self._finish(run)
            if run.spec.epochs:  # before another worker trains the whole trial
                _remove_folder(run)
        result = EpochResult(
            number=run.spec.number,
            epoch=epoch,
            value=yielded.value,
            averaged=yielded.averaged,
            training=yielded.training,
            lr_first=first,
            lr_last=last,
            grad_norm=None,
            seconds=time.perf_counter() - started,
            total_steps=run.course.total_steps,
            metrics=yielded.metrics,
            steps=seen.taken[-1] if seen else None,
            advice=warnings(seen) if seen else (),
        )
        for remark in remarks(seen) if seen else ():
            self._note_once(remark)
        run.results.append(result)
        if returned:
            return [result, TrialEnd(run.spec.number, epoch, "completed")]
        if yielded.state is not None and epoch < settings.epochs:
            self._keep(run, yielded.state)
        return [result]

    def _ended(self, run: _Run) -> TrialEnd:
        """The end of a loop that stops before its last epoch, by an early stopping of its own."""
        if not run.epoch:
            raise TrainingError(
                "the loop ended before it yielded anything; it must yield its metric once an epoch"
            )
        run.has_completed = not run.spec.epochs
        self._write_state(run, run.epoch, run.results[-1].value)
        return TrialEnd(run.spec.number, run.epoch, "completed")

    def _write_state(self, run: _Run, epoch: int, value: float) -> None:
        """Keep what a trial of the search yielded last, for it may be the winner."""
        state, run.state = run.state, None
        if state is None or run.trial is None or run.spec.name or run.spec.epochs:
            return
        about = {"trial": run.spec.number, "epoch": epoch, "value": value}
        try:
            content = plain_data({"state": state, **about})
            write_whole(run.trial.folder / STATE, content)
        except (OSError, TrainingError) as problem:
            self._note_once(f"the winner's state cannot be kept: {problem}")

    def _keep(self, run: _Run, state: Any) -> None:
        """Write down where a trial is."""
        if not self._loop.takes_state:
            self._note_once("the loop yields a state but takes none back: give it a `state=None`")
        elif self._checkpoints:
            try:
                self._checkpoints.save(run.spec, Checkpoint(state, run.results))
            except OSError as problem:
                self._note_once(f"the states of trials cannot be written: {problem}")

    def _finish(self, run: _Run) -> None:
        """Let the loop end after its last epoch."""
        run.has_completed = True
        for _ in run.generator:
            epochs = run.settings.epochs
            self._note_once(
                f"the loop goes on to yield after the {counted(epochs, 'epoch')} that it is told: "
                "what it yields then is not used"
            )
            self._close(run)
            return

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self.notes.append(text)

    def _share(self, run: _Run, epoch: int) -> float:
        """How much of a whole trial has been trained here, up to an epoch."""
        settings = run.settings
        if settings.horizon is None or settings.evaluate_every is None:
            return (epoch - run.kept) / settings.epochs
        done, before = (
            min(count * settings.evaluate_every, settings.horizon) for count in (epoch, run.kept)
        )
        return (done - before) / settings.horizon

    def _advise(self, run: _Run, yielded: Yielded, returned: bool) -> None:
        """Note what is probably not meant."""
        metric = self._settings.metric
        if run.epoch > 0:
            return
        if yielded.averaged is None and self._settings.wants_averaged:
            self._note_once(
                f"the loop yields no {metric.averaged_name}, so trials are compared by "
                f"{metric.name} itself"
            )
        if yielded.unused:
            self._note_once(
                f"the loop also yields {', '.join(yielded.unused)}, which are no numbers: not used"
            )
        if returned:
            self._note_once(
                "the loop returns its metric instead of yielding it once an epoch: no trial is "
                "pruned"
            )

    def _told(self, error: Exception) -> str:
        """An error in a line, with the line of the loop that it came from."""
        text = (
            str(error) if isinstance(error, TrainingError) else f"{type(error).__name__}: {error}"
        )
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename == self._loop.file]
        if not own:
            return text
        return f"{text} ({Path(own[-1].filename).name}, line {own[-1].lineno})"


def _remove_folder(run: _Run) -> None:
    """Let nothing be left of what a trial has written."""
    if run.trial:
        shutil.rmtree(run.trial.place, ignore_errors=True)
