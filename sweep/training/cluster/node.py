"""A worker on a machine of the cluster: a process there, and the files that it reads and writes."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sweep.base.errors import InputError, SweepError, TrainingError
from sweep.base.library_warnings import show_library_warnings
from sweep.training.cluster.files_of_trials import checkpoints, places_of, watched
from sweep.training.cluster.messages import Appended, Job, Reply
from sweep.training.cluster.mirror import Mirror
from sweep.training.contract import EpochResult, TrialEnd, TrialError, TrialNews, TrialSpec
from sweep.training.workers.messages import Died, Orders, WorkerSetup
from sweep.training.workers.process_pool import ProcessPool

_WAIT_SECS = 1.0


class Node:
    """What an actor does: it passes orders on to a local worker, and its answers back.

    So whatever the user's code does to its process leaves the actor alone, and a worker of a
    cluster is in everything what a local one is.

    Args:
        job: What all workers are given.
        index: The worker's.
    """

    def __init__(self, job: Job, index: int) -> None:
        self._job = job
        self._host = socket.gethostname()
        setup = job.setup
        logs = {}
        if (log := setup.log_of(0)) and (name := setup.log_of(index)):
            logs[log] = name
        self._mirror = Mirror(watched(setup), logs)
        self._setup = self._as_it_is_here()
        self._pool: ProcessPool | None = None
        self._specs: dict[int, TrialSpec] = {}

    def begin(self) -> Reply:
        """Start a process, in the place of one that has died; its first answer."""
        try:
            if self._pool is None:
                if self._job.with_library_warnings:
                    show_library_warnings()
                self._check_command()
                self._pool = ProcessPool(self._setup, 1)
                self._pool.start()
            else:
                self._pool.replace(0)
            return self._hear()
        except SweepError as problem:
            return Reply(self._named(problem))

    def obey(self, orders: Orders, files: Mapping[Path, bytes]) -> Reply:
        """Carry out orders; the answer to them.

        Args:
            orders: With the coordinator's paths.
            files: That they need.
        """
        assert self._pool is not None
        here = self._mirror.here
        self._mirror.put(files)
        self._specs |= {spec.number: spec for spec in orders.add}
        for save in orders.save:
            here(save.path).parent.mkdir(parents=True, exist_ok=True)
        mapped = replace(
            orders,
            save=[replace(save, path=here(save.path)) for save in orders.save],
            predict=None if orders.predict is None else here(orders.predict),
        )
        removed = [self._specs.pop(n) for n in orders.remove if n in self._specs]
        passing = self._places(removed)
        self._pool.send(0, mapped)
        try:
            reply = self._hear(passing)
        except SweepError as problem:
            return Reply(self._named(problem))
        saved: dict[Path, bytes | Appended | None] = {
            save.path: content
            for save in orders.save
            if (content := self._mirror.written(save.path)) is not None
        }
        self._mirror.forget(
            [*passing, *saved, *([] if orders.predict is None else [orders.predict])]
        )
        return replace(reply, files={**reply.files, **saved})

    def end(self) -> Reply:
        """End the process, and tell what it has written last."""
        try:
            if self._pool:
                self._pool.close()
            return Reply(Died("ended"), self._mirror.changes(at_once=True))
        finally:
            self._mirror.close()

    def _places(self, specs: list[TrialSpec]) -> list[Path]:
        setup, mirror = self._job.setup, self._mirror
        known = [mirror.there(path) for path in checkpoints(self._setup)]
        return [place for spec in specs for place in places_of(setup, spec, known)]

    def _hear(self, passing: list[Path] | None = None) -> Reply:
        """The process's next message."""
        assert self._pool is not None
        while True:
            for _, message in self._pool.wait(_WAIT_SECS):
                if isinstance(message, Died):
                    self._specs.clear()
                    files = self._mirror.changes(at_once=True)
                    return Reply(
                        replace(message, reason=f"{message.reason} on {self._host}"), files
                    )
                told = replace(
                    message,
                    notes=[*map(self._mirror.told, message.notes)],
                    results=[*map(self._told, message.results)],
                )
                keeps = self._setup.command is not None and self._setup.command.keep
                ended = any(map(self._is_last, message.results))
                files = self._mirror.changes(
                    at_once=ended or bool(passing), passing=() if keeps else passing or ()
                )
                return Reply(told, files)

    def _is_last(self, news: TrialNews) -> bool:
        """Whether a trial has ended with it, so that what it has written must be told."""
        if not isinstance(news, EpochResult):
            return True
        own = self._setup.loop or self._setup.command
        spec = self._specs.get(news.number)
        return own is not None and news.epoch >= ((spec and spec.epochs) or own.epochs)

    def _told(self, news: TrialNews) -> TrialNews:
        told = self._mirror.told
        if isinstance(news, TrialError):
            return replace(news, error=told(news.error), traceback=told(news.traceback))
        return replace(news, reason=told(news.reason)) if isinstance(news, TrialEnd) else news

    def _named(self, problem: SweepError) -> SweepError:
        """A problem that says on which machine it is one."""
        text = self._mirror.told(str(problem))
        if isinstance(problem, InputError) and "No module named" in text:
            text += (
                "; install it there, or, if it is a file of yours that nothing imports by name, "
                "say so in the study file: [cluster] files"
            )
        named = problem if type(problem).__init__ is SweepError.__init__ else TrainingError()
        named.args = (f"on the machine {self._host}: {text}",)
        return named

    def _check_command(self) -> None:
        command = self._setup.command
        if command and not self._is_in_place():
            raise InputError(
                f"{command.working_folder}: a command needs its folder on every machine, with the "
                "same files: put the study where all of them see it, or turn the script into a "
                "training loop (--loop), whose code travels"
            )

    def _is_in_place(self) -> bool:
        """Whether this machine has the study's folders, with the same code in them."""
        job = self._job
        folders = [*job.setup.folders, job.working_folder]
        if job.setup.command:
            folders.append(job.setup.command.working_folder)
        try:
            return all(folder.is_dir() for folder in folders) and all(
                path.read_bytes() == content for path, content in job.code.items()
            )
        except OSError:
            return False

    def _as_it_is_here(self) -> WorkerSetup:
        """The setup with this machine's folders; code that is not here is written here."""
        job, here = self._job, self._mirror.here
        setup, folders = job.setup, job.setup.folders
        in_place = self._is_in_place()
        if not in_place:
            self._mirror.put(job.code)
            folders = tuple(map(here, folders))
        place = job.working_folder if in_place else here(job.working_folder)
        place.mkdir(parents=True, exist_ok=True)
        os.chdir(place)
        loop, command = setup.loop, setup.command
        if loop:
            name, colon, function = loop.reference.rpartition(":")
            if not in_place and Path(name).is_absolute():
                name = str(here(Path(name)))
            loop = replace(
                loop,
                reference=f"{name}{colon}{function}",
                checkpoints=loop.checkpoints and here(loop.checkpoints),
                folders=loop.folders and here(loop.folders),
                logs=loop.logs and here(loop.logs),
            )
            for folder in filter(None, (loop.checkpoints, loop.folders)):
                folder.parent.mkdir(parents=True, exist_ok=True)
        if command:
            command = replace(
                command,
                folders=here(command.folders),
                gpus=None,
                environment=dict(os.environ),
            )
        return replace(setup, folders=folders, loop=loop, command=command)
