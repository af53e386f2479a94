"""Studies of other losses than the MSE, run from beginning to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from called import called

from sweep.data.load import load_dataset
from sweep.study.file import load_study

SHORT = ("--trials", "4", "--epochs", "4", "--workers", "1", "--pruner", "none")
MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self, features, num_classes=1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, num_classes)
        )

    def forward(self, x):
        return self.layers(x)

class Blunt(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.layer = nn.Linear(features, 1)

    def forward(self, x):
        return self.layer(x)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose target is a word, and models."""
    folder = tmp_path_factory.mktemp("losses")
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 300))
    score = a + b * b / 2 + 0.3 * random.normal(size=300)
    kind = np.select([score < -0.5, score < 0.3], ["low", "=mid"], "high")
    pd.DataFrame({"a": a, "b": b, "kind": kind, "score": score}).to_csv(
        folder / "table.csv", index=False
    )
    (folder / "net.py").write_text(MODEL)
    return folder


def run(folder: Path, out: str, *more: str) -> tuple[Path, str]:
    given = ("run", "--data", "table.csv", *SHORT, "--out", out, *more)
    done = called(*given, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / out, done.stdout


CLASSES = ("--target", "kind", "--set", 'data.drop=["score"]', "--loss", "cross_entropy")


@pytest.mark.slow
class TestClasses:
    @pytest.mark.parametrize("model", ["mlp", "net.py:Net"])
    def test_files_agree(self, folder: Path, model: str) -> None:
        out, said = run(folder, f"classes-{model[:3]}", *CLASSES, "--model", model, "--no-confirm")
        results, epochs = pd.read_csv(out / "results.csv"), pd.read_csv(out / "epochs.csv")
        assert {"val_cross_entropy", "train_cross_entropy", "val_accuracy"} <= {*results}
        assert "val_r2" not in results
        for _, row in results.iterrows():
            mine = epochs[epochs["number"] == row["number"]].set_index("epoch")
            at_best = mine.loc[row["best_epoch"]]
            assert at_best["val_accuracy"] == row["val_accuracy"]
            assert at_best["val_cross_entropy"] == row["val_cross_entropy"]
            assert row["val_cross_entropy"] == mine["val_cross_entropy"].min()
        assert results["val_accuracy"].max() > 0.5
        saved = torch.load(out / "best_model.pt", weights_only=True)
        names = saved["classes"]
        assert names == ["=mid", "high", "low"]
        table = pd.read_csv(out / "predictions.csv")
        shares = table[["p(=mid)", "p(high)", "p(low)"]].to_numpy()
        assert shares.sum(axis=1) == pytest.approx(1, abs=1e-5)
        told = table["prediction"].str.removeprefix("'")
        assert list(told) == [names[i] for i in shares.argmax(axis=1)]
        best = json.loads((out / "best_schedule.json").read_text())
        truth = table["y"].str.removeprefix("'")
        position = truth.map({name: i for i, name in enumerate(names)}).to_numpy()
        test = best["test"]["others"]
        assert best["test"]["rows"] == len(table) == 30
        assert test["accuracy"] == pytest.approx((told == truth).mean())
        loss = -np.log(shares[np.arange(len(table)), position]).mean()
        assert test["cross_entropy"] == pytest.approx(loss, rel=1e-4)
        said = " ".join(said.replace("│", " ").split())
        assert "(val_accuracy 0." in said and "test cross_entropy 0." in said
        report = called("report", str(out), "--format", "json", cwd=folder)
        assert json.loads(report.stdout)["best"]["beside"].keys() == {"val_accuracy"}

    def test_both_engines_have_the_same_results(self, folder: Path) -> None:
        lanes, _ = run(folder, "lanes", *CLASSES, "--no-confirm")
        alone, _ = run(folder, "alone", *CLASSES, "--no-confirm", "--engine", "sequential")
        ours, theirs = (pd.read_csv(out / "epochs.csv") for out in (lanes, alone))
        ours, theirs = (f.sort_values(["number", "epoch"]) for f in (ours, theirs))
        for name in ("val_cross_entropy", "averaged_val_cross_entropy", "train_cross_entropy"):
            assert ours[name].to_numpy() == pytest.approx(theirs[name].to_numpy(), rel=1e-4)
        assert ours["val_accuracy"].to_numpy() == pytest.approx(theirs["val_accuracy"].to_numpy())

    def test_more_accuracy_is_better(self, folder: Path) -> None:
        out, said = run(folder, "accuracy", *CLASSES, "--metric", "accuracy")
        results = pd.read_csv(out / "results.csv")
        best = json.loads((out / "best_schedule.json").read_text())
        assert "train_cross_entropy" in results and "val_cross_entropy" in results
        confirmed = pd.read_csv(out / "confirm.csv")
        assert confirmed["val_cross_entropy"].between(0, 2).all()
        rows = round(0.2 * 300)
        right = confirmed["val_accuracy"] * rows
        assert right.to_numpy() == pytest.approx(right.round().to_numpy(), abs=1e-6)
        told = json.loads(called("report", str(out), "--format", "json", cwd=folder).stdout)
        table = called("report", str(out), "--format", "csv", cwd=folder).stdout
        assert "val_cross_entropy" in table.splitlines()[0] and "val_r2" not in table
        assert "val_r2" not in best and told["best"]["beside"].keys() == {"val_cross_entropy"}
        found = results[results["number"] == best["best_of_search"]]
        assert found["val_accuracy"].item() == results["val_accuracy"].max()
        assert "fresh seeds" in said
        page = (out / "report.html").read_text()
        assert "MSE" not in page.partition("<main")[2]

    def test_of_averaged_weights_their_accuracy_stands_beside(self, folder: Path) -> None:
        given = (*CLASSES, "--set", "objective=averaged", "--set", "confirm.seeds=2")
        out, _ = run(folder, "averaged", *given)
        for name in ("results.csv", "confirm.csv"):
            table = pd.read_csv(out / name)
            assert table["averaged_val_accuracy"].between(0.2, 1).all()
            assert "val_accuracy" not in table

    def test_a_model_of_too_few_outputs_is_refused(self, folder: Path) -> None:
        given = ("run", "--data", "table.csv", *CLASSES, "--model", "net.py:Blunt", *SHORT)
        done = called(*given, "--out", "blunt", cwd=folder)
        assert done.returncode == 2
        assert "returned shape (32, 1) for 32 rows; expected (32, 3)" in done.stderr

    def test_a_check_says_what_is_to_beat(self, folder: Path) -> None:
        done = called("check", "--data", "table.csv", *CLASSES, *SHORT, cwd=folder)
        assert "kind, a class" in done.stdout
        assert "accuracy to beat" in done.stdout and "MSE" not in done.stdout
        assert "of which most are 'high'" in " ".join(done.stdout.split())


NUMBERS: dict[str, tuple[str, ...]] = {
    "mae": ("--loss", "mae"),
    "huber": ("--loss", "huber", "--metric", "mse"),
    "r2": ("--metric", "r2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(folder: Path, name: str) -> None:
    target = ("--target", "score", "--set", 'data.drop=["kind"]')
    out, said = run(folder, name, *target, *NUMBERS[name])
    best: dict[str, Any] = json.loads((out / "best_schedule.json").read_text())
    table = pd.read_csv(out / "predictions.csv")
    error = table["prediction"] - table["y"]
    assert best["test"]["mse"] == pytest.approx((error**2).mean(), rel=1e-4)
    results = pd.read_csv(out / "results.csv")
    assert len({*results}) == len([*results])
    value = {"mae": "val_mae", "huber": "val_mse", "r2": "val_r2"}[name]
    better = results[value].max() if name == "r2" else results[value].min()
    found = results[results["number"] == best["best_of_search"]]
    assert found[value].item() == better
    if name == "mae":
        assert best["test"]["others"]["mae"] == pytest.approx(error.abs().mean(), rel=1e-4)
    title = "validation MSE" if name == "huber" else value
    assert f"reaches {title} " in " ".join(said.replace("│", " ").split())


def test_a_study_file_is_written_for_classes(folder: Path) -> None:
    given = ("table.csv", "--target", "kind", "--drop", "score")
    refused = called("init", *given, "--out", "kinds.toml", cwd=folder)
    assert refused.returncode == 2 and "for classes give --loss cross_entropy" in refused.stderr
    done = called("init", *given, "--out", "kinds.toml", "--loss", "cross_entropy", cwd=folder)
    assert done.returncode == 0, done.stderr
    study = load_study(folder / "kinds.toml")
    assert study.training.loss == "cross_entropy" and study.measure.name == "val_cross_entropy"
    data = load_dataset(study.data, study.seed, (folder,), study.training.loss)
    assert data.classes == ("=mid", "high", "low")
