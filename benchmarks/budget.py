"""What a budget of whole trainings comes to: `sweep` beside plain Optuna scripts.

`make bench-budget`, or `python benchmarks/budget.py --quick` for a first look. Every method
searches the same space for a schedule with the epochs of 4 to 64 whole trainings, on tables and
with training loops of one's own (budget_tasks.py), and hands one over: plain scripts that of
Optuna's best trial (budget_peers.py), `sweep.run_study` its `best`, its confirmation within the
budget. All that were handed over are trained from the same fresh seeds. Tables, bars and picture
(budget_report.py) go to `benchmarks/results/budget/`.

There is a file there for each task and method, a line for each search and budget: what is in it
is not searched again, so a benchmark that was interrupted goes on. `--again` throws the chosen
tasks' and methods' away first, which a change of a method calls for; where a task has changed, all
its files are to be deleted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd
from budget_peers import PEERS, run_peers
from budget_report import write_report
from budget_tasks import EPOCHS, TASKS, Task, fresh_values

import sweep
from sweep.base.errors import SweepError
from sweep.schedules.schedule import Schedule
from sweep.training.workers.process_pool import default_workers

HERE = Path(__file__).parent
OWN: dict[str, dict[str, Any]] = {
    "sweep": {"sampler": "auto", "pruner": "auto"},
    "sweep-before": {"sampler": "tpe", "pruner": "halving"},
}
"""Methods that are `sweep.run_study`, and the settings that tell them apart."""

METHODS = (*OWN, *PEERS)
BUDGETS = (4, 8, 16, 32, 64)
_JUDGED_AT_ONCE = 40

Line = dict[str, Any]


def search_with_peer(task: str, method: str, searches: list[int], budgets: list[int]) -> list[Line]:
    """What searches of a plain script hand over at each budget; they are trained side by side."""
    started = time.monotonic()
    lines = []
    for search in run_peers(TASKS[task], method, searches, budgets):
        for budget, found in search.handed_over.items():
            lines.append({"search": search.number, "budget": budget, **found})
    secs = (time.monotonic() - started) / len(searches)
    return [{**line, "epochs": line["budget"] * EPOCHS, "secs": round(secs, 2)} for line in lines]


def search_with_sweep(task: Task, method: str, search: int, budget: int) -> Line:
    """What one study with a budget hands over; no schedule where it has none."""
    started = time.monotonic()
    given = {**task.settings(search), **task.data(search), **OWN[method]}
    found: Line = {"search": search, "budget": budget, "schedule": None}
    with tempfile.TemporaryDirectory() as folder:
        result = sweep.run_study(
            out=Path(folder) / "study",
            budget=budget,
            workers=1,
            listener=sweep.Listener(),
            **given,
        )
        found["trials"] = len(result.results)
        found["epochs"] = len(result.epochs) + EPOCHS * len(result.confirm)
        try:
            found["schedule"] = result.best.to_dict()
        except SweepError as problem:
            print(f"{task.name}, {method}, budget {budget}: {problem}", flush=True)
    return {**found, "secs": round(time.monotonic() - started, 2)}


def judge(task: str, schedules: list[dict[str, Any]], seeds: int) -> list[Line]:
    """Schedules and their values on fresh seeds."""
    values = fresh_values(TASKS[task], map(Schedule.from_dict, schedules), seeds)
    return [{"schedule": s, "values": v} for s, v in zip(schedules, values, strict=True)]


class Results:
    """Lines of JSON in a folder: a file for each task and method, and one for what was judged."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def of(self, task: str, method: str) -> list[Line]:
        """What is known of a task and method; `judged` is in the place of a method, too."""
        path = self._path(task, method)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def add(self, task: str, method: str, lines: Iterable[Line]) -> None:
        """Append some."""
        with self._path(task, method).open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def forget(self, task: str, method: str) -> None:
        """Throw them away."""
        self._path(task, method).unlink(missing_ok=True)

    def _path(self, task: str, method: str) -> Path:
        return self._folder / f"{task}.{method}.jsonl"


def missing(results: Results, given: argparse.Namespace, method: str) -> Iterator[tuple[str, Any]]:
    """Tasks, and the searches and budgets that are still to be done of each."""
    for task in given.tasks:
        done = {(line["search"], line["budget"]) for line in results.of(task, method)}
        wanted = itertools.product(range(given.searches), given.budgets)
        if left := [both for both in wanted if both not in done]:
            yield task, left


def train_peers(results: Results, given: argparse.Namespace, pool: ProcessPoolExecutor) -> None:
    """All searches of plain scripts that are missing."""
    jobs: dict[Future[list[Line]], tuple[str, str]] = {}
    for method in filter(PEERS.__contains__, given.methods):
        for task, left in missing(results, given, method):
            searches = sorted({search for search, _ in left})
            together = [searches] if TASKS[task].table else [[search] for search in searches]
            for part in together:
                job = pool.submit(search_with_peer, task, method, part, given.budgets)
                jobs[job] = task, method
    for job in as_completed(jobs):
        task, method = jobs[job]
        known = {(line["search"], line["budget"]) for line in results.of(task, method)}
        lines = [line for line in job.result() if (line["search"], line["budget"]) not in known]
        results.add(task, method, lines)
        secs = lines[0]["secs"] if lines else 0
        print(f"{task}, {method}: {len(lines)} handed over, {secs:.1f} s a search", flush=True)


def train_sweep(results: Results, given: argparse.Namespace) -> None:
    """All studies that are missing, one after the other: each has a worker process of its own."""
    for method in filter(OWN.__contains__, given.methods):
        for task, left in missing(results, given, method):
            started = time.monotonic()
            for search, budget in left:
                line = search_with_sweep(TASKS[task], method, search, budget)
                results.add(task, method, [line])
            secs = (time.monotonic() - started) / len(left)
            print(f"{task}, {method}: {len(left)} handed over, {secs:.1f} s a study", flush=True)


def judge_all(results: Results, given: argparse.Namespace, pool: ProcessPoolExecutor) -> None:
    """Train what was handed over and is not judged yet."""
    jobs: dict[Future[list[Line]], str] = {}
    for task in given.tasks:
        judged = {
            json.dumps(line["schedule"])
            for line in results.of(task, "judged")
            if len(line["values"]) == given.seeds
        }
        lines = [line for method in METHODS for line in results.of(task, method)]
        handed = {json.dumps(line["schedule"]) for line in lines if line["schedule"]}
        left = sorted(handed - judged)
        for first in range(0, len(left), _JUDGED_AT_ONCE):
            part = [json.loads(text) for text in left[first : first + _JUDGED_AT_ONCE]]
            jobs[pool.submit(judge, task, part, given.seeds)] = task
    for job in as_completed(jobs):
        results.add(jobs[job], "judged", job.result())


def judged_rows(results: Results, given: argparse.Namespace) -> pd.DataFrame:
    """A row for each search and budget: its value on fresh seeds, infinite without a schedule."""
    rows = []
    for task in given.tasks:
        means = {
            json.dumps(line["schedule"]): sum(line["values"]) / given.seeds
            for line in results.of(task, "judged")
            if len(line["values"]) == given.seeds
        }
        for method in METHODS:
            for line in results.of(task, method):
                value = means.get(json.dumps(line["schedule"]), float("inf"))
                kept = {name: line.get(name) for name in ("search", "budget", "epochs", "secs")}
                rows.append({"task": task, "method": method, **kept, "value": value})
        best_known = min(means.values(), default=float("nan"))
        for row in rows:
            if row["task"] == task:
                row["regret"] = row["value"] / best_known - 1
    frame = pd.DataFrame(rows)
    is_wanted = frame["method"].isin(given.methods) & frame["budget"].isin(given.budgets)
    wanted: pd.DataFrame = frame[is_wanted & (frame["search"] < given.searches)]
    return wanted


def main() -> None:
    """Search, judge, write the report, print it; exit 1 where a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--budgets", nargs="+", type=int)
    parser.add_argument("--searches", type=int, help="of each task and method")
    parser.add_argument("--seeds", type=int, default=5, help="that a schedule is judged by")
    parser.add_argument("--workers", type=int, default=default_workers(), help="processes")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "budget")
    parser.add_argument("--quick", action="store_true", help="two tasks, searches, budgets")
    parser.add_argument("--again", action="store_true", help="forget earlier results of these")
    parser.add_argument("--search-only", action="store_true", help="judge and report later")
    parser.add_argument("--report-only", action="store_true", help="search no more")
    given = parser.parse_args()
    given.tasks = given.tasks or (["diabetes-sgd", "sunspots"] if given.quick else list(TASKS))
    given.budgets = given.budgets or ([4, 8] if given.quick else list(BUDGETS))
    given.searches = given.searches or (2 if given.quick else 20)
    results = Results(given.out)
    if given.again and not given.report_only:
        for task, method in itertools.product(given.tasks, given.methods):
            results.forget(task, method)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.workers, context) as pool:
        if not given.report_only:
            train_peers(results, given, pool)
            train_sweep(results, given)
        if given.search_only:
            return
        judge_all(results, given, pool)
    held = write_report(judged_rows(results, given), given.out)
    if not given.quick and not held:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
