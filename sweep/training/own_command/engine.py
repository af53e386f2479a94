"""A command of the user's own: a process for each trial, which reports its metric once an epoch."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.base.errors import TrainingError
from sweep.base.wording import counted, duration
from sweep.training.contract import EpochResult, TrialEnd, TrialError, TrialNews, TrialSpec
from sweep.training.own_command.folder import TrialFolder, remove_but_log
from sweep.training.own_command.keeper import MARK, end_processes, processes_of, start_keeper
from sweep.training.own_command.process import TrialProcess, failure
from sweep.training.own_command.protocol import ADDRESS, STOP, Listener
from sweep.training.own_command.settings import CommandSettings
from sweep.training.own_command.trial_run import Report, TrialRun
from sweep.training.own_loop.advice import remarks, warnings

if TYPE_CHECKING:
    import psutil
    from torch import Tensor

_TIDY_SECS = 2.0
"""That what a process has left running has to end."""

_NO_SEED = (
    "the script does not ask for trial.seed: if it seeds itself always alike, fresh seeds make no "
    "difference to it; torch.manual_seed(trial.seed)"
)
_ONE_REPORT = (
    "the script reports once, at its end: no trial can be stopped early, and --epochs 1 says so; "
    "with a report after every epoch, unpromising trials are"
)
_MISSING = "No module named "
_LEFT_OUT = (
    "the script does not report every epoch: one that it leaves out counts as the next that it "
    "reports; report after each, and before a checkpoint is saved"
)


class CommandEngine:
    """Trains its trials one after the other, each by a process of its own.

    Args:
        settings: What all trials share.
        worker: The index of the worker that it is for.
    """

    lanes = 1
    description = "a command of your own, a process for each trial"

    def __init__(self, settings: CommandSettings, worker: int = 0) -> None:
        self._settings = settings
        self._mark = secrets.token_hex(16)
        self._sockets = Path(tempfile.mkdtemp(prefix="sweep-"))
        self._environment = {**settings.environment_of(worker), MARK: self._mark}
        self._keeper = start_keeper(self._mark, str(self._sockets))
        self._leaders: list[int] = []
        self._family: dict[int, psutil.Process] = {}
        self._runs: dict[int, TrialRun] = {}
        self._reports_once = False
        self.notes: list[str] = []
        self._noted: set[str] = set()

    def add(self, spec: TrialSpec) -> None:
        """Start a trial's process; if it was interrupted, what it had reported is told again.

        Raises:
            TrainingError: The command cannot be started.
        """
        settings = self._settings.over(spec.epochs)
        folder = TrialFolder(settings.folders, spec)
        results = folder.reports()
        listener = Listener(self._sockets)
        environment = {**self._environment, ADDRESS: listener.address}
        try:
            process = TrialProcess(settings.words, settings.working_folder, environment, folder.log)
        except OSError as problem:
            listener.close()
            folder.remove()
            words = settings.words[0]
            raise TrainingError(f"{words}: cannot be started: {problem.strerror}") from None
        listener.wake_on(process.ended)
        self._lead(process.pid)
        if results:
            self.notes.append(f"trial {spec.number} goes on after its epoch {len(results)}")
        self._runs[spec.number] = TrialRun(
            spec, settings, folder, process, listener, results, list(results)
        )

    def expect(self, epochs: int) -> None:
        """Nothing needs preparation here."""

    def weights(self, number: int) -> dict[str, Tensor]:
        """There are none to give: a script keeps its models itself."""
        raise TrainingError(f"trial {number}: the weights are the command's own")

    def train_epoch(self) -> list[TrialNews]:
        """Wait for the next report of every trial, or its end."""
        news: list[TrialNews] = []
        for run in list(self._runs.values()):
            news += run.untold
            run.untold = []
            run.go_on()
            news += self._next(run)
        return news

    def remove(self, number: int) -> None:
        """Let a trial go: its process is told to stop, and ended if it does not."""
        run = self._runs.pop(number, None)
        if run is None:
            return
        self._look_at_family()
        if run.asking:
            run.stop(self._settings.stop_secs)
        self._end(run, self._settings.stop_secs)
        if not self._settings.keep:
            run.folder.remove()

    def close(self) -> None:
        """End all processes: they are asked to, and killed after a while."""
        end_processes(self._mark, self._leaders, self._settings.stop_secs)
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait()
        for run in self._runs.values():
            run.close()
        self._runs.clear()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _next(self, run: TrialRun) -> list[TrialNews]:
        """What a trial has to say next."""
        report = run.next_report(None)
        return [self._ended(run)] if report is None else self._news_of(run, report)

    def _news_of(self, run: TrialRun, report: Report) -> list[TrialNews]:
        """What comes of a report."""
        results = self._take_in(run, report)
        if results[-1].epoch >= run.settings.epochs:
            return [*results[:-1], *self._finish(run, results[-1])]
        if results[0].epoch == 1 and (self._reports_once or report.is_at_the_end):
            return self._only_one(run, report, results[0])
        return list(results)

    def _only_one(self, run: TrialRun, report: Report, result: EpochResult) -> list[TrialNews]:
        """What a trial that may report only once comes to: it is not stopped at this report.

        If it was its only one, it counts as that of the last epoch.
        """
        run.go_on()
        second = run.next_report(None)
        if second is not None:
            self._reports_once = False
            return [result, *self._news_of(run, second)]
        end = self._ended(run)
        if isinstance(end, TrialError):
            return [end]
        advice = warnings(replace(report.seen, share=1.0)) if report.seen else ()
        return [replace(result, epoch=run.settings.epochs, advice=advice), end]

    def _finish(self, run: TrialRun, result: EpochResult) -> list[TrialNews]:
        """Let a process end after its last report, and see that it does."""
        self._look_at_family()
        run.go_on()
        longest = max(each.seconds for each in run.results)
        patience = max(self._settings.finish_secs, 2 * longest)
        further = run.next_report(time.monotonic() + patience)
        if further is not None:
            self._note_once(
                f"the script reports more than {counted(run.settings.epochs, 'time')}, and is "
                "ended then: let it train trial.epochs epochs"
            )
            further.peer.answer(answer=STOP)
            run.stop(self._settings.stop_secs)
        elif run.process.code is None:
            self._note_once(
                f"trial {run.spec.number} had not ended {duration(patience)} after its last "
                "report, and was ended: let the script end once it has reported"
            )
        if run.process.code is None:
            self._leave(run, is_whole=True)
            return [result]
        end = self._ended(run)
        return [end if isinstance(end, TrialError) else result]

    def _take_in(self, run: TrialRun, report: Report) -> list[EpochResult]:
        """The epoch that was reported, and before it those whose report was lost."""
        if not report.seed_was_read:
            self._note_once(_NO_SEED)
        seen = report.seen
        for remark in remarks(seen) if seen else ():
            self._note_once(remark)
        results = run.take_in(report, warnings(seen) if seen else ())
        if len(results) > 1:
            self._note_once(_LEFT_OUT)
        return results

    def _ended(self, run: TrialRun) -> TrialEnd | TrialError:
        """What has become of a trial whose process has ended."""
        code, number = run.process.code, run.spec.number
        assert code is not None
        if code:
            error, log = failure(code, run.folder.log)
            if _MISSING in error:
                error += _interpreter(self._settings.words[0], "'sweep'" in error)
            news: TrialEnd | TrialError = TrialError(number, run.epoch + 1, error, log)
        elif not run.results:
            error = "it ended with exit code 0 and reported nothing: call trial.report(value)"
            news = TrialError(number, 1, error, failure(code, run.folder.log)[1])
        else:
            news = TrialEnd(number, run.epoch, "completed")
            self._reports_once = run.epoch == 1 < run.settings.epochs
            if self._reports_once:
                self._note_once(_ONE_REPORT)
        self._leave(run, is_whole=isinstance(news, TrialEnd))
        return news

    def _leave(self, run: TrialRun, is_whole: bool) -> None:
        """Let go of a trial that has ended.

        Args:
            run: It.
            is_whole: Whether it has completed: its folder may then be the winner's.
        """
        self._runs.pop(run.spec.number, None)
        self._end(run, _TIDY_SECS)
        if self._settings.keep:
            return
        if not is_whole:
            remove_but_log(run.folder.path)
        elif run.spec.name or run.spec.epochs:
            run.folder.remove()

    def _look_at_family(self) -> None:
        """Remember which processes there are, before the one that they are found by ends."""
        self._family = processes_of(self._mark, self._leaders)

    def _end(self, run: TrialRun, secs: float) -> None:
        """End what a trial has left running."""
        end_processes(self._mark, self._leaders, secs, self._family)
        self._family = {}
        self._lead()
        run.close()

    def _lead(self, *pids: int) -> None:
        """Remember which sessions are the trial's, here and in the keeper."""
        self._leaders = [*pids]
        assert self._keeper.stdin is not None
        with suppress(BrokenPipeError):  # it was killed: what is here ends them
            self._keeper.stdin.write(b"%s\n" % " ".join(map(str, pids)).encode())

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self.notes.append(text)


def _interpreter(word: str, lacks_sweep: bool) -> str:
    """What to do where the program that a command starts lacks a module."""
    path = shutil.which(word) or word
    text = f"; {word} is {path}: if another is meant, give its path"
    if lacks_sweep:
        text += (
            ", or install sweep-lr into its environment (without what it depends on, but for "
            "NumPy, will do)"
        )
    return text


def end_on_signals(engine: CommandEngine) -> None:
    """Let SIGTERM end this process, and the engine's first; Ctrl-C is the coordinator's to handle.

    A process that is started then has SIGINT as any process has it.
    """

    def end(signum: int, frame: Any) -> None:
        engine.close()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, lambda signum, frame: None)
    if hasattr(signal, "pthread_sigmask"):  # Windows has none
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
