"""Whole sweeps in this process, with real workers: how trials end, and what is left of them."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from optuna.trial import TrialState
from small_runs import Notes, states, sweep
from support import drawn

from sweep.base.errors import (
    DataError,
    ModelError,
    ScheduleError,
    StorageError,
    StudyChangedError,
    TrainingError,
)
from sweep.data.load import load_dataset
from sweep.report.summary import summarise
from sweep.runs import run, throttle
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.search.status import Status
from sweep.search.storage.opening import load_study as load_trials
from sweep.search.tables import read_results, write_tables
from sweep.search.trials import Trial
from sweep.study.file import load_study
from sweep.study.locations import Location
from sweep.study.metric import MSE
from sweep.study.results_folder import BEST_MODEL
from sweep.study.settings import StudyConfig
from sweep.training.contract import EpochResult
from sweep.training.models import build_model, predict
from sweep.training.record import what_diverged

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]


def test_a_course_is_the_same_with_any_number_of_workers(tmp_path: Path) -> None:
    tables = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        sweep(
            folder,
            model__name="order-pre",
            sampler__name="grid",
            pruner__name="none",
            space__scheduler=["constant", "cosine", "plateau"],
            trials=8,
            workers=workers,
        )
        epochs = pd.read_csv(folder / "small" / "epochs.csv")
        tables.append(epochs.drop(columns="seconds").sort_values(["number", "epoch"]))
    first, second = (table.reset_index(drop=True) for table in tables)
    pd.testing.assert_frame_equal(first, second, rtol=1e-9)


def test_seeds_are_shared_or_fresh(tmp_path: Path) -> None:
    for kind, count in (("shared", 1), ("fresh", 4), ("auto", 4)):
        study, *_ = sweep(tmp_path, fresh=True, trial_seeds=kind)
        assert len({t.user_attrs["seed"] for t in study.trials}) == count


def test_a_trial_that_diverges_is_pruned_with_its_reason(tmp_path: Path) -> None:
    listener = Notes()
    study, _, location = sweep(
        tmp_path, listener, space__lr="0.01:1e30:log", sampler__name="random", trials=8, epochs=5
    )
    diverged = [t for t in study.trials if t.user_attrs.get("reason", "").startswith("diverged")]
    assert diverged
    assert all(t.state == TrialState.PRUNED for t in diverged)
    assert diverged[0].user_attrs["reason"].startswith("diverged at epoch")
    assert all(np.isfinite(list(t.intermediate_values.values())).all() for t in study.trials)
    results = read_results(location.folder)
    assert list(results["number"]) == list(range(8))
    assert listener.last is not None
    assert (listener.last.endings.ended, listener.last.total) == (8, 8)


def test_when_nothing_completes_the_error_says_why(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as raised:
        sweep(tmp_path, space__lr=1e30, trials=2)
    assert str(raised.value) == (
        "no trial has completed (2 ended); most often: diverged at epoch 1: validation MSE is nan, "
        "training MSE is nan, gradient norm is nan; give lower rates (--lr)"
    )
    assert len(read_results(tmp_path / "small")) == 2


def test_a_model_that_raises_fails_its_trials_and_no_more(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"mend what raises") as raised:
        raising: dict[str, Any] = {"model__name": "models:Raises", "optimizer__batch_size": 128}
        sweep(tmp_path, trials=3, pruner__name="none", **raising)
    assert "epoch 2: RuntimeError: out of patience" in str(raised.value)
    results = read_results(tmp_path / "small")
    assert list(results["state"]) == ["FAIL"] * 3
    assert list(results["epochs_run"]) == [1] * 3


def test_a_model_that_raises_whatever_the_schedule_ends_the_sweep(tmp_path: Path) -> None:
    listener = Notes()
    raising: dict[str, Any] = {"model__name": "models:Raises", "optimizer__batch_size": 128}
    with pytest.raises(TrainingError, match="stopped: 5 trials failed in the same way") as raised:
        sweep(tmp_path, listener, trials=40, epochs=6, workers=1, **raising)
    assert "epoch 2: RuntimeError: out of patience; mend what raises" in str(raised.value)
    results = read_results(tmp_path / "small")
    assert list(results["state"]).count("FAIL") == 5
    shown = [note for note in listener.notes if "Traceback" in note]
    assert len(shown) == 1
    assert 'raise RuntimeError("out of patience")' in shown[0]
    assert "sequential.py" not in shown[0]


def test_a_trial_that_kills_its_worker_is_retried_once(tmp_path: Path) -> None:
    listener = Notes()
    dying: dict[str, Any] = {"model__name": "models:Dies", "optimizer__batch_size": 128}
    with pytest.raises(TrainingError):
        sweep(tmp_path, listener, trials=2, pruner__name="none", **dying)
    results = read_results(tmp_path / "small")
    assert list(results["reason"]) == ["its worker was ended with exit code 7, 2 times"] * 2
    retried = [note for note in listener.notes if "is retried" in note]
    assert len(retried) == 2


def test_a_model_that_cannot_be_trained_stops_the_sweep_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"\(32, 2\)"):
        sweep(tmp_path, model__name="models:Wide")


def test_averaged_weights_can_diverge_too() -> None:
    fine = EpochResult(0, 1, 1.0, 2.0, 3.0, 0.1, 0.1, 1.0, 0.5)
    assert what_diverged(fine, MSE) == ""
    alone = replace(fine, averaged=math.inf)
    assert what_diverged(alone, MSE) == "validation MSE of the averaged weights is inf"
    beside = replace(alone, value=math.nan)
    assert what_diverged(beside, MSE) == "validation MSE is nan"


def test_the_pruner_saves_epochs(tmp_path: Path) -> None:
    study, _, location = sweep(
        tmp_path, space__lr="1e-6:0.1:log", trials=24, epochs=9, pruner__name="median"
    )
    assert "PRUNED" in states(study)
    results = read_results(location.folder)
    pruned = results[results["state"] == "PRUNED"]
    assert pruned["reason"].str.fullmatch(r"pruned at epoch \d by median").all()
    assert (pruned["epochs_run"] < 9).all()
    assert (results.loc[results["state"] == "COMPLETE", "epochs_run"] == 9).all()


@pytest.mark.parametrize("objective", ["best", "final", "averaged"])
def test_the_best_model_is_what_was_measured(tmp_path: Path, objective: str) -> None:
    study, config, location = sweep(
        tmp_path, objective=objective, model__name="mlp", space__lr="0.05:0.5:log", epochs=8
    )
    best = study.best_trial
    curve = pd.read_csv(location.folder / "epochs.csv").query(
        "number == @best.number and horizon == 8"
    )
    values = curve.set_index("epoch")[["val_mse", "averaged_val_mse"]]
    assert values["averaged_val_mse"].min() != values["val_mse"].min()
    by_objective = {
        "best": values["val_mse"].min(),
        "final": values["val_mse"].iloc[-1],
        "averaged": values["averaged_val_mse"].min(),
    }
    assert best.value == by_objective[objective]
    saved = torch.load(location.folder / BEST_MODEL, weights_only=True)
    data = load_dataset(config.data, config.seed)
    model = build_model(config.model, len(data.features), 0)
    model.load_state_dict(saved["state_dict"])
    model.eval()
    with torch.no_grad():
        predicted = predict(model, torch.from_numpy(data.x_validation)).numpy()
    mse = np.mean((predicted - data.y_validation) ** 2) * data.target_scale**2
    assert mse == pytest.approx(best.value, rel=1e-5)

    described = json.loads((location.folder / "best_schedule.json").read_text())
    table = pd.read_csv(location.folder / "predictions.csv")
    assert list(table.columns) == ["row", "y", "prediction"]
    test_mse = ((table["y"] - table["prediction"]) ** 2).mean()
    assert described["test"]["mse"] == pytest.approx(test_mse, rel=1e-6)
    assert described["test"]["rows"] == len(table)


@pytest.mark.parametrize("signal", ["averaged", "raw"])
def test_the_pruner_sees_the_curve_of_its_signal(tmp_path: Path, signal: str) -> None:
    study, _, location = sweep(tmp_path, pruner__signal=signal, pruner__name="median", trials=10)
    epochs = pd.read_csv(location.folder / "epochs.csv")
    assert (epochs["val_mse"] != epochs["averaged_val_mse"]).all()
    column = "averaged_val_mse" if signal == "averaged" else "val_mse"
    for trial in study.get_trials(deepcopy=False):
        curve = epochs[epochs["number"] == trial.number].set_index("epoch")
        assert trial.intermediate_values == curve[column].to_dict()
        if trial.state == TrialState.COMPLETE:
            assert trial.value == curve["val_mse"].min()


@pytest.mark.parametrize("objective", ["best", "averaged"])
def test_lost_weights_are_trained_again_to_the_same_numbers(tmp_path: Path, objective: str) -> None:
    _, _, location = sweep(tmp_path, model__name="order-pre", objective=objective)
    path = location.folder / BEST_MODEL
    before = torch.load(path, weights_only=True)
    path.unlink()
    listener = Notes()
    study, *_ = sweep(tmp_path, listener, model__name="order-pre", objective=objective)
    assert not [note for note in listener.notes if "ends at" in note]
    assert f"training trial {study.best_trial.number} once more, for its weights" in listener.notes
    after = torch.load(path, weights_only=True)
    assert before["trial"] == after["trial"]
    for name, weight in before["state_dict"].items():
        torch.testing.assert_close(after["state_dict"][name], weight)


def test_continuing_runs_only_what_is_missing(tmp_path: Path) -> None:
    study, *_ = sweep(tmp_path, trials=3)
    before = {t.number: t.datetime_complete for t in study.trials}
    study, *_ = sweep(tmp_path, trials=5)
    after = {t.number: t.datetime_complete for t in study.trials}
    assert len(drawn(study.trials)) == 5
    assert before.items() <= after.items()
    listener = Notes()
    study, *_ = sweep(tmp_path, listener, trials=5)
    assert {t.number: t.datetime_complete for t in study.trials} == after
    told = "this study has 5 trials already, of {} asked for: none is trained"
    more = "; to go on, ask for more trials in all, such as 10"
    assert listener.notes == [told.format(5) + more]
    sweep(tmp_path, listener, trials=2)
    assert listener.notes[1:] == [told.format(2) + more]


def test_settings_that_make_trials_incomparable_are_refused(tmp_path: Path) -> None:
    sweep(tmp_path, trials=2)
    with pytest.raises(StudyChangedError) as raised:
        sweep(tmp_path, trials=2, epochs=4, space__lr="1e-2:0.1:log", data__validation=0.25)
    lines = str(raised.value).splitlines()
    assert lines[0] == "study 'small' has trials with other settings:"
    assert "  epochs: was 3, now 4" in lines
    assert "  space.lr: was '0.001:0.1:log', now '0.01:0.1:log'" in lines
    assert "  data.validation: was 0.2, now 0.25" in lines
    assert "--fresh" in lines[-1] and "--out" in lines[-1]
    study, *_ = sweep(tmp_path, trials=3, sampler__name="random", pruner__name="none", workers=1)
    assert len(drawn(study.trials)) == 3


def test_settings_may_change_until_a_trial_has_started(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        sweep(tmp_path, model__name="models:Missing")
    study, *_ = sweep(tmp_path, epochs=2)
    assert len(drawn(study.trials)) == 4
    assert study.user_attrs["settings"]["model.name"] == "linear"


def test_a_folder_with_another_studys_results_is_refused(tmp_path: Path) -> None:
    _, config, location = sweep(tmp_path, trials=2)
    before = read_results(location.folder)
    with pytest.raises(StudyChangedError) as raised:
        run_sweep(replace(location, name="other"), config, Listener())
    assert str(raised.value) == (
        f"{location.folder} holds the results of study 'small'; give another --out"
    )
    pd.testing.assert_frame_equal(read_results(location.folder), before)


def test_the_grid_is_run_whole_and_once(tmp_path: Path) -> None:
    listener = Notes()
    grid: dict[str, Any] = {
        "sampler.name": "grid",
        "sampler.points": 2,
        "space.scheduler": ["constant", "cosine"],
        "space.warmup": 0,
        "pruner.name": "none",
    }
    study, *_ = sweep(tmp_path, listener, trials=4, **grid)
    sweep(tmp_path, listener, trials=4, **grid)
    assert listener.notes[-1].endswith(
        "none is trained; to go on, ask for more trials in all, such as 6"
    )
    spread = "the grid has 6 points, more than 4 trials can try: those that are tried are spread"
    assert any(note.startswith(spread) for note in listener.notes)
    assert {t.params["lr"] for t in study.trials} == {1e-3, 0.1}
    study, config, location = sweep(tmp_path, listener, trials=50, **grid)
    assert "the grid has 6 points: 6 trials are run" in listener.notes
    assert listener.asked == 6
    points = {(t.params["scheduler"], t.params["lr"], t.params["decay"]) for t in study.trials}
    assert len(study.trials) == len(points) == 6
    for trials in (50, 6, 4):
        sweep(tmp_path, listener, trials=trials, **grid)
        told = f"this study has 6 trials already, of {min(trials, 6)} asked for: none is trained"
        assert listener.notes[-1] == f"{told}; its grid has no more"
    summary = summarise(study, config, location.folder)
    assert summary.counts.asked == summary.counts.endings.ended == 6


def test_a_grid_that_was_begun_in_another_order_is_run_whole_and_once(tmp_path: Path) -> None:
    """As earlier versions did, or another sampler before: what is there is not trained again."""
    grid: dict[str, Any] = {
        "sampler.name": "grid",
        "sampler.points": 2,
        "space.scheduler": ["constant", "cosine"],
        "space.warmup": 0,
        "pruner.name": "none",
    }
    other = {name: value for name, value in grid.items() if name != "sampler.points"}
    sweep(tmp_path, Notes(), **{**other, "sampler.name": "random", "trials": 1})
    study, *_ = sweep(tmp_path, Notes(), trials=3, **grid)
    tried = [(t.params["scheduler"], t.params["lr"], t.params["decay"]) for t in study.trials]
    assert len(set(tried)) == 3
    listener = Notes()
    study, *_ = sweep(tmp_path, listener, trials=50, **grid)
    assert listener.asked == len(study.trials) == 7
    tried = [(t.params["scheduler"], t.params["lr"], t.params["decay"]) for t in study.trials]
    assert len(set(tried)) == 7


def test_every_scheduler_gets_a_share_of_the_first_trials(tmp_path: Path) -> None:
    names = ["constant", "cosine", "linear"]
    study, *_ = sweep(tmp_path, trials=24, epochs=1, space__scheduler=names)
    first = [t.params["scheduler"] for t in study.trials[:6]]
    assert first == names * 2


def test_a_timeout_too_short_for_any_trial(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as raised:
        sweep(tmp_path, timeout=1e-9)
    assert str(raised.value) == "no trial has ended: give a longer --timeout"
    study, *_ = sweep(tmp_path)
    assert study.best_trials


def test_a_timeout_starts_no_further_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock jumps ahead when the first trial has ended."""
    clock, ahead = time.monotonic, 0.0

    class Waits(Listener):
        def on_finished(self, trial: Trial, status: Status) -> None:
            nonlocal ahead
            ahead = 100_000.0

    monkeypatch.setattr(time, "monotonic", lambda: clock() + ahead)
    study, *_ = sweep(tmp_path, Waits(), trials=100_000, epochs=1, timeout=100_000)
    assert study.best_trials
    assert sum(trial.state.is_finished() for trial in study.trials) < 100_000
    states = {trial.state for trial in study.trials}
    assert TrialState.RUNNING not in states


WAITS = """
import pathlib, time

def train(schedule, *, epochs, trial):
    folder = pathlib.Path(__file__).parent
    if trial.number == 1:
        (folder / "second_begun").touch()
        until = time.monotonic() + 60
        while not (folder / "first_in_tables").exists() and time.monotonic() < until:
            time.sleep(0.01)
    schedule.rates(epochs)
    for epoch in range(epochs):
        yield 1.0
"""


def test_a_worker_does_not_wait_for_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written while it trains the next trial, which lasts here until they are."""
    (tmp_path / "waits.py").write_text(WAITS)
    begun = []

    def observed(folder: Path, trials: Sequence[Trial], config: StudyConfig) -> None:
        until = time.monotonic() + 20
        while not (tmp_path / "second_begun").exists() and time.monotonic() < until:
            time.sleep(0.01)
        begun.append((tmp_path / "second_begun").exists())
        write_tables(folder, trials, config)
        (tmp_path / "first_in_tables").touch()

    monkeypatch.setattr(run, "write_tables", observed)
    monkeypatch.setattr(throttle, "FIRST_SECS", 0.0)
    own: dict[str, Any] = {
        "loop": f"{tmp_path}/waits.py:train",
        "data__source": None,
        "model__name": None,
    }
    study, *_ = sweep(tmp_path, workers=1, trials=2, pruner__name="none", **own)
    assert states(study) == ["COMPLETE", "COMPLETE"]
    assert len(begun) > 1, "only the end of the run has written tables"
    assert all(begun)


def test_fresh_throws_away_this_study_alone_and_only_after_all_checks(tmp_path: Path) -> None:
    journal = str(tmp_path / "both.journal")
    other = Location("other", None, tmp_path / "other")
    settings = {"data.source": "diabetes", "model.name": "linear", "epochs": 1, "trials": 2}
    run_sweep(other, load_study(None, {**settings, "storage": journal}), Listener())
    sweep(tmp_path, storage=journal)
    with pytest.raises(DataError):
        sweep(tmp_path, fresh=True, storage=journal, data__source="nowhere.csv")
    with pytest.raises(StudyChangedError):
        location = Location("small", None, other.folder)
        run_sweep(location, load_study(None, {**settings, "storage": journal}), Listener(), True)
    assert len(drawn(load_trials("small", journal).trials)) == 4
    study, *_ = sweep(tmp_path, fresh=True, storage=journal, trials=3, epochs=1)
    assert len(drawn(study.trials)) == 3
    assert len(load_trials("other", journal).trials) == 2

    notes = tmp_path / "notes.txt"
    notes.write_text("not a journal\nat all\n")
    with pytest.raises(StorageError, match="not an Optuna journal"):
        sweep(tmp_path, fresh=True, storage=str(notes))
    assert notes.read_text() == "not a journal\nat all\n"


def test_coordinators_on_one_database_draw_different_trials(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    drawn = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        location = Location("shared", None, folder)
        settings = {"data.source": "diabetes", "model.name": "linear", "epochs": 1, "trials": 1}
        config = load_study(None, {**settings, "sampler.name": "random", "storage": url})
        study = run_sweep(location, config, Listener())
        sampler: Any = study.sampler
        drawn.append(sampler.sampler._rng.rng.random())
    assert drawn[0] != drawn[1]


SCHEDULES = """
from torch.optim.lr_scheduler import LambdaLR

def falling(optimizer, total_steps, *, decay, power):
    last = max(total_steps - 1, 1)
    return LambdaLR(optimizer, lambda t: 1 - (1 - decay) * min(t / last, 1.0) ** power)

def negative(optimizer, total_steps, *, decay):
    return LambdaLR(optimizer, lambda t: -1.0)
"""


def test_a_custom_schedule_is_found_beside_the_study_file(tmp_path: Path) -> None:
    (tmp_path / "own_schedules.py").write_text(SCHEDULES)
    falling = {"factory": "own_schedules:falling", "params": {"power": "0.5:2"}}
    own: dict[str, Any] = {"space__scheduler": ["falling"], "custom": {"falling": falling}}
    _, _, location = sweep(tmp_path, pruner__name="none", **own)
    results = read_results(location.folder)
    assert set(results["state"]) == {"COMPLETE"}
    assert results["falling.power"].between(0.5, 2).all()
    epochs = pd.read_csv(location.folder / "epochs.csv").groupby("number")["lr_last"].last()
    expected = (results["lr"] * results["decay"]).to_numpy()
    np.testing.assert_allclose(epochs.to_numpy(), expected, rtol=1e-6)


def test_a_custom_schedule_that_cannot_be_used_stops_the_sweep_at_once(tmp_path: Path) -> None:
    (tmp_path / "own_schedules_2.py").write_text(SCHEDULES)
    custom = {"negative": {"factory": "own_schedules_2:negative"}}
    with pytest.raises(ScheduleError, match="own_schedules_2:negative: gives the rate -"):
        sweep(tmp_path, space__scheduler=["negative"], custom=custom)


def test_a_custom_schedule_must_fit_into_an_audition(tmp_path: Path) -> None:
    (tmp_path / "own_schedules_3.py").write_text(
        "from torch.optim.lr_scheduler import LambdaLR\n\n"
        "def long(optimizer, total_steps, *, decay):\n"
        "    return LambdaLR(optimizer, lambda step: 1 / (total_steps - 200))\n"
    )
    own: dict[str, Any] = {"space__scheduler": ["long"], "epochs": 24}
    own["optimizer__batch_size"] = 8
    own["custom"] = {"long": {"factory": "own_schedules_3:long"}}
    with pytest.raises(ScheduleError) as raised:
        sweep(tmp_path, **own)
    assert "own_schedules_3:long" in str(raised.value)
    assert re.search(r"over the \d+ steps of an audition", str(raised.value))
    assert "--pruner halving" in str(raised.value)
    study, *_ = sweep(tmp_path, pruner__name="halving", **own)
    assert "COMPLETE" in states(study)


def test_a_fair_study_trains_as_many_trials_of_every_scheduler(tmp_path: Path) -> None:
    names = ["constant", "cosine", "linear", "onecycle"]
    study, *_ = sweep(tmp_path, trials=13, epochs=1, fair=True, space__scheduler=names)
    study, *_ = sweep(tmp_path, trials=22, epochs=1, fair=True, space__scheduler=names)
    drawn = [trial.params["scheduler"] for trial in study.trials]
    assert sorted(drawn.count(name) for name in names) == [5, 5, 6, 6]
