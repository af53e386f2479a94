"""The processes of a training loop of the user's own: a DataLoader's workers, prints and bars."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from support import start_sweep, sweep

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("no_page"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads processes from /proc"),
]

LOOP = """
import os, time, torch
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

def say(worker=None):
    with open("pids.txt", "a") as file:
        file.write(f"{os.getpid()}\\n")

def train(schedule, *, epochs):
    say()
    x = torch.randn(64, 4)
    loader = DataLoader(TensorDataset(x), 16, num_workers=2, worker_init_fn=say)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=len(loader))
    try:
        for epoch in range(epochs):
            for (rows,) in tqdm(loader, desc="a bar"):
                model(rows).square().mean().backward()
                optimizer.step()
                scheduler.step()
                time.sleep(WAIT)
            print("a print")
            yield epoch
    finally:
        open("closed.txt", "a").close()
"""

RUN = (
    *("run", "--loop", "train.py:train", "--epochs", "2", "--workers", "1", "--trials", "1"),
    *("--no-confirm", "--out", "out"),
)


def is_alive(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z"


def wait_until_gone(pids: list[int]) -> None:
    until = time.monotonic() + 60
    while alive := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < until, alive
        time.sleep(0.05)


def test_a_loader_may_have_workers_and_what_is_printed_goes_to_a_log(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LOOP.replace("WAIT", "0"))
    done = sweep(*RUN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    output = done.stdout + done.stderr
    assert "a bar" not in output and "a print" not in output and "leaked" not in output
    assert "what the loop prints is in out/logs, a file a worker" in output
    log = (tmp_path / "out/logs/worker-0.txt").read_text()
    assert log.count("a print") == 2 and "a bar: 100%" in log
    pids = [int(line) for line in (tmp_path / "pids.txt").read_text().split()]
    assert len(pids) == 5  # the loop, and two workers an epoch
    wait_until_gone(pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_run(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LOOP.replace("WAIT", "1000"))
    command = start_sweep(*RUN, cwd=tmp_path)
    pids: list[int] = []
    while len(pids) < 3:
        assert is_alive(command.pid)
        time.sleep(0.05)
        told = tmp_path / "pids.txt"
        pids = [int(line) for line in told.read_text().split()] if told.exists() else []
    if number == signal.SIGINT:
        os.killpg(command.pid, number)  # as a terminal does: to every process of the group
    else:
        os.kill(command.pid, number)
    output = "".join(command.communicate(timeout=100))
    wait_until_gone(pids)
    if number != signal.SIGKILL:
        assert command.returncode == 130, output
        assert (tmp_path / "closed.txt").exists()
        assert "leaked" not in output
