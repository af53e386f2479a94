"""What actors are told when processes die, and when machines do."""

from __future__ import annotations

import itertools
import multiprocessing
import socket
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweep.study.settings import StudyConfig
from sweep.training.cluster.driver import _Driver, _Worker
from sweep.training.cluster.messages import Job, Placement, Replace, Reply
from sweep.training.cluster.silence import SILENT_SECS, Silence, watch_head
from sweep.training.contract import LoopSettings
from sweep.training.workers.messages import Answer, Died, WorkerSetup


class Calls:
    """An actor that never answers: it writes down that it was told to begin."""

    def __init__(self) -> None:
        self.count = 0
        self.begin = self.is_there = self

    def remote(self) -> Any:
        self.count += 1
        return self

    def future(self) -> Future[Any]:
        return Future()


def driver(**placed: Any) -> _Driver:
    setup = WorkerSetup.of(StudyConfig(loop="train.py:train"), None, ())
    assert isinstance(setup.loop, LoopSettings)
    given: dict[str, Any] = {"workers": 2, "patience_secs": 1, **placed}
    placement = Placement("ray", most=2, cpus=1, gpus=0, grace_secs=1, **given)
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


def said(one: _Driver) -> list[Any]:
    return [one._outgoing.get() for _ in range(one._outgoing.qsize())]


def test_a_worker_that_says_nothing_is_asked_and_at_last_given_up() -> None:
    """Its machine has stopped rather than ended, which Ray hears of late, or never."""
    one, actor = driver(), Calls()
    ended: list[Any] = []
    one._ray = SimpleNamespace(kill=ended.append)
    worker = one._workers[0] = _Worker(actor, "there")
    worker.silence.secs = SILENT_SECS - 1
    one._ask_silent_workers()
    one._ask_silent_workers()
    assert actor.count == 1 and said(one) == []
    one._is_still_there(0, worker, replied(Answer(1, [], [])))
    assert worker.silence.secs == 0 and not worker.is_asked
    worker.silence.secs = SILENT_SECS
    one._ask_silent_workers()
    (told,) = said(one)
    assert told.message.lost and "silent for 40" in told.message.reason
    assert told.message.reason.endswith("on the machine there") and not one._workers
    assert ended == [actor]


def test_a_process_that_was_stopped_itself_takes_nobody_for_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silence, now = Silence(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    assert silence.lasts() <= 5


def test_a_head_node_that_has_stopped_is_gone_although_it_can_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system takes connections for a process that has been stopped."""
    monkeypatch.setattr("sweep.training.cluster.silence._LOOK_SECS", 0.01)
    monkeypatch.setattr("sweep.training.cluster.silence.SILENT_SECS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as there:
        head = f"127.0.0.1:{there.getsockname()[1]}"
        why = watch_head(head, lambda: 7, lambda: False)
        assert why is not None and why.startswith("it can be reached, but has not answered for")
        answers = itertools.count()
        is_over = iter([False] * 50 + [True])
        assert watch_head(head, lambda: next(answers), lambda: next(is_over)) is None
    monkeypatch.setattr("sweep.training.cluster.silence._GONE_SECS", 0.1)
    assert "nothing has answered" in str(watch_head(head, lambda: next(answers), lambda: False))


def test_workers_that_all_must_be_there_are_not_waited_for_without_end() -> None:
    one = driver(least=2)
    one._workers[0] = _Worker(Calls(), "there")
    one._alone_since -= 2
    one._check_patience([{"NodeManagerHostname": "there", "Resources": {"CPU": 1.0}}])
    (told,) = said(one)
    assert "room for 1 of the 2 workers that a deterministic study has" in str(told)
    assert "there has 1 CPU" in str(told)
    one = driver(least=1)
    one._workers[0] = _Worker(Calls(), "there")
    one._alone_since -= 2
    one._check_patience([])
    assert said(one) == []
