"""The examples: each is run as its page says, only shorter."""

from __future__ import annotations

import difflib
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import python, sweep

from sweep.runs.library import load_study
from sweep.search.trials import StudyReader

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
@pytest.mark.skipif(
    importlib.util.find_spec("lightning") is None,
    reason="lightning is not installed: pip install lightning",
)
class TestLightning:
    def test_the_schedule_is_followed_step_by_step(self, tmp_path: Path) -> None:
        short = ("--trials", "4", "--epochs", "3", "--pruner", "none", "--no-confirm")
        one = ("--lr", "0.03:0.3:log", "--workers", "1")
        study = EXAMPLES / "lightning/lightning.toml"
        done = sweep("run", study, "--out", "out", *short, *one, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = load_study(tmp_path / "out")
        assert list(found.results["state"]) == ["COMPLETE"] * 4
        assert found.results["val_accuracy"].max() > 0.8
        steps = 19  # 1,200 images in batches of 64
        for trial in StudyReader(found.study, found.config).trials:
            assert trial.horizon == 3 * steps
            rates = trial.schedule.rates(3 * steps)
            epochs = found.epochs[found.epochs["number"] == trial.number]
            np.testing.assert_allclose(epochs["lr_first"], rates[::steps], rtol=1e-6)
            np.testing.assert_allclose(epochs["lr_last"], rates[steps - 1 :: steps], rtol=1e-6)
        alone = python(study.with_name("train.py"), "out/best_schedule.json", cwd=tmp_path)
        assert alone.returncode == 0, alone.stderr
        assert float(alone.stdout.removeprefix("val_accuracy: ")) > 0.8

    def test_pruned_trials_end_at_once(self, tmp_path: Path) -> None:
        options = ("--trials", "8", "--epochs", "6", "--workers", "1", "--no-confirm")
        study = EXAMPLES / "lightning/lightning.toml"
        done = sweep("run", study, "--out", "out", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        results = load_study(tmp_path / "out").results
        assert set(results["state"]) == {"COMPLETE", "PRUNED"}
        assert results.loc[results["state"] == "PRUNED", "epochs_run"].max() < 6

    def test_what_the_fit_raises_is_told(self, tmp_path: Path) -> None:
        text = (EXAMPLES / "lightning/train.py").read_text()
        step = "return nn.functional.cross_entropy(self.layers(x), y)"
        assert step in text
        broken = text.replace(step, "raise ValueError('no batch today')")
        (tmp_path / "train.py").write_text(broken)
        short = ("--trials", "1", "--epochs", "2", "--workers", "1")
        options = (*short, "--metric", "val_accuracy", "--direction", "maximize")
        done = sweep("run", "--loop", "train.py:train", *options, "--out", "out", cwd=tmp_path)
        assert done.returncode == 1
        assert "no batch today" in done.stderr


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
