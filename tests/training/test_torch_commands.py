"""Scripts that train with torch: an optimizer, DataLoader workers, several processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import (
    EPOCHS,
    engine_of,
    settings_of,
    spec,
    trained,
    values,
    wait_for,
    wait_until_gone,
)
from support import ROOT

from sweep.study.metric import Metric
from sweep.training.contract import EpochResult
from sweep.training.own_command.engine import CommandEngine

pytestmark = pytest.mark.slow

EXAMPLE = (ROOT / "examples/command/train.py").read_text(encoding="utf-8")
STEPS = 19
"""In an epoch of the example: 1,200 images in batches of 64."""


def test_the_example_follows_its_schedule_with_loader_workers(tmp_path: Path) -> None:
    metric = Metric("val_accuracy", maximize=True)
    with engine_of(tmp_path, EXAMPLE, "--loader-workers", "2", metric=metric) as engine:
        news = trained(engine)
        assert engine.notes == []
    rates = spec().schedule.rates(EPOCHS * STEPS).reshape(EPOCHS, STEPS)
    for epoch, result in enumerate(news):
        assert isinstance(result, EpochResult), result
        assert (result.total_steps, result.advice) == (EPOCHS * STEPS, ())
        assert result.lr_first == pytest.approx(rates[epoch][0])
        assert result.lr_last == pytest.approx(rates[epoch][-1])
    assert max(values(news)) > 0.8
    assert (tmp_path / "trials/0/model.pt").exists()


def test_the_example_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, EXAMPLE)
    killed = CommandEngine(settings)
    killed.add(spec())
    assert len(values([*killed.train_epoch(), *killed.train_epoch()])) == 2
    killed._runs[0].process._process.kill()  # its second epoch is reported, and not yet saved
    killed.close()
    with engine_of(tmp_path, EXAMPLE) as engine:
        news = trained(engine)
        assert engine.notes == ["trial 0 goes on after its epoch 2"]
    assert [result.epoch for result in news if isinstance(result, EpochResult)] == [1, 2, 3]
    rates = spec().schedule.rates(EPOCHS * STEPS).reshape(EPOCHS, STEPS)
    for result, rate in zip(news, rates, strict=True):
        assert isinstance(result, EpochResult)
        assert result.lr_first == pytest.approx(rate[0])
        assert result.advice == ()


def test_the_page_shows_what_the_example_does() -> None:
    page = (ROOT / "docs/own-code.md").read_text(encoding="utf-8")
    block = page[page.index("first = 0") : page.index("# whole, or not at all")]
    lines = {line.split("  #")[0].strip() for line in block.splitlines()}
    assert len(lines) > 10
    shown = {line.split("  #")[0].strip() for line in EXAMPLE.splitlines()}
    assert lines - shown == {"...", "trial.report(accuracy)"}


def test_outside_of_a_sweep_it_trains_with_its_own_rate(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(EXAMPLE)
    command = [sys.executable, "train.py", "--epochs", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told, *values = done.stdout.splitlines()
    folder = Path(told.removeprefix("trial.folder: "))
    assert (folder / "model.pt").exists()
    shutil.rmtree(folder)
    first, second = map(float, values)
    assert 0.5 < first < second <= 1
    assert os.listdir(tmp_path) == ["train.py"]


DISTRIBUTED = """
import os, torch
import torch.distributed as dist
import sweep

dist.init_process_group("gloo")
trial = sweep.current_trial()
rank = dist.get_rank()
torch.manual_seed(trial.seed)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1, bias=False))
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
scheduler = trial.attach(optimizer, steps_per_epoch=4)
with open("pids.txt", "a") as file:
    print(os.getpid(), file=file)
try:
    for epoch in range(trial.epochs):
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.full((1, 1), 1.0 + rank)).sum().backward()
            optimizer.step()
            scheduler.step()
        trial.report(100 * epoch + rank)
finally:
    print(f"rank {rank} closed", flush=True)
    dist.destroy_process_group()
"""


def by_torchrun(folder: Path, script: str, stop_secs: float) -> CommandEngine:
    words = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
    settings = settings_of(folder, script, stop_secs=stop_secs, threads=1)
    rendezvous = ("--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0")
    return CommandEngine(replace(settings, words=(*words, *rendezvous, "train.py")))


def test_rank_0_may_report_alone(tmp_path: Path) -> None:
    script = DISTRIBUTED.replace("trial.report(", "if rank == 0: trial.report(")
    engine = by_torchrun(tmp_path, script, stop_secs=1.0)
    try:
        engine.add(spec(0))
        assert values(engine.train_epoch()) == [0]
        assert values(engine.train_epoch()) == [100]
        pids = [int(line) for line in wait_for(tmp_path / "pids.txt", 2)]
        engine.remove(0)  # rank 1 waits for a rank 0 that has ended
        wait_until_gone(pids, secs=0.1)
    finally:
        engine.close()


def test_several_processes_report_as_one_and_stop_together(tmp_path: Path) -> None:
    engine = by_torchrun(tmp_path, DISTRIBUTED, stop_secs=60.0)
    try:
        news = trained(engine)
        assert values(news) == [0, 100, 200], news  # of the first process alone
        assert isinstance(news[0], EpochResult) and news[0].total_steps == 4 * EPOCHS
        np.testing.assert_allclose(news[0].lr_first, 0.2)
        (tmp_path / "pids.txt").unlink()
        engine.add(spec(1))
        assert values(engine.train_epoch()) == [0]
        pids = [int(line) for line in wait_for(tmp_path / "pids.txt", 2)]
        run = engine._runs[1]
        run.stop(60.0)  # as a pruned trial is told to
        assert run.process.code == 0
        closed = re.findall(r"rank \d closed", run.folder.log.read_text())
        assert sorted(closed) == ["rank 0 closed", "rank 1 closed"]
        engine.remove(1)
        wait_until_gone(pids, secs=0.1)
    finally:
        engine.close()
