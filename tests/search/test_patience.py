"""Storages that are away, slow or held: real servers, real signals, a network that goes silent."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
from optuna.trial import FrozenTrial
from small_runs import Notes
from small_runs import sweep as run
from storages import closed_later, new_study, other_process, start_python
from support import PASSWORD, PostgreSQL, no_page

from sweep.base.errors import InterruptedSweep
from sweep.runs.run import run_sweep
from sweep.search.in_flight import ownership
from sweep.search.status import Status
from sweep.search.storage import owners, patience, patient_storage
from sweep.search.storage.opening import flush, load_study
from sweep.search.storage.owners import SignsOfLife, claim
from sweep.search.trials import Trial
from sweep.study.file import load_study as load_settings
from sweep.study.locations import Location

pytestmark = pytest.mark.timeout(600)

IMPATIENT = """
import sys
from sweep.search.in_flight import ownership
from sweep.search.storage import owners
from sweep.search.storage import patience, patient_storage
for module in (ownership, owners):
    module.BEAT_SECS, module.SILENT_SECS = 0.5, 4.0
patience.ANSWER_SECS, patient_storage._TURN_SECS, patience._TOLD_AFTER_SECS = 3.0, 1, 0.5
patience._SESSION["idle_in_transaction_session_timeout"] = "5s"
"""
"""The waits of minutes in seconds."""

SILENT = "the database does not answer"

COMMAND = f"{IMPATIENT}\nfrom sweep.cli.entry import main\nmain()"

STUDY = """
loop = "slow.py:train"
metric = "loss"
epochs = 6
trials = 10
workers = 1
[space]
lr = "1e-3:0.1:log"
[pruner]
name = "none"
[confirm]
enabled = false
"""

SLOW = """
import time, torch
def train(schedule, *, epochs):
    weight = torch.nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=1)
    for epoch in range(epochs):
        time.sleep(0.05)  # as one that waits for its data: a busy machine makes it no slower
        optimizer.zero_grad()
        (weight**2).backward()
        optimizer.step()
        scheduler.step()
        yield float(weight.detach() ** 2)
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What IMPATIENT does to another process, in this one."""
    for module in (ownership, owners):
        monkeypatch.setattr(module, "BEAT_SECS", 0.5)
        monkeypatch.setattr(module, "SILENT_SECS", 4.0)
    monkeypatch.setattr(patience, "ANSWER_SECS", 3.0)
    monkeypatch.setattr(patient_storage, "_TURN_SECS", 1)
    monkeypatch.setattr(patience, "_TOLD_AFTER_SECS", 0.5)
    monkeypatch.setitem(patience._SESSION, "idle_in_transaction_session_timeout", "5s")


class Proxy:
    """A network between a process and a server, which can go silent without closing anything."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._passes = threading.Event()
        self._passes.set()
        self._holds = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for_vain_question(self) -> None:
        """Until something is on its way that will not arrive."""
        assert self._holds.wait(60), "nothing was asked or answered while the network was silent"

    def go_silent(self) -> None:
        self._passes.clear()

    def come_back(self) -> None:
        self._passes.set()

    def close(self) -> None:
        self._passes.set()
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._passes.is_set():
                    self._holds.set()
                    self._passes.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxy(postgresql: PostgreSQL) -> Iterator[Proxy]:
    made = Proxy(postgresql.port)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A study whose trials take a third of a second, and little of the processor."""
    (tmp_path / "slow.py").write_text(SLOW)
    path = tmp_path / "slow.toml"
    path.write_text(STUDY)
    return path


@contextlib.contextmanager
def running(study_file: Path, url: str, out: str) -> Iterator[subprocess.Popen[str]]:
    """`sweep run` with short waits in a process of its own; killed at the end if it is there."""
    command = [sys.executable, "-c", COMMAND, "run", str(study_file), "--storage", url]
    process = subprocess.Popen(
        [*command, "--out", out],
        cwd=study_file.parent,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "1000"},  # lines are searched for whole sentences
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


class Hears(Notes):
    """Does something when a run has said or done something for the first time."""

    def __init__(
        self, act: Callable[[], None] = lambda: None, finished: int = 0, note: str = "\0"
    ) -> None:
        super().__init__()
        self.act, self.finished, self.note = act, finished, note
        self.has_acted = False

    def on_note(self, text: str) -> None:
        super().on_note(text)
        if self.note in text:
            self._act()

    def on_finished(self, trial: Trial, status: Status) -> None:
        super().on_finished(trial, status)
        if status.endings.ended == self.finished:
            self._act()

    def _act(self) -> None:
        if not self.has_acted:
            self.has_acted = True
            self.act()

    def heard(self, text: str) -> bool:
        return any(text in note for note in self.notes)


def finish(study_file: Path, url: str, listener: Notes, out: str = "b") -> None:
    """Run the study to its end in this process, into another results folder."""
    location = Location("slow", study_file, study_file.parent / out)
    config = load_settings(study_file, {"storage": url})
    with no_page(), closed_later(run_sweep(location, config, listener)):
        pass


def later(secs: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(secs, act)
    timer.daemon = True
    timer.start()


def trials_of(url: str) -> list[FrozenTrial]:
    with closed_later(load_study("slow", url)) as study:
        return study.trials


def wait_for(url: str, count: int, secs: float = 240.0) -> None:
    """Until so many trials have ended."""
    deadline = time.monotonic() + secs
    ended = "SELECT count(*) FROM trials WHERE state NOT IN ('RUNNING', 'WAITING')"
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            with contextlib.suppress(psycopg.errors.UndefinedTable):
                (found,) = connection.execute(ended).fetchone() or (0,)
                if found >= count:
                    return
            time.sleep(0.1)
    raise AssertionError("nothing was trained")


def assert_whole(url: str, total: int = 10) -> None:
    trials = trials_of(url)
    assert [trial.number for trial in trials] == list(range(total))
    assert all(trial.state.is_finished() for trial in trials)


def interrupted(study_file: Path, url: str, listener: Notes) -> str:
    """What a run says as it is interrupted."""
    try:
        finish(study_file, url, listener, "a")
    except InterruptedSweep as stopped:
        return str(stopped)
    raise AssertionError("the run went on")


class Interrupted(Hears):
    """Is interrupted where the database has been silent for a while."""

    def on_note(self, text: str) -> None:
        super().on_note(text)
        if SILENT in text:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
class TestNetworkGone:
    def test_an_interrupt_ends_the_run(
        self, postgresql: PostgreSQL, study_file: Path, impatient: None
    ) -> None:
        assert threading.current_thread() is threading.main_thread()
        url = postgresql.new_database("interrupted")
        with proxy(postgresql) as network:
            through = url.replace(str(postgresql.port), str(network.port))
            listener = Interrupted(network.go_silent, finished=2)
            said = interrupted(study_file, through, listener)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # the connections of a run that was interrupted, as a process's end does
        assert "The same command goes on with the rest" in said and PASSWORD not in said
        assert not listener.heard(PASSWORD)
        finish(study_file, url, Notes())  # and nobody is locked out
        assert_whole(url)

    def test_a_signal_ends_the_command(
        self, postgresql: PostgreSQL, study_file: Path, impatient: None
    ) -> None:
        url = postgresql.new_database("terminated")
        with proxy(postgresql) as network:
            through = url.replace(str(postgresql.port), str(network.port))
            with running(study_file, through, "a") as process:
                wait_for(url, 2)
                network.go_silent()
                network.wait_for_vain_question()
                process.send_signal(signal.SIGTERM)
                output, _ = process.communicate(timeout=120)
            assert process.returncode == 130, output
            assert "The same command goes on with the rest" in output
            assert "Traceback" not in output and PASSWORD not in output
        finish(study_file, url, Notes())  # and nobody is locked out
        assert_whole(url)

    def test_it_is_waited_for(
        self, postgresql: PostgreSQL, study_file: Path, impatient: None
    ) -> None:
        url = postgresql.new_database("silence")
        with proxy(postgresql) as network:

            def go_silent() -> None:
                network.go_silent()
                later(5.0, network.come_back)

            listener = Hears(go_silent, finished=2)
            finish(study_file, url.replace(str(postgresql.port), str(network.port)), listener)
        assert listener.heard(SILENT)
        assert_whole(url)


@pytest.mark.slow
def test_a_server_that_restarts_is_waited_for(
    postgresql: PostgreSQL, study_file: Path, impatient: None
) -> None:
    url = postgresql.new_database("restarted")

    def restart() -> None:
        postgresql.call("pg_ctl", "-m", "immediate", "stop")
        restarted.start()

    restarted = threading.Timer(3.0, postgresql.start)
    listener = Hears(restart, finished=2)
    finish(study_file, url, listener)
    restarted.join()
    assert listener.heard("waiting for the storage")
    assert listener.heard("the storage answers again")
    assert_whole(url)


STOPPED_IN_ITS_TURN = (
    IMPATIENT
    + """
import os, signal, threading, optuna
patience._SESSION["idle_in_transaction_session_timeout"] = "0"
from sweep.search.storage.owners import in_turn
from sweep.search.storage.opening import open_study
optuna.logging.disable_default_handler()
study = open_study('slow', sys.argv[1], optuna.samplers.RandomSampler(),
                   optuna.pruners.NopPruner())
tries = []
def ask():
    tries.append(len(study.trials))
    if len(tries) == 1:
        print('mine', flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    return study.ask().number
with patient_storage.patient(study, lambda text: None, threading.Event()):
    print(in_turn(study, ask), tries, flush=True)
"""
)


@pytest.mark.slow
def test_the_server_ends_a_silent_turn(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database("limits")
    with closed_later(new_study(url)) as study, study._storage._backend.engine.connect() as one:  # type: ignore[attr-defined]
        names = ("idle_in_transaction_session_timeout", "statement_timeout", "tcp_keepalives_idle")
        found = [one.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
    assert found == ["1min", "30s", "30"]


@pytest.mark.slow
def test_one_that_is_stopped_in_its_turn(
    postgresql: PostgreSQL, study_file: Path, impatient: None
) -> None:
    """The others go on; when it wakes up its turn has not been, and it takes another."""
    url = postgresql.new_database("stopped")
    with other_process(STOPPED_IN_ITS_TURN, url) as stopped:

        def end_its_turn() -> None:
            """As the server's timeout does."""
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    f"WHERE application_name LIKE '%process {stopped.pid}'"
                )

        held = f"process {stopped.pid} has held the lock of this study"
        listener = Hears(end_its_turn, note=held)
        finish(study_file, url, listener)
        assert listener.has_acted
        assert_whole(url)
        stopped.send_signal(signal.SIGCONT)
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == "10 [0, 10]\n"


@pytest.mark.slow
def test_one_that_was_silent_for_too_long(
    postgresql: PostgreSQL, study_file: Path, impatient: None
) -> None:
    """Another takes its trials over and ends the study; when it wakes up it reports nothing."""
    url = postgresql.new_database("taken")
    (study_file.parent / "command.py").write_text(COMMAND)
    arguments = ("run", str(study_file), "--storage", url, "--out", "a")
    first = start_python(study_file.parent / "command.py", *arguments, cwd=study_file.parent)
    try:
        wait_for(url, 1)
        os.kill(first.pid, signal.SIGSTOP)
        listener = Hears()
        finish(study_file, url, listener)
        assert listener.heard("resuming trials that were interrupted")
        gone = f"{socket.gethostname()}:{study_file.parent / 'a'}"
        assert listener.heard(f"nothing was heard of {gone} for")
        assert_whole(url)
        before = [(t.value, t.user_attrs, t.datetime_complete) for t in trials_of(url)]
        os.kill(first.pid, signal.SIGCONT)
        output = "".join(first.communicate(timeout=240))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
    assert first.returncode == 0, output
    assert "was taken over by another run" in output
    assert [(t.value, t.user_attrs, t.datetime_complete) for t in trials_of(url)] == before


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ownership, owners):
        monkeypatch.setattr(module, "BEAT_SECS", 0.5)
        monkeypatch.setattr(module, "SILENT_SECS", 3.0)


def begun_elsewhere(url: str, settings: Any) -> optuna.Study:
    """A study with two trials that another machine has in training."""
    study = new_study(url, "small")
    study.set_user_attr("settings", settings)
    for _ in range(2):
        claim(study.ask(), "elsewhere:/studies/small")
    flush(study)
    return study


@pytest.mark.slow
class TestOwnerGone:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Any:
        (tmp_path / "before").mkdir()
        study, *_ = run(tmp_path / "before", trials=1)
        return study.user_attrs["settings"]

    def test_its_trials_are_taken_over(self, short: None, settings: Any, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/a.db"
        begun_elsewhere(url, settings)
        listener = Notes()
        run(tmp_path, listener, storage=url, trials=4, pruner__name="none")
        trials = load_study("small", url).trials
        assert len(trials) == 4 and all(trial.state.is_finished() for trial in trials)
        assert any("nothing was heard of elsewhere:/studies/small" in n for n in listener.notes)
        assert not any("preliminary" in note for note in listener.notes)

    def test_one_that_lives_keeps_them(
        self, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ownership, "BEAT_SECS", 10.0)  # the first new sign is enough
        monkeypatch.setattr(owners, "BEAT_SECS", 10.0)
        url = f"sqlite:///{tmp_path}/a.db"
        signs = SignsOfLife(begun_elsewhere(url, settings), "elsewhere:/studies/small")
        ended = threading.Event()

        def live() -> None:
            while not ended.wait(0.2):
                signs.beat()

        other = threading.Thread(target=live)
        other.start()
        listener = Notes()
        try:
            run(tmp_path, listener, storage=url, trials=4, pruner__name="none")
        finally:
            ended.set()
            other.join()
        trials = load_study("small", url).trials
        assert [trial.state.is_finished() for trial in trials] == [False, False, True, True]
        assert any("2 trials of this study are in training elsewhere" in n for n in listener.notes)
