"""The user's own training loop: a generator that yields its metric once an epoch."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from sweep.base.errors import TrainingError, did_you_mean
from sweep.base.wording import counted
from sweep.study.metric import Metric
from sweep.training.contract import EpochResult, LoopSettings, TrialError, TrialNews, TrialSpec
from sweep.training.own_loop.advice import remarks, warnings
from sweep.training.own_loop.checkpoints import Checkpoint, Checkpoints
from sweep.training.own_loop.course import Course, LoopSchedule
from sweep.training.own_loop.loading import Loop


@dataclass(frozen=True)
class _Yielded:
    """What a loop tells of an epoch."""

    value: float
    averaged: float | None
    training: float | None
    state: Any
    unused: tuple[str, ...]

    @classmethod
    def read(cls, yielded: Any, metric: Metric) -> _Yielded:
        """From a number, or a dict with at least the metric."""
        if not isinstance(yielded, Mapping):
            return cls(_number(metric.name, yielded), None, None, None, ())
        if metric.name not in yielded:
            listed = ", ".join(map(str, yielded)) or "nothing"
            near = did_you_mean(metric.name, map(str, yielded))
            raise TrainingError(
                f"the loop yielded a dict without {metric.name!r}, the study's metric (it has "
                f"{listed}){near}"
            )

        def optional(name: str) -> float | None:
            return _number(name, yielded[name]) if name in yielded else None

        known = (metric.name, metric.averaged_name, metric.train_name, "state")
        return cls(
            value=_number(metric.name, yielded[metric.name]),
            averaged=optional(metric.averaged_name),
            training=optional(metric.train_name),
            state=yielded.get("state"),
            unused=tuple(str(key) for key in yielded if key not in known),
        )


def _number(name: str, value: Any) -> float:
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise TrainingError(
            f"the loop yielded {_short(value)} ({kind}) as {name}; expected a number, or a dict "
            f"with the key {name!r}"
        ) from None


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:40]} ..."


@dataclass
class _Run:
    """A trial whose loop is suspended where it yielded its last epoch.

    `results` are of all its epochs; the first `kept` were trained before it was interrupted, and
    some of them are still `untold`.
    """

    spec: TrialSpec
    course: Course
    generator: Iterator[Any]
    results: list[EpochResult]
    untold: list[EpochResult]
    kept: int = 0

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
        course = Course(self._settings.epochs, self._settings.horizon, self._settings.metric)
        schedule = LoopSchedule.of(spec.schedule, course)
        if results:
            course.report(results[-1].value)
            self.notes.append(f"trial {spec.number} goes on after its epoch {len(results)}")
        generator = self._loop.start(schedule, spec.seed, kept.state if kept else None)
        self._runs[spec.number] = _Run(
            spec, course, generator, results, list(results), len(results)
        )

    def expect(self, epochs: int) -> None:
        """Nothing needs preparation here."""

    def remove(self, number: int) -> None:
        """Let a trial go, finished or not: its generator is closed, so that its `finally` runs."""
        run = self._runs.pop(number, None)
        if run and self._checkpoints:
            self._checkpoints.drop(run.spec)
        close = getattr(run.generator, "close", None) if run else None
        if close is None:
            return
        try:
            close()
        except Exception as error:
            self.notes.append(f"trial {number} raised when it was closed: {self._told(error)}")

    def weights(self, number: int) -> dict[str, Tensor]:
        """There are none to give: a loop of the user's own keeps its models itself."""
        raise TrainingError(f"trial {number}: the weights are the training loop's own")

    def train_epoch(self) -> list[TrialNews]:
        """Train every trial for one epoch of its own; a trial that raises leaves."""
        results: list[TrialNews] = []
        for run in list(self._runs.values()):
            results += run.untold
            run.untold = []
            try:
                results.append(self._train(run))
            except Exception as error:
                number = run.spec.number
                results.append(TrialError.of(number, run.epoch + 1, error, self._told(error)))
                self.remove(number)
        return results

    def _train(self, run: _Run) -> EpochResult:
        started = time.perf_counter()
        settings = self._settings
        try:
            yielded = _Yielded.read(next(run.generator), settings.metric)
        except StopIteration:
            raise TrainingError(
                f"the loop ended after {run.epoch} of {counted(settings.epochs, 'epoch')}; it must "
                "yield its metric once an epoch"
            ) from None
        if not run.course.is_known:
            raise TrainingError(
                "the loop has not attached its schedule: scheduler = schedule.attach(optimizer, "
                "steps_per_epoch=len(loader))"
            )
        epoch = run.epoch + 1
        first, last = run.course.end_epoch()
        run.course.report(yielded.value)
        self._advise(run, yielded)
        seen = run.course.seen(self._share(run, epoch))
        if epoch == settings.epochs:
            self._finish(run)
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
            advice=warnings(seen) if seen else (),
        )
        for remark in remarks(seen) if seen else ():
            self._note_once(remark)
        run.results.append(result)
        if yielded.state is not None and epoch < settings.epochs:
            self._keep(run, yielded.state)
        return result

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
        """Let the loop end after its last epoch, and see that it does."""
        epochs = self._settings.epochs
        try:
            next(run.generator)
        except StopIteration:
            return
        raise TrainingError(
            f"the loop yielded more than {epochs} times; it must yield its metric once an epoch, "
            f"for the {counted(epochs, 'epoch')} that it is told"
        )

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self.notes.append(text)

    def _share(self, run: _Run, epoch: int) -> float:
        """How much of a whole trial has been trained here, up to an epoch."""
        settings = self._settings
        if settings.horizon is None or settings.evaluate_every is None:
            return (epoch - run.kept) / settings.epochs
        done, before = (
            min(count * settings.evaluate_every, settings.horizon) for count in (epoch, run.kept)
        )
        return (done - before) / settings.horizon

    def _advise(self, run: _Run, yielded: _Yielded) -> None:
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
            self._note_once(f"the loop also yields {', '.join(yielded.unused)}: not used")

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
