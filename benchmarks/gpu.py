"""Whether lanes on a GPU compute what one trial on the CPU computes, and how fast they are.

`python benchmarks/gpu.py` on a machine with a GPU takes about ten minutes; `--device cpu` runs the
same in small, with steps that are run again in the place of CUDA graphs. `--part` chooses one of

- `conformance`: captured lanes beside the sequential engine on the CPU, over models and optimizers,
  after three epochs; exit code 1 if a relative difference is above 1e-3;
- `speed`: lane-epochs per second, validation included, beside a training loop as a user would
  write it, on the same device in the same run;
- `command`: a whole `sweep run` of 300 trials of 20 epochs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from engine_speed import plain_loop
from torch import Tensor, nn

from sweep.schedules.schedule import Schedule
from sweep.study.sections import ModelConfig
from sweep.training.contract import (
    EpochResult,
    OptimizerSettings,
    TrainingData,
    TrainingSettings,
    TrialSpec,
)
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.models import build_model, set_products_of
from sweep.training.sequential import SequentialEngine

BAR = 1e-3
SIDE = 16
"""Of an image, in pixels."""

NUMBERS = ("value", "averaged", "training", "grad_norm")
OPTIMIZERS = {
    "sgd": OptimizerSettings("sgd", momentum=0.9),
    "adam": OptimizerSettings("adam"),
    "adamw": OptimizerSettings("adamw", weight_decay=0.05),
    "rmsprop": OptimizerSettings("rmsprop"),
}


class Images(nn.Module):
    """Rows of SIDE * SIDE numbers as images of one channel."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, 1)."""
        y: Tensor = self.layers(x.view(len(x), 1, SIDE, SIDE))
        return y


def cnn(normed: bool = False) -> nn.Module:
    """Two convolutions of 16 and 32 channels; a bias before batch norm would have no effect."""
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32)):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=not normed)]
        layers += [nn.BatchNorm2d(after)] if normed else []
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return Images(*layers, nn.Flatten(), nn.Linear(32 * (SIDE // 4) ** 2, 1))


class Sequences(nn.Module):
    """Rows of SIDE * SIDE numbers as sequences of SIDE tokens, for a transformer or an LSTM."""

    def __init__(self, recurrent: bool) -> None:
        super().__init__()
        self.recurrent = recurrent
        if recurrent:
            self.core: nn.Module = nn.LSTM(32, 32, batch_first=True)
        else:
            self.core = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, bias=False)
        self.up, self.out = nn.Linear(SIDE, 32), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, 1)."""
        tokens = self.core(self.up(x.view(len(x), SIDE, SIDE)))
        y: Tensor = self.out(tokens[0][:, -1] if self.recurrent else tokens.mean(1))
        return y


@dataclass(frozen=True)
class Net:
    """A model, and how many numbers it takes."""

    features: int
    build: Callable[[], nn.Module]

    def seeded(self, seed: int) -> nn.Module:
        """With the initial weights of a seed."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.build()


def built_in(config: ModelConfig) -> Net:
    """A model of the registry, of three numbers."""
    return Net(3, lambda: build_model(config, 3, int(torch.randint(2**31, ()).item())))


NETS = {
    "order-pre": built_in(ModelConfig()),
    "linear": built_in(ModelConfig(name="linear")),
    "mlp": built_in(ModelConfig(name="mlp", hidden=[128, 128])),
    "mlp, dropout": built_in(ModelConfig(name="mlp", hidden=[32, 32], dropout=0.2)),
    "CNN": Net(SIDE * SIDE, cnn),
    "CNN, batch norm": Net(SIDE * SIDE, lambda: cnn(normed=True)),
    "transformer": Net(SIDE * SIDE, lambda: Sequences(recurrent=False)),
    "LSTM": Net(SIDE * SIDE, lambda: Sequences(recurrent=True)),
}


def make_data(rows: int, features: int) -> TrainingData:
    """A smooth target of a few of the numbers; a quarter as many rows for validation."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows + rows // 4, features, generator=generator)
    y = x[:, 0].sin() + x[:, 1] * x[:, 2]
    return TrainingData(x[:rows], y[:rows], x[rows:], y[rows:], target_scale=1.0)


def on(device: str, data: TrainingData) -> TrainingData:
    """The same rows on a device."""
    return replace(
        data,
        x_train=data.x_train.to(device),
        y_train=data.y_train.to(device),
        x_validation=data.x_validation.to(device),
        y_validation=data.y_validation.to(device),
    )


def specs(count: int, optimizer: OptimizerSettings, peak: float) -> Iterator[TrialSpec]:
    """Trials of seeds and rates of their own."""
    for number in range(count):
        schedule = Schedule("cosine", peak * 0.999**number)
        yield TrialSpec(number, number, schedule, optimizer)


def difference(net: Net, name: str, device: str, rows: int) -> tuple[float, list[str]]:
    """The largest relative one after three epochs, and the notes of the engine of lanes."""
    data = make_data(rows, net.features)
    settings = TrainingSettings(epochs=3, batch_size=48, clip=5.0)  # the last batch is smaller
    ours = VectorizedEngine(on(device, data), net.seeded, settings, kernel="captured", lanes=4)
    twin = SequentialEngine(data, net.seeded, settings)
    for spec in specs(3, OPTIMIZERS[name], 0.01 if name == "sgd" else 0.001):
        ours.add(spec)
        twin.add(spec)
    worst = 0.0
    for _ in range(settings.epochs):
        pairs = list(zip(ours.train_epoch(), twin.train_epoch(), strict=True))
        for one, other in pairs:
            assert isinstance(one, EpochResult), one
            for number in NUMBERS:
                expected = getattr(other, number)
                worst = max(worst, abs(getattr(one, number) - expected) / abs(expected))
    return worst, ours.notes


def conformance(device: str, rows: int) -> bool:
    """Print a table of differences; whether all are within the bar."""
    print(f"largest relative difference from the CPU after three epochs (bar {BAR:g})")
    print(f"{'':16}" + "".join(f"{name:>10}" for name in OPTIMIZERS))
    fine, notes = True, list[str]()
    for title, net in NETS.items():
        shown = []
        for name in OPTIMIZERS:
            worst, told = difference(net, name, device, rows)
            fine &= worst <= BAR and not told
            notes += [f"{title}, {name}: {note}" for note in told]
            shown.append(f"{worst:10.1e}")
        print(f"{title:16}" + "".join(shown), flush=True)
    print("\n".join(notes) if notes else "every step was recorded")
    return fine


def per_second(run: Callable[[], int], device: str, secs: float) -> float:
    """Lane-epochs per second: the median of three turns, after one that warms up."""
    run()
    speeds = []
    for _ in range(3):
        _wait(device)
        started, epochs = time.perf_counter(), 0
        while time.perf_counter() - started < secs / 3 or not epochs:
            epochs += run()
            _wait(device)
        speeds.append(epochs / (time.perf_counter() - started))
    return statistics.median(speeds)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def speeds(device: str, rows: int, counts: tuple[int, ...], secs: float) -> None:
    """Print the table of speeds; the number of lanes that is chosen stands in the last column."""
    print(f"\nlane-epochs per second on {rows:,} rows, validation included; x plain in brackets")
    heads = (*(f"{count} lanes" for count in counts), "chosen")
    print(f"{'model, batch':18}{'plain':>9}" + "".join(f"{head:>18}" for head in heads))
    for title, batch in (("order-pre", 64), ("order-pre", rows), ("mlp", 64), ("CNN", 64)):
        net = NETS[title]
        data = on(device, make_data(rows, net.features))
        settings = TrainingSettings(epochs=100, batch_size=batch)
        plain = per_second(plain_loop(data, net.seeded(0).to(device), batch), device, secs)
        shown = f"{title + ', ' + ('full' if batch == rows else str(batch)):18}{plain:9.1f}"
        for count in (*(c for c in counts if title != "CNN" or c <= 512), None):
            engine = VectorizedEngine(data, net.seeded, settings, kernel="captured", lanes=count)
            for spec in specs(engine.lanes, OptimizerSettings(), 0.01):
                engine.add(spec)
            speed = per_second(lambda engine=engine: len(engine.train_epoch()), device, secs)  # type: ignore[misc]
            cell = f"{speed:,.0f} ({speed / plain:,.1f}x)"
            shown += f"{cell if count else f'{engine.lanes}: {cell}':>18}"
            for note in engine.notes:
                print(note)
            del engine
        print(shown, flush=True)


def command(device: str, trials: int, epochs: int, users: int) -> None:
    """Time a whole `sweep run`."""
    study = f"""\
trials = {trials}
epochs = {epochs}
pruner = "none"
confirm = false
device = "{device}"
model = {{name = "order-pre"}}
optimizer.batch_size = 64
data = {{users = {users}, target = "buy"}}
"""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "gpu.toml").write_text(study)
        started = time.perf_counter()
        call = [sys.executable, "-m", "sweep", "run", "gpu.toml"]
        environment = os.environ | {"COLUMNS": "100"}
        done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True)
        secs = time.perf_counter() - started
    print(f"\nsweep run, {trials} trials of {epochs} epochs on {device}: {secs:.1f} s, ", end="")
    print(f"{trials * epochs / secs:,.0f} epochs/s")
    for line in done.stderr.splitlines():
        print("  " + line)
    if done.returncode:
        sys.exit(f"sweep run failed: {done.returncode}")


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parts = ("conformance", "speed", "command")
    parser.add_argument("--part", choices=parts, action="append")
    parser.add_argument("--secs", type=float, default=2.0, help="for each speed")
    given = parser.parse_args()
    small = given.device == "cpu"
    torch.set_num_threads(1)
    set_products_of("highest")
    fine = True
    for part in given.part or parts:
        if part == "conformance":
            fine = conformance(given.device, 150 if small else 500)
        elif part == "speed":
            counts = (2, 4) if small else (64, 512, 2048)
            speeds(given.device, 400 if small else 8_000, counts, given.secs)
        else:
            command(given.device, *((8, 2, 800) if small else (300, 20, 11_429)))
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
