"""What a user gets for the same minutes: the schedule of `sweep run`, or of a plain Optuna script.

`make bench-quality`, or `python benchmarks/quality.py --quick` for a first look. On each table and
for each budget of wall-clock time, `sweep run --timeout` and a script as a user would write it from
Optuna's documentation (TPE, the default MedianPruner, SQLite, a process a core; and Ray Tune with
ASHA where ray is installed) search the same space on the same cores; each hands over one schedule.
Both schedules are then trained from the same fresh seeds, and compared seed by seed. `sweep run`
goes first, start-up and confirmation included; the others get as long as it really took. The table
and all numbers go to `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import multiprocessing
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import torch
from spaces import SCHEDULERS, model_section, space_section, suggest
from tables import TABLES
from throughput import load_rows
from torch import nn

from sweep.confirm.intervals import Interval, mean_interval, paired_lead
from sweep.data.dataset import Dataset
from sweep.data.load import load_dataset
from sweep.schedules.schedule import Schedule
from sweep.study.settings import StudyConfig
from sweep.study.space import Suggestion
from sweep.training.build import build_engine
from sweep.training.contract import EpochResult, TrainingSettings
from sweep.training.models import build_model, predict
from sweep.training.seeds import mix
from sweep.training.specs import trial_spec
from sweep.training.workers.process_pool import default_workers

HERE = Path(__file__).parent
WORKERS = default_workers()
SEEDS = 20
SETS = ["behaviour_counts", "diabetes", "diamonds", "txhousing", "randhie"]


def study_config(table: str, seed: int) -> StudyConfig:
    """The one description of a workload that all sides search."""
    return StudyConfig.model_validate(
        {
            "epochs": 30,
            "trials": 1_000_000,
            "seed": seed,
            "model": model_section(table),
            "data": {"source": f"tables:{table}", "target": TABLES[table]().columns[-1]},
            "optimizer": {"batch_size": 64},
            "space": space_section(),
        }
    )


def search_with_sweep(config: StudyConfig, secs: float, folder: Path) -> Schedule:
    """What `sweep run` hands over when it has run for so long."""
    file = folder / "study.toml"
    file.write_text(config.to_toml())
    results = folder / "results"
    command = [sys.executable, "-m", "sweep", "run", str(file), "--out", str(results), "--quiet"]
    command += ["--timeout", str(secs)]
    subprocess.run(command, check=True, cwd=HERE)
    return Schedule.load(results / "best_schedule.json")


def optimize(config: StudyConfig, url: str, until: float, process: int) -> None:
    """One process of the plain script."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = load_rows(config)
    rows, batch_size = len(data.x_train), int(config.optimizer.batch_sizes[0])
    steps = config.epochs * math.ceil(rows / batch_size)
    loss_function = nn.MSELoss()

    def objective(trial: optuna.Trial) -> float:
        torch.manual_seed(config.seed)
        model = build_model(config.model, data.x_train.shape[1], config.seed)
        schedule = suggest(trial)
        optimizer = torch.optim.SGD(model.parameters(), lr=schedule.lr)
        scheduler = schedule.attach(optimizer, total_steps=steps)
        best = math.inf
        for epoch in range(1, config.epochs + 1):
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
                predicted = model(data.x_validation).squeeze(-1)
                mse = loss_function(predicted, data.y_validation).item()
            if math.isnan(mse):
                raise optuna.TrialPruned
            best = min(best, mse)
            trial.report(mse, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return best

    study = optuna.create_study(
        study_name="plain",
        storage=url,
        sampler=optuna.samplers.TPESampler(seed=config.seed + process),
        load_if_exists=True,
    )
    study.optimize(objective, timeout=max(until - time.time(), 0.1))


def search_with_optuna(config: StudyConfig, secs: float, folder: Path) -> Schedule:
    """What the plain script hands over: the best trial's schedule."""
    until = time.time() + secs
    url = f"sqlite:///{folder}/plain.db"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="plain", storage=url)
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        same = [config] * WORKERS, [url] * WORKERS, [until] * WORKERS
        list(pool.map(optimize, *same, range(WORKERS)))
    fixed = optuna.trial.FixedTrial(study.best_params)
    return suggest(fixed)


def search_with_ray(config: StudyConfig, secs: float, folder: Path) -> Schedule:
    """What Ray Tune hands over with ASHA, a trial a core at a time."""
    ray, tune = importlib.import_module("ray"), importlib.import_module("ray.tune")
    asha = importlib.import_module("ray.tune.schedulers").ASHAScheduler
    data = load_rows(config)
    rows, batch_size = len(data.x_train), int(config.optimizer.batch_sizes[0])
    steps = config.epochs * math.ceil(rows / batch_size)

    def train(given: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(config.seed)
        model = build_model(config.model, data.x_train.shape[1], config.seed)
        schedule = suggest(optuna.trial.FixedTrial(given))
        optimizer = torch.optim.SGD(model.parameters(), lr=schedule.lr)
        scheduler = schedule.attach(optimizer, total_steps=steps)
        for _ in range(config.epochs):
            model.train()
            for batch in torch.split(torch.randperm(rows), batch_size):
                optimizer.zero_grad()
                predicted = model(data.x_train[batch]).squeeze(-1)
                nn.functional.mse_loss(predicted, data.y_train[batch]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                scheduler.step()
            model.eval()
            with torch.no_grad():
                predicted = model(data.x_validation).squeeze(-1)
                tune.report({"mse": nn.functional.mse_loss(predicted, data.y_validation).item()})

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    space = {
        "scheduler": tune.choice(SCHEDULERS),
        "lr": tune.loguniform(1e-3, 1),
        "decay": tune.loguniform(1e-4, 1),
        "warmup": tune.uniform(0, 0.2),
        "drops": tune.randint(1, 6),
        "pct_start": tune.uniform(0.05, 0.5),
        "cooldown": tune.uniform(0.1, 0.5),
    }
    scheduler = asha(max_t=config.epochs)
    tuned = tune.TuneConfig(
        metric="mse", mode="min", num_samples=-1, time_budget_s=secs, scheduler=scheduler
    )
    run = tune.RunConfig(storage_path=str(folder), verbose=0)
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}), param_space=space, tune_config=tuned, run_config=run
    )
    best = tuner.fit().get_best_result(scope="all")
    ray.shutdown()
    return suggest(optuna.trial.FixedTrial(best.config))


SIDES = {"sweep": search_with_sweep, "optuna": search_with_optuna, "ray": search_with_ray}


def evaluate(
    config: StudyConfig, data: Dataset, schedules: list[Schedule], seeds: int
) -> list[dict[str, list[float]]]:
    """Validation and test MSE of each schedule from each of the same fresh seeds."""
    torch.set_num_threads(1)
    settings = TrainingSettings(config.epochs, int(config.optimizer.batch_sizes[0]))
    scores: list[dict[str, list[float]]] = []
    x = torch.from_numpy(data.x_test)
    model = build_model(config.model, x.shape[1], 0)
    for schedule in schedules:
        engine = build_engine(data, config.model, (), settings, "auto", seeds)
        for number in range(seeds):
            spec = trial_spec(config, number, Suggestion(schedule))
            engine.add(replace(spec, seed=mix(0xFE, config.seed, number)))
        best = [math.inf] * seeds
        for _ in range(config.epochs):
            for result in engine.train_epoch():
                if isinstance(result, EpochResult):
                    best[result.number] = min(best[result.number], result.value)
        test = []
        for number in range(seeds):
            model.load_state_dict(engine.weights(number))
            model.eval()
            with torch.no_grad():
                error = predict(model, x).numpy() - data.y_test
            test.append(float(np.mean(error**2)) * data.target_scale**2)
        scores.append({"val": best, "test": test})
    return scores


def measure(table: str, budget: float, repeat: int, seeds: int) -> list[dict[str, Any]]:
    """Each side's search and its schedule's scores: a row a side."""
    config = study_config(table, repeat)
    rows: list[dict[str, Any]] = []
    schedules = []
    secs = budget
    for side, search in SIDES.items():
        if side == "ray" and not importlib.util.find_spec("ray"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            started = time.time()
            schedules.append(search(config, secs, Path(folder)))
            took = time.time() - started
        secs = took if side == "sweep" else secs
        rows.append({"table": table, "budget": budget, "repeat": repeat, "side": side})
        rows[-1] |= {"secs": took, "schedule": schedules[-1].describe()}
    data = load_dataset(config.data, config.seed, (HERE,))
    for row, score in zip(rows, evaluate(config, data, schedules, seeds), strict=True):
        row |= score
        val, test = mean_interval(score["val"]), mean_interval(score["test"])
        print(
            f"{table}, {budget:g} s, {row['side']} ({row['secs']:.1f} s): {row['schedule']}: "
            f"validation {val.mean:.5g} ± {val.margin:.2g}, "
            f"test {test.mean:.5g} ± {test.margin:.2g}",
            flush=True,
        )
    return rows


def lead(rows: pd.DataFrame, side: str, score: str) -> Any:
    """How much lower the MSE of sweep's schedules is than a side's, paired, as a share.

    Seeds of several repeats are pooled, each relative to the mean of its repeat. A side that
    diverges on a seed is behind by an infinite lead.
    """
    ours, theirs = [], []
    for _, pair in rows.groupby("repeat"):
        by_side = pair.set_index("side")[score]
        for name, sign in (("sweep", -1), (side, 1)):
            if not np.isfinite(by_side[name]).all():
                far = sign * math.inf
                return Interval(far, far, far, len(by_side[name]))
        scale = float(np.mean(by_side[side]))
        ours += [value / scale for value in by_side["sweep"]]
        theirs += [value / scale for value in by_side[side]]
    return paired_lead(ours, theirs)


def shown(interval: Any) -> str:
    """A lead in percent with its interval."""
    word = " **" if interval.low > 0 else " (worse)" if interval.high < 0 else ""
    text = f"{interval.mean:+.1%} ({interval.low:+.1%} to {interval.high:+.1%})"
    return f"**{text}**" if word == " **" else text + word


def table_of(rows: pd.DataFrame, given: argparse.Namespace) -> str:
    """The leads in GitHub's Markdown, with what they mean."""
    lines = ["| Table | seconds | than | validation MSE lower by | test MSE lower by |"]
    lines.append("|---|---:|---|---:|---:|")
    for (name, budget), cell in rows.groupby(["table", "budget"], sort=False):
        for side in [s for s in SIDES if s != "sweep" and s in set(cell["side"])]:
            val, test = lead(cell, side, "val"), lead(cell, side, "test")
            lines.append(f"| {name} | {budget:g} | {side} | {shown(val)} | {shown(test)} |")
    text = (
        f"The schedule of `sweep run` against that of the same seconds with a plain script, each\n"
        f"trained from the same {given.seeds} fresh seeds; the mean lead with its 95 % interval, "
        f"paired, in bold\nwhere it is beyond the interval; {WORKERS} cores; the repeats of a "
        "search are pooled. The interval is that of\nthe seeds, for the schedules that were "
        "handed over: another search might hand over others."
    )
    return "\n".join([*lines, "", text, ""])


def bar_holds(rows: pd.DataFrame, tables: list[str]) -> bool:
    """Better beyond the interval on all but one table at the smallest budget, never worse so."""
    smallest = rows["budget"].min()
    leads = {
        (name, budget): lead(cell, "optuna", "val")
        for (name, budget), cell in rows.groupby(["table", "budget"])
    }
    better = sum(leads[name, smallest].low > 0 for name in tables)
    worse = [key for key, interval in leads.items() if interval.high < 0]
    print(
        f"better at {smallest:g} s on {better} of {len(tables)} tables; worse: {worse or 'never'}"
    )
    return better >= len(tables) - 1 and not worse


def main() -> None:
    """Measure, write the results, print the table; exit 1 where the bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=SETS[:4])
    parser.add_argument("--budgets", nargs="+", type=float, default=[10, 30, 90])
    parser.add_argument("--repeats", nargs="+", type=int, default=[3, 1, 1], help="a budget each")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="that a schedule is judged by")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--quick", action="store_true", help="one table, one short budget")
    given = parser.parse_args()
    if given.quick:
        given.tables, given.budgets, given.repeats, given.seeds = ["diamonds"], [10.0], [1], 5
    rows: list[dict[str, Any]] = []
    for budget, repeats in zip(given.budgets, given.repeats, strict=True):
        for repeat in range(repeats):
            for name in given.tables:
                rows += measure(name, budget, repeat, given.seeds)
    frame = pd.DataFrame(rows)
    text = table_of(frame, given)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "quality.json").write_text(json.dumps(rows, indent=1) + "\n")
    (given.out / "quality.md").write_text(text)
    print(text)
    if not given.quick and not bar_holds(frame, given.tables):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
