"""What budget.py has measured: tables, bars and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from budget_tasks import EPOCHS, TASKS
from matplotlib.figure import Figure

from sweep.confirm.intervals import Interval, mean_interval, unpaired_lead

OURS, UNPRUNED, PRUNED = "sweep", "tpe", "tpe-median"
NAMES = {
    "sweep": "sweep",
    "sweep-before": "sweep before",
    "tpe": "Optuna: TPE",
    "tpe-median": "TPE + Median",
    "tpe-hyperband": "TPE + Hyperband",
    "gp": "Optuna: GP",
    "random": "random",
}
LEAST, MOST = 1e-3, 100.0
"""Regrets beyond these count as these: less is noise of the judges, and more is useless anyway."""

_QUARTERS = ((8, 32), (16, 64))
"""Our budgets, and those of TPE + Median that they are to be as good as."""


def write_report(rows: pd.DataFrame, folder: Path) -> bool:
    """Write and print all; whether all bars hold.

    Args:
        rows: A row for each `task`, `method`, `search` and `budget`: its `regret` on fresh seeds
            as a share, the `epochs` that it took, and its `secs`.
        folder: Where `budget.md`, `budget.csv` and `budget.png` go.
    """
    rows = rows.assign(log_regret=np.log(rows["regret"].clip(LEAST, MOST)))
    groups = _groups(rows)
    text = [
        f"Regret in % of the best known on fresh seeds (geometric mean of the searches, 95 % "
        f"interval), by budget in whole trainings of {EPOCHS} epochs. The best known is the lowest "
        "of all that were judged, so it is too low by some luck: that adds about the same to all."
    ]
    for name, tasks in groups.items():
        some = rows[rows["task"].isin(tasks)]
        text += [f"### {name}", _table(some)]
    text += [f"### {task}\n\n{_table(rows[rows['task'] == task])}" for task in _tasks(rows)]
    text.append("### What it took\n\n" + _costs(rows))
    bars: list[tuple[bool, str]] = []
    if OURS in set(rows["method"]):
        for name, tasks in groups.items():
            held = _bars(rows[rows["task"].isin(tasks)])
            bars += held
            lines = [f"- {'holds' if ok else '**fails**'}: {bar}" for ok, bar in held]
            text += [f"### Bars, {name}", "\n".join(lines)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "budget.md").write_text("\n\n".join(text) + "\n")
    rows.to_csv(folder / "budget.csv", index=False)
    _picture(rows, groups).savefig(folder / "budget.png", dpi=120)
    print("\n\n".join(text))
    return all(ok for ok, _ in bars)


def _groups(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Tasks that are averaged over, by what they are."""
    tasks = _tasks(rows)
    judged = [task for task in tasks if TASKS[task].purpose == "judge"]
    chosen = [task for task in tasks if TASKS[task].purpose == "choose"]
    groups = {
        f"Judged on: {', '.join(judged)}": judged,
        f"Rules were chosen on: {', '.join(chosen)}": chosen,
        "All tasks": tasks if judged and chosen else [],
    }
    return {name: some for name, some in groups.items() if some}


def _tasks(rows: pd.DataFrame) -> list[str]:
    present = set(rows["task"])
    return [task for task in TASKS if task in present]


def _methods(rows: pd.DataFrame) -> list[str]:
    present = set(rows["method"])
    return [method for method in NAMES if method in present]


def _budgets(rows: pd.DataFrame) -> list[int]:
    return sorted(map(int, rows["budget"].unique()))


def _log_regrets(rows: pd.DataFrame, method: str, budget: int) -> list[float]:
    """Of each search, averaged over the tasks; those that all tasks have."""
    some = rows[(rows["method"] == method) & (rows["budget"] == budget)]
    wide = some.pivot_table(index="search", columns="task", values="log_regret")
    if set(wide.columns) != set(rows["task"]):
        return []
    return [float(value) for value in wide.dropna().mean(axis=1)]


def _table(rows: pd.DataFrame) -> str:
    budgets = _budgets(rows)
    lines = [
        "| method | " + " | ".join(map(str, budgets)) + " |",
        "|---" * (len(budgets) + 1) + "|",
    ]
    for method in _methods(rows):
        cells = [_cell(_log_regrets(rows, method, budget)) for budget in budgets]
        lines.append(f"| {' | '.join([NAMES[method], *cells])} |")
    return "\n".join(lines)


def _cell(logs: Sequence[float]) -> str:
    if not logs:
        return "-"
    interval = mean_interval(logs)
    ends = f" ({_percent(interval.low)} to {_percent(interval.high)})" if interval.is_finite else ""
    return f"{_percent(interval.mean)}{ends}"


def _percent(log: float) -> str:
    return f"{100 * math.exp(log):.3g}"


def _costs(rows: pd.DataFrame) -> str:
    """Epochs beside those of the budget, and seconds: a plain script's are those of its largest."""
    lines = [
        "| method | epochs of the budget, mean and most | seconds a search |",
        "|---" * 3 + "|",
    ]
    for method in _methods(rows):
        some = rows[rows["method"] == method]
        spent = 100 * some["epochs"] / (some["budget"] * EPOCHS)
        secs = some.groupby("budget")["secs"].mean().iloc[-1]
        lines.append(
            f"| {NAMES[method]} | {spent.mean():.0f} %, {spent.max():.0f} % | {secs:.1f} |"
        )
    return "\n".join(lines)


def _bars(rows: pd.DataFrame) -> list[tuple[bool, str]]:
    """What must hold of ours, and whether it does."""
    budgets, bars = _budgets(rows), []
    peers = [method for method in _methods(rows) if method != OURS]
    for budget in budgets:
        leads = {NAMES[peer]: _lead(rows, budget, peer, budget) for peer in peers}
        known = {name: lead for name, lead in leads.items() if lead}
        if not known:
            continue
        shown = ", ".join(f"{name} {_factor(lead)}" for name, lead in known.items())
        below_all = all(lead.mean > 0 for lead in known.values())
        bars.append(
            (
                below_all,
                f"with {budget}, our regret is below every peer's; theirs is {shown} times ours",
            )
        )
    for ours, theirs in _QUARTERS:
        if lead := _lead(rows, ours, PRUNED, theirs):
            as_good = f"ours with {ours} is as good as {NAMES[PRUNED]} with {theirs}"
            text = f"{as_good}, whose regret is {_factor(lead)} times ours"
            bars.append((lead.mean >= 0, text))
    for task in _tasks(rows):
        some = rows[rows["task"] == task]
        worse = {
            budget: _factor(lead)
            for budget in budgets
            if budget >= 8 and (lead := _lead(some, budget, UNPRUNED, budget)) and lead.high < 0
        }
        found = ", ".join(f"with {budget}: {factor}" for budget, factor in worse.items())
        text = f"{task}: never worse than {NAMES[UNPRUNED]} beyond the interval, from 8 on: "
        bars.append((not worse, text + (found or "never")))
    return bars


def _lead(rows: pd.DataFrame, ours: int, peer: str, theirs: int) -> Interval | None:
    """How much lower our mean log regret is; None where either is not known."""
    sides = _log_regrets(rows, OURS, ours), _log_regrets(rows, peer, theirs)
    if min(map(len, sides)) < 2:
        return None
    return unpaired_lead(*sides, as_share=False)


def _factor(lead: Interval) -> str:
    """Their regret as a multiple of ours."""
    mean, low, high = (math.exp(log) for log in (lead.mean, lead.low, lead.high))
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


def _picture(rows: pd.DataFrame, groups: dict[str, list[str]]) -> Figure:
    """Regret over the budget: a panel for all tasks together and for each."""
    every = list(groups)[-1]
    panels = {every.split(":")[0]: groups[every]} | {task: [task] for task in _tasks(rows)}
    columns = min(4, len(panels))
    height = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4 * columns, 3.2 * height), layout="constrained")
    grid = figure.subplots(height, columns, squeeze=False).ravel()
    for axes, (name, tasks) in zip(grid, panels.items(), strict=False):
        some = rows[rows["task"].isin(tasks)]
        for method in _methods(rows):
            means = {b: _log_regrets(some, method, b) for b in _budgets(some)}
            points = {b: 100 * math.exp(np.mean(logs)) for b, logs in means.items() if logs}
            width = 2.5 if method == OURS else 1.2
            axes.plot(list(points), list(points.values()), ".-", label=NAMES[method], lw=width)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(_budgets(some), [str(budget) for budget in _budgets(some)])
        axes.set(title=name, xlabel="budget in whole trainings", ylabel="regret in %")
        axes.grid(alpha=0.3)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    grid[0].legend(fontsize="small")
    return figure
