"""Whole sweeps that search the optimizer and the batch size beside the schedule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_runs import sweep

from sweep.base.csv_cells import frame_from_csv
from sweep.base.errors import InputError
from sweep.confirm.best_schedule import BestSchedule
from sweep.report.summary import summarise
from sweep.runs.before.lr_range import find_range
from sweep.runs.opening import steps_of_batch_sizes
from sweep.study.settings import StudyConfig

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

SEARCHED: dict[str, Any] = {
    "optimizer__name": ["sgd", "adamw"],
    "optimizer__batch_size": [32, 128],
    "space__lr": {"sgd": "1e-3:0.1:log", "adamw": "1e-2:0.9:log"},
    "trials": 24,
    "confirm__enabled": True,
    "confirm__seeds": 2,
    "baseline": ["cosine, lr=0.05, optimizer=adamw, batch_size=64"],
}
STEPS = {32: 10, 64: 5, 128: 3}
"""Of an epoch of the diabetes set's 310 training rows."""


@pytest.mark.parametrize("sampler", ["auto", "tpe", "family"])
def test_everything_downstream_knows_them(tmp_path: Path, sampler: str) -> None:
    study, config, location = sweep(tmp_path, sampler__name=sampler, **SEARCHED)
    results = frame_from_csv(location.folder / "results.csv")
    own = {"sgd": (1e-3, 0.1), "adamw": (1e-2, 0.9)}
    searched = results[results.baseline.isna()]
    assert {*searched.optimizer} == {"sgd", "adamw"} and {*searched.batch_size} == {32, 128}
    for name, (low, high) in own.items():
        assert searched.lr[searched.optimizer == name].between(low, high).all()
    baseline = results[results.baseline.notna()].iloc[0]
    assert (baseline.optimizer, baseline.batch_size) == ("adamw", 64)

    best = BestSchedule.read(location.folder)
    assert best is not None and best.optimizer is not None
    winner = results[results.number == best.trial].iloc[0]
    assert best.params == {"optimizer": winner.optimizer, "batch_size": winner.batch_size}
    assert (best.optimizer.name, best.optimizer.batch_size) == tuple(best.params.values())
    assert best.total_steps == STEPS[int(winner.batch_size)] * config.epochs
    code = (location.folder / "best_schedule.py").read_text()
    assert f"optimizer {winner.optimizer}, batch_size {winner.batch_size}" in code

    confirmed = frame_from_csv(location.folder / "confirm.csv")
    both = confirmed.merge(results, left_on="trial", right_on="number", suffixes=("", "_search"))
    assert (both.optimizer == both.optimizer_search).all()
    assert (both.batch_size == both.batch_size_search).all()
    told = summarise(study, config, location.folder)
    assert told.best is not None and f"optimizer {winner.optimizer}" in told.best.description

    again, _, _ = sweep(tmp_path, sampler__name=sampler, **{**SEARCHED, "trials": 27})
    assert len([t for t in again.trials if "completes_trial" not in t.user_attrs]) == 27


def test_an_engine_is_as_good_as_the_other(tmp_path: Path) -> None:
    tables = []
    for engine in ("sequential", "vectorized"):
        (tmp_path / engine).mkdir()
        given = {**SEARCHED, "sampler__name": "random", "pruner__name": "none", "trials": 8}
        given |= {"engine": engine, "confirm__enabled": False, "deterministic": True}
        _, _, location = sweep(tmp_path / engine, **given)
        tables.append(frame_from_csv(location.folder / "results.csv").sort_values("number"))
    ours, theirs = tables
    assert len({*zip(ours.optimizer, ours.batch_size, strict=True)}) > 2
    assert list(ours.torch) == list(theirs.torch)
    pd.testing.assert_series_equal(ours.val_mse, theirs.val_mse, rtol=1e-4)


def test_a_range_of_rates_is_one_optimizers(tmp_path: Path) -> None:
    _, config, location = sweep(
        tmp_path, **{**SEARCHED, "trials": 4, "confirm__enabled": False, "pruner__name": "none"}
    )
    with pytest.raises(InputError, match="sgd and adamw: name one of them, such as --optimizer"):
        find_range(location, config)
    described = json.loads((location.folder / "best_schedule.json").read_text())
    assert described["optimizer"]["name"] == described["params"]["optimizer"]


def test_auditions_need_the_fewest_steps_of_any_batch_size() -> None:
    from sweep.data.load import load_dataset
    from sweep.runs.opening import as_run

    config = StudyConfig.model_validate(
        {"data": {"source": "diabetes"}, "optimizer": {"batch_size": [4, 128]}, "epochs": 32}
    )
    data = load_dataset(config.data, 0, ())
    assert steps_of_batch_sizes(config, data) == {4: 78, 128: 3}
    steps = 3 * config.audition_epochs
    assert f"{steps} optimizer steps, too few" in as_run(config, data)[1]
    small = config.optimizer.model_copy(update={"batch_size": [4, 8]})
    assert as_run(config.model_copy(update={"optimizer": small}), data)[1] == ""
