"""What a trial leaves in the storage."""

from __future__ import annotations

import json
import math
from pathlib import Path

import optuna
import pytest

from sweep.search.attributes import read_record, write_record
from sweep.search.storage.opening import open_storage
from sweep.study.metric import MSE
from sweep.study.sections import Objective
from sweep.training.contract import EpochResult
from sweep.training.record import CURVE_COLUMNS, TrialRecord

NAN, INF = math.nan, math.inf


def record(*values: float, reason: str = "") -> TrialRecord:
    curve = [
        EpochResult(
            number=7,
            epoch=epoch,
            value=value,
            averaged=value * 0.75,
            training=value / 2,
            lr_first=0.1 / epoch,
            lr_last=0.09 / epoch,
            grad_norm=epoch * 1.5,
            seconds=0.25,
        )
        for epoch, value in enumerate(values, start=1)
    ]
    return TrialRecord.from_curve(3, curve, reason)


def test_a_curve_has_a_column_for_each_of_its_names() -> None:
    course = record(4.0, 2.0)
    columns = [course.column(name) for name in CURVE_COLUMNS]
    assert columns == [
        [0.1, 0.05],
        [0.09, 0.045],
        [2.0, 1.0],
        [4.0, 2.0],
        [3.0, 1.5],
        [1.5, 3.0],
        [0.25, 0.25],
    ]


@pytest.mark.parametrize(
    ("course", "objective", "epoch", "val_mse"),
    [
        ((4.0, 2.0, 3.0), "best", 2, 2.0),
        ((4.0, 2.0, 3.0), "final", 3, 3.0),
        ((4.0, 2.0, 3.0), "averaged", 2, 1.5),
        ((2.0, 2.0), "best", 1, 2.0),
        ((NAN, 5.0, INF), "best", 2, 5.0),
        ((NAN, INF), "best", None, None),
        ((NAN, INF), "averaged", None, None),
        ((), "final", None, None),
    ],
)
def test_which_epoch_counts(
    course: tuple[float, ...], objective: Objective, epoch: int | None, val_mse: float | None
) -> None:
    assert record(*course).best_epoch(objective, MSE) == epoch
    assert record(*course).value(objective, MSE) == val_mse


class TestUserAttributes:
    def test_of_a_course(self) -> None:
        assert record(4.0, 2.0, 3.0).user_attributes("best", 8.0, MSE) == {
            "seed": 3,
            "epochs_run": 3,
            "lr_final": 0.03,
            "best_epoch": 2,
            "final_val_mse": 3.0,
            "train_mse": 1.0,
            "r2": 0.75,
        }

    def test_of_a_trial_that_failed_at_once(self) -> None:
        expected = {"seed": 3, "epochs_run": 0, "reason": "start: broken"}
        assert record(reason="start: broken").user_attributes("best", 8.0, MSE) == expected

    def test_a_constant_target_has_no_r2(self) -> None:
        assert "r2" not in record(4.0).user_attributes("best", 0.0, MSE)

    def test_are_json_without_its_extensions(self) -> None:
        attributes = record(4.0, NAN, reason="diverged").user_attributes("best", 8.0, MSE)
        assert json.loads(json.dumps(attributes, allow_nan=False)) == attributes
        assert attributes["final_val_mse"] is None


@pytest.mark.parametrize("storage", ["a.journal", "sqlite"])
def test_is_read_back(tmp_path: Path, storage: str) -> None:
    url = str(tmp_path / "a.journal") if storage != "sqlite" else f"sqlite:///{tmp_path}/a.db"
    optuna.create_study(storage=open_storage(url), study_name="mine")
    study = optuna.load_study(study_name="mine", storage=open_storage(url))
    before = record(4.0, 1 / 3, INF, NAN, reason="diverged at epoch 3")
    trial = study.ask()
    write_record(trial, before, "best", 8.0, MSE)
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    fresh = optuna.load_study(study_name="mine", storage=open_storage(url))
    after = read_record(fresh.trials[0])
    assert (after.seed, after.reason) == (3, "diverged at epoch 3")
    assert after.curve[:2] == before.curve[:2]
    assert [math.isnan(value) for value in after.column("value")] == [False, False, True, True]
    assert after.column("lr_first") == before.column("lr_first")


def test_a_trial_without_one_has_an_empty_one() -> None:
    study = optuna.create_study()
    study.tell(study.ask(), 1.0)
    assert read_record(study.trials[0]) == TrialRecord(0, (), "")
