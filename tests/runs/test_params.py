"""Whole sweeps of a loop with parameters of its own beside the schedule."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from called import called
from support import no_page

from sweep.base.csv_cells import frame_from_csv
from sweep.runs.library import StudyResult, load_study
from sweep.runs.warm_start import MOST
from sweep.schedules.schedule import Schedule

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

LOOP = """
import math, torch

def cost(weight_decay, width, mode, epoch):
    return (math.log10(weight_decay) + 3) ** 2 + width / 64 + (mode == "none") + 1 / epoch

def train(schedule, *, epochs, seed, weight_decay, width, mode, fixed, trial):
    assert type(width) is int and type(mode) is str and fixed == 0.5
    given = {"weight_decay": weight_decay, "width": width, "mode": mode, "fixed": fixed}
    assert dict(trial.params) == given, (trial.params, given)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=2)
    for epoch in range(1, epochs + 1):
        for _ in range(2):
            optimizer.step()
            scheduler.step()
        yield cost(weight_decay, width, mode, epoch) + seed % 7 / 1000
"""

STUDY = """
loop = "train.py:train"
metric = "val_loss"
epochs = 3
trials = 24
workers = 1
pruner = "none"
[space]
scheduler = ["step", "constant"]
lr = [0.1, 0.01]
step.drops = [1, 3]
[space.params]
weight_decay = "1e-6:1e-1:log"
width = [128, 64]
mode = ["none", "gelu"]
fixed = 0.5
[confirm]
share = 0.5
"""

PARAMS = ["weight_decay", "width", "mode", "fixed"]


def cost(row: pd.Series, epoch: int) -> float:
    """What the loop above comes to, from a row of a table of results."""
    return float(
        (math.log10(row["weight_decay"]) + 3) ** 2
        + row["width"] / 64
        + (row["mode"] == "none")
        + 1 / epoch
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    folder = tmp_path_factory.mktemp("params")
    (folder / "train.py").write_text(LOOP)
    (folder / "own.toml").write_text(STUDY)
    with no_page():
        done = called("run", "own.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    shown = "weight_decay 1e-06:0.1:log, width [64, 128], mode [none, gelu], fixed 0.5"
    assert shown in done.stderr + done.stdout
    return load_study(folder / "own")


def test_the_loop_gets_them(study: StudyResult) -> None:
    results = frame_from_csv(study.folder / "results.csv")
    assert list(results)[2:11] == ["scheduler", "lr", "decay", "warmup", "step.drops", *PARAMS]
    for _, row in results.iterrows():
        assert row["val_loss"] == pytest.approx(cost(row, 3), abs=1e-9)
    assert set(results["mode"]) == {"none", "gelu"}
    assert set(results["width"]) == {64, 128}
    assert set(results["lr"]) == {0.01, 0.1}
    assert set(results["fixed"]) == {0.5}
    drops = pd.read_csv(study.folder / "results.csv", dtype=str)["step.drops"].dropna()
    assert set(drops) == {"1", "3"}
    trial = study.study.best_trial
    assert set(trial.params) >= {"weight_decay", "width", "mode"} and "fixed" not in trial.params


def test_candidates_are_confirmed_with_theirs(study: StudyResult) -> None:
    runs = frame_from_csv(study.folder / "confirm.csv")
    assert runs["trial"].nunique() > 2
    for _, row in runs.iterrows():
        assert row["val_loss"] == pytest.approx(cost(row, 3) + row["seed"] % 7 / 1000, abs=1e-9)
    described = json.loads((study.folder / "best_schedule.json").read_text())
    results = study.results.set_index("number")
    for candidate in described["confirmation"]["candidates"]:
        params = results.loc[candidate["trial"], PARAMS].to_dict()
        assert candidate["params"] == params
        assert runs[runs["trial"] == candidate["trial"]]["weight_decay"].unique() == [
            params["weight_decay"]
        ]


def test_a_check_trains_with_them(study: StudyResult) -> None:
    done = called("check", "own.toml", "--json", cwd=study.folder.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["problems"] == []
    seen = next(note for note in found["notes"] if "of a trial took" in note)
    at_the_middle = (-3.5 + 3) ** 2 + 64 / 64 + 1  # and at the first of each list
    assert f"came to {at_the_middle + 1:.4g}, {at_the_middle + 1 / 2:.4g};" in seen


def test_the_winner_tells_them(study: StudyResult) -> None:
    described = json.loads((study.folder / "best_schedule.json").read_text())
    assert described["params"] == study.params
    assert isinstance(study.params["width"], int) and list(study.params) == PARAMS
    assert study.best == Schedule.from_dict(described["schedule"])
    code = (study.folder / "best_schedule.py").read_text()
    assert f"\n# params = {study.params!r}\n" in code
    compile(code, "best_schedule.py", "exec")


def test_what_is_confirmed_already_is_not_trained_again(study: StudyResult) -> None:
    before = (study.folder / "confirm.csv").read_bytes()
    done = called("run", "own", cwd=study.folder.parent)
    assert done.returncode == 0, done.stderr
    assert (study.folder / "confirm.csv").read_bytes() == before


def test_other_parameters_are_another_study(study: StudyResult) -> None:
    done = called("run", "own", "--param", "width=64,128,256", cwd=study.folder.parent)
    assert done.returncode != 0
    changed = "space.params.width: was '[64, 128]', now '[64, 128, 256]'"
    assert changed in " ".join(done.stderr.split())


def test_another_study_begins_with_them(study: StudyResult) -> None:
    narrow = ("--warm-start", "own", "--param", "width=64", "--param", "mode=gelu", "--trials", "4")
    given = ("--out", "narrow", "--no-confirm", *narrow)
    folder = study.folder.parent
    done = called("run", "own.toml", *given, cwd=folder)
    assert done.returncode == 0, done.stderr
    best = study.results.sort_values("val_loss").head(MOST)
    fitting = best[(best["width"] == 64) & (best["mode"] == "gelu")]
    told = " ".join((done.stdout + done.stderr).split())
    assert f"carried over from own (3 epochs): {min(len(fitting), 4)} trials" in told
    if len(fitting) < len(best):
        assert re.search(r"trial \d+, (width 128 is not in 64|mode none is not in gelu)", told)
    results = frame_from_csv(folder / "narrow" / "results.csv")
    assert set(results["weight_decay"]) & set(fitting["weight_decay"])
    assert set(results["width"]) == {64} and set(results["mode"]) == {"gelu"}
    compared = called("report", "own", "narrow", "--format", "csv", cwd=folder)
    assert "width=64 mode=gelu fixed=0.5" in compared.stdout, compared.stdout + compared.stderr


def test_those_that_differ_in_them_alone_are_several(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LOOP)
    fixed = ("--scheduler", "constant", "--lr", "0.1", "--decay", "1", "--warmup", "0")
    ours = ("weight_decay=1e-3", "width=1,2,3", "mode=a,b", "fixed=0.5")
    done = called(
        *("run", "--loop", "train.py:train", "--metric", "val_loss", "--sampler", "grid", *fixed),
        *(word for name in ours for word in ("--param", name)),
        *("--epochs", "1", "--trials", "6", "--workers", "1", "--pruner", "none"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = load_study(tmp_path / "studies" / "train")
    assert len(found.results) == 6
    assert len(found.results[["width", "mode"]].drop_duplicates()) == 6
    candidates = found.described["confirmation"]["candidates"]
    assert len({json.dumps(c["params"]) for c in candidates}) == len(candidates) > 2
    assert len({json.dumps(c["schedule"]) for c in candidates}) == 1


def test_a_loop_that_does_not_take_one(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def train(schedule, *, width): yield 1.0\n")
    loop = ("--loop", "train.py:train", "--metric", "val_loss", "--param", "width=1,2")
    done = called("check", *loop, "--param", "depth=1:3", cwd=tmp_path)
    told = " ".join((done.stdout + done.stderr).split())
    assert "train.py:train: does not take depth, which [space.params] searches" in told
    assert done.returncode != 0


SCRIPT = """
import sweep

trial = sweep.current_trial()
trial.schedule.rates(trial.epochs)
for epoch in range(trial.epochs):
    trial.report(trial.params["width"] + (trial.params["mode"] == "b") / 2)
"""


def test_a_command_reads_them(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    given = ("--metric", "val_loss", "--epochs", "1", "--trials", "4", "--workers", "1")
    params = ("--param", "width=8,16", "--param", "mode=a,b", "--sampler", "grid", "--no-confirm")
    fixed = ("--scheduler", "constant", "--lr", "0.1", "--decay", "1", "--warmup", "0")
    command = ("--", sys.executable, "train.py")
    done = called("run", *given, *params, *fixed, *command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = load_study(tmp_path / "studies" / "train").results
    assert sorted(results["val_loss"]) == [8, 8.5, 16, 16.5]
    expected = results["width"] + (results["mode"] == "b") / 2
    assert list(results["val_loss"]) == list(expected)
