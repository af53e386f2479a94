"""A sweep of a training loop as people write them: it stops early, raises, keeps files, prints."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from support import sweep

pytestmark = pytest.mark.slow

LOOP = """
import helper_of_train, torch
def train(schedule, *, epochs, trial, seed, state=None):
    if trial.number == 1:
        helper_of_train.fail()
    model = torch.nn.Linear(4, 1)
    x = torch.randn(64, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=8)
    for epoch in range(3 if trial.number == 2 else epochs):
        for rows in x.split(16):  # 4 steps
            loss = (model(rows) - rows.sum(1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        if trial.number == 3:
            raise FloatingPointError("loss is nan")
        torch.save(model.state_dict(), trial.folder / "best.pt")
        print(f"this is printed by trial {trial.number}")
        yield {"val_mse": -trial.number - epoch / 100, "mae": epoch, "number": 1.0,
               "state": {"model": model.state_dict()}}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep of such a loop, with what it has printed."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "train.py").write_text(LOOP)
    (folder / "helper_of_train.py").write_text("def fail():\n    return {}['val_mse']\n")
    done = sweep(
        *("run", "--loop", "train.py:train", "--epochs", "5", "--trials", "5", "--workers", "2"),
        *("--pruner", "none", "--no-confirm", "--out", "out"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    return folder


def test_each_ends_as_its_author_meant(swept: Path) -> None:
    results = pd.read_csv(swept / "out/results.csv").set_index("number")
    assert list(results["state"]) == ["COMPLETE", "FAIL", "COMPLETE", "PRUNED", "COMPLETE"]
    assert list(results["epochs_run"]) == [5, 0, 3, 0, 5]
    assert results["val_mse"][2] == -2.02 and results["val_mse"][4] == -4.04
    assert results["reason"][3].startswith("diverged at epoch 1: FloatingPointError: loss is nan")


def test_what_is_yielded_beside_the_metric_is_kept(swept: Path) -> None:
    epochs = pd.read_csv(swept / "out/epochs.csv").query("number == 4")
    assert list(epochs["mae"]) == [0, 1, 2, 3, 4]
    assert list(epochs["metrics.number"]) == [1.0] * 5


def test_steps_that_are_not_taken_are_said_in_the_panel_and_in_the_report(swept: Path) -> None:
    told = "attach was told 40 optimizer steps, but a trial takes 20"
    output = (swept / "output.txt").read_text()
    assert output.count(f"note: {told}") == 1
    assert told[1:] in (swept / "out/report.html").read_text()  # it begins a sentence
    report = sweep("report", "out", cwd=swept).stdout
    assert told in re.sub(r"[│\s]+", " ", report)


def test_the_traceback_of_a_failed_trial_is_kept(swept: Path) -> None:
    text = (swept / "out/trials/1/traceback.txt").read_text()
    assert 'helper_of_train.py", line 2, in fail' in text
    assert "(see trials/1/traceback.txt)" in (swept / "output.txt").read_text()


def test_the_winners_folder_is_kept(swept: Path) -> None:
    assert (swept / "out/best/best.pt").is_file()
    kept = torch.load(swept / "out/best_model.pt", weights_only=True)
    assert (kept["trial"], kept["epoch"], kept["value"]) == (4, 5, -4.04)
    best = torch.load(swept / "out/best/best.pt", weights_only=True)
    assert torch.equal(kept["state"]["model"]["weight"], best["weight"])
    assert [folder.name for folder in (swept / "out/trials").iterdir()] == ["1"]


def test_code_that_has_changed_since_the_first_trials_is_said(swept: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(swept, tmp_path / "again")
    helper = folder / "helper_of_train.py"
    helper.write_text(helper.read_text() + "# mended\n")
    again = ("run", "--loop", "train.py:train", "--epochs", "5", "--trials", "6", "--workers", "1")
    done = sweep(*again, "--pruner", "none", "--no-confirm", "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    told = "helper_of_train.py has changed since this study's first trials"
    assert told in done.stdout + done.stderr
    assert "of_train.py changed between the first trials and later ones" in re.sub(
        r"[│\s]+", " ", sweep("report", "out", cwd=folder).stdout
    )
