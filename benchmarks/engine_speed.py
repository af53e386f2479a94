"""Trained epochs per second of one process with one thread, by engine and batch size.

`python benchmarks/engine_speed.py` measures, in turns, a training loop as a user would write it,
the sequential engine and the vectorised engine's kernels, on 8,000 rows with order-pre. Seconds
are those of the processor, so that other programs on the machine matter little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from sweep.base.errors import TrainingError
from sweep.schedules.schedule import Schedule
from sweep.study.sections import ModelConfig
from sweep.training.contract import OptimizerSettings, TrainingData, TrainingSettings, TrialSpec
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.models import build_model
from sweep.training.sequential import SequentialEngine

EPOCHS = 1_000


def make_data(rows: int) -> TrainingData:
    """Three features and a smooth target."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows + rows // 4, 3, generator=generator)
    y = x[:, 0].sin() + x[:, 1] * x[:, 2]
    return TrainingData(x[:rows], y[:rows], x[rows:], y[rows:], target_scale=1.0)


def plain_loop(data: TrainingData, model: nn.Module, batch_size: int) -> Callable[[], int]:
    """A user's own loop: a permutation, batches, a step of SGD and of the schedule each."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    loss_function = nn.MSELoss()

    def epoch() -> int:
        model.train()
        for batch in torch.split(torch.randperm(len(data.x_train)), batch_size):
            optimizer.zero_grad()
            loss = loss_function(model(data.x_train[batch]).squeeze(-1), data.y_train[batch])
            loss.backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            loss_function(model(data.x_validation).squeeze(-1), data.y_validation).item()
        return 1

    return epoch


def engines(
    data: TrainingData, config: ModelConfig, batch_size: int, optimizer: OptimizerSettings
) -> dict[str, Callable[[], int]]:
    """What trains an epoch of some lanes, and says of how many, by name."""
    settings = TrainingSettings(epochs=EPOCHS, batch_size=batch_size)

    def build(seed: int) -> nn.Module:
        return build_model(config, 3, seed)

    made: dict[str, SequentialEngine | VectorizedEngine] = {
        "sequential": SequentialEngine(data, build, settings)
    }
    for kernel in ("eager", "compiled", "native"):
        try:
            made[kernel] = VectorizedEngine(data, build, settings, kernel=kernel)
        except TrainingError as error:
            print(f"{kernel}: {error}")
    runs: dict[str, Callable[[], int]] = {"plain": plain_loop(data, build(0), batch_size)}
    for name, engine in made.items():
        for lane in range(engine.lanes):
            schedule = Schedule("cosine", 0.01 * 1.1**-lane)
            engine.add(TrialSpec(lane, 0, schedule, optimizer))
        runs[name] = lambda engine=engine: len(engine.train_epoch())  # type: ignore[misc]
        print(f"  {name}: {engine.lanes} lanes")
    return runs


def epochs_per_second(runs: dict[str, Callable[[], int]], turns: int) -> dict[str, float]:
    """The median over turns, after a turn to warm up."""
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            started, epochs = time.process_time(), 0
            while time.process_time() - started < 0.5 or not epochs:
                epochs += run()
            if turn:
                speeds[name].append(epochs / (time.process_time() - started))
    return {name: statistics.median(values) for name, values in speeds.items()}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--batch", type=int, nargs="*", default=[32, 64, 256, 0])
    parser.add_argument("--hidden", type=int, nargs="*", help="an mlp instead of order-pre")
    parser.add_argument("--optimizer", default="sgd")
    given = parser.parse_args()
    torch.set_num_threads(1)
    config = ModelConfig(name="mlp", hidden=given.hidden) if given.hidden else ModelConfig()
    data, optimizer = make_data(given.rows), OptimizerSettings(given.optimizer)
    for batch_size in given.batch:
        print(f"batch size {batch_size or given.rows}")
        runs = engines(data, config, batch_size or given.rows, optimizer)
        speeds = epochs_per_second(runs, given.turns)
        for name, speed in speeds.items():
            print(f"  {name:10} {speed:7.1f} epochs/s {speed / speeds['plain']:6.1f} x plain")


if __name__ == "__main__":
    main()
