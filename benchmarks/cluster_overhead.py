"""What a Ray cluster of one machine costs beside local processes: the same study, two workers.

`.venv/bin/python benchmarks/cluster_overhead.py`, on a machine at rest, for some minutes. Runs take
turns. Ray's own start-up is told apart: its wall time is what the run says that Ray took to start,
its processor time that of a script which starts Ray with two actors, and ends it. Processor time is
that of all processes that a run has, Ray's included, as they were seen last.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

STUDY = (
    "run",
    "diabetes",
    "--workers",
    "2",
    "--sampler",
    "random",
    "--pruner",
    "none",
    "--no-confirm",
)
BARE = """
import logging, ray, time
ray.init("local", num_cpus=2, log_to_driver=False, logging_level=logging.ERROR)
@ray.remote
class Worker:
    def ready(self): return 1
workers = [Worker.remote() for _ in range(2)]
ray.get([worker.ready.remote() for worker in workers])
ray.shutdown()
"""
_LOOK_SECS = 0.25


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Args:
        wall: Seconds.
        processor: Seconds, of it and all that it has started.
        starting: Seconds until Ray was there, of `wall`.
    """

    wall: float
    processor: float
    starting: float


def cost(command: list[str], folder: Path) -> Cost:
    """Run a command, and look at its processes meanwhile."""
    seen: dict[psutil.Process, float] = {}
    began = time.monotonic()
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryFile("w+") as told:
        running = subprocess.Popen(
            command, stdout=told, stderr=subprocess.STDOUT, cwd=folder, env=environment
        )
        whole = psutil.Process(running.pid)
        while running.poll() is None:
            try:
                for process in [whole, *whole.children(recursive=True)]:
                    times = process.cpu_times()
                    seen[process] = times.user + times.system
            except psutil.Error:
                pass  # it has ended meanwhile
            time.sleep(_LOOK_SECS)
        taken = time.monotonic() - began
        told.seek(0)
        text = told.read()
    if running.returncode:
        sys.exit(text)
    found = re.search(r"started\s+here\s+in\s+(?:(\d+) min )?([\d.]+)", text)
    starting = 60 * int(found[1] or 0) + float(found[2]) if found else 0.0
    return Cost(taken, sum(seen.values()), starting)


def study(cluster: str, trials: int, epochs: int, folder: Path) -> Cost:
    """The same study, anew."""
    command = [sys.executable, "-m", "sweep", *STUDY, "--trials", str(trials)]
    out = tempfile.mkdtemp(dir=folder)
    command += ["--epochs", str(epochs), "--out", out, "--cluster", cluster]
    return cost(command, folder)


def main() -> None:
    """Print each pair, and what is between their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    local, over_ray, bare = [], [], []
    with tempfile.TemporaryDirectory() as place:
        for turn in range(given.times):
            folder, size = Path(place), (given.trials, given.epochs)
            bare.append(cost([sys.executable, "-c", BARE], folder))
            both = {}
            for cluster in ("local", "ray")[:: 1 if turn % 2 == 0 else -1]:
                both[cluster] = study(cluster, *size, folder)
            local.append(both["local"])
            over_ray.append(both["ray"])
            load = os.getloadavg()[0]
            print(
                f"local {local[-1].wall:.1f} s ({local[-1].processor:.1f} s of processors), "
                f"Ray {over_ray[-1].wall:.1f} s ({over_ray[-1].processor:.1f}), "
                f"{over_ray[-1].starting:.1f} s of it to start ({bare[-1].processor:.1f}); "
                f"load {load:.1f}",
                flush=True,
            )
    starting = statistics.median(each.starting for each in over_ray)
    for name, start in (("wall", starting), ("processor", _median(bare, "processor"))):
        ours, theirs = _median(local, name), _median(over_ray, name)
        share = (theirs - start - ours) / ours
        print(f"{name}: {ours:.1f} s, {theirs:.1f} s, start {start:.1f} s: {share:+.1%} beyond it")


def _median(costs: list[Cost], name: str) -> float:
    median: float = statistics.median(getattr(each, name) for each in costs)
    return median


if __name__ == "__main__":
    main()
