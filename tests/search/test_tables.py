"""What a study leaves on disk."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from sweep.base.errors import InputError
from sweep.confirm.best_files import export_best, write_predictions
from sweep.data.load import load_dataset
from sweep.schedules.schedule import Schedule
from sweep.search.attributes import write_record
from sweep.search.storage import opening as storage
from sweep.search.tables import read_results, results_frame, write_tables
from sweep.search.trials import StudyReader
from sweep.study.file import load_study
from sweep.study.sections import DataConfig
from sweep.study.settings import StudyConfig
from sweep.training.contract import EpochResult
from sweep.training.record import TrialRecord
from sweep.training.workers.messages import Prediction

COLUMNS = [
    "number", "state", "scheduler", "lr", "decay", "warmup",
    "step.drops", "cyclic.cycles", "cyclic.mode", "momentum",
    "val_mse", "val_r2", "best_epoch", "final_val_mse", "train_mse", "epochs_run",
    "audition_val_mse", "reason", "lr_final", "seed", "started", "finished", "duration",
    "completes", "baseline", "discarded", "torch",
]  # fmt: skip


@pytest.fixture
def config() -> StudyConfig:
    space = {
        "scheduler": ["step", "cyclic"],
        "lr": "1e-3:1:log",
        "momentum": "0.5:0.9",
        "warmup": 0,
    }
    return StudyConfig.model_validate({"epochs": 2, "space": space})


@pytest.fixture
def study(config: StudyConfig) -> optuna.Study:
    """Trials: 0 step, completed; 1 cyclic, completed and better; 2 diverged; 3 failed; 4 runs."""
    study = optuna.create_study()
    study.set_user_attr("steps_per_epoch", 10)
    shared = {"lr": 0.1, "decay": 0.01, "momentum": 0.6}
    step = {"scheduler": "step", "step.drops": 2, **shared}
    cyclic = {"scheduler": "cyclic", "cyclic.cycles": 3, "cyclic.mode": "triangular2", **shared}
    endings: list[tuple[dict[str, Any], list[float], str, TrialState]] = [
        (step, [4.0, 3.0], "", TrialState.COMPLETE),
        (cyclic, [4.0, 1 / 3], "", TrialState.COMPLETE),
        (step, [4.0, float("nan")], "diverged at epoch 2", TrialState.PRUNED),
        (step, [], 'start: no, "really"\nbroken', TrialState.FAIL),
        (step, [], "", TrialState.RUNNING),
    ]
    for params, course, reason, state in endings:
        study.enqueue_trial(params)
        trial = study.ask()
        config.search_space.suggest(trial)
        curve = [
            EpochResult(trial.number, epoch, value, value, value, 0.1, 0.05, 1.0, 0.5)
            for epoch, value in enumerate(course, start=1)
        ]
        record = TrialRecord.from_curve(5, curve, reason)
        write_record(trial, record, "best", 10.0, config.measure)
        if state != TrialState.RUNNING:
            study.tell(trial, min(course) if state == TrialState.COMPLETE else None, state)
    return study


class TestResultsCsv:
    def test_is_read_back_with_its_types(
        self, tmp_path: Path, study: optuna.Study, config: StudyConfig
    ) -> None:
        write_tables(tmp_path, StudyReader(study, config).trials, config)
        written, read = (
            results_frame(StudyReader(study, config).trials, config),
            read_results(tmp_path),
        )
        assert list(read) == COLUMNS
        kinds = {name: read[name].dtype.kind for name in COLUMNS}
        text = {"state", "scheduler", "cyclic.mode", "reason", "baseline", "torch"}
        whole = {"number", "step.drops", "cyclic.cycles", "best_epoch", "epochs_run", "seed"}
        whole |= {"completes"}
        times, truth = {"started", "finished"}, {"discarded"}
        assert {name for name, kind in kinds.items() if kind in "iu"} == whole
        assert {name for name, kind in kinds.items() if kind == "M"} == times
        assert {name for name, kind in kinds.items() if kind == "b"} == truth
        assert {name for name, kind in kinds.items() if kind == "O"} <= text
        assert {name for name in COLUMNS if kinds[name] == "f"} == (
            set(COLUMNS) - text - whole - times - truth
        )
        pd.testing.assert_frame_equal(read, written, check_dtype=False)

    def test_a_row_for_each_trial_that_has_ended(
        self, study: optuna.Study, config: StudyConfig
    ) -> None:
        frame = results_frame(StudyReader(study, config).trials, config).set_index("number")
        assert list(frame.index) == [0, 1, 2, 3]
        assert list(frame["state"]) == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
        assert list(frame["reason"]) == [
            "", "", "diverged at epoch 2", "start: no, \"really\"\nbroken",
        ]  # fmt: skip
        first, second, third, fourth = (frame.loc[number] for number in range(4))
        assert (first["step.drops"], first["momentum"], first["warmup"]) == (2, 0.6, 0.0)
        assert pd.isna(first["cyclic.cycles"]) and pd.isna(second["step.drops"])
        assert (second["val_mse"], second["best_epoch"], second["epochs_run"]) == (1 / 3, 2, 2)
        assert second["val_r2"] == pytest.approx(1 - 1 / 30)
        assert (third["val_mse"], third["best_epoch"]) == (4.0, 1)
        assert pd.isna(third["final_val_mse"])
        assert pd.isna(fourth["val_mse"]) and pd.isna(fourth["best_epoch"])

    def test_names_the_torch_class_and_its_arguments(
        self, study: optuna.Study, config: StudyConfig
    ) -> None:
        described = json.loads(results_frame(StudyReader(study, config).trials, config)["torch"][0])
        assert described["class"] == "StepLR"
        # two drops cut 20 steps into three
        assert described["args"] == {"step_size": 7, "gamma": pytest.approx(0.1)}

    def test_without_any_trial(self, tmp_path: Path, config: StudyConfig) -> None:
        write_tables(tmp_path, [], config)
        assert list(read_results(tmp_path)) == COLUMNS
        assert len(read_results(tmp_path)) == 0


def test_epochs_csv(tmp_path: Path, study: optuna.Study, config: StudyConfig) -> None:
    write_tables(tmp_path, StudyReader(study, config).trials, config)
    frame = pd.read_csv(tmp_path / "epochs.csv")
    assert list(frame) == [
        *("number", "horizon", "epoch", "lr_first", "lr_last", "train_mse", "val_mse"),
        *("averaged_val_mse", "grad_norm", "seconds"),
    ]
    assert list(zip(frame["number"], frame["epoch"], strict=True)) == [
        (0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2),
    ]  # fmt: skip
    assert frame["val_mse"].tolist()[:5] == [4.0, 3.0, 4.0, 1 / 3, 4.0]
    assert frame["val_mse"].isna().tolist() == [False] * 5 + [True]


class TestPredictions:
    @pytest.mark.parametrize("log1p", [False, True])
    def test_in_the_targets_own_unit(self, tmp_path: Path, log1p: bool) -> None:
        rows = np.arange(40)
        table = pd.DataFrame({"x": rows % 7, "y": 5.0 + rows})
        table.to_csv(tmp_path / "table.csv", index=False)
        settings = DataConfig(source="table.csv", target="y", log1p=log1p)
        data = load_dataset(settings, 0, (tmp_path,))
        off = np.float32(0.5)
        score = write_predictions(tmp_path, data, Prediction(0, 0.0, data.y_test + off))
        frame = pd.read_csv(tmp_path / "predictions.csv")
        assert len(frame) == score.rows == len(data.y_test) == 4
        assert list(frame["y"]) == list(table["y"].iloc[frame["row"] - 1])
        values = frame[["y", "prediction"]].to_numpy()
        truth, prediction = (np.log1p(values) if log1p else values).T
        error = prediction - truth
        assert error == pytest.approx(np.full(4, off * data.target_scale), rel=1e-4)
        assert score.mse is not None and score.mse == pytest.approx(
            (off * data.target_scale) ** 2, rel=1e-4
        )
        assert score.r2 == pytest.approx(1 - score.mse / np.var(truth), rel=1e-4)


class TestExport:
    """Of a real sweep."""

    def best(self, folder: Path) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((folder / "best_schedule.json").read_text())
        return content

    @pytest.mark.slow
    def test_json_is_the_best_trial(self, tiny_study: Path) -> None:
        best = json.loads(export_best(tiny_study, "json"))
        frame = read_results(tiny_study).set_index("number")
        row = frame.loc[best["trial"]]
        assert best["val_mse"] == row["val_mse"]
        assert best["trial"] == best["confirmation"]["candidates"][0]["trial"]
        assert frame["val_mse"].idxmin() == best["best_of_search"]
        assert (best["study"], best["unit"]) == ("diabetes", "progression")
        assert best["total_steps"] == best["steps_per_epoch"] * best["epochs"] == 20
        assert best["test"]["rows"] == len(pd.read_csv(tiny_study / "predictions.csv"))
        schedule = Schedule.from_dict(best["schedule"])
        assert (schedule.scheduler, schedule.lr) == (row["scheduler"], row["lr"])
        assert Schedule.load(tiny_study / "best_schedule.json") == schedule

    @pytest.mark.slow
    def test_csv_has_the_rate_of_every_step(self, tiny_study: Path) -> None:
        frame = pd.read_csv(io.StringIO(export_best(tiny_study, "csv")))
        assert list(frame) == ["step", "lr"]
        assert list(frame["step"]) == list(range(1, 21))
        epochs = self.epochs(tiny_study)
        assert frame["lr"][[0, 10]].tolist() == pytest.approx(epochs["lr_first"].tolist())
        assert frame["lr"][[9, 19]].tolist() == pytest.approx(epochs["lr_last"].tolist())

    @pytest.mark.slow
    def test_python_needs_torch_alone_and_gives_the_same_rates(self, tiny_study: Path) -> None:
        """Run as a user would: pasted into a training loop, without `sweep`."""
        best = self.best(tiny_study)
        loop = f"""
import sys
sys.modules["sweep"] = None  # importing it would raise
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=123.0)
scheduler = build_scheduler(optimizer, total_steps={best["total_steps"]})
for step in range({best["total_steps"]}):
    print(optimizer.param_groups[0]["lr"])
    optimizer.step()
    scheduler.step()
"""
        code = export_best(tiny_study, "python") + loop
        command = [sys.executable, "-I", "-W", "error", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.stderr == ""
        rates = [float(line) for line in done.stdout.splitlines()]
        epochs, steps = self.epochs(tiny_study), best["steps_per_epoch"]
        assert len(rates) == 2 * steps
        assert rates[::steps] == pytest.approx(epochs["lr_first"].tolist())
        assert rates[steps - 1 :: steps] == pytest.approx(epochs["lr_last"].tolist())

    def epochs(self, folder: Path) -> pd.DataFrame:
        """The best trial's."""
        frame = pd.read_csv(folder / "epochs.csv").set_index("number")
        return frame.loc[[self.best(folder)["trial"]]]

    @pytest.mark.slow
    def test_a_table_of_trials_and_epochs(self, tiny_study: Path) -> None:
        frame, epochs = read_results(tiny_study), pd.read_csv(tiny_study / "epochs.csv")
        assert list(frame["number"]) == [0, 1, 2]
        assert len(epochs) == frame["epochs_run"].sum() == 6
        assert frame["duration"].gt(0).all() and frame["started"].lt(frame["finished"]).all()
        least = epochs.groupby("number")["val_mse"].min()
        assert frame["val_mse"].tolist() == least.tolist()

    @pytest.mark.slow
    def test_the_saved_settings_rebuild_every_schedule(self, tiny_study: Path) -> None:
        config = load_study(tiny_study / "study.toml")
        study = storage.load_study("diabetes", str(tiny_study / "study.journal"))
        frame = read_results(tiny_study)
        schedules = [trial.schedule for trial in StudyReader(study, config).trials]
        assert [s.scheduler for s in schedules] == frame["scheduler"].tolist()
        assert [s.decay for s in schedules] == frame["decay"].tolist()

    @pytest.mark.slow
    def test_an_unknown_form(self, tiny_study: Path) -> None:
        with pytest.raises(InputError) as raised:
            export_best(tiny_study, "pyton")
        assert str(raised.value) == (
            "--to pyton: expected python, json, csv; did you mean 'python'?"
        )

    def test_a_study_without_a_best_schedule(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as raised:
            export_best(tmp_path, "python")
        assert str(raised.value) == (
            f"{tmp_path / 'best_schedule.json'}: no best schedule yet; "
            f"run the study to its end: sweep run {tmp_path}"
        )
