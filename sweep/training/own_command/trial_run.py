"""One trial of a command while it trains: its process, and what is said to it and heard of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sweep.training.contract import EpochResult, TrialSpec
from sweep.training.own_command.folder import TrialFolder
from sweep.training.own_command.process import TrialProcess
from sweep.training.own_command.protocol import GO_ON, STOP, Listener, Peer
from sweep.training.own_command.settings import CommandSettings
from sweep.training.own_loop.advice import StepsSeen

_OTHER_VERSION = (
    "the sweep that has started this script does not understand its report: are the script's "
    "package sweep and that one of the same version?"
)

_NO_SCHEDULE = (
    "the script has not used its schedule: scheduler = trial.attach(optimizer, "
    "steps_per_epoch=len(loader)), then scheduler.step() after every optimizer.step(); or set the "
    "rates of trial.schedule.rates(total_steps) yourself"
)


@dataclass
class Report:
    """What a process has reported.

    Args:
        peer: Who waits for the answer.
        epoch: Which epoch, from 1.
        value: The study's metric.
        metrics: What else was told.
        rates: Those of the epoch's first and last step; NaN where they are not known.
        total_steps: Steps of a whole trial, as `attach` was told.
        seen: The steps that were taken.
        seed_was_read: Whether the script has asked for its seed.
    """

    peer: Peer
    epoch: int
    value: float
    metrics: dict[str, float]
    rates: tuple[float, float]
    total_steps: int | None
    seen: StepsSeen | None
    seed_was_read: bool

    @classmethod
    def of(cls, peer: Peer, told: Mapping[str, Any], following: int) -> Report:
        """From a message; the epoch is the following one if it does not say."""
        seen = told["seen"]
        if seen is not None:
            stepped = None if seen["stepped"] is None else tuple(seen["stepped"])
            seen = StepsSeen(**{**seen, "taken": tuple(seen["taken"]), "stepped": stepped})
        return cls(
            peer=peer,
            epoch=following if told["epoch"] is None else int(told["epoch"]),
            value=float(told["value"]),
            metrics={str(name): float(value) for name, value in told["metrics"].items()},
            rates=(float(told["lr_first"]), float(told["lr_last"])),
            total_steps=told["total_steps"],
            seen=seen,
            seed_was_read=bool(told["seed_was_read"]),
        )

    @property
    def is_at_the_end(self) -> bool:
        """Whether the training has taken all of its steps."""
        return self.seen is not None and sum(self.seen.taken) >= self.seen.told


@dataclass
class TrialRun:
    """A trial whose process trains, or waits for the answer to its last report.

    Args:
        spec: The trial.
        settings: Those of its horizon.
        folder: Its folder.
        process: Its process.
        listener: Where that is heard.
        results: Its epochs so far.
        untold: Those that were trained before it was interrupted.
        asking: Who waits for an answer.
    """

    spec: TrialSpec
    settings: CommandSettings
    folder: TrialFolder
    process: TrialProcess
    listener: Listener
    results: list[EpochResult]
    untold: list[EpochResult]
    asking: Peer | None = None
    _since: float = field(default_factory=time.monotonic)
    _total_steps: int | None = None
    _has_schedule: bool = False

    def __post_init__(self) -> None:
        self._heard = self.epoch  # of the last report, new or not
        self._decided = self.epoch  # the last one that training goes on after
        self._stops = False
        self._others: list[tuple[Peer, int]] = []

    @property
    def epoch(self) -> int:
        """The last one that was reported."""
        return len(self.results)

    def go_on(self) -> None:
        """Answer the last report."""
        if self.asking:
            self._since = time.monotonic()
            self.asking.answer(answer=GO_ON)
            self.asking = None
            self._decided = self.epoch
            self._answer_others()

    def stop(self, secs: float) -> None:
        """Tell it to end whenever it asks, and wait until it has, at most so long."""
        self._stops = True
        self._answer_others()
        if self.asking:
            self.asking.answer(answer=STOP)
            self.asking = None
        until = time.monotonic() + secs
        while (report := self.next_report(until)) is not None:
            report.peer.answer(answer=STOP)

    def close(self) -> None:
        """Hear no more of it."""
        self.listener.close()
        self.process.close()

    def take_in(self, report: Report, advice: tuple[str, ...]) -> list[EpochResult]:
        """The epoch that was reported, and before it those whose report was lost."""
        first, last = self.epoch + 1, min(report.epoch, self.settings.epochs)
        self.asking = report.peer
        self._total_steps = report.total_steps or self._total_steps
        metric, told = self.settings.metric, dict(report.metrics)
        result = EpochResult(
            number=self.spec.number,
            epoch=last,
            value=report.value,
            averaged=told.pop(metric.averaged_name, None),
            training=told.pop(metric.train_name, None),
            lr_first=report.rates[0],
            lr_last=report.rates[1],
            grad_norm=None,
            seconds=(time.monotonic() - self._since) / (last - self.epoch),
            total_steps=self._total_steps,
            metrics=told,
            steps=report.seen.taken[-1] if report.seen else None,
            advice=advice,
        )
        results = [replace(result, epoch=epoch) for epoch in range(first, last + 1)]
        self.results += results
        for each in results:
            self.folder.add(each)
        return results

    def next_report(self, until: float | None) -> Report | None:
        """The next report that is new.

        Args:
            until: When to give up, as time.monotonic has it; None for not at all.

        Returns:
            None if the process has ended, or it is time to give up.
        """
        while True:
            code = self.process.code
            left = None if until is None else max(0.0, until - time.monotonic())
            heard = self.listener.receive(0.0 if code is not None else left)
            reports = [report for report in (self._hear(*each) for each in heard) if report]
            if reports:
                for other in reports[1:]:  # it is one process's to report
                    other.peer.answer(answer=GO_ON)
                return reports[0]
            if code is not None or left == 0.0:
                return None

    def _hear(self, peer: Peer, message: Mapping[str, Any]) -> Report | None:
        """Answer a message, unless it is a new report."""
        kind = message.get("type")
        if kind == "hello":
            peer.answer(**self._told())
        elif kind == "attached":
            self._has_schedule = True
            self._total_steps = self._total_steps or message.get("total_steps")
            peer.answer(answer=GO_ON)
        elif kind == "report":
            try:
                report = Report.of(peer, message, self._heard + 1)
            except (KeyError, TypeError, ValueError):
                peer.answer(error=_OTHER_VERSION)
                return None
            self._heard = report.epoch
            self._has_schedule |= bool(message["has_schedule"])
            if self._has_schedule and report.epoch > min(self.epoch, self.settings.epochs - 1):
                return report
            if self._has_schedule:  # it was told before an interruption
                peer.answer(answer=GO_ON)
            else:
                peer.answer(error=_NO_SCHEDULE)
        elif kind == "wait":
            self._others.append((peer, int(message["epoch"])))
            self._answer_others()
        return None

    def _answer_others(self) -> None:
        """Tell the trial's other processes what the one that reports has been told."""
        waiting, self._others = self._others, []
        for peer, epoch in waiting:
            if self._stops:
                peer.answer(answer=STOP)
            elif epoch <= self._decided:
                peer.answer(answer=GO_ON, value=self.results[epoch - 1].value)
            else:
                self._others.append((peer, epoch))

    def _told(self) -> dict[str, Any]:
        """What a process is told of its trial."""
        spec, settings = self.spec, self.settings
        return {
            "number": spec.number,
            "seed": spec.seed,
            "epochs": settings.epochs,
            "horizon": settings.horizon,
            "params": dict(spec.params),
            "reported": self.epoch,
            "folder": str(self.folder.path),
            "schedule": spec.schedule.to_dict(),
            "code_folders": [*map(str, settings.code_folders)],
            "metric": settings.metric.name,
            "maximize": settings.metric.maximize,
            "follows_metric": spec.schedule.scheduler == "plateau",
        }
