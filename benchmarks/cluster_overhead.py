"""What a Ray cluster of one machine costs beside local processes: the same study, two workers.

`.venv/bin/python benchmarks/cluster_overhead.py`, on a machine at rest, for some minutes. Runs take
turns. Of a run over Ray, its own start-up is told apart: that is from the command until the cluster
is there.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = ("run", "diabetes", "--workers", "2", "--deterministic", "--pruner", "none", "--no-confirm")


def seconds(cluster: str, trials: int, epochs: int, folder: Path) -> tuple[float, float]:
    """A run's wall time, and what of it Ray took to start."""
    command = [sys.executable, "-m", "sweep", *STUDY, "--trials", str(trials)]
    out = tempfile.mkdtemp(dir=folder)
    command += ["--epochs", str(epochs), "--out", out, "--cluster", cluster]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    taken = time.monotonic() - began
    told = re.search(r"started\s+here\s+in\s+(?:(\d+) min )?([\d.]+)", done.stdout + done.stderr)
    return taken, 60 * int(told[1] or 0) + float(told[2]) if told else 0.0


def main() -> None:
    """Print both, and what is between them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    local, ray, start = [], [], []
    with tempfile.TemporaryDirectory() as place:
        for _ in range(given.times):
            local.append(seconds("local", given.trials, given.epochs, Path(place))[0])
            taken, starting = seconds("ray", given.trials, given.epochs, Path(place))
            ray.append(taken)
            start.append(starting)
            print(f"local {local[-1]:.1f} s, Ray {taken:.1f} s, {starting:.1f} s of it to start")
    ours, theirs, begun = map(statistics.median, (local, ray, start))
    share = (theirs - begun - ours) / ours
    print(f"medians: {ours:.1f} s, {theirs:.1f} s, start {begun:.1f} s: {share:+.1%} beyond it")


if __name__ == "__main__":
    main()
