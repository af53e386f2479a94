"""The examples: each is run as its page says, only shorter."""

from __future__ import annotations

import difflib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from support import python, sweep

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


@pytest.mark.slow
def test_digits(tmp_path: Path) -> None:
    short = ["--trials", "4", "--epochs", "3", "--pruner", "none", "--set", "space.lr=0.1"]
    short += ["--workers", "1", "--set", "threads=1"]
    study = EXAMPLES / "digits/digits.toml"
    done = sweep("run", study, "--out", "out", *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(tmp_path / "out/results.csv")
    assert list(results["state"]) == ["COMPLETE"] * 4
    assert results["val_accuracy"].max() > 0.7
    assert "reaches val_accuracy 0." in done.stdout


@pytest.mark.slow
def test_digits_as_a_study_file_alone(tmp_path: Path) -> None:
    short = ["--trials", "3", "--epochs", "4", "--pruner", "none", "--workers", "1"]
    study = EXAMPLES / "digits/mlp.toml"
    fixed = ["--set", "space.lr=0.1", "--no-confirm"]
    done = sweep("run", study, "--out", "out", *short, *fixed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(tmp_path / "out/results.csv")
    assert results["val_accuracy"].max() > 0.85
    assert len(pd.read_csv(tmp_path / "out/predictions.csv").columns) == 3 + 10


class TestPlain:
    def test_two_lines_are_changed(self) -> None:
        before, after = (
            (EXAMPLES / "plain" / name).read_text().partition("\n\nif __name__")[0].splitlines()
            for name in ("before.py", "after.py")
        )
        assert 50 <= len(before) <= 65
        changed = difflib.unified_diff(before, after, n=0, lineterm="")
        lines = [line for line in changed if line[0] in "+-" and line[:3] not in ("+++", "---")]
        assert len(lines) == 4
        page = (ROOT / "docs" / "own-loop.md").read_text()
        assert all(line in page for line in lines)

    @pytest.mark.slow
    def test_before_and_after_run(self, tmp_path: Path) -> None:
        before = python(EXAMPLES / "plain/before.py", cwd=tmp_path)
        assert before.returncode == 0, before.stderr
        assert "epoch 20: validation MSE 0." in before.stdout
        shutil.copy(EXAMPLES / "plain/after.py", tmp_path)
        short = ("--trials", "4", "--epochs", "4", "--workers", "1", "--no-confirm")
        done = sweep("run", "--loop", "after.py:train", *short, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "reaches validation MSE 0." in done.stdout


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_order_pre(tmp_path: Path) -> None:
    for name in ("before.py", "after.py"):
        shutil.copy(EXAMPLES / "order_pre" / name, tmp_path)
    before = python("before.py", cwd=tmp_path)
    assert before.stdout == "validation MSE: 1.0670\n"  # that of the mean
    assert "Using a target size" in before.stderr
    short = ["--epochs", "49", "--trials", "6", "--lr", "0.1:0.4", "--no-confirm"]
    short += ["--set", "objective=final"]
    done = sweep("run", "--loop", "after.py:train", *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = python("after.py", "studies/after/best_schedule.json", cwd=tmp_path)
    assert after.returncode == 0, after.stderr
    assert float(after.stdout.rpartition(" ")[2]) < 1.0


@pytest.mark.slow
def test_digits_without_a_loop(tmp_path: Path) -> None:
    short = ["--trials", "3", "--epochs", "4", "--pruner", "none", "--workers", "1"]
    short += ["--set", "space.lr=0.1", "--no-confirm"]
    done = sweep("run", EXAMPLES / "digits/cnn.toml", "--out", "out", *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "out/results.csv")["val_accuracy"].max() > 0.8
    assert "one by one" not in done.stdout
    rows = pd.read_csv(tmp_path / "out/predictions.csv")
    best = json.loads((tmp_path / "out/best_schedule.json").read_text())
    right = (rows["y"] == rows["prediction"]).mean()
    assert best["test"]["others"]["accuracy"] == pytest.approx(right)
    drawn = sweep("report", "out", "--figures", "figures", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "figures/confusion.svg").exists()
    assert not (tmp_path / "figures/predictions.svg").exists()
    page = (tmp_path / "out/report.html").read_text()
    assert "The commonest mistake is" in page and "recall" in page


@pytest.mark.slow
def test_a_time_series(tmp_path: Path) -> None:
    study = EXAMPLES / "series/forecast.toml"
    short = ["--trials", "2", "--epochs", "3", "--pruner", "none", "--workers", "1"]
    short += ["--set", "space.lr=0.01", "--no-confirm"]
    done = sweep("run", study, "--out", "out", *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    best = json.loads((tmp_path / "out/best_schedule.json").read_text())
    assert best["test"]["rows"] == 446 and best["test"]["r2"] > 0.7
