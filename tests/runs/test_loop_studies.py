"""Whole sweeps with a training loop of the user's own."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from textwrap import dedent

import numpy as np
import optuna
import pandas as pd
import pytest
from loops import CLASSES, LINE
from optuna_dashboard import get_note
from support import sweep

from sweep.schedules.schedule import Schedule
from sweep.search.storage.opening import load_study

pytestmark = pytest.mark.slow


LONGER = CLASSES.replace("steps_per_epoch=5", "steps_per_epoch=100").replace("(5, 20)", "(100, 1)")
"""With enough steps in an epoch for auditions of one."""


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of a loop of one's own, for the greatest accuracy."""
    folder = tmp_path_factory.mktemp("classes")
    (folder / "train.py").write_text(LONGER)
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
        assert best["total_steps"] == 1200

    def test_a_value_is_the_greatest_of_its_epochs(self, classes: Path) -> None:
        results = pd.read_csv(classes / "studies/train/results.csv").set_index("number")
        epochs = pd.read_csv(classes / "studies/train/epochs.csv")
        trained = epochs.groupby(["horizon", "number"])["val_accuracy"].max()
        assert set(epochs["horizon"]) == {1, 12}
        whole = results["val_accuracy"].dropna()
        pd.testing.assert_series_equal(whole, trained[12])
        auditions = results["audition_val_accuracy"].dropna()
        pd.testing.assert_series_equal(auditions, trained[1], check_names=False)

    def test_the_study_maximises_for_optuna(self, classes: Path) -> None:
        study = load_study("train", str(classes / "studies/train/study.journal"))
        assert study.direction == optuna.study.StudyDirection.MAXIMIZE
        assert study.metric_names == ["val_accuracy"]
        assert study.best_value == max(t.value or 0 for t in study.trials)

    def test_the_best_third_of_the_auditions_goes_on(self, classes: Path) -> None:
        study = load_study("train", str(classes / "studies/train/study.journal"))
        drawn_ones = [t for t in study.trials if "completes_trial" not in t.user_attrs]
        reason = "pruned by its audition over 1 epoch"
        stopped = [t for t in drawn_ones if t.user_attrs.get("reason") == reason]
        passed = [t for t in drawn_ones if t not in stopped]
        assert len(stopped) >= 10
        assert all([*t.intermediate_values] == [1] for t in stopped)
        values = [t.intermediate_values[1] for t in stopped]
        assert np.mean(values) < np.mean([t.intermediate_values[1] for t in passed])

    def test_generators_of_pruned_trials_are_closed(self, classes: Path) -> None:
        ended = [int(line) for line in (classes / "ended.txt").read_text().split()]
        results = pd.read_csv(classes / "studies/train/results.csv")
        confirmed = pd.read_csv(classes / "studies/train/confirm.csv")
        auditions = results["audition_val_accuracy"].notna().sum()
        whole = results["epochs_run"][results["epochs_run"] > 0]
        trained = [*whole, *confirmed["epochs_run"], *[1] * auditions]
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

    @pytest.mark.usefixtures("no_page")
    def test_an_audit_knows_which_way_is_up(self, classes: Path, tmp_path: Path) -> None:
        classes = shutil.copytree(classes, tmp_path / "copy")
        done = sweep("audit", "train", "--sample", "5", "--json", cwd=classes)
        found = json.loads(done.stdout)
        values = [one["val_accuracy"] for one in found["audited"]]
        assert values == sorted(values, reverse=True)
        assert found["would_have_won"] == sum(v > found["best_val_accuracy"] for v in values)
        study = load_study("train", str(classes / "studies/train/study.journal"))
        for one in found["audited"]:
            before = study.trials[one["trial"]].intermediate_values
            course = [value for epoch, value in before.items() if epoch > 1]
            assert one["val_accuracy"] >= max(course, default=0.0)  # the same course, to its end

    @pytest.mark.usefixtures("no_page")
    def test_it_goes_on_from_its_folder(self, classes: Path, tmp_path: Path) -> None:
        classes = shutil.copytree(classes, tmp_path / "copy")
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


@pytest.mark.usefixtures("no_page")
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


@pytest.mark.usefixtures("no_page")
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
        "  space.momentum = '0.9': not used: a training loop of your own builds its optimizer; to "
        "search it, use its argument momentum there, and give --param momentum=0.9",
        "  lanes = 3: not used: a worker runs one training loop of your own at a time",
        "  objective = 'averaged': a training loop of your own has 'best' and 'final'",
    ]
    done = sweep("run", "diabetes", "--metric", "val_f1", cwd=tmp_path)
    assert done.stderr.strip() == (
        "error: --metric 'val_f1': with the loss mse it is mse, mae, huber or r2; of training code "
        "of your own, give loop = 'module:function' or a command too"
    )


@pytest.mark.usefixtures("no_page")
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


@pytest.mark.usefixtures("no_page")
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


@pytest.mark.usefixtures("no_page")
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
    assert "2 epochs of a trial took" in fine.stdout
    raises = tmp_path / "raises.py"
    raises.write_text(LINE.replace("error = float(", "x[100]; error = float("))
    wrong = sweep("check", "--loop", "raises.py:train", "--epochs", "4", cwd=tmp_path)
    assert wrong.returncode == 2 and "IndexError: index 100 is out of bounds" in wrong.stdout


def test_the_notes_of_the_dashboard_speak_of_the_metric(classes: Path) -> None:
    study = load_study("train", str(classes / "studies/train/study.journal"))
    attributes = study._storage.get_study_system_attrs(study._study_id)
    notes = [str(text) for key, text in attributes.items() if "note" in key]
    assert "val_accuracy" in get_note(study)
    assert len([note for note in notes if "val_accuracy" in note]) > 3
    assert not any("MSE" in note for note in notes)
