"""What the digits cost as a study file alone, and as a training loop of one's own.

The network of examples/digits is trained by the loop in train.py, one trial after the other, and by
the engine that `sweep run examples/digits/cnn.toml` has for it, many at once; each in one thread,
counted in seconds of the processor, validation included, start-up and compilation not.

.venv/bin/python benchmarks/digits.py --epochs 4
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from sweep import Schedule
from sweep.data.load import load_dataset
from sweep.study.file import load_study
from sweep.training.build import build_engine
from sweep.training.contract import OptimizerSettings, TrainingSettings, TrialSpec

EXAMPLE = Path(__file__).parent.parent / "examples/digits"


def by_loop(epochs: int) -> float:
    """Epochs a second of train.py."""
    import train  # type: ignore[import-not-found]

    class OfEpochs:
        def attach(self, optimizer: torch.optim.Optimizer, steps_per_epoch: int) -> object:
            steps = epochs * steps_per_epoch
            return Schedule("cosine", lr=0.1).attach(optimizer, total_steps=steps)

    started = time.process_time()
    for _ in train.train(OfEpochs(), epochs=epochs, seed=0, device=torch.device("cpu")):
        pass
    return epochs / (time.process_time() - started)


def by_study_file(epochs: int, name: str) -> tuple[float, int, int]:
    """Epochs a second of single trials, lanes, and training rows, of cnn.toml."""
    config = load_study(EXAMPLE / "cnn.toml", {"engine": name})
    data = load_dataset(config.data, config.seed, (EXAMPLE,), config.training.loss)
    settings = TrainingSettings.of(config)
    engine = build_engine(data, config.model, (EXAMPLE,), settings, config.engine)
    for number in range(engine.lanes):
        optimizer = OptimizerSettings("sgd", momentum=0.9)
        engine.add(TrialSpec(number, number, Schedule("cosine", lr=0.1), optimizer))
    started = time.process_time()
    for _ in range(epochs):
        engine.train_epoch()
    secs = time.process_time() - started
    return epochs * engine.lanes / secs, engine.lanes, len(data.x_train)


def main() -> None:
    """Measure both, in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    sys.path.insert(0, str(EXAMPLE))
    torch.set_num_threads(1)
    by_loop(1)
    rows = 1200
    told: dict[str, list[float]] = {"train.py": [], "sequential": [], "vectorized": []}
    lanes = 0
    for _ in range(given.turns):
        told["train.py"].append(by_loop(given.epochs) * rows)
        for name in [*told][1:]:
            speed, lanes, trained = by_study_file(given.epochs, name)
            told[name].append(speed * trained)
    for name, speeds in told.items():
        middle = sorted(speeds)[len(speeds) // 2]
        print(f"{name}: {middle:,.0f} training rows a second of the processor")
    print(f"lanes: {lanes}")


if __name__ == "__main__":
    main()
