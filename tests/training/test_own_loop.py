"""Training loops of the user's own: what the engine makes of them, and whole sweeps with them."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from optuna_dashboard import get_note
from support import sweep

from sweep.base.errors import InputError
from sweep.schedules.schedule import SHAPES, Schedule
from sweep.search.storage.opening import load_study
from sweep.study.metric import Metric
from sweep.training.contract import (
    EpochResult,
    LoopSettings,
    OptimizerSettings,
    TrialError,
    TrialSpec,
)
from sweep.training.own_loop.engine import LoopEngine
from sweep.training.own_loop.loading import load_loop

CPU = torch.device("cpu")
EPOCHS, STEPS = 4, 10

HEAD = """
import math, pathlib, torch
"""
LINE = (
    HEAD
    + """
def train(schedule, *, epochs, seed, device):
    x = torch.linspace(-1, 1, 80)
    weight = torch.randn((), requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=10)
    for epoch in range(epochs):
        for rows in torch.randperm(80).view(10, 8):
            loss = ((weight * x[rows] - 2 * x[rows]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        error = float(((weight.detach() * x - 2 * x) ** 2).mean())
        yield {"val_mse": error, "train_mse": float(loss.detach())}
"""
)
CLASSES = (
    HEAD
    + """
def train(schedule, epochs, seed):
    data = torch.Generator().manual_seed(1)
    x = torch.randn(200, 6, generator=data)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + torch.randn(200, generator=data) / 2 > 0).long()
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = schedule.attach(optimizer, steps_per_epoch=5)
    epoch = 0
    try:
        for epoch in range(1, epochs + 1):
            for rows in torch.randperm(100).view(5, 20):
                loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            right = model(x[100:]).argmax(1) == y[100:]
            yield {"val_accuracy": right.float().mean()}
    finally:
        with open("ended.txt", "a") as file:
            file.write(f"{epoch}\\n")
"""
)


def engine_of(folder: Path, code: str, **settings: object) -> LoopEngine:
    (folder / "train.py").write_text(code)
    given = {"reference": "train.py:train", "metric": Metric(), "epochs": EPOCHS, **settings}
    shared = LoopSettings(**given)  # type: ignore[arg-type]
    return LoopEngine(load_loop(shared, (folder,), CPU), shared)


def spec(schedule: Schedule | None = None, number: int = 0, seed: int = 3) -> TrialSpec:
    return TrialSpec(
        number, seed, schedule or Schedule("cosine", lr=0.2, decay=0.1), OptimizerSettings()
    )


def train(engine: LoopEngine, epochs: int = EPOCHS) -> list[EpochResult]:
    results = [result for _ in range(epochs) for result in engine.train_epoch()]
    for result in results:
        assert isinstance(result, EpochResult), result
    return [result for result in results if isinstance(result, EpochResult)]


def error_of(engine: LoopEngine, epochs: int = EPOCHS) -> TrialError:
    engine.add(spec())
    results = [result for _ in range(epochs) for result in engine.train_epoch()]
    assert isinstance(results[-1], TrialError)
    assert engine.train_epoch() == []
    return results[-1]


@pytest.mark.parametrize("scheduler", SHAPES)
def test_recorded_rates_are_those_of_the_schedule(scheduler: str, tmp_path: Path) -> None:
    shape = SHAPES[scheduler]
    warmup = 0.1 if shape.uses_warmup else 0.0
    schedule = Schedule(scheduler, lr=0.2, warmup=warmup)
    engine = engine_of(tmp_path, LINE)
    engine.add(spec(schedule))
    results = train(engine)
    assert [r.epoch for r in results] == [1, 2, 3, 4]
    assert {r.total_steps for r in results} == {EPOCHS * STEPS}
    assert not any("learning rate" in note for note in engine.notes)
    if scheduler == "plateau":
        return
    rates = schedule.rates(EPOCHS * STEPS).reshape(EPOCHS, STEPS)
    np.testing.assert_allclose([r.lr_first for r in results], rates[:, 0], rtol=1e-6)
    np.testing.assert_allclose([r.lr_last for r in results], rates[:, -1], rtol=1e-6)


def test_what_it_yields_is_what_is_recorded(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, LINE)
    engine.add(spec())
    results = train(engine)
    assert results[-1].val_mse < 0.1 * results[0].val_mse
    assert all(r.train_mse is not None and r.train_mse > 0 for r in results)
    assert all(r.averaged_val_mse is None and r.grad_norm is None for r in results)


def test_a_seed_alone_decides_what_is_random(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, LINE)
    values = []
    for seed in (3, 4, 3):
        engine.add(spec(seed=seed))
        values.append([r.val_mse for r in train(engine)])
        engine.remove(0)
    assert values[0] == values[2] != values[1]


@pytest.mark.parametrize("yielded", ["0.5", "torch.tensor([0.5])", "{'val_mse': 0.5}"])
def test_numbers_of_any_kind(yielded: str, tmp_path: Path) -> None:
    code = f"""
import torch
def train(schedule, epochs):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    scheduler = schedule.attach(optimizer, total_steps=epochs)
    for _ in range(epochs):
        optimizer.step()
        scheduler.step()
        yield {yielded}
"""
    engine = engine_of(tmp_path, dedent(code))
    engine.add(spec())
    assert [r.val_mse for r in train(engine)] == [0.5] * EPOCHS


def test_averaged_weights_are_taken_where_they_are_yielded(tmp_path: Path) -> None:
    code = LINE.replace('"val_mse": error,', '"val_mse": error, "averaged_val_mse": 7, "time": 1,')
    engine = engine_of(tmp_path, code, wants_averaged=True)
    engine.add(spec())
    assert [r.averaged_val_mse for r in train(engine)] == [7.0] * EPOCHS
    assert engine.notes == ["the loop also yields time: not used"]


def test_a_loop_without_averages_is_compared_by_its_metric_and_says_so_once(
    tmp_path: Path,
) -> None:
    engine = engine_of(tmp_path, LINE, wants_averaged=True)
    for number in (0, 1):
        engine.add(spec(number=number))
    train(engine)
    assert engine.notes == [
        "the loop yields no averaged_val_mse, so trials are compared by val_mse itself"
    ]


def test_a_removed_trial_is_closed(tmp_path: Path) -> None:
    code = (
        LINE.replace("for epoch in range(epochs):", "for epoch in guarded(epochs):")
        + f"""
def guarded(epochs):
    try:
        yield from range(epochs)
    finally:
        pathlib.Path({str(tmp_path / "closed")!r}).touch()
"""
    )
    engine = engine_of(tmp_path, code)
    engine.add(spec())
    train(engine, 2)
    assert not (tmp_path / "closed").exists()
    engine.remove(0)
    assert (tmp_path / "closed").exists()
    assert engine.train_epoch() == []


def test_a_finally_that_raises_is_told(tmp_path: Path) -> None:
    code = """
import torch
def train(schedule, epochs):
    schedule.attach(torch.optim.SGD([torch.zeros(1)], lr=1), total_steps=8)
    try:
        while True:
            yield 1.0
    finally:
        raise OSError("disk full")
"""
    engine = engine_of(tmp_path, dedent(code))
    engine.add(spec())
    train(engine, 1)
    engine.remove(0)
    assert (
        engine.notes[-1]
        == "trial 0 raised when it was closed: OSError: disk full (train.py, line 9)"
    )


@pytest.mark.parametrize(
    ("old", "new", "epoch", "text"),
    [
        (
            "range(epochs)",
            "range(epochs - 1)",
            4,
            "the loop ended after 3 of 4 epochs; it must yield its metric once an epoch",
        ),
        (
            "range(epochs)",
            "range(epochs + 1)",
            4,
            "the loop yielded more than 4 times; it must yield its metric once an epoch, for the "
            "4 epochs that it is told",
        ),
        (
            "scheduler = schedule.attach(optimizer, steps_per_epoch=10)",
            "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)",
            1,
            "the loop has not attached its schedule: scheduler = schedule.attach(optimizer, "
            "steps_per_epoch=len(loader))",
        ),
        (
            "steps_per_epoch=10)",
            ")",
            1,
            "ScheduleError: attach needs steps_per_epoch: schedule.attach(optimizer, "
            "steps_per_epoch=len(loader)) (train.py, line 8)",
        ),
        (
            '"val_mse": error',
            '"val_mce": error',
            1,
            "the loop yielded a dict without 'val_mse', the study's metric (it has val_mce, "
            "train_mse); did you mean 'val_mce'?",
        ),
        (
            '{"val_mse": error, "train_mse": float(loss.detach())}',
            "'good'",
            1,
            "the loop yielded 'good' (str) as val_mse; expected a number, or a dict with the key "
            "'val_mse'",
        ),
        (
            "error = float(",
            "x[100]; error = float(",
            1,
            "IndexError: index 100 is out of bounds for dimension 0 with size 80 "
            "(train.py, line 16)",
        ),
    ],
)
def test_what_is_wrong_ends_the_trial_and_says_where(
    old: str, new: str, epoch: int, text: str, tmp_path: Path
) -> None:
    assert old in LINE
    error = error_of(engine_of(tmp_path, LINE.replace(old, new)))
    assert (error.number, error.epoch, error.error) == (0, epoch, text)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "def train(schedule, epochs): return 1.0",
            "train.py:train: expected a generator function train(schedule, *, epochs, seed, "
            "device) that yields its validation metric once an epoch, but it has no yield",
        ),
        (
            "def train(): yield 1.0",
            "train.py:train: must take a schedule as its first argument: train(schedule, *, "
            "epochs, seed, device)",
        ),
        (
            "def train(schedule, *, epoch): yield 1.0",
            "train.py:train: has the parameter 'epoch' without a default; did you mean 'epochs'?; "
            "a loop is given device, epochs, seed, state",
        ),
        (
            "def trian(schedule): yield 1.0",
            "'train.py:train': module 'train.py' has no 'train'; did you mean 'trian'?",
        ),
    ],
)
def test_a_loop_that_cannot_be_called_is_refused(code: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        engine_of(tmp_path, code)
    assert str(refused.value) == text


def test_loops_of_other_forms_are_called(tmp_path: Path) -> None:
    code = (
        LINE
        + """
import functools
class Trainer:
    def __call__(self, schedule, **given):
        assert sorted(given) == ["device", "epochs", "seed"]
        yield from train(schedule, **given)
@functools.wraps(train)
def wrapped(*args, **kwargs):
    return train(*args, **kwargs)
trainer, partial = Trainer(), functools.partial(train)
"""
    )
    values = set()
    for name in ("train", "trainer", "partial", "wrapped"):
        engine = engine_of(tmp_path, code, reference=f"train.py:{name}")
        engine.add(spec())
        values.add(train(engine)[-1].val_mse)
    assert len(values) == 1


@pytest.mark.parametrize("maximize", [False, True])
def test_plateau_follows_what_is_yielded(maximize: bool, tmp_path: Path) -> None:
    values = (1, 2, 3, 3, 3, 3, 4, 4) if maximize else (4, 3, 2, 2, 2, 2, 1, 1)
    code = f"""
import torch
def train(schedule, epochs):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    scheduler = schedule.attach(optimizer, total_steps=epochs)
    for value in {values}:
        optimizer.step()
        scheduler.step()
        yield value
"""
    engine = engine_of(tmp_path, dedent(code), epochs=8, metric=Metric("gain", maximize))
    schedule = Schedule("plateau", 1.0, decay=0.01, params={"factor": 0.5, "patience": 1})
    engine.add(spec(schedule))
    assert [r.lr_first for r in train(engine, 8)] == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("old", ["            scheduler.step()\n", "lr=0.1"])
def test_a_rate_that_does_not_follow_the_schedule_is_said(old: str, tmp_path: Path) -> None:
    engine = engine_of(tmp_path, LINE.replace(old, "" if "step" in old else old))
    engine.add(spec())
    train(engine)
    said = any("call scheduler.step() after every optimizer.step()" in n for n in engine.notes)
    assert said == ("step" in old)


def test_groups_keep_their_ratio(tmp_path: Path) -> None:
    code = """
import torch
def train(schedule, epochs):
    one, two = (torch.zeros(1, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [one], "lr": 0.3}, {"params": [two], "lr": 0.03}])
    scheduler = schedule.attach(optimizer, steps_per_epoch=1)
    for _ in range(epochs):
        first, second = (group["lr"] for group in optimizer.param_groups)
        optimizer.step()
        scheduler.step()
        yield second / first
"""
    engine = engine_of(tmp_path, dedent(code))
    engine.add(spec())
    assert [r.val_mse for r in train(engine)] == pytest.approx([0.1] * EPOCHS)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of a loop of one's own, for the greatest accuracy."""
    folder = tmp_path_factory.mktemp("classes")
    (folder / "train.py").write_text(CLASSES)
    done = sweep(
        *("run", "--loop", "train.py:train", "--metric", "val_accuracy"),
        *("--direction", "maximize", "--epochs", "12", "--trials", "30", "--lr", "1e-3:10:log"),
        *("--set", "confirm.share=0.5", "--workers", "2"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout)
    return folder


class TestMaximize:
    def test_the_best_is_the_greatest(self, classes: Path) -> None:
        results = pd.read_csv(classes / "studies/train/results.csv")
        assert "val_mse" not in results
        complete = results[results["state"] == "COMPLETE"]
        best = json.loads((classes / "studies/train/best_schedule.json").read_text())
        confirmed = best["confirmation"]["candidates"]
        greatest = complete[complete["val_accuracy"] == complete["val_accuracy"].max()]
        assert best["best_of_search"] == greatest["number"].min()  # the earlier one of equals
        means = [c["mean"]["mean"] for c in confirmed if not c["dropped_out"]]
        assert means == sorted(means, reverse=True)
        assert all(0.5 < mean <= 1 for mean in means)
        assert best["trial"] == confirmed[0]["trial"]
        assert all(c["lead_of_winner"]["mean"] >= 0 for c in confirmed[1:] if not c["dropped_out"])
        assert best["total_steps"] == 60

    def test_a_value_is_the_greatest_of_its_epochs(self, classes: Path) -> None:
        results = pd.read_csv(classes / "studies/train/results.csv").set_index("number")
        epochs = pd.read_csv(classes / "studies/train/epochs.csv")
        greatest = epochs.groupby("number")["val_accuracy"].max()
        pd.testing.assert_series_equal(results["val_accuracy"], greatest)

    def test_the_study_maximises_for_optuna(self, classes: Path) -> None:
        study = load_study("train", str(classes / "studies/train/study.journal"))
        assert study.direction == optuna.study.StudyDirection.MAXIMIZE
        assert study.metric_names == ["val_accuracy"]
        assert study.best_value == max(t.value or 0 for t in study.trials)

    def test_pruning_stops_the_lower_half(self, classes: Path) -> None:
        study = load_study("train", str(classes / "studies/train/study.journal"))
        stopped = [t for t in study.trials if "pruned" in t.user_attrs.get("reason", "")]
        kept = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
        assert len(stopped) >= 5
        first = min(t.last_step or 99 for t in stopped)
        values = [t.intermediate_values[first] for t in stopped if t.last_step == first]
        assert np.mean(values) < np.mean([t.intermediate_values[first] for t in kept])

    def test_generators_of_pruned_trials_are_closed(self, classes: Path) -> None:
        ended = [int(line) for line in (classes / "ended.txt").read_text().split()]
        results = pd.read_csv(classes / "studies/train/results.csv")
        confirmed = pd.read_csv(classes / "studies/train/confirm.csv")
        trained = [*results["epochs_run"], *confirmed["epochs_run"]]
        assert sorted(ended) == sorted(trained)
        assert min(ended) < 12

    def test_the_report_speaks_of_the_metric(self, classes: Path) -> None:
        text = (classes / "output.txt").read_text()
        shown = sweep("report", "train", cwd=classes).stdout
        for output in (text, shown):
            assert "reaches val_accuracy 0." in output
            assert "best val_accuracy" in output
            assert "MSE" not in output
            assert "lower" not in output.replace("at the lower end", "")
        assert text.count("the loop yields no averaged_val_accuracy") == 1
        markdown = sweep("report", "train", "-f", "md", cwd=classes).stdout
        assert "| scheduler | best val_accuracy |" in markdown
        assert "MSE" not in markdown
        described = json.loads(sweep("report", "train", "-f", "json", cwd=classes).stdout)
        assert described["best"]["val_accuracy"] > 0.5
        assert "val_mse" not in json.dumps(described)
        values = [trial["val_accuracy"] for trial in described["top"]]
        assert values == sorted(values, reverse=True)
        bests = [row["best"]["val_accuracy"] for row in described["schedulers"] if row["best"]]
        assert bests == sorted(bests, reverse=True)

    def test_the_page_speaks_of_the_metric_too(self, classes: Path) -> None:
        done = sweep("report", "train", "--html", cwd=classes)
        assert done.returncode == 0, done.stderr
        page = (classes / "studies/train/report.html").read_text()
        visible = re.sub(r"(?s)<script.*?</script>", "", page)
        assert "best val_accuracy" in visible
        assert "MSE" not in visible
        assert "the best value rose from" in visible
        assert "higher val_accuracy" in visible

    def test_an_audit_knows_which_way_is_up(self, classes: Path) -> None:
        done = sweep("audit", "train", "--sample", "5", "--json", cwd=classes)
        found = json.loads(done.stdout)
        values = [one["val_accuracy"] for one in found["audited"]]
        assert values == sorted(values, reverse=True)
        assert found["would_have_won"] == sum(v > found["best_val_accuracy"] for v in values)
        study = load_study("train", str(classes / "studies/train/study.journal"))
        for one in found["audited"]:
            before = study.trials[one["trial"]].intermediate_values
            assert one["val_accuracy"] >= max(before.values())  # the same course, to its end

    def test_it_goes_on_from_its_folder(self, classes: Path) -> None:
        done = sweep("run", "studies/train", "--trials", "32", "--no-confirm", cwd=classes)
        assert done.returncode == 0, done.stderr
        results = pd.read_csv(classes / "studies/train/results.csv")
        assert results["completes"].isna().sum() == 32
        saved = (classes / "studies/train/study.toml").read_text()
        assert 'loop = "train.py:train"' in saved
        assert "[data]" not in saved and "[model]" not in saved
        done = sweep("run", "studies/train", "--direction", "minimize", cwd=classes)
        assert done.returncode != 0
        assert "direction" in done.stderr


def test_a_loop_that_raises_fails_its_trials_and_is_told(tmp_path: Path) -> None:
    broken = LINE.replace("error = float(", "error = float('x' if epoch else 1) * float(")
    (tmp_path / "train.py").write_text(broken)
    short = ("--trials", "2", "--epochs", "3", "--pruner", "none")
    done = sweep("run", "--loop", "train.py:train", *short, cwd=tmp_path)
    assert done.returncode == 1
    text = "ValueError: could not convert string to float: 'x' (train.py, line 16)"
    assert f"trial 0 failed: epoch 2: {text}" in done.stdout
    assert text in done.stderr
    results = pd.read_csv(tmp_path / "studies/train/results.csv")
    assert list(results["state"]) == ["FAIL"] * 2
    assert list(results["epochs_run"]) == [1, 1]


def test_a_loop_that_diverges_is_no_winner(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        CLASSES.replace("right.float().mean()", "right.float().mean() if epoch < 3 else math.nan")
    )
    done = sweep(
        *("run", "--loop", "train.py:train", "--metric", "val_accuracy", "--epochs", "4"),
        *("--direction", "maximize", "--trials", "2", "--workers", "1", "--pruner", "none"),
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "diverged at epoch 3: val_accuracy is nan" in done.stderr


def test_problems_of_a_study_with_a_loop_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        dedent("""
        loop = "train"
        objective = "averaged"
        lanes = 3
        [model]
        name = "mlp"
        [space]
        momentum = 0.9
        """)
    )
    done = sweep("run", "mine.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: mine.toml: 5 problems",
        "  loop = 'train': expected 'module:function', such as 'train.py:train'",
        "  model: not used: a training loop of your own brings its own",
        "  space.momentum = '0.9': not used: a training loop of your own builds its optimizer",
        "  lanes = 3: not used: a worker runs one training loop of your own at a time",
        "  objective = 'averaged': a training loop of your own has 'best' and 'final'",
    ]
    done = sweep("run", "diabetes", "--metric", "val_accuracy", cwd=tmp_path)
    assert done.stderr.strip() == (
        "error: --metric 'val_accuracy': belongs to a training loop of your own; give loop = "
        "'module:function' too"
    )


def test_a_loop_that_is_counted_in_steps(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        dedent("""
        import torch
        def train(schedule, *, horizon, evaluate_every, epochs, seed):
            assert (horizon, evaluate_every, epochs) == (50, 20, 3)
            x = torch.linspace(-1, 1, 80)
            weight = torch.randn((), requires_grad=True)
            optimizer = torch.optim.SGD([weight], lr=0.1)
            scheduler = schedule.attach(optimizer)
            for step in range(1, horizon + 1):
                loss = ((weight * x - 2 * x) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                if step % evaluate_every == 0 or step == horizon:
                    yield loss
        """)
    )
    (tmp_path / "steps.toml").write_text(
        dedent("""
        loop = "train.py:train"
        horizon = 50
        evaluate_every = 20
        trials = 2
        workers = 1
        pruner = "none"
        [space]
        scheduler = "cosine"
        warmup = 0
        """)
    )
    done = sweep("run", "steps.toml", "--no-confirm", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "steps: 2 trials of 50 steps, train.py:train" in done.stdout
    epochs = pd.read_csv(tmp_path / "steps/epochs.csv").query("number == 0")
    best = json.loads((tmp_path / "steps/best_schedule.json").read_text())
    results = pd.read_csv(tmp_path / "steps/results.csv").set_index("number")
    rates = Schedule("cosine", results["lr"][0], results["decay"][0]).rates(50)
    np.testing.assert_allclose(epochs["lr_first"], rates[[0, 20, 40]], rtol=1e-6)
    np.testing.assert_allclose(epochs["lr_last"], rates[[19, 39, 49]], rtol=1e-6)
    assert best["total_steps"] == 50
    again = sweep("run", "steps", "--no-confirm", "--trials", "3", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    refused = sweep("run", "steps.toml", "--epochs", "5", cwd=tmp_path)
    assert refused.stderr.strip() == (
        "error: --epochs 5: follows from horizon and evaluate_every: 3 evaluations"
    )
    refused = sweep("run", "steps.toml", "--set", "evaluate_every=60", cwd=tmp_path)
    assert "evaluate_every" in refused.stderr


def test_a_loop_has_threads_of_its_own(tmp_path: Path) -> None:
    code = LINE.replace('"val_mse": error', '"val_mse": torch.get_num_threads()')
    (tmp_path / "train.py").write_text(code)
    for name, threads in (("given", 3), ("shared", None)):
        given = () if threads is None else ("--set", f"threads={threads}")
        done = sweep(
            *("run", "--loop", "train.py:train", "--trials", "1", "--epochs", "2", "--workers"),
            *("1", "--no-confirm", "--out", name, *given),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        expected = threads or len(os.sched_getaffinity(0))
        value = pd.read_csv(tmp_path / name / "epochs.csv")["val_mse"]
        assert list(value) == [expected, expected]


def test_metrics() -> None:
    accuracy = Metric("val_accuracy", maximize=True)
    assert accuracy.loss(accuracy.loss(0.25)) == 0.25
    assert accuracy.is_better(0.9, 0.8) and not accuracy.is_better(accuracy.worst, 0.8)
    assert accuracy.lead(0.9, 0.8) == pytest.approx(0.125)
    assert Metric().lead(0.7, 0.8) == pytest.approx(0.125)
    likelihood = Metric("log_likelihood", maximize=True)
    assert likelihood.lead(-8.0, -10.0) == pytest.approx(0.2)
    assert Metric().lead(0.5, 0.0) is None
    assert Metric().worst == math.inf and accuracy.worst == -math.inf


RESUMED = (
    HEAD
    + """
import time
def train(schedule, epochs, seed, state=None):
    torch.manual_seed(seed)
    x = torch.randn(64, 4)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = schedule.attach(optimizer, steps_per_epoch=4)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    first = 0
    if state:
        first = state["epoch"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    for epoch in range(first, epochs):
        order = torch.randperm(64, generator=torch.Generator().manual_seed(epoch))
        for rows in order.view(4, 16):
            loss = (model(x[rows]).squeeze(1) - x[rows].sum(1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        time.sleep(WAIT)
        with open("trained.txt", "a") as file:
            file.write(f"{epoch + 1} {schedule.lr}\\n")
        error = (model(x).squeeze(1) - x.sum(1)).square().mean()
        state = {name: part.state_dict() for name, part in parts.items()}
        yield {"val_mse": error, "state": {"epoch": epoch + 1, **state}}
"""
)


@pytest.mark.parametrize("scheduler", SHAPES)
def test_a_trial_that_is_resumed_takes_the_same_course(scheduler: str, tmp_path: Path) -> None:
    code = RESUMED.replace("WAIT", "0").replace(
        'open("trained.txt", "a")', 'open("/dev/null", "w")'
    )
    warmup = 0.1 if SHAPES[scheduler].uses_warmup else 0.0
    given = spec(
        Schedule(scheduler, lr=0.05, decay=1.0 if scheduler == "constant" else 0.01, warmup=warmup)
    )
    whole = engine_of(tmp_path, code, epochs=8)
    whole.add(given)
    expected = train(whole, 8)
    for stop in (1, 3, 6):
        folder = tmp_path / str(stop)
        killed = engine_of(tmp_path, code, epochs=8, checkpoints=folder)
        killed.add(given)
        killed._checkpoints._next = -1e9  # type: ignore[union-attr]
        for _ in range(stop):
            train(killed, 1)
            killed._checkpoints._next = -1e9  # type: ignore[union-attr]
        resumed = engine_of(tmp_path, code, epochs=8, checkpoints=folder)
        resumed.add(given)
        assert resumed.notes == [f"trial 0 goes on after its epoch {stop}"]
        results = train(resumed, 8 - stop)
        for ours, theirs in zip(results, expected, strict=True):
            assert ours.epoch == theirs.epoch
            assert ours.val_mse == theirs.val_mse
            assert (ours.lr_first, ours.lr_last) == (theirs.lr_first, theirs.lr_last)
        other = engine_of(tmp_path, code, epochs=8, checkpoints=folder)
        other.add(spec(given.schedule, seed=4))
        assert other.notes == []
        resumed.remove(0)
        assert list(folder.iterdir()) == []


def test_a_state_that_nobody_takes_is_said(tmp_path: Path) -> None:
    code = LINE.replace('"val_mse": error', '"val_mse": error, "state": {}')
    engine = engine_of(tmp_path, code, checkpoints=tmp_path / "kept")
    engine.add(spec())
    train(engine)
    assert engine.notes == ["the loop yields a state but takes none back: give it a `state=None`"]
    assert not (tmp_path / "kept").exists()


def test_a_trial_whose_checkpoint_is_damaged_is_trained_from_its_start(tmp_path: Path) -> None:
    code = RESUMED.replace("WAIT", "0").replace("trained.txt", "/dev/null")
    folder = tmp_path / "kept"
    engine = engine_of(tmp_path, code, epochs=3, checkpoints=folder)
    engine.add(spec())
    expected = train(engine, 1)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:200])
    again = engine_of(tmp_path, code, epochs=3, checkpoints=folder)
    again.add(spec())
    (note,) = again.notes
    assert note.startswith(f"trial 0 is trained from its start: {path} is damaged")
    assert [r.val_mse for r in train(again, 1)] == [r.val_mse for r in expected]


def test_a_state_that_cannot_be_kept_ends_its_trial(tmp_path: Path) -> None:
    code = RESUMED.replace("WAIT", "0").replace("trained.txt", "/dev/null")
    code = code.replace("**state}", "**state, 'at': __import__('pathlib').Path()}")
    engine = engine_of(tmp_path, code, epochs=3, checkpoints=tmp_path / "kept")
    engine.add(spec())
    (error,) = engine.train_epoch()
    assert isinstance(error, TrialError) and "cannot be kept, for it holds pathlib" in error.error


def test_a_sweep_killed_in_the_middle_of_a_trial_goes_on_there(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(RESUMED.replace("WAIT", "0.15"))
    command = [sys.executable, "-m", "sweep", "run", "--loop", "train.py:train", "--epochs", "30"]
    command += ["--trials", "2", "--workers", "1", "--pruner", "none", "--no-confirm"]
    process = subprocess.Popen(
        command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL
    )
    trained = tmp_path / "trained.txt"
    deadline = time.monotonic() + 200
    while not trained.exists() or len(trained.read_text().splitlines()) < 40:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = trained.read_text().splitlines()
    assert len(list((tmp_path / "studies/train/checkpoints").iterdir())) == 1

    done = sweep(*command[3:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = trained.read_text().splitlines()[len(before) :]
    assert "resuming trials that were interrupted: 1" in done.stdout
    assert "trial 1 goes on after its epoch" in done.stdout
    assert len(before) + len(after) <= 2 * 30 + 2
    assert int(after[0].split()[0]) > 5
    results = pd.read_csv(tmp_path / "studies/train/results.csv")
    assert list(results["state"]) == ["COMPLETE"] * 2
    epochs = pd.read_csv(tmp_path / "studies/train/epochs.csv")
    assert list(epochs["epoch"]) == [*range(1, 31)] * 2
    assert not (tmp_path / "studies/train/checkpoints").exists()

    shutil.rmtree(tmp_path / "studies")
    (tmp_path / "train.py").write_text(RESUMED.replace("WAIT", "0"))
    assert sweep(*command[3:], cwd=tmp_path).returncode == 0
    whole = pd.read_csv(tmp_path / "studies/train/epochs.csv")
    pd.testing.assert_series_equal(epochs["val_mse"], whole["val_mse"])


def test_a_loop_that_ignores_its_seed_is_told(tmp_path: Path) -> None:
    same = "generator=torch.Generator().manual_seed(0)"
    fixed = LINE.replace("randn((),", f"randn((), {same},").replace("perm(80", f"perm(80, {same}")
    command = ("run", "--loop", "train.py:train", "--epochs", "4", "--trials", "8", "--fresh", "-y")
    for code, is_told in ((LINE, False), (fixed, True)):
        (tmp_path / "train.py").write_text(code)
        done = sweep(*command, "--workers", "1", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        said = " ".join((done.stdout + done.stderr).split())
        assert ("the training does not depend on its seed" in said) == is_told


def test_check_looks_at_the_loop(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LINE)
    fine = sweep("check", "--loop", "train.py:train", "--epochs", "4", cwd=tmp_path)
    assert fine.returncode == 0, fine.stdout + fine.stderr
    wrong = sweep("check", "--loop", "train.py:trian", "--epochs", "4", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "did you mean 'train'?" in " ".join((wrong.stdout + wrong.stderr).split())
    ranged = sweep("lr-range", "--loop", "train.py:train", cwd=tmp_path)
    assert ranged.returncode == 2
    assert "it cannot run a loop of your own" in ranged.stderr


def test_the_notes_of_the_dashboard_speak_of_the_metric(classes: Path) -> None:
    study = load_study("train", str(classes / "studies/train/study.journal"))
    attributes = study._storage.get_study_system_attrs(study._study_id)
    notes = [str(text) for key, text in attributes.items() if "note" in key]
    assert "val_accuracy" in get_note(study)
    assert len([note for note in notes if "val_accuracy" in note]) > 3
    assert not any("MSE" in note for note in notes)
