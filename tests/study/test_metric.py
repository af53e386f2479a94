"""What a metric is called, and which way is up."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pandas as pd
import pytest
from called import called
from support import PostgreSQL, sweep

from sweep.base.errors import StudyFileError
from sweep.runs.library import run_study
from sweep.search.tables import epochs_frame, results_frame
from sweep.study.file import load_study
from sweep.study.metric import Metric, is_usually_maximized
from sweep.study.settings import StudyConfig
from sweep.study.training.settings import metric_of_table

LOOP = """
    import torch

    def train(schedule, epochs):
        weight = torch.zeros(1, requires_grad=True)
        scheduler = schedule.attach(torch.optim.SGD([weight], lr=1), steps_per_epoch=1)
        for epoch in range(epochs):
            scheduler.optimizer.step()
            scheduler.step()
            yield {"METRIC": 0.5 + schedule.lr / 4 + 0.01 * torch.rand(()).item()}
"""
SHORT = ("--epochs", "2", "--trials", "2", "--workers", "1", "--no-confirm", "--pruner", "none")


def looped(folder: Path, metric: str) -> tuple[str, ...]:
    (folder / "train.py").write_text(dedent(LOOP).replace("METRIC", metric))
    return ("--loop", "train.py:train", "--metric", metric, *SHORT)


@pytest.mark.parametrize(
    "name",
    "val_accuracy Accuracy val/acc valAccuracy mAP map50 recall@5 test.f1_macro R2 top1_acc "
    "val-iou neg_mse log_likelihood dice".split(),
)
def test_more_of_these_is_better(name: str) -> None:
    assert is_usually_maximized(name)


@pytest.mark.parametrize(
    "name",
    "val_mse top1_error accuracy_loss val_loss neg_accuracy neg_log_likelihood nll mape mapping "
    "record valid map_error brier_score accurate".split(),
)
def test_nothing_is_known_of_these(name: str) -> None:
    assert not is_usually_maximized(name)


def test_equal_values_rank_by_the_trial() -> None:
    for metric in (Metric("loss"), Metric("accuracy", maximize=True)):
        assert metric.rank(0.5, 3) < metric.rank(0.5, 4)
    assert Metric("accuracy", maximize=True).rank(0.6, 9) < Metric("a", True).rank(0.5, 1)


@pytest.mark.parametrize(
    ("name", "train"),
    [
        ("val_mse", "train_mse"),
        ("val/accuracy", "train/accuracy"),
        ("accuracy", "train_accuracy"),
        ("value", "train_value"),
    ],
)
def test_what_it_is_called_on_training_rows(name: str, train: str) -> None:
    assert Metric(name).train_name == train and Metric(name).is_of_training


def test_another_loss_on_training_rows_is_not_the_same() -> None:
    metric = metric_of_table("cross_entropy", "accuracy")
    assert metric.train_name == "train_cross_entropy" and not metric.is_of_training
    assert metric_of_table("cross_entropy", None).is_of_training


@pytest.mark.parametrize(
    ("inside", "mse", "accuracy"),
    [
        ("value", "val_mse", "val/acc"),
        ("final_value", "final_val_mse", "final_val/acc"),
        ("averaged", "averaged_val_mse", "averaged_val/acc"),
        ("training", "train_mse", "train/acc"),
        ("lr_first", "lr_first", "lr_first"),
        ("my.value", "my.value", "my.value"),
    ],
)
def test_what_files_call_it(inside: str, mse: str, accuracy: str) -> None:
    assert Metric().named(inside) == mse
    assert Metric("val/acc", maximize=True).named(inside) == accuracy


@pytest.mark.parametrize(
    ("ours", "theirs", "share", "told"),
    [
        (0.9, 0.75, 0.2, "20 %"),
        (-8.0, -10.0, 0.2, "20 %"),
        (0.5, 0.5, 0.0, "0 %"),
        (0.0, 0.0, 0.0, "0 %"),
        (0.0, -2.0, 1.0, "100 %"),
        (0.8, -0.2, None, "1"),  # of another sign
        (0.6, 0.001, None, "0.599"),  # 59900 %
        (0.6, 0.0, None, "0.6"),
    ],
)
def test_a_lead_is_a_share_where_that_says_something(
    ours: float, theirs: float, share: float | None, told: str
) -> None:
    reward = Metric("reward", maximize=True)
    assert reward.lead(ours, theirs) == (share if share is None else pytest.approx(share))
    assert reward.distance(ours, theirs) == told


def test_a_name_that_files_have_for_something_else_is_refused() -> None:
    """Two columns of one name would be the end of it."""
    config = StudyConfig.model_validate({"loop": "train.py:train", "metric": "val_loss"})
    names = {*results_frame([], config), *epochs_frame([], config)}
    names -= set(
        map(
            config.measure.named, ("value", "averaged", "training", "final_value", "audition_value")
        )
    )
    assert {"lr", "decay", "number", "lr_first", "reason"} <= names
    for name in sorted(name for name in names if "." not in name):
        with pytest.raises(StudyFileError) as refused:
            load_study(None, {"loop": "train.py:train", "metric": name})
        assert f"something else by this name; call it val_{name}" in str(refused.value), name
    assert load_study(None, {"loop": "train.py:train", "metric": "value"}).metric == "value"


@pytest.mark.slow
def test_a_forgotten_direction_is_refused_with_both_choices(tmp_path: Path) -> None:
    arguments = looped(tmp_path, "val_accuracy")
    told = (
        "error: direction: missing: more of val_accuracy is usually better; give --direction "
        'maximize, or --direction minimize if less of it is (direction = "maximize" in a study '
        "file)"
    )
    for command in ("run", "check"):
        done = called(command, *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert told.removeprefix("error: ") in " ".join((done.stdout + done.stderr).split())
    assert not (tmp_path / "studies").exists()
    (tmp_path / "mine.toml").write_text('loop = "train.py:train"\nmetric = "val_accuracy"\n')
    done = called("run", "mine.toml", cwd=tmp_path)
    assert done.stderr.strip() == told.replace("error: ", "error: mine.toml: ")
    done = called("run", *arguments, "--direction", "minimize", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("storage", ["journal", "sqlite", "postgresql"])
def test_fresh_may_change_the_direction(
    storage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    arguments, command = looped(tmp_path, "val_accuracy"), called
    if storage == "postgresql":
        command = sweep  # whose connections end with it
        server: PostgreSQL = request.getfixturevalue("postgresql")
        arguments += ("--storage", server.new_database("directions"))
    elif storage == "sqlite":
        arguments += ("--storage", "a.db")
    for direction in ("minimize", "maximize"):
        fresh = () if direction == "minimize" else ("--fresh", "--yes")
        done = command("run", *arguments, "--direction", direction, *fresh, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        results = pd.read_csv(tmp_path / "studies/train/results.csv")
        assert len(results) == 2
        best = json.loads((tmp_path / "studies/train/best_schedule.json").read_text())
        values = results["val_accuracy"]
        wanted = values.max() if direction == "maximize" else values.min()
        assert best["val_accuracy"] == pytest.approx(wanted)
    done = command("run", *arguments, "--direction", "minimize", cwd=tmp_path)
    assert done.returncode == 1
    assert "with the direction maximize, not minimize; give another --out" in done.stderr
    assert len(pd.read_csv(tmp_path / "studies/train/results.csv")) == 2


@pytest.mark.slow
def test_a_name_with_a_slash(tmp_path: Path) -> None:
    arguments = looped(tmp_path, "val/accuracy")
    done = called("run", *arguments, "--direction", "maximize", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "could not be written" not in done.stderr
    assert "reaches val/accuracy 0." in done.stdout
    assert "val/accuracy" in pd.read_csv(tmp_path / "studies/train/results.csv")
    for format in ("text", "md", "json", "csv"):
        shown = called("report", "train", "-f", format, cwd=tmp_path)
        assert shown.returncode == 0 and "val/accuracy" in shown.stdout
    by_set = ("--loop", "train.py:train", "--set", "metric=val/accuracy", *SHORT)
    done = called("run", *by_set, "--direction", "maximize", "--trials", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = called("run", *looped(tmp_path, "val accuracy?"), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "error: --metric 'val accuracy?': expected a letter, then letters, digits and _, in parts "
        "that / . - or @ join"
    )


def test_the_library_asks_for_the_direction_too(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match="--direction maximize, or --direction minimize"):
        run_study(loop="train.py:train", metric="f1", out=tmp_path / "out", epochs=1)
    assert not (tmp_path / "out").exists()
