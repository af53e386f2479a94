"""What several test files share: a PostgreSQL server, a study that has been run, one thread."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_server import CommandServer
from filelock import FileLock
from support import HOSTILE, PASSWORD, PostgreSQL, no_page, sweep

from sweep.training.workers import process_pool

RunOnce = Callable[..., Path]

os.environ["LANG"] = os.environ.pop("LC_ALL", "") or os.environ.get("LANG", "")
os.environ["LC_MESSAGES"] = "C"
"""Reports are in English, whoever runs the tests; the encoding stays his."""

os.environ["OMP_NUM_THREADS"] = "1"
"""Before torch is imported: two processes test on two cores, and threads that wait are busy."""

process_pool.PRELOADED.append("torch._dynamo")
"""What torch imports with a worker's first optimizer, which takes a second and more each."""


def pytest_collection_finish() -> None:
    """Leave what has been imported out of every later search for garbage: it is much."""
    gc.collect()
    gc.freeze()


COMMANDS = ((BaseProcess, "start"), (CommandServer, "start"))


@contextlib.contextmanager
def _no_process(item: pytest.Item) -> Iterator[None]:
    """Fail a test that starts a process, or has a fixture do so, and is not marked `slow`.

    A C compiler is let through: it takes little, and its programs are kept.
    """
    start = subprocess.Popen.__init__

    def refused(*_: object, **__: object) -> None:
        pytest.fail(f"{item.nodeid} starts a process: mark it with pytest.mark.slow")

    def compiler_alone(process: Any, command: Any, *rest: Any, **named: Any) -> None:
        compiles = not isinstance(command, str) and str(command[0]).endswith(("cc", "clang"))
        (start if compiles else refused)(process, command, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("slow") is None:
            patch.setattr(subprocess.Popen, "__init__", compiler_alone)
            for owner, name in COMMANDS:
                patch.setattr(owner, name, refused)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with _no_process(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with _no_process(item):
        yield


def _postgresql_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def _call(program: str, *arguments: str, as_user: list[str], binaries: Path, folder: Path) -> None:
    """Run one of PostgreSQL's programs on a data folder."""
    command = [*as_user, str(binaries / program), "-D", str(folder / "data"), *arguments]
    with open(folder / f"{program}.log", "a+") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        log.seek(0)
        assert done.returncode == 0, log.read()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A throw-away PostgreSQL server with the user `sweep`."""
    binaries = _postgresql_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL here: initdb is neither on PATH nor in /usr/lib/postgresql")
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    as_user = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    call = functools.partial(_call, as_user=as_user, binaries=binaries, folder=folder)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    call("initdb", "-U", "sweep", "-A", "scram-sha-256", "-N", f"--pwfile={folder}/password")
    try:
        server = PostgreSQL(port, call)
        server.start()
        yield server
    finally:
        call("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> RunOnce:
    """Runs a study once for all the processes that test, and copies it for each of them."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def run(name: str, prepare: Callable[[Path], None], *arguments: str) -> Path:
        folder, done = shared / f"shared-{name}", shared / f"shared-{name}.done"
        with FileLock(f"{done}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                prepare(folder)
                ended = sweep("run", *arguments, "--workers", "1", cwd=folder)
                assert ended.returncode == 0, ended.stderr
                done.touch()
        copy = tmp_path_factory.mktemp(name) / "copy"
        shutil.copytree(folder, copy)
        return copy

    return run


def nothing(folder: Path) -> None:
    """What a study needs that is told everything on the command line."""


@pytest.fixture(scope="session")
def tiny_study(run_once: RunOnce) -> Path:
    """The results folder of a real sweep: `diabetes`, 3 trials of 2 epochs, none pruned."""
    options = ("--trials", "3", "--epochs", "2", "--pruner", "none")
    return run_once("tiny", nothing, "diabetes", *options) / "studies" / "diabetes"


@pytest.fixture(scope="session")
def searched_study(run_once: RunOnce) -> Path:
    """A real sweep of `order_pre_minibatch`, with enough trials for every figure: its folder."""
    options = ("--trials", "60", "--epochs", "4", "--pruner", "none")
    study = "order_pre_minibatch"
    return run_once("searched", nothing, study, *options) / "studies" / study


@pytest.fixture(scope="session")
def hostile_study(run_once: RunOnce) -> Path:
    """The results folder of a real sweep whose study, target and error texts are hostile."""
    target = f"$x_1$ %{{y}} {HOSTILE}"
    settings = {"name": HOSTILE, "data.target": target, "model.name": "net:Net"}
    flags = [flag for key, value in settings.items() for flag in ("--set", f"{key}={value}")]
    search = ("--data", "t.csv", "--lr", "1e-3:1e3:log", "--epochs", "3", "--trials", "24")
    rest = ("--engine", "sequential", "--pruner", "none", "--out", "results")
    prepare = functools.partial(hostile_files, target=target)
    return run_once("hostile", prepare, *search, *flags, *rest) / "results"


def hostile_files(folder: Path, target: str) -> None:
    """A table with hostile names, and a model that fails with hostile words."""
    rows = range(120)
    columns = {"<b>a</b>": [r % 7 for r in rows], target: [3 * (r % 7) + r % 3 for r in rows]}
    pd.DataFrame(columns).to_csv(folder / "t.csv", index=False)
    (folder / "net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, n_features: int) -> None:\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(n_features, 1)\n"
        "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
        "        if self.layer.weight.abs().max() > 1e3:\n"
        f"            raise ValueError({HOSTILE!r} + '\\u2028%{{x}}')\n"
        "        return self.layer(x)\n"
    )


@pytest.fixture(name="no_page")
def without_a_page() -> Iterator[None]:
    """No page for a whole test."""
    with no_page():
        yield


@pytest.fixture
def brief_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check in this process measures the speed of few epochs, however little that tells."""
    monkeypatch.setattr("sweep.runs.before.speed._ENOUGH_SECS", 0.0)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch with one thread, as a worker has it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
