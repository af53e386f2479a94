"""What a trial of a command costs beside starting the same script by hand.

.venv/bin/python benchmarks/command_overhead.py [--runs 20]

The script imports NumPy, as whatever trains does, and ends; as a trial it asks for its schedule and
reports once. Both are started one after the other, and the medians are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric
from sweep.training.contract import OptimizerSettings, TrialSpec
from sweep.training.own_command.engine import CommandEngine
from sweep.training.own_command.settings import CommandSettings

BY_HAND = "import numpy\n"
AS_TRIAL = BY_HAND + (
    "import sweep\ntrial = sweep.current_trial()\ntrial.schedule.rates(10)\ntrial.report(1.0)\n"
)


def by_hand(script: Path) -> float:
    """Seconds of a process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, script.name], cwd=script.parent, check=True)
    return time.perf_counter() - started


def as_trial(engine: CommandEngine, number: int) -> float:
    """Seconds of a trial, from its beginning until nothing of it is left."""
    spec = TrialSpec(number, 0, Schedule("cosine", lr=0.1), OptimizerSettings())
    started = time.perf_counter()
    engine.add(spec)
    engine.train_epoch()
    engine.remove(number)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "by_hand.py").write_text(BY_HAND)
        (folder / "as_trial.py").write_text(AS_TRIAL)
        settings = CommandSettings(
            words=(sys.executable, "as_trial.py"),
            working_folder=folder,
            metric=Metric(),
            epochs=1,
            folders=folder / "trials",
            environment=os.environ,
        )
        engine = CommandEngine(settings)
        try:
            alone = [by_hand(folder / "by_hand.py") for _ in range(runs)]
            trials = [as_trial(engine, number) for number in range(runs)]
        finally:
            engine.close()
    for title, seconds in (("by hand", alone), ("as a trial", trials)):
        print(f"{title:>10}: {statistics.median(seconds):.3f} s (best {min(seconds):.3f} s)")
    print(f"  overhead: {statistics.median(trials) - statistics.median(alone):.3f} s a trial")


if __name__ == "__main__":
    main()
