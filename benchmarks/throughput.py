"""Trained epochs per second of whole studies: `sweep run` beside a user's own Optuna script.

`make bench`, or `python benchmarks/throughput.py --quick` for a first look. All sides train in one
run, in turns, on the same prepared rows, models, search space, random sampler and optimizer,
without pruning. The table, a picture and all numbers go to `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from sweep.data import load_dataset
from sweep.models import build_model
from sweep.results import EPOCHS, read_results
from sweep.run import default_workers
from sweep.settings import StudyConfig
from sweep.training.engine import TrainingData

EPOCHS_A_TRIAL = 20
USERS = 11_429  # 8,000 of them to train on
WORKERS = default_workers()
TICKS = os.sysconf("SC_CLK_TCK")
SCHEDULERS = ("constant", "step", "exponential", "linear", "cosine")
LR, DECAY, DROPS = (1e-3, 0.1), (1e-4, 1.0), (1, 5)
MODELS: dict[str, dict[str, Any]] = {
    "order-pre": {"name": "order-pre"},
    "mlp": {"name": "mlp", "hidden": [128, 128]},
}
WORKLOADS = [*(f"order-pre {size}" for size in (32, 64, 256, "full")), "mlp 64", "mlp 256"]
BASE = "optuna-sqlite"
TITLES = {
    BASE: "Optuna, SQLite",
    "optuna-journal": "Optuna, journal",
    "ray": "Ray Tune",
    "sequential": "sweep, sequential",
    "sweep": "sweep run",
}

CAPTION = """\
Trained epochs per second, start-up and compilation included, over a study of {given.trials} trials
of 20 epochs on {rows:,} rows; trials per second are a twentieth of them; (x) is relative to Optuna
on SQLite. {workers} processes of one thread; medians of {given.runs} runs. `sweep run` really ran
the whole study; the others ran {given.peer_trials} trials, and their time for {given.trials} is
the measured time around the trials plus {given.trials} times the measured time per trial. Schedules
of the Optuna and Ray sides are stepped per epoch, those of sweep per batch. \"Of `torch.mm`\": the
arithmetic of `sweep run`'s linear layers relative to a float32 product of 512 x 512 matrices in
the same run. \"As good as Optuna\": when `sweep run` had ended a trial with a validation MSE as low
as the best of Optuna's {given.peer_trials} trials, after its start (and when Optuna had)."""
OVERHEAD_CAPTION = """\
{given.trials} trials of the shipped study with its own sampler and pruner. \"Not training\": of the
workers' time between the first trial's start and the last one's end. \"Coordinator\": its processor
time per trained epoch of one trial in that span."""
STYLE = (
    "text{fill:#24292f} .head{font-weight:600} line{stroke:#57606a;stroke-dasharray:3 3} "
    ".sweep{fill:#0969da} .sequential{fill:#7c93b2} .optuna-journal,.ray{fill:#afb8c1} "
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3} line{stroke:#8b949e} "
    ".sweep{fill:#4493f8} .sequential{fill:#6b7f99} .optuna-journal,.ray{fill:#57606a}}"
)

Params = Mapping[str, Any]
"""What a peer's trial is trained with: scheduler, lr, decay and drops."""


@dataclass(frozen=True)
class Timing:
    """One side's study.

    Args:
        around_secs: Start-up and ending: all but the trials.
        trials_secs: From the first trial's start to the last one's end.
        trials: How many were trained.
        epochs: How many epochs, of all trials.
        ends: When each trial ended, in seconds after the command, and its lowest validation MSE.
    """

    around_secs: float
    trials_secs: float
    trials: int
    epochs: int
    ends: list[tuple[float, float]]

    def epochs_per_second(self, trials: int) -> float:
        """Over a study of so many trials, start-up and ending included."""
        wall_secs = self.around_secs + self.trials_secs * trials / self.trials
        return self.epochs / self.trials * trials / wall_secs

    @property
    def best(self) -> float:
        """The lowest validation MSE of all trials."""
        return min(mse for _, mse in self.ends)

    def reached(self, mse: float) -> float:
        """Seconds from the command to the first ended trial that is as good; infinite if none is."""
        return min((at for at, own in self.ends if own <= mse), default=math.inf)


def study_config(workload: str, trials: int) -> StudyConfig:
    """The one description of a workload that all sides train from."""
    model, _, batch = workload.partition(" ")
    space = {
        "scheduler": list(SCHEDULERS),
        "lr": f"{LR[0]}:{LR[1]}:log",
        "decay": f"{DECAY[0]}:{DECAY[1]}:log",
        "warmup": 0.0,
        "step.drops": f"{DROPS[0]}:{DROPS[1]}",
    }
    values = {
        "epochs": EPOCHS_A_TRIAL,
        "trials": trials,
        "data": {"users": USERS, "target": "buy"},
        "model": MODELS[model],
        "optimizer": {"batch_size": int(batch) if batch.isdigit() else batch},
        "space": space,
        "sampler": "random",
        "pruner": "none",
    }
    return StudyConfig.model_validate(values)


def load_rows(config: StudyConfig) -> TrainingData:
    """What `sweep run` trains on."""
    data = load_dataset(config.data, config.seed)
    arrays = (data.x_train, data.y_train, data.x_validation, data.y_validation)
    return TrainingData(*map(torch.from_numpy, arrays), target_scale=data.target_scale)


def torch_scheduler(optimizer: torch.optim.Optimizer, given: Params) -> lr_scheduler.LRScheduler:
    """A scheduler of torch's that is stepped after every epoch."""
    decay, steps = given["decay"], EPOCHS_A_TRIAL - 1
    if given["scheduler"] == "step":
        size = math.ceil(EPOCHS_A_TRIAL / (given["drops"] + 1))
        return lr_scheduler.StepLR(optimizer, size, decay ** (1 / given["drops"]))
    if given["scheduler"] == "exponential":
        return lr_scheduler.ExponentialLR(optimizer, decay ** (1 / steps))
    if given["scheduler"] == "linear":
        return lr_scheduler.LinearLR(optimizer, 1.0, decay, steps)
    if given["scheduler"] == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, steps, given["lr"] * decay)
    return lr_scheduler.ConstantLR(optimizer, 1.0)


def train_plainly(
    config: StudyConfig, data: TrainingData, given: Params, report: Callable[[float, int], None]
) -> float:
    """A user's own loop over epochs and batches; returns the lowest validation MSE."""
    torch.manual_seed(config.seed)
    rows = len(data.x_train)
    batch_size = rows if config.optimizer.batch_size == "full" else config.optimizer.batch_size
    model = build_model(config.model, data.x_train.shape[1], config.seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=given["lr"])
    scheduler = torch_scheduler(optimizer, given)
    loss_function = nn.MSELoss()
    best = math.inf
    for epoch in range(1, EPOCHS_A_TRIAL + 1):
        model.train()
        order = torch.randperm(rows)
        for begin in range(0, rows, batch_size):
            batch = order[begin : begin + batch_size]
            optimizer.zero_grad()
            loss = loss_function(model(data.x_train[batch]).squeeze(-1), data.y_train[batch])
            loss.backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            prediction = model(data.x_validation).squeeze(-1)
            mse = loss_function(prediction, data.y_validation).item() * data.mse_scale
        best = min(best, mse)
        report(mse, epoch)
    return best


def optuna_storage(url: str) -> optuna.storages.BaseStorage | str:
    """What `create_study` takes."""
    if url.startswith("sqlite:"):
        return url
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(url))


def optimize(
    config: StudyConfig, url: str, trials: int, process: int
) -> tuple[float, float, list[tuple[float, float]]]:
    """One process of the peer: when it began and ended its trials, and each one's end and MSE."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = load_rows(config)
    study = optuna.load_study(
        study_name="peer",
        storage=optuna_storage(url),
        sampler=optuna.samplers.RandomSampler(seed=config.seed + process),
        pruner=optuna.pruners.NopPruner(),
    )
    ends = []

    def objective(trial: optuna.Trial) -> float:
        scheduler = trial.suggest_categorical("scheduler", SCHEDULERS)
        given: dict[str, Any] = {"scheduler": scheduler}
        given["lr"] = trial.suggest_float("lr", *LR, log=True)
        given["decay"] = trial.suggest_float("decay", *DECAY, log=True)
        if scheduler == "step":
            given["drops"] = trial.suggest_int("drops", *DROPS)

        def report(mse: float, epoch: int) -> None:
            trial.report(mse, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        best = train_plainly(config, data, given, report)
        ends.append((time.time(), best))
        return best

    began = time.time()
    study.optimize(objective, n_trials=trials)
    return began, time.time(), ends


def run_optuna(config: StudyConfig, url: str, trials: int) -> Timing:
    """The peer in one process a core, from its start to its end."""
    started = time.time()
    optuna.create_study(study_name="peer", storage=optuna_storage(url))
    each = trials // WORKERS
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        parts = [pool.submit(optimize, config, url, each, i) for i in range(WORKERS)]
        done = [part.result() for part in parts]
    wall_secs = time.time() - started
    spans = [ended - began for began, ended, _ in done]
    return Timing(
        around_secs=wall_secs - max(spans),
        trials_secs=statistics.mean(spans),
        trials=each * WORKERS,
        epochs=each * WORKERS * EPOCHS_A_TRIAL,
        ends=[(at - started, mse) for _, _, ends in done for at, mse in ends],
    )


def run_ray(config: StudyConfig, folder: Path, trials: int) -> Timing:
    """The peer's loop under Ray Tune, one trial a core at a time."""
    started = time.time()
    import ray
    from ray import tune

    def train(given: dict[str, Any], data: TrainingData) -> None:
        torch.set_num_threads(1)
        began = time.time()

        def report(mse: float, epoch: int) -> None:
            tune.report({"mse": mse, "began": began, "ended": time.time()})

        train_plainly(config, data, given, report)

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    space = {
        "scheduler": tune.choice(SCHEDULERS),
        "lr": tune.loguniform(*LR),
        "decay": tune.loguniform(*DECAY),
        "drops": tune.randint(DROPS[0], DROPS[1] + 1),
    }
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, data=load_rows(config)), {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(metric="mse", mode="min", num_samples=trials),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    grid = tuner.fit()
    ray.shutdown()
    wall_secs = time.time() - started
    frame = grid.get_dataframe("mse", "min")
    last = grid.get_dataframe()
    span = last["ended"].max() - last["began"].min()
    ends = [(at - started, m) for at, m in zip(last["ended"], frame["mse"], strict=True)]
    return Timing(wall_secs - span, span, trials, trials * EPOCHS_A_TRIAL, ends)


def run_sweep(arguments: list[str], folder: Path) -> tuple[Timing, dict[str, float]]:
    """A `sweep run`, nothing compiled before; its timing, and what was not training."""
    results = folder / "results"
    command = [sys.executable, "-m", "sweep", "run", *arguments, "--out", str(results), "--quiet"]
    caches = ("XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR")
    started, clock = datetime.now(), time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **{name: str(folder / name) for name in caches}}
    )
    used: list[tuple[datetime, float]] = []
    while process.poll() is None:
        if (stat := Path(f"/proc/{process.pid}/stat")).exists():
            fields = stat.read_text().rpartition(")")[2].split()  # without children's time
            used.append((datetime.now(), (int(fields[11]) + int(fields[12])) / TICKS))
        time.sleep(0.02)
    wall_secs = time.monotonic() - clock
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    trials, epochs = read_results(results), pd.read_csv(results / EPOCHS)
    first, last = trials["started"].min(), trials["finished"].max()
    span = (last - first).total_seconds()
    finished = [(end - started).total_seconds() for end in trials["finished"]]
    ends = list(zip(finished, trials["val_mse"], strict=True))
    during = [secs for at, secs in used if first <= at <= last]
    timing = Timing(wall_secs - span, span, len(trials), len(epochs), ends)
    return timing, {
        "epochs": len(epochs),
        "span_secs": span,
        "not_training": 1 - float(epochs["seconds"].sum()) / (WORKERS * span),
        "coordinator_ms": 1000 * (during[-1] - during[0]) / len(epochs) if during else math.nan,
    }


def multiply_gflops(seconds: float) -> float:
    """Speed of torch.mm of two 512 x 512 float32 matrices with one thread."""
    torch.set_num_threads(1)
    a, b, count = torch.randn(512, 512), torch.randn(512, 512), 0
    torch.mm(a, b)
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        torch.mm(a, b)
        count += 1
    return count * 2 * 512**3 / (time.perf_counter() - started) / 1e9


def product_gflops() -> float:
    """The same on all cores at once, their sum."""
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        return sum(pool.map(multiply_gflops, [2.0] * WORKERS))


def gflop_per_epoch(config: StudyConfig) -> float:
    """Of the linear layers: three products a training row, one a validation row."""
    data = load_rows(config)
    model = build_model(config.model, data.x_train.shape[1], config.seed)
    weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
    return 2 * weights * (3 * len(data.x_train) + len(data.x_validation)) / 1e9


def measure(side: str, config: StudyConfig, peer_trials: int) -> tuple[Timing, dict[str, float]]:
    """One side's study in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if side == "ray":
            return run_ray(config, folder, peer_trials), {}
        if side.startswith("optuna"):
            url = f"sqlite:///{folder}/s.db" if side == BASE else str(folder / "s.journal")
            return run_optuna(config, url, peer_trials), {}
        file = folder / "study.toml"
        file.write_text(config.to_toml())
        if side == "sequential":
            asked = ["--engine", "sequential", "--trials", str(peer_trials)]
            return run_sweep([str(file), *asked], folder)
        return run_sweep([str(file)], folder)


def measure_workload(workload: str, given: argparse.Namespace, turn: int) -> dict[str, Any]:
    """Every side once, a different one first in each turn; a flat row of numbers."""
    config = study_config(workload, given.trials)
    gflops, gflop = product_gflops(), gflop_per_epoch(config)
    sides = [s for s in TITLES if s != "ray" or importlib.util.find_spec("ray")]
    first = turn % len(sides)
    timings: dict[str, Timing] = {}
    row: dict[str, Any] = {"workload": workload}
    for side in sides[first:] + sides[:first]:
        timings[side], overhead = measure(side, config, given.peer_trials)
        row[side] = timings[side].epochs_per_second(given.trials)
        print(f"{workload}, {TITLES[side]}: {row[side]:.1f} epochs/s", flush=True)
        row |= {f"{side} {name}": value for name, value in overhead.items()}
    target = timings[BASE].best
    row["product_gflops"], row["share_of_product"] = gflops, row["sweep"] * gflop / gflops
    row["best_mse_of_optuna"], row["best_mse"] = target, timings["sweep"].best
    row["optuna_best_after_secs"] = timings[BASE].reached(target)
    row["sweep_as_good_after_secs"] = timings["sweep"].reached(target)
    return row


def tables(speeds: pd.DataFrame, overheads: pd.DataFrame, given: argparse.Namespace) -> str:
    """Both tables in GitHub's Markdown, with what they mean."""
    sides = [side for side in TITLES if side in speeds]
    head = ["Model, batch size", *(TITLES[s] for s in sides), "of `torch.mm`", "as good as Optuna"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for workload, row in speeds.iterrows():
        cells = [f"{row[s]:.1f} ({row[s] / row[BASE]:.1f} x)" for s in sides]
        after = (row["sweep_as_good_after_secs"], row["optuna_best_after_secs"])
        cells += [f"{row['share_of_product']:.0%}", "{:.0f} s (Optuna: {:.0f} s)".format(*after)]
        lines.append(f"| {workload} | {' | '.join(cells)} |")
    without_ray = "" if "ray" in sides else " Ray Tune is not installed and was left out."
    rows = round(USERS * 0.7)
    lines += ["", CAPTION.format(given=given, rows=rows, workers=WORKERS) + without_ray, ""]
    lines += ["| Study | epochs | not training | coordinator per epoch |", "|---|---:|---:|---:|"]
    for study, row in overheads.iterrows():
        share, secs = f"{row['not_training']:.1%}", f"{row['coordinator_ms']:.2f} ms"
        lines.append(f"| {study} | {row['epochs']:.0f} | {share} | {secs} |")
    return "\n".join([*lines, "", OVERHEAD_CAPTION.format(given=given), ""])


def picture(speeds: pd.DataFrame) -> str:
    """How many times as fast as Optuna on SQLite each side is: bars as SVG."""
    sides = [side for side in TITLES if side in speeds and side != BASE]
    height = 44 + len(speeds) * (18 * len(sides) + 16)
    times = speeds[sides].div(speeds[BASE], axis=0)
    unit = 400 / float(times.max().max())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f"<style>{STYLE}</style>",
        "<title>Trained epochs per second, times those of Optuna on SQLite</title>",
        '<text x="8" y="20" class="head">Trained epochs per second, times those of a plain loop '
        "under Optuna on SQLite</text>",
    ]
    y = 40
    for workload, row in times.iterrows():
        parts.append(f'<text x="8" y="{y + 13}" class="head">{workload}</text>')
        for side in sides:
            width = max(row[side] * unit, 1)
            parts += [
                f'<text x="258" y="{y + 13}" text-anchor="end">{TITLES[side]}</text>',
                f'<rect x="266" y="{y + 1}" width="{width:.1f}" height="15" rx="2" '
                f'class="{side}"/>',
                f'<text x="{272 + width:.1f}" y="{y + 13}">{row[side]:.1f} x</text>',
            ]
            y += 18
        y += 16
    one = 266 + unit
    parts.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="36" y2="{y - 12}"/>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Measure, write the results, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3, help="medians are taken over so many")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--trials", type=int, default=300, help="of a study")
    parser.add_argument(
        "--peer-trials", type=int, default=4 * WORKERS, help="that the slow sides really train"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--quick", action="store_true", help="one short run at batch size 64")
    given = parser.parse_args()
    if given.quick:
        given.runs, given.trials, given.peer_trials = 1, 40, WORKERS
        given.workloads = ["order-pre 64", "mlp 64"]
    if not importlib.util.find_spec("ray"):
        print("Ray Tune is not installed: it is left out")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows, shipped = [], []
    for turn in range(given.runs):
        rows += [measure_workload(workload, given, turn) for workload in given.workloads]
        for study in ("order_pre", "diabetes"):
            with tempfile.TemporaryDirectory() as folder:
                asked = [study, "--trials", str(given.trials)]
                shipped.append({"study": study, **run_sweep(asked, Path(folder))[1]})
    speeds = pd.DataFrame(rows).groupby("workload", sort=False).median()
    overheads = pd.DataFrame(shipped).groupby("study", sort=False).median()
    asked_for = {name: str(value) for name, value in vars(given).items()}
    machine = {"cores": WORKERS, "machine": platform.machine(), "torch": torch.__version__}
    numbers = {"options": asked_for, "machine": machine, "runs": rows, "shipped": shipped}
    table = tables(speeds, overheads, given)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "throughput.json").write_text(json.dumps(numbers, indent=2) + "\n")
    (given.out / "throughput.md").write_text(table)
    (given.out / "throughput.svg").write_text(picture(speeds))
    print(table)


if __name__ == "__main__":
    main()
