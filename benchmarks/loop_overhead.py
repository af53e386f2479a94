"""What a study of a loop of one's own costs beside a plain Optuna script with the same loop.

.venv/bin/python benchmarks/loop_overhead.py [--trials 8] [--rounds 3]

The loop trains a small model for a fixed number of steps, about 2 s of one core, on one thread. It
is run, in turns, by an Optuna script that keeps nothing (TPE, no pruner), by `sweep run` with one
worker and no pruner, and by `sweep run` as it is by default, which trains fewer epochs. All is
measured from the beginning of a run's first trial to the end of its last one. Where other processes
share the machine, whole times are theirs as much as ours: so the time outside of the loop, which is
what a sweep adds, and processor time are told beside them.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

EPOCHS, STEPS, ROWS = 20, 180, 128
LEDGER = "LOOP_OVERHEAD_LEDGER"
"""The environment variable that names the file to which the loop writes its times."""
PLAIN, NO_PRUNER, DEFAULT = "plain Optuna", "sweep, no pruner", "sweep, default"
SPACE = ("--scheduler", "cosine", "--lr", "1e-3:0.1:log", "--decay", "1e-4:1:log")


def course(attach: Callable[[torch.optim.Optimizer], LRScheduler], epochs: int) -> Iterator[float]:
    """The loss after each epoch of a training."""
    model = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = attach(optimizer)
    x = torch.randn(ROWS, 64)
    y = x[:, :4].sin().sum(dim=1, keepdim=True)
    for _ in range(epochs):
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
        yield loss.item()


def timed(epochs: Iterator[float]) -> Iterator[float]:
    """The same, and how long each epoch takes goes to the ledger."""
    with Path(os.environ[LEDGER]).open("a") as ledger:
        while True:
            begun = clocks()
            value = next(epochs, None)
            print(*begun, *clocks(), file=ledger, flush=True)
            if value is None:
                return
            yield value


def clocks() -> tuple[float, float, float]:
    """Seconds: of the machine, of this process, and of the coordinator if there is one."""
    parent = parent_process()
    ticks = 0
    if parent is not None:
        fields = Path(f"/proc/{parent.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
    return time.perf_counter(), time.process_time(), ticks / os.sysconf("SC_CLK_TCK")


def train(schedule: Any, *, epochs: int) -> Iterator[float]:
    """The loop as `sweep run` is given it."""
    return timed(course(lambda o: schedule.attach(o, steps_per_epoch=STEPS), epochs))


def plain(trials: int) -> None:
    """The Optuna script."""
    import optuna

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-3, 0.1, log=True)
        decay = trial.suggest_float("decay", 1e-4, 1.0, log=True)

        def attach(optimizer: torch.optim.Optimizer) -> LRScheduler:
            optimizer.param_groups[0]["lr"] = lr
            return CosineAnnealingLR(optimizer, EPOCHS * STEPS, eta_min=decay * lr)

        torch.manual_seed(0)
        best = math.inf
        for value in timed(course(attach, EPOCHS)):
            best = min(best, value)
        return best

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0), pruner=optuna.pruners.NopPruner()
    )
    study.optimize(objective, n_trials=trials)


@dataclass
class Cost:
    """Seconds of one side's runs, from the first trial's beginning to the last one's end.

    Args:
        trials: In all.
        in_loop: Of each epoch, and of what a loop does after its last one.
        in_loop_cpu: The same of processor time.
        outside: In which the loop was not running.
        outside_cpu: The worker's processor time then.
        coordinator_cpu: The coordinator's, throughout.
        around: Before and after, start-up and results.
    """

    trials: int = 0
    in_loop: list[float] = field(default_factory=list)
    in_loop_cpu: list[float] = field(default_factory=list)
    outside: float = 0.0
    outside_cpu: float = 0.0
    coordinator_cpu: float = 0.0
    around: float = 0.0

    @property
    def share_outside(self) -> float:
        """Time outside of the loop / time in it."""
        return self.outside / sum(self.in_loop)

    @property
    def wall(self) -> float:
        """A trial's."""
        return (sum(self.in_loop) + self.outside) / self.trials

    @property
    def cpu(self) -> float:
        """A trial's processor time, the coordinator's included."""
        return (sum(self.in_loop_cpu) + self.outside_cpu + self.coordinator_cpu) / self.trials

    @property
    def epoch_cpu(self) -> float:
        """An epoch's processor time: the median, since the first one imports."""
        return statistics.median(self.in_loop_cpu)

    def add(self, trials: int, began: float, ended: float, ledger: Path) -> None:
        """Take in a run."""
        rows = [tuple(map(float, line.split())) for line in ledger.read_text().splitlines()]
        (first, cpu, coordinator, *_), (*_, last, last_cpu, last_coordinator) = rows[0], rows[-1]
        in_loop, in_loop_cpu = [r[3] - r[0] for r in rows], [r[4] - r[1] for r in rows]
        self.trials += trials
        self.in_loop += in_loop
        self.in_loop_cpu += in_loop_cpu
        self.outside += last - first - sum(in_loop)
        self.outside_cpu += last_cpu - cpu - sum(in_loop_cpu)
        self.coordinator_cpu += last_coordinator - coordinator
        self.around += first - began + ended - last


def run(side: str, trials: int, cost: Cost) -> None:
    """Run a study of so many trials, and add what it costs."""
    with tempfile.TemporaryDirectory() as name:
        ledger = Path(name) / "ledger"
        command = [sys.executable, __file__, "--plain", str(trials)]
        if side != PLAIN:
            command = [sys.executable, "-m", "sweep", "run", "--loop", f"{__file__}:train", "--yes"]
            command += [
                "--workers",
                "1",
                "--threads",
                "1",
                "--no-confirm",
                "--quiet",
                "--trials",
                str(trials),
            ]
            command += ["--epochs", str(EPOCHS), "--out", f"{name}/study", *SPACE]
            command += ["--pruner", "none"] if side == NO_PRUNER else []
        began = time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, LEDGER: str(ledger)})
        cost.add(trials, began, time.perf_counter(), ledger)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=8, help="of a run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side, in turns")
    parser.add_argument("--plain", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        plain(given.plain)
        return
    costs = {side: Cost() for side in (PLAIN, NO_PRUNER, DEFAULT)}
    for _ in range(given.rounds):
        for side, cost in costs.items():
            run(side, given.trials, cost)
    print("seconds a trial, first trial's beginning to last one's end; in brackets processor time")
    for side, cost in costs.items():
        print(
            f"{side:>17}: {cost.wall:.3f} ({cost.cpu:.3f}), outside of the loop "
            f"{cost.outside / cost.trials:.4f} ({cost.outside_cpu / cost.trials:.4f}, coordinator "
            f"{cost.coordinator_cpu / cost.trials:.4f}), {cost.share_outside:.2%} of the time in "
            f"it; around the trials of a run {cost.around / given.rounds:.1f}"
        )
    ours, theirs = costs[NO_PRUNER], costs[PLAIN]
    print(
        f"sweep beside the plain script: {ours.share_outside - theirs.share_outside:+.1%} outside "
        f"of the loop, {ours.epoch_cpu / theirs.epoch_cpu - 1:+.1%} an epoch (processor time); "
        f"whole trials {ours.wall / theirs.wall - 1:+.1%}, processor time "
        f"{ours.cpu / theirs.cpu - 1:+.1%}, the coordinator's included"
    )


if __name__ == "__main__":
    main()
