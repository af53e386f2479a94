"""Whole sweeps with a command of the user's own."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from textwrap import dedent

import pandas as pd
import pytest
from called import called
from support import no_page, sweep

from sweep.runs.library import load_study, run_study

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

PYTHON = shlex.quote(sys.executable)

CLASSES = """
import argparse, random
import sweep

arguments = argparse.ArgumentParser()
arguments.add_argument("--noise", type=float, default=0.0)
noise = arguments.parse_args().noise
trial = sweep.current_trial()
rates = trial.schedule.rates(trial.epochs * 10)
random.seed(trial.seed)
weight = 5.0
for epoch in range(trial.epochs):
    for rate in rates[10 * epoch : 10 * epoch + 10]:
        weight -= rate * (weight + random.gauss(0, noise))
    trial.report(1 / (1 + weight**2))
(trial.folder / "weight.txt").write_text(f"{trial.number} {weight}")
"""
"""Whoever trains with the greatest rate below 1 comes to the greatest value."""


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of a script, for the greatest accuracy."""
    folder = tmp_path_factory.mktemp("classes")
    (folder / "train.py").write_text(CLASSES)
    command = (
        *("run", "--metric", "val_accuracy", "--direction", "maximize", "--epochs", "6"),
        *("--trials", "12", "--lr", "1e-3:1:log", "--workers", "2", "--"),
        *(sys.executable, "train.py", "--noise", "0.3"),
    )
    with no_page():
        done = sweep(*command, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout)
    return folder


class TestStudy:
    def test_it_is_searched_pruned_and_confirmed(self, classes: Path) -> None:
        found = load_study(classes / "studies/train")
        drawn = found.results[found.results["completes"].isna()]
        assert len(drawn) == 12
        assert {"COMPLETE", "PRUNED"} == set(found.results["state"])
        assert found.described["command"] == f"{PYTHON} train.py --noise 0.3"
        assert len(found.described["confirmation"]["candidates"]) >= 3
        assert found.results["val_accuracy"].max() > 0.9
        assert found.described["total_steps"] == 60
        output = (classes / "output.txt").read_text()
        assert "train: 12 trials of 6 epochs" in output and "train.py --noise 0.3" in output
        assert "reaches val_accuracy 0.9" in output

    def test_the_winners_folder_alone_is_kept(self, classes: Path) -> None:
        folder = classes / "studies/train"
        best = json.loads((folder / "best_schedule.json").read_text())
        assert (folder / "best/weight.txt").read_text().split()[0] == str(best["trial"])
        assert json.loads((folder / "best/trial.json").read_text())["schedule"] == best["schedule"]
        assert len((folder / "best/reports.jsonl").read_text().splitlines()) == 6
        assert not (folder / "trials").exists()

    def test_an_audit_trains_pruned_trials_to_their_end(self, classes: Path) -> None:
        done = sweep("audit", "train", "--sample", "3", "--json", cwd=classes)
        found = json.loads(done.stdout)
        assert len(found["audited"]) == min(3, found["pruned"])
        assert (classes / "studies/train/best/weight.txt").exists()

    def test_it_goes_on_from_its_folder_wherever_that_is_told(self, classes: Path) -> None:
        done = sweep("run", "train", "--trials", "13", "--no-confirm", cwd=classes / "studies")
        assert done.returncode == 0, done.stderr
        results = pd.read_csv(classes / "studies/train/results.csv")
        assert results["completes"].isna().sum() == 13
        best = json.loads((classes / "studies/train/best_schedule.json").read_text())
        kept = (classes / "studies/train/best/weight.txt").read_text()
        assert kept.split()[0] == str(best["trial"])  # trained once more, if it was another

    def test_another_command_is_another_study(self, classes: Path) -> None:
        again = ("--metric", "val_accuracy", "--direction", "maximize", "--epochs", "6")
        done = sweep("run", *again, "--", sys.executable, "train.py", cwd=classes)
        assert done.returncode == 2
        assert "study 'train' has trials with other settings" in done.stderr
        assert "command: was" in done.stderr


def test_a_study_file_and_a_script_that_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/train.py").write_text(CLASSES)
    (tmp_path / "mine.toml").write_text(
        dedent(f"""
        command = "{PYTHON} train.py --noise 0.1"
        working_folder = "code"
        metric = "val_accuracy"
        direction = "maximize"
        keep = true
        epochs = 2
        trials = 2
        workers = 2
        confirm = false
        pruner = "none"
        """)
    )
    found = run_study(tmp_path / "mine.toml")
    assert list(found.results["state"]) == ["COMPLETE"] * 2
    assert sorted(p.name for p in (found.folder / "trials").iterdir()) == ["0", "1"]
    assert (found.folder / "best/weight.txt").exists()
    monkeypatch.chdir(tmp_path / "code")
    again = run_study(
        command=[sys.executable, "train.py"],
        metric="val_accuracy",
        direction="maximize",
        epochs=2,
        trials=1,
        confirm=False,
        workers=1,
    )
    assert again.folder == Path("studies/train")
    assert again.config.command == [sys.executable, "train.py"]


def test_a_script_that_fails_whatever_the_schedule_ends_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import sweep\nprint('about to')\nimport absent\n")
    done = sweep("run", "--workers", "2", "--", sys.executable, "train.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "what the script reports is taken for val_mse" in " ".join(done.stdout.split())
    assert "ModuleNotFoundError: No module named 'absent' (it ended with exit code 1)" in (
        done.stderr
    )
    assert 'train.py", line 3, in <module>' in done.stdout
    logs = list((tmp_path / "studies/train/trials").glob("*/log.txt"))
    assert len(logs) >= 5 and all("about to" in log.read_text() for log in logs)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--", "no-such-command"), "no-such-command: no such command on the PATH"),
        (("--trials", "2", "--"), "nothing stands after --: give the command"),
        (("--", "./run.sh"), "./run.sh: no such command in"),
        (("--", sys.executable, "trian.py"), "trian.py: no such script in"),
        (("--device", "cuda", "--", "python"), "--device 'cuda': not used: a command chooses"),
        (("--model", "mlp", "--", "python"), "--model: not used: a command of your own brings"),
        (("--loop", "a:b", "--", "python"), "-- 'python': not beside loop: give one of the two"),
        (("--keep",), "--keep true: belongs to a command of your own"),
        (("--metric", "acc", "--", "python"), "direction: missing: more of acc is usually better"),
        (("--gpus-per-trial", "1", "--", sys.executable), "--gpus-per-trial 1: 1 worker at once"),
    ],
)
def test_what_is_refused(options: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = called("run", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


class TestCheck:
    def test_two_epochs_of_a_trial_are_trained(self, tmp_path: Path) -> None:
        (tmp_path / "train.py").write_text(CLASSES)
        settings = ("--metric", "val_accuracy", "--direction", "maximize", "--epochs", "6")
        done = sweep("check", *settings, "--json", "--", sys.executable, "train.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["data"] is None and found["model"] is None
        assert "2 epochs of a trial took" in found["notes"][0]
        assert "attach was told 60 steps" in found["notes"][0]
        assert [path.name for path in tmp_path.iterdir()] == ["train.py"]

    def test_what_would_fail_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "train.py").write_text(CLASSES)
        done = sweep("check", "--", sys.executable, "train.py", "--nose", "1", cwd=tmp_path)
        assert done.returncode == 2
        assert "1 problem" in done.stdout
        assert "unrecognized arguments: --nose 1" in done.stdout
