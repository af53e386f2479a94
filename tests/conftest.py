"""What several test files share: a PostgreSQL server, a study that has been run, one thread."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from support import HOSTILE, PASSWORD, PostgreSQL, sweep


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
def tiny_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a real sweep: `diabetes`, 3 trials of 2 epochs, none pruned."""
    folder = tmp_path_factory.mktemp("tiny")
    small = ("--trials", "3", "--epochs", "2", "--workers", "1", "--pruner", "none")
    done = sweep("run", "diabetes", *small, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "studies" / "diabetes"


@pytest.fixture(scope="session")
def searched_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a real sweep with enough trials for every figure: `order_pre`."""
    folder = tmp_path_factory.mktemp("searched")
    options = ("--trials", "60", "--epochs", "4", "--pruner", "none", "--workers", "1")
    done = sweep("run", "order_pre", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "studies" / "order_pre"


@pytest.fixture(scope="session")
def hostile_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a real sweep whose study, target and error texts are hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = range(120)
    target = f"$x_1$ %{{y}} {HOSTILE}"
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
    settings = {"name": HOSTILE, "data.target": target, "model.name": "net:Net"}
    flags = [flag for key, value in settings.items() for flag in ("--set", f"{key}={value}")]
    search = ("--data", "t.csv", "--lr", "1e-3:1e3:log", "--epochs", "3", "--trials", "24")
    done = sweep(
        *("run", *search, *flags, "--engine", "sequential", "--pruner", "none", "--workers", "1"),
        *("--out", folder / "results"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder / "results"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch with one thread, as a worker has it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
