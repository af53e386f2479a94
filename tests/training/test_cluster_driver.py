"""What actors are told when processes die, and when machines do."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from sweep.study.settings import StudyConfig
from sweep.training.cluster.driver import _Driver, _Worker
from sweep.training.cluster.messages import Job, Placement, Replace, Reply
from sweep.training.contract import LoopSettings
from sweep.training.workers.messages import Answer, Died, WorkerSetup


class Calls:
    """An actor that never answers: it writes down that it was told to begin."""

    def __init__(self) -> None:
        self.count = 0
        self.begin = self

    def remote(self) -> Any:
        self.count += 1
        return self

    def future(self) -> Future[Any]:
        return Future()


def driver() -> _Driver:
    setup = WorkerSetup.of(StudyConfig(loop="train.py:train"), None, ())
    assert isinstance(setup.loop, LoopSettings)
    placement = Placement("ray", most=2, workers=2, cpus=1, gpus=0, patience_secs=1, grace_secs=1)
    ours, _ = multiprocessing.Pipe()
    made = _Driver(ours, Job(setup, {}, Path()), placement)
    made._ray = __import__("ray")
    return made


def replied(message: Answer | Died) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(Reply(message))
    return future


def test_an_actor_begins_again_only_where_its_own_process_has_died() -> None:
    """One in a lost actor's place begins when it is placed: twice at once, it reads nonsense."""
    one, actor = driver(), Calls()
    worker = one._workers[0] = _Worker(actor, "here")
    one._hear(0, worker, replied(Died("killed by SIGKILL")))
    one._obey(Replace(0))
    one._obey(Replace(0))
    assert actor.count == 1
    one._hear(0, worker, replied(Answer(1, [], [])))
    one._obey(Replace(0))
    assert actor.count == 1
