"""What each pruning rule costs: recorded trainings, replayed through Optuna's own pruners.

`make bench-pruning`, or `python benchmarks/pruning.py`: about a quarter of an hour on two cores.

First, `sweep run` trains every schedule to its end: on five data sets and one that is kept aside,
with SGD and with AdamW, drawn at random and by TPE, a batch of 64 rows, 30 epochs. The recordings
stay in `benchmarks/results/pruning/`. Then each rule goes through 100 of a study's trials, 12 times
(drawn at random: in random order; by TPE: a random part in TPE's order), with one trial in flight
and with 16. Its regret is how much worse the best trial that it kept is than the best of the 100.
With one budget for all, each rule goes through both samplers' trials in random order until the
epochs are spent, and its regret is against the best of all of them.

The rules were chosen on the five sets; the sixth only confirms. The program ends with 1 if a bar
does not hold.
"""

from __future__ import annotations

import argparse
import math
import random
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.trial import TrialState
from tables import table

from sweep.search.strategies.pruners import build_pruner, decision_epochs
from sweep.study.sections import PrunerConfig
from sweep.study.settings import StudyConfig

HERE = Path(__file__).parent
FOLDER = HERE / "results" / "pruning"
EPOCHS, TRIALS, ORDERS, BUDGET = 30, 100, 12, 900
FLIGHTS = (1, 16)
RECORDED = 150
"""Trials of a recorded study; a set has four: two optimizers, two samplers."""

SETS = ("behaviour_counts", "diabetes", "diamonds", "txhousing", "randhie")
KEPT_ASIDE = "loans"
MODELS = {"behaviour_counts": "order-pre", "diabetes": "order-pre"}
RATES = {"sgd": "1e-3:1:log", "adamw": "1e-4:0.1:log"}
SAMPLERS = ("random", "tpe")
FAMILIES = (
    *("constant", "step", "multistep", "exponential", "linear", "polynomial", "cosine"),
    *("cosine_restarts", "cyclic", "onecycle", "plateau", "wsd", "inverse_sqrt", "rex"),
)

DOUBLING: dict[str, object] = {"min_resource": EPOCHS // 5, "reduction_factor": 2}
RULES: dict[str, tuple[str, dict[str, object]]] = {
    "none": ("raw", {"name": "none"}),
    "Median (Optuna's default)": ("raw", {"name": "median"}),
    "ASHA (Optuna's defaults)": ("raw", {"name": "asha"}),
    "Hyperband": ("raw", {"name": "hyperband"}),
    "Percentile 75": ("raw", {"name": "percentile", "percentile": 75.0}),
    "Median, warm-up a third": ("raw", {"name": "median", "n_warmup_steps": EPOCHS // 3}),
    "Halving at 6, 12, 24, raw": ("raw", {"name": "asha", **DOUBLING}),
    "Halving at 6, 12, 24": ("averaged", {"name": "asha", **DOUBLING}),
    "halving, raw weights": ("raw", {"name": "halving"}),
    "halving": ("averaged", {"name": "halving"}),
    "fast": ("averaged", {"name": "fast"}),
    "thorough": ("averaged", {"name": "thorough"}),
}
"""Which curve a rule looks at, and the pruner as a study file has it."""


@dataclass(frozen=True)
class Recording:
    """Trainings without pruning.

    Args:
        curves: Validation MSE of the `raw` and of the `averaged` weights, each (trials, EPOCHS),
            NaN where a trial was not trained any more.
        value: The objective of each trial, its lowest raw validation MSE; infinite if it
            diverged, (trials,).
        trained: Epochs of each trial, (trials,).
    """

    curves: dict[str, NDArray[np.float64]]
    value: NDArray[np.float64]
    trained: NDArray[np.int64]

    def __add__(self, other: Recording) -> Recording:
        both = {name: np.concatenate([self.curves[name], other.curves[name]]) for name in CURVES}
        value = np.concatenate([self.value, other.value])
        return Recording(both, value, np.concatenate([self.trained, other.trained]))


CURVES = {"raw": "val_mse", "averaged": "averaged_val_mse"}


def record(data: str, optimizer: str, sampler: str) -> Recording:
    """A study's recording, made by `sweep run` if it is not there yet."""
    name = f"{data}-{optimizer}-{sampler}"
    results = FOLDER / name / "results.csv"
    file, settings = FOLDER / f"{name}.toml", study_config(data, optimizer, sampler).to_toml()
    is_its = file.exists() and file.read_text() == settings
    if not (is_its and results.exists() and len(pd.read_csv(results)) >= RECORDED):
        print(f"recording {name}", file=sys.stderr, flush=True)
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "sweep", "run", str(file), "--quiet"]
        command += [] if is_its else ["--fresh", "--yes"]
        file.write_text(settings)
        subprocess.run([*command, "--out", str(FOLDER / name)], cwd=HERE, check=True)
    trials = pd.read_csv(results, index_col="number").sort_index()
    epochs = pd.read_csv(FOLDER / name / "epochs.csv")
    curves = {
        curve: epochs.pivot(index="number", columns="epoch", values=column)
        .reindex(index=trials.index, columns=range(1, EPOCHS + 1))
        .to_numpy()
        for curve, column in CURVES.items()
    }
    value = trials["val_mse"].where(trials["state"] == "COMPLETE", math.inf)
    return Recording(curves, value.to_numpy(), trials["epochs_run"].to_numpy())


def study_config(data: str, optimizer: str, sampler: str) -> StudyConfig:
    """The settings of a recorded study."""
    return StudyConfig.model_validate(
        {
            "epochs": EPOCHS,
            "trials": RECORDED,
            "trial_seeds": "fresh",
            "data": {"source": f"tables:{data}", "target": table(data)[1]},
            "model": {"name": MODELS.get(data, "mlp")},
            "optimizer": {"name": optimizer, "batch_size": 64},
            "space": {"scheduler": list(FAMILIES), "lr": RATES[optimizer]},
            "sampler": sampler,
            "pruner": "none",
            "confirm": False,
        }
    )


def replay(
    rule: str, recording: Recording, order: Sequence[int], in_flight: int, budget: float = math.inf
) -> tuple[int, list[int]]:
    """Go through trials with a pruner, as a coordinator does.

    Args:
        rule: Of RULES.
        recording: The trainings.
        order: Which of them are started, in order.
        in_flight: Trials trained side by side, an epoch of each in turn.
        budget: Epochs after which everything stops.

    Returns:
        Epochs trained, and the trials that were trained to the end.
    """
    curve, given = RULES[rule]
    config = PrunerConfig.model_validate(given)
    decides = decision_epochs(config, EPOCHS)
    # Hyperband draws a trial's bracket from the study's name.
    name = f"{order[0]}-{order[-1]}"
    study = optuna.create_study(study_name=name, pruner=build_pruner(config, EPOCHS))
    waiting, kept, used = deque(order), list[int](), 0
    running: list[tuple[int, optuna.Trial, int]] = []
    while waiting or running:
        while waiting and len(running) < in_flight:
            running.append((waiting.popleft(), study.ask(), 1))
        still = []
        for place, trial, epoch in running:
            if used >= budget:
                return used, kept
            used += 1
            if epoch == recording.trained[place] and math.isinf(recording.value[place]):
                study.tell(trial, state=TrialState.PRUNED)  # diverged, whatever the pruner thinks
                continue
            trial.report(recording.curves[curve][place, epoch - 1], epoch)
            if epoch == EPOCHS:
                study.tell(trial, recording.value[place])
                kept.append(place)
            elif (decides is None or epoch in decides) and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
            else:
                still.append((place, trial, epoch + 1))
        running = still
    return used, kept


def best(recording: Recording, places: Sequence[int]) -> float:
    """The lowest objective of some trials; infinite if there are none."""
    return float(recording.value[list(places)].min(initial=math.inf))


def replay_study(data: str, optimizer: str, rules: Sequence[str]) -> list[dict[str, object]]:
    """Each rule on one set and optimizer: a row per order, sampler and trials in flight."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    recordings = {sampler: record(data, optimizer, sampler) for sampler in SAMPLERS}
    for sampler, recording in recordings.items():
        for number in range(ORDERS):
            order = random.Random(number).sample(range(len(recording.value)), TRIALS)
            if sampler == "tpe":
                order.sort()
            ranked = sorted(order, key=lambda place: recording.value[place])
            for rule in rules:
                for in_flight in FLIGHTS:
                    used, kept = replay(rule, recording, order, in_flight)
                    rows.append(
                        {
                            **{"data": data, "optimizer": optimizer, "sampler": sampler},
                            **{"rule": rule, "in_flight": in_flight},
                            "epochs": 100 * used / (TRIALS * EPOCHS),
                            "regret": 100 * (best(recording, kept) / best(recording, order) - 1),
                            "lost": 100 * len({*ranked[: TRIALS // 20]} - {*kept}) * 20 / TRIALS,
                        }
                    )
    both = recordings["random"] + recordings["tpe"]
    every = range(len(both.value))
    for number in range(ORDERS):
        order = random.Random(number).sample(every, len(every))
        for rule in rules:
            _, kept = replay(rule, both, order, 1, BUDGET)
            regret = 100 * (best(both, kept) / best(both, every) - 1)
            rows.append({"data": data, "optimizer": optimizer, "rule": rule, "budgeted": regret})
    return rows


def replay_all(sets: Iterable[str], rules: Sequence[str], workers: int) -> pd.DataFrame:
    """All rows of some sets."""
    cells = [(data, optimizer) for data in sets for optimizer in RATES]
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(replay_study, *cell, rules) for cell in cells]
        return pd.DataFrame([row for future in futures for row in future.result()])


def figures(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per rule: means over the sets, and the largest regret."""
    by_set = rows.groupby(["rule", "data"], sort=False)
    mean = by_set[["epochs", "regret", "lost", "budgeted"]].mean().groupby("rule", sort=False)
    result = mean.mean()
    result["largest"] = rows.groupby("rule")["regret"].max()
    result["most_epochs"] = by_set["epochs"].mean().groupby("rule").max()
    for in_flight in FLIGHTS:
        some = rows[rows["in_flight"] == in_flight].groupby(["rule", "data"])["epochs"].mean()
        result[f"epochs_{in_flight}"] = some.groupby("rule").mean()
    return result


def markdown(result: pd.DataFrame) -> str:
    """The table."""
    lines = [
        "| rule | curve it looks at | epochs, 1 / 16 in flight | regret, mean / largest "
        f"| best 5 % pruned | regret, {BUDGET} epochs |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for rule, row in result.iterrows():
        lines.append(
            f"| {rule} | {RULES[str(rule)][0]} | {row['epochs_1']:.0f} / {row['epochs_16']:.0f} % "
            f"| {row['regret']:.2f} / {row['largest']:.1f} % | {row['lost']:.0f} % "
            f"| {row['budgeted']:.2f} % |"
        )
    return "\n".join(lines)


def bars(result: pd.DataFrame, aside: pd.DataFrame) -> list[tuple[bool, str]]:
    """What must hold of `halving`, and whether it does.

    Args:
        result: Figures of the sets that `halving` was chosen on.
        aside: Of the set that was kept aside.
    """
    halving, raw, none = (result.loc[rule] for rule in ("halving", "halving, raw weights", "none"))
    better = ["epochs", "regret", "budgeted"]
    gap = abs(halving["epochs"] - raw["epochs"])
    apart = abs(halving["epochs_1"] - halving["epochs_16"])
    return [
        (
            bool(halving["regret"] <= raw["regret"] / 2 and gap <= 3),
            f"regret {halving['regret']:.2f} % is at most half of the raw weights' "
            f"{raw['regret']:.2f} %, with the same epochs ({gap:.1f} points apart, at most 3)",
        ),
        (
            bool(halving["most_epochs"] <= 46),
            f"at most 46 % of the epochs on every set: {halving['most_epochs']:.1f} %",
        ),
        (bool(halving["regret"] <= 0.5), f"mean regret at most .5 %: {halving['regret']:.2f} %"),
        (bool(apart <= 3), f"the same use at 1 and 16 in flight: {apart:.1f} points apart"),
        (
            bool(halving["budgeted"] < none["budgeted"]),
            f"with {BUDGET} epochs {halving['budgeted']:.2f} % regret, less than without pruning: "
            f"{none['budgeted']:.2f} %",
        ),
        (
            bool((aside.loc["halving", better] <= aside.loc["Halving at 6, 12, 24", better]).all()),
            f"on the set kept aside no worse than halving at 6, 12, 24 in {', '.join(better)}",
        ),
    ]


def main() -> None:
    """Record, replay, print the tables and the bars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, default=2, help="processes that replay")
    parser.add_argument("--record", action="store_true", help="only record")
    given = parser.parse_args()
    for data in (*SETS, KEPT_ASIDE):
        for optimizer in RATES:
            for sampler in SAMPLERS:
                record(data, optimizer, sampler)
    if given.record:
        return
    rows = replay_all((*SETS, KEPT_ASIDE), list(RULES), given.workers)
    rows.to_csv(FOLDER / "replays.csv", index=False)
    is_aside = rows["data"] == KEPT_ASIDE
    result, aside = figures(rows[~is_aside]), figures(rows[is_aside])
    tables = [markdown(result), f"Kept aside ({KEPT_ASIDE}):", markdown(aside)]
    columns = ["epochs", "regret", "lost", "budgeted"]
    for rule in ("halving, raw weights", "halving"):
        some = rows[rows["rule"] == rule]
        for key in ("data", "optimizer", "sampler"):
            split = some.groupby(key, sort=False)[columns].mean().round(2)
            tables.append(f"{rule}, by {key}:\n{split.to_string()}")
    text = "\n\n".join(tables)
    held = bars(result, aside)
    text += "\n\n" + "\n".join(f"{'holds' if ok else 'FAILS'}: {bar}" for ok, bar in held)
    (FOLDER / "pruning.md").write_text(text + "\n")
    print(text)
    if not all(ok for ok, _ in held):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
