"""How good a schedule each sampler finds with a number of trials, and what a draw costs.

`python benchmarks/samplers.py` (`--quick` for a first look) runs real studies: every trial is
trained by the engine, with as many in flight as in a real run, and, so that the samplers alone
differ, without pruning (`--pruner halving` turns it on). The split and the initial weights are
those of one seed, so that the best value ever seen of a data set is the same mark for all; the
studies differ in their samplers' seeds. The figure of merit is the regret: how much worse, in %,
the best validation MSE of a study is than the best of all studies on that data set. The table goes
to `benchmarks/results/samplers.md`, every study's result to `samplers.csv` beside it. `make
bench-tables` installs the data sets.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process a core; set before numpy is imported

import numpy as np
import optuna
import pandas as pd
import torch
from optuna.trial import TrialState

from sweep.data.load import load_dataset
from sweep.search.strategies.pruners import build_pruner
from sweep.search.strategies.samplers import build_sampler, family_plan, first_trials
from sweep.study.settings import StudyConfig
from sweep.training.build import build_engine
from sweep.training.contract import EpochResult, TrainingSettings
from sweep.training.record import what_diverged
from sweep.training.specs import trial_spec
from sweep.training.workers.process_pool import default_workers

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BUDGETS = (50, 100, 300)
MOST_IN_FLIGHT = 12
ROWS = 2_500

MLP = {"name": "mlp", "hidden": [32, 32]}
SETS: dict[str, dict[str, Any]] = {
    "behaviour-log": {"model": {"name": "order-pre"}},
    "diabetes": {
        "data": {"source": "diabetes"},
        "model": MLP,
        "optimizer": {"momentum": 0.9, "batch_size": 32},
        "space": {"lr": "1e-4:0.3:log"},
    },
    "diamonds": {"data": {"source": "samplers:diamonds", "target": "price"}, "model": MLP},
    "loans, adamw": {
        "data": {"source": "samplers:loans", "target": "interest_rate"},
        "model": MLP,
        "optimizer": {"name": "adamw"},
        "space": {"lr": "1e-4:0.1:log"},
    },
    "txhousing, 14 schedulers": {
        "data": {"source": "samplers:txhousing", "target": "median"},
        "model": MLP,
        "space": {
            "scheduler": [
                *("constant", "step", "multistep", "exponential", "linear", "polynomial"),
                *("cosine", "cosine_restarts", "cyclic", "onecycle", "plateau", "wsd"),
                *("inverse_sqrt", "rex"),
            ]
        },
    },
}
"""Studies of 25 epochs; what is not said is a study's default."""

SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "family": ("family", {}),
    "family, fair": ("family", {"fair": True}),
    "tpe, group": ("tpe", {}),
    "tpe, joint": ("tpe", {"sampler": {"name": "tpe", "group": False}}),
    "gp": ("gp", {}),
    "cmaes": ("cmaes", {}),
    "qmc": ("qmc", {}),
    "random": ("random", {}),
}
MOST_TRIALS = {"gp": 50}
"""Where a draw takes so long that more trials are left out."""


def diamonds() -> pd.DataFrame:
    """The first rows of benchmarks/tables.py's diamonds."""
    return _first_rows("diamonds")


def loans() -> pd.DataFrame:
    """The first rows of benchmarks/tables.py's loans."""
    return _first_rows("loans")


def txhousing() -> pd.DataFrame:
    """The first rows of benchmarks/tables.py's txhousing."""
    return _first_rows("txhousing")


def _first_rows(name: str) -> pd.DataFrame:
    from tables import table

    frame, _ = table(name)
    return frame.head(ROWS)


def run_study(config: StudyConfig, sampler_seed: int) -> tuple[float, list[float], dict[str, int]]:
    """Draw and train all trials of a study.

    Returns:
        The best validation MSE, what each draw took in ms, and how many trials each scheduler had.
    """
    engine = _engine(config)
    seeded = config.sampler.model_copy(update={"seed": sampler_seed})
    sampler = build_sampler(seeded, sampler_seed, 0, family_plan(config))
    pruner = build_pruner(config.pruner, config.epochs)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    for parameters in first_trials(config.model_copy(update={"seed": sampler_seed})):
        study.enqueue_trial(parameters)
    space, draws_ms, ended = config.search_space, [], 0
    in_flight: dict[int, optuna.Trial] = {}
    best: dict[int, float] = {}
    while ended < config.trials:
        most = max(1, min(MOST_IN_FLIGHT, config.trials // 4))
        while len(in_flight) < min(most, config.trials - ended):
            start = time.perf_counter()
            trial = study.ask()
            suggestion = space.suggest(trial)
            draws_ms.append(1e3 * (time.perf_counter() - start))
            engine.add(trial_spec(config, trial.number, suggestion))
            in_flight[trial.number] = trial
            best[trial.number] = math.inf
        for result in engine.train_epoch():
            assert isinstance(result, EpochResult), result
            trial, number = in_flight[result.number], result.number
            diverged = what_diverged(result, config.measure)
            if not diverged:
                averaged = config.pruner.signal == "averaged"
                judged_by = result.averaged if averaged else result.value
                assert judged_by is not None, "an engine of ours averages"
                trial.report(judged_by, result.epoch)
                best[number] = min(best[number], result.value)
            if result.epoch == config.epochs and not diverged:
                study.tell(trial, best[number])
            elif diverged or trial.should_prune():
                trial.set_user_attr("reason", "diverged" if diverged else "pruned")
                study.tell(trial, state=TrialState.PRUNED)
            else:
                continue
            engine.remove(number)
            del in_flight[number]
            ended += 1
    drawn = [trial.params["scheduler"] for trial in study.get_trials(deepcopy=False)]
    return study.best_value, draws_ms, {name: drawn.count(name) for name in space.schedulers}


_engines: dict[str, Any] = {}


def _engine(config: StudyConfig) -> Any:
    """An engine without trials; kept, since its data and model are the same for all studies."""
    key = repr((config.data, config.model, config.optimizer))
    if key not in _engines:
        torch.set_num_threads(1)
        data = load_dataset(config.data, config.seed, (HERE,))
        settings = TrainingSettings(config.epochs, config.optimizer.batch_sizes[0])  # type: ignore
        _engines[key] = build_engine(data, config.model, (), settings, lanes=MOST_IN_FLIGHT)
    return _engines[key]


def measure(job: tuple[str, str, int, int, str]) -> dict[str, Any]:
    """One study, as a row of the results."""
    data, sampler, trials, seed, pruner = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    name, settings = SAMPLERS[sampler]
    given = {"epochs": 25, "trials": trials, "sampler": {"name": name}, "pruner": pruner}
    given |= {"trial_seeds": "shared", **SETS[data], **settings}
    start = time.perf_counter()
    best, draws_ms, counts = run_study(StudyConfig.model_validate(given), seed)
    return {
        "data": data,
        "sampler": sampler,
        "trials": trials,
        "seed": seed,
        "best": best,
        "ask_ms": float(np.mean(draws_ms)),
        "last_ask_ms": float(np.mean(draws_ms[-20:])),
        "fewest_of_a_scheduler": min(counts.values()),
        "secs": time.perf_counter() - start,
    }


def table(rows: pd.DataFrame) -> str:
    """Mean regret and its standard error over seeds, averaged over data sets, as Markdown."""
    rows = rows.assign(regret=100 * (rows.best / rows.groupby("data").best.transform("min") - 1))
    budgets = sorted(rows.trials.unique())
    by_set = rows.groupby(["sampler", "trials", "data"]).regret.agg(["mean", "sem"])
    lines = [
        "| sampler | " + " | ".join(f"{n} trials" for n in budgets) + " | "
        "ms a draw: " + ", ".join(map(str, budgets)) + " trials | the last 20 |",
        "|---" * (len(budgets) + 3) + "|",
    ]
    for sampler in SAMPLERS:
        cells, draws, last = [], [], []
        for trials in budgets:
            of_sampler = rows[(rows.sampler == sampler) & (rows.trials == trials)]
            if of_sampler.empty:
                cells.append("-")
                continue
            part = by_set.loc[(sampler, trials)]
            error = math.sqrt((part["sem"] ** 2).sum()) / len(part)
            cells.append(f"{part['mean'].mean():.2f} ± {error:.2f}")
            draws.append(f"{of_sampler.ask_ms.median():.2g}")
            last.append(f"{of_sampler.last_ask_ms.median():.2g}")
        if draws:
            row = [sampler, *cells, ", ".join(draws), ", ".join(last)]
            lines.append("| " + " | ".join(row) + " |")
    wide = rows.pivot_table(index="sampler", columns=["data", "trials"], values="regret")
    return "\n".join(lines) + "\n\nRegret in % by data set:\n\n" + wide.round(2).T.to_string()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two seeds, 50 and 100 trials")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--trials", nargs="+", type=int, default=list(BUDGETS))
    parser.add_argument("--pruner", default="none")
    given = parser.parse_args()
    seeds, budgets = (2, [50, 100]) if given.quick else (given.seeds, given.trials)
    jobs = [
        (data, sampler, trials, seed, given.pruner)
        for seed in range(seeds)
        for data in SETS
        for sampler in given.samplers
        for trials in budgets
        if trials <= MOST_TRIALS.get(sampler, trials)
    ]
    sys.path.insert(0, str(HERE))
    RESULTS.mkdir(exist_ok=True)
    rows = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(default_workers(), mp_context=context) as pool:
        for count, row in enumerate(pool.map(measure, jobs), 1):
            rows.append(row)
            pd.DataFrame(rows).to_csv(RESULTS / "samplers.csv", index=False)
            if sys.stderr.isatty():
                print(f"\r{count} of {len(jobs)} studies", end="", file=sys.stderr)
    text = table(pd.DataFrame(rows))
    (RESULTS / "samplers.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
