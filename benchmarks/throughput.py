"""Trained epochs per second of whole studies: `sweep run` beside a user's own Optuna script.

`make bench`, or `python benchmarks/throughput.py --quick` for a first look. All sides train in one
run, in turns, on the same prepared rows, models, search space, random sampler and optimizer,
without pruning. The table, a picture and all numbers go to `benchmarks/results/`. The networks for
images (digit_models.py) are trained on scikit-learn's digits, the others on generated counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
import timeit
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import torch
from optuna.storages.journal import JournalFileBackend
from torch import nn
from torch.optim import lr_scheduler as schedulers
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.flop_counter import FlopCounterMode

from sweep.data.load import load_dataset
from sweep.search.tables import read_results
from sweep.study.results_folder import EPOCHS
from sweep.study.settings import StudyConfig
from sweep.training.build import resolve_device, training_data
from sweep.training.contract import TrainingData
from sweep.training.models import build_model
from sweep.training.workers.process_pool import default_workers

EPOCHS_A_TRIAL = 20
USERS = 11_429
HERE = Path(__file__).parent
WORKERS, TICKS = default_workers(), os.sysconf("SC_CLK_TCK")
SCHEDULERS = ("constant", "step", "exponential", "linear", "cosine")
LR, DECAY, DROPS = (1e-3, 0.1), (1e-4, 1.0), (1, 5)
MODELS = {
    "order-pre": "{name = 'order-pre'}",
    "mlp": "{name = 'mlp', hidden = [128, 128]}",
    "cnn": "{name = 'digit_models:Cnn'}",
    "transformer": "{name = 'digit_models:Transformer'}",
}
STUDY = f"""
epochs = {EPOCHS_A_TRIAL}
sampler = "random"
pruner = "none"
confirm = false
[space]
scheduler = {list(SCHEDULERS)}
lr = "{LR[0]}:{LR[1]}:log"
decay = "{DECAY[0]}:{DECAY[1]}:log"
warmup = 0.0
step.drops = "{DROPS[0]}:{DROPS[1]}"
"""
TABLE = f'data = {{users = {USERS}, target = "buy"}}'
DIGITS = """\
data = {source = "digit_models:images", validation = 0.3, test = 0}
training = {loss = "cross_entropy"}"""
WORKLOADS = [*(f"order-pre {size}" for size in (32, 64, 256, "full")), "mlp 64", "mlp 256"]
WORKLOADS += ["cnn 64", "transformer 64"]
BASE = "optuna-sqlite"
TITLES = {BASE: "Optuna, SQLite", "optuna-journal": "Optuna, journal", "ray": "Ray Tune"}
TITLES |= {"sequential": "sweep, sequential", "sweep": "sweep run"}
CAPTION = """\
Trained epochs per second, start-up and compilation included, over a study of {given.trials} trials
of 20 epochs (trials per second: a twentieth) on 8,000 rows, or 1,258 images of the CNN and the
transformer, and relative to Optuna on SQLite; device {given.device},
{workers} processes of one thread, medians of {given.runs} run(s). `sweep run` ran the whole study;
the others ran {given.peer_trials} trials, and their time for {given.trials} is the measured time
around the trials plus {given.trials} times that per trial. Optuna's and Ray's schedules are stepped
per epoch. "Of `torch.mm`": the arithmetic of `sweep run`'s layers beside float32 products of
512 x 512. "As good as Optuna": when `sweep run` had ended a trial with a validation loss as low as
the best of Optuna's {given.peer_trials} trials (and when Optuna had). {ray}"""
OVERHEAD_CAPTION = """\
{given.trials} trials of a shipped study with its own sampler and pruner. "Not training": of the
workers' time between the first trial's start and the last one's end. "Coordinator": its processor
time in between. "Optuna alone": what Optuna takes to ask for, report as many epochs of and tell a
trial that is not trained, with its multivariate TPE and its own journal file."""
STYLE = """
text { fill: #24292f; font: 13px system-ui, sans-serif } .head { font-weight: 600 }
.end { text-anchor: end } line { stroke: #8b949e; stroke-dasharray: 3 3 }
.sweep { fill: #2f81f7 } .sequential { fill: #7c93b2 } .optuna-journal, .ray { fill: #8b949e }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
"""


@dataclass(frozen=True)
class Timing:
    """A command's start and end; when each trial `started`, `finished`, and its best `loss`."""

    command: datetime
    ended: datetime
    trials: pd.DataFrame

    def epochs_per_second(self, count: int) -> float:
        """Over a study of so many trials, start-up and ending included."""
        started, finished = self.trials["started"], self.trials["finished"]
        wall_secs = (self.ended - self.command).total_seconds()
        if len(self.trials) < count:
            span = finished.nlargest(WORKERS).mean() - started.nsmallest(WORKERS).mean()
            around_secs = wall_secs - (finished.max() - started.min()).total_seconds()
            wall_secs = around_secs + count * pd.Timedelta(span).total_seconds() / len(self.trials)
        return count * EPOCHS_A_TRIAL / wall_secs

    def reached(self, loss: float) -> float:
        """Seconds from the command to the end of the first trial as good; infinite without."""
        ends = self.trials["finished"][self.trials["loss"] <= loss]
        return (ends.min() - self.command).total_seconds() if len(ends) else math.inf


def study_config(workload: str, trials: int, device: str) -> StudyConfig:
    """The one description of a workload that all sides train from."""
    model, _, batch = workload.partition(" ")
    batch_size = batch if batch.isdigit() else f"'{batch}'"
    text = f"trials = {trials}\ndevice = {device!r}\nmodel = {MODELS[model]}\n"
    text += f"optimizer.batch_size = {batch_size}\n"
    text += DIGITS if "digit_models" in MODELS[model] else TABLE
    return StudyConfig.model_validate(tomllib.loads(text + STUDY))


def load_rows(config: StudyConfig) -> TrainingData:
    """What `sweep run` trains on."""
    data = load_dataset(config.data, config.seed, (HERE,), config.training.loss)
    return training_data(data, resolve_device(config.device))


def new_model(config: StudyConfig, data: TrainingData) -> nn.Module:
    """The model of a workload, with the initial weights of the study's seed, on the device."""
    row = tuple(data.x_train.shape[1:])
    model = build_model(config.model, row, config.seed, (HERE,), data.classes or 1)
    return model.to(data.x_train.device)


def torch_scheduler(optimizer: torch.optim.Optimizer, given: dict[str, Any]) -> LRScheduler:
    """A scheduler of torch's that is stepped after every epoch."""
    decay, steps, drops = given["decay"], EPOCHS_A_TRIAL - 1, given.get("drops", 1)
    size = math.ceil(EPOCHS_A_TRIAL / (drops + 1))
    kinds: dict[str, Callable[[], LRScheduler]] = {
        "constant": lambda: schedulers.ConstantLR(optimizer, 1.0),
        "step": lambda: schedulers.StepLR(optimizer, size, decay ** (1 / drops)),
        "exponential": lambda: schedulers.ExponentialLR(optimizer, decay ** (1 / steps)),
        "linear": lambda: schedulers.LinearLR(optimizer, 1.0, decay, steps),
        "cosine": lambda: schedulers.CosineAnnealingLR(optimizer, steps, given["lr"] * decay),
    }
    return kinds[given["scheduler"]]()


def train_plainly(
    config: StudyConfig, data: TrainingData, given: dict[str, Any]
) -> Iterator[float]:
    """A user's own loop over epochs and batches; yields each epoch's validation loss."""
    torch.manual_seed(config.seed)
    rows = len(data.x_train)
    (size,) = config.optimizer.batch_sizes
    batch_size = rows if size == "full" else size
    model = new_model(config, data)
    optimizer = torch.optim.SGD(model.parameters(), lr=given["lr"])
    scheduler = torch_scheduler(optimizer, given)
    loss_function: nn.Module = nn.CrossEntropyLoss() if data.classes else nn.MSELoss()
    for _ in range(EPOCHS_A_TRIAL):
        model.train()
        order = torch.randperm(rows, device=data.x_train.device)
        for begin in range(0, rows, batch_size):
            batch = order[begin : begin + batch_size]
            optimizer.zero_grad()
            loss = loss_function(model(data.x_train[batch]).squeeze(-1), data.y_train[batch])
            loss.backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            loss = loss_function(model(data.x_validation).squeeze(-1), data.y_validation)
        yield loss.item() * (1 if data.classes else data.target_scale**2)


def peer_study(url: str, seed: int) -> optuna.Study:
    """The study at an SQLite address or in a journal, created where there is none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="peer",
        storage=url if "://" in url else optuna.storages.JournalStorage(JournalFileBackend(url)),
        sampler=optuna.samplers.RandomSampler(seed),
        pruner=optuna.pruners.NopPruner(),
        load_if_exists=True,
    )


def optimize(config: StudyConfig, url: str, trials: int, process: int) -> None:
    """One process of the peer."""
    torch.set_num_threads(1)
    data = load_rows(config)

    def objective(trial: optuna.Trial) -> float:
        given: dict[str, Any] = {"scheduler": trial.suggest_categorical("scheduler", SCHEDULERS)}
        given["lr"] = trial.suggest_float("lr", *LR, log=True)
        given["decay"] = trial.suggest_float("decay", *DECAY, log=True)
        if given["scheduler"] == "step":
            given["drops"] = trial.suggest_int("drops", *DROPS)
        best = math.inf
        for epoch, loss in enumerate(train_plainly(config, data, given), start=1):
            best = min(best, loss)
            trial.report(loss, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return best

    peer_study(url, config.seed + process).optimize(objective, n_trials=trials)


def run_optuna(config: StudyConfig, url: str, trials: int) -> Timing:
    """The peer in one process a core, from its start to its end."""
    started = datetime.now()
    study = peer_study(url, config.seed)
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        same = [config] * WORKERS, [url] * WORKERS, [trials // WORKERS] * WORKERS
        list(pool.map(optimize, *same, range(WORKERS)))
    columns = {"datetime_start": "started", "datetime_complete": "finished", "value": "loss"}
    return Timing(started, datetime.now(), study.trials_dataframe().rename(columns=columns))


def run_ray(config: StudyConfig, folder: Path, trials: int) -> Timing:
    """The peer's loop under Ray Tune, one trial a core at a time."""
    started = datetime.now()
    ray, tune = importlib.import_module("ray"), importlib.import_module("ray.tune")

    def train(given: dict[str, Any], data: TrainingData) -> None:
        torch.set_num_threads(1)
        began, best = datetime.now(), math.inf
        for loss in train_plainly(config, data, given):
            best = min(best, loss)
            tune.report({"loss": best, "started": began, "finished": datetime.now()})

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    space = {"lr": tune.loguniform(*LR), "decay": tune.loguniform(*DECAY)}
    space |= {"scheduler": tune.choice(SCHEDULERS), "drops": tune.randint(DROPS[0], DROPS[1] + 1)}
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, data=load_rows(config)), {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=trials),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    trial_rows = tuner.fit().get_dataframe()
    ray.shutdown()
    times = trial_rows[["started", "finished"]].apply(pd.to_datetime)
    return Timing(started, datetime.now(), times.assign(loss=trial_rows["loss"]))


def run_sweep(arguments: list[str], folder: Path) -> tuple[Timing, dict[str, float]]:
    """A `sweep run`, nothing compiled before; its timing, and what was not training."""
    results = folder / "results"
    command = [sys.executable, "-m", "sweep", "run", *arguments, "--quiet", "--out", str(results)]
    caches = {name: str(folder) for name in ("XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR")}
    started, used = datetime.now(), []
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **caches})
    while process.poll() is None:
        if (stat := Path(f"/proc/{process.pid}/stat")).exists():
            fields = stat.read_text().rpartition(")")[2].split()  # without children's time
            used.append((datetime.now(), (int(fields[11]) + int(fields[12])) / TICKS))
        time.sleep(0.02)
    ended = datetime.now()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    trials, epochs = read_results(results), pd.read_csv(results / EPOCHS)
    first, last = trials["started"].min(), trials["finished"].max()
    span = (last - first).total_seconds()
    during = [secs for at, secs in used if first <= at <= last]
    losses = {"val_mse": "loss", "val_cross_entropy": "loss"}
    return Timing(started, ended, trials.rename(columns=losses)), {
        "epochs": len(epochs),
        "span_secs": span,
        "not_training": 1 - float(epochs["seconds"].sum()) / (WORKERS * span),
        "coordinator_ms": 1000 * (during[-1] - during[0]) / len(trials) if during else math.nan,
    }


def optuna_alone_ms(epochs: int, trials: int) -> float:
    """Processor time that Optuna itself takes for a trial of so many epochs, untrained."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        journal = JournalFileBackend(f"{folder}/alone.journal")
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(journal),
            sampler=optuna.samplers.TPESampler(seed=0, multivariate=True),
        )
        started = time.process_time()
        for _ in range(trials):
            trial = study.ask()
            trial.suggest_categorical("scheduler", SCHEDULERS)
            value = sum(trial.suggest_float(name, 0, 1) for name in ("lr", "decay", "warmup"))
            for epoch in range(1, epochs + 1):
                trial.report(value, epoch)
            study.tell(trial, value)
        return 1000 * (time.process_time() - started) / trials


def product_gflops(count: int) -> float:
    """Speed of torch.mm of two 512 x 512 float32 matrices with one thread."""
    torch.set_num_threads(1)
    a, b = torch.randn(512, 512), torch.randn(512, 512)
    return count * 2 * 512**3 / timeit.timeit(lambda: torch.mm(a, b), number=count) / 1e9


def gflop_per_epoch(config: StudyConfig) -> float:
    """Of products and convolutions: three passes over a training row, one over a validation row."""
    data = load_rows(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        new_model(config, data)(data.x_train[:64])
    passes = 3 * len(data.x_train) + len(data.x_validation)
    return float(counter.get_total_flops()) / 64 * passes / 1e9


def measure(side: str, config: StudyConfig, peer_trials: int) -> Timing:
    """One side's study in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if side == "ray":
            return run_ray(config, folder, peer_trials)
        if side.startswith("optuna"):
            url = f"sqlite:///{folder}/s.db" if side == BASE else f"{folder}/s.journal"
            return run_optuna(config, url, peer_trials)
        (folder / "study.toml").write_text(config.to_toml())
        shutil.copy(HERE / "digit_models.py", folder)
        slow = ["--engine", "sequential", "--trials", str(peer_trials)]
        return run_sweep(["study.toml", *(slow if side == "sequential" else [])], folder)[0]


def measure_workload(workload: str, given: argparse.Namespace, turn: int) -> dict[str, Any]:
    """Every side once, a different one first in each turn; a row of numbers."""
    config = study_config(workload, given.trials, given.device)
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        gflops = sum(pool.map(product_gflops, [500] * WORKERS))
    sides = [s for s in TITLES if s != "ray" or importlib.util.find_spec("ray")]
    sides = [s for s in sides if s in (given.sides or sides) or s in (BASE, "sweep")]
    timings, row = dict[str, Timing](), dict[str, Any](workload=workload)
    for side in sides[turn:] + sides[:turn]:
        timings[side] = measure(side, config, given.peer_trials)
        row[side] = timings[side].epochs_per_second(given.trials)
        print(f"{workload}, {TITLES[side]}: {row[side]:.1f} epochs/s", flush=True)
    target, found = (timings[s].trials["loss"].min() for s in (BASE, "sweep"))
    row["product_gflops"] = gflops
    row["share_of_product"] = row["sweep"] * gflop_per_epoch(config) / gflops
    row["best_loss_of_optuna"], row["best_loss"] = target, found
    row["optuna_secs"], row["sweep_secs"] = (timings[s].reached(target) for s in (BASE, "sweep"))
    return row


def tables(speeds: pd.DataFrame, overheads: pd.DataFrame, given: argparse.Namespace) -> str:
    """Both tables in GitHub's Markdown, with what they mean."""
    sides = [side for side in TITLES if side in speeds]
    head = ["Model, batch size", *(TITLES[s] for s in sides), "of `torch.mm`", "as good as Optuna"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for workload, row in speeds.iterrows():
        cells = [f"{row[s]:.1f} ({row[s] / row[BASE]:.1f} x)" for s in sides]
        cells.append(f"{row['share_of_product']:.0%}")
        cells.append(f"{row['sweep_secs']:.0f} s (Optuna: {row['optuna_secs']:.0f} s)")
        lines.append(f"| {workload} | {' | '.join(cells)} |")
    ray = "" if importlib.util.find_spec("ray") else "Ray Tune is not installed and was left out."
    lines += ["", CAPTION.format(given=given, workers=WORKERS, ray=ray), ""]
    lines += [
        "| Study | epochs | not training | coordinator per trial | Optuna alone per trial |",
        "|---|---:|---:|---:|---:|",
    ]
    for study, row in overheads.iterrows():
        cells = [f"{row['epochs']:.0f}", f"{row['not_training']:.0%}"]
        cells += [f"{row[name]:.1f} ms" for name in ("coordinator_ms", "optuna_alone_ms")]
        lines.append(f"| {study} | {' | '.join(cells)} |")
    lines += ["", OVERHEAD_CAPTION.format(given=given), ""]
    return "\n".join(lines).replace("inf s", "never")


def picture(speeds: pd.DataFrame) -> str:
    """How many times as fast as Optuna on SQLite each side is: bars as SVG."""
    sides = [side for side in TITLES if side in speeds and side != BASE]
    height = 44 + len(speeds) * (18 * len(sides) + 16)
    times = speeds[sides].div(speeds[BASE], axis=0)
    unit = 400 / float(times.max().max())
    title = "Trained epochs per second, times those of a plain loop under Optuna on SQLite"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" role="img">',
        f"<style>{STYLE}</style><title>{title}</title>",
        f'<text x="8" y="20" class="head">{title}</text>',
    ]
    y = 40
    for workload, row in times.iterrows():
        parts.append(f'<text x="8" y="{y + 13}" class="head">{workload}</text>')
        for side in sides:
            width = row[side] * unit
            parts.append(
                f'<text x="258" y="{y + 13}" class="end">{TITLES[side]}</text>'
                f'<rect x="266" y="{y + 1}" width="{width:.1f}" height="15" class="{side}"/>'
                f'<text x="{272 + max(width, unit):.1f}" y="{y + 13}">{row[side]:.1f} x</text>'
            )
            y += 18
        y += 16
    line = f'<line x1="{266 + unit:.1f}" x2="{266 + unit:.1f}" y1="36" y2="{y - 12}"/>'
    return "\n".join([*parts, line, "</svg>", ""])


def main() -> None:
    """Measure, write the results, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3, help="medians are taken over so many")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=[])
    parser.add_argument("--trials", type=int, default=300, help="of a study")
    parser.add_argument("--peer-trials", type=int, default=4 * WORKERS, help="of the slow sides")
    parser.add_argument("--device", default="cpu", help="that the workloads are trained on")
    parser.add_argument("--sides", nargs="+", choices=TITLES, help="all if not given")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--quick", action="store_true", help="one short run at batch size 64")
    given = parser.parse_args()
    if given.quick:
        given.runs, given.trials, given.peer_trials = 1, 40, WORKERS
        given.workloads = ["order-pre 64"]
    rows, shipped = [], []
    for turn in range(given.runs):
        rows += [
            measure_workload(workload, given, turn) for workload in given.workloads or WORKLOADS
        ]
        for study in ("order_pre_minibatch", "diabetes") if not given.sides else ():
            with tempfile.TemporaryDirectory() as folder:
                _, overhead = run_sweep(
                    [study, "--trials", str(given.trials), "--no-confirm"], Path(folder)
                )
            epochs_a_trial = round(overhead["epochs"] / given.trials)
            alone_ms = optuna_alone_ms(epochs_a_trial, given.trials)
            shipped.append({"study": study, **overhead, "optuna_alone_ms": alone_ms})
    speeds = pd.DataFrame(rows).groupby("workload", sort=False).median()
    overheads = (
        pd.DataFrame(shipped, columns=None if shipped else ["study"])
        .groupby("study", sort=False)
        .median()
    )
    numbers: dict[str, Any] = {"options": {k: str(v) for k, v in vars(given).items()}}
    for name, records in (("runs", rows), ("shipped", shipped)):
        numbers[name] = json.loads(pd.DataFrame(records).to_json(orient="records"))
    table = tables(speeds, overheads, given)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "throughput.json").write_text(json.dumps(numbers, indent=2) + "\n")
    (given.out / "throughput.md").write_text(table)
    (given.out / "throughput.svg").write_text(picture(speeds))
    print(table)


if __name__ == "__main__":
    main()
