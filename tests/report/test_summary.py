"""What a report says of a study, in numbers and sentences."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from made_studies import (
    COMPLETE,
    CONFIG,
    EPOCHS,
    PRUNED,
    add,
    epoch,
    mixed,
    mixed_study,
    new_study,
    params,
    rendered,
    write_best,
)

from sweep.report.edges import edge_advice, widened
from sweep.report.figures.trial import epoch_figure
from sweep.report.findings import gather, hover
from sweep.report.summary import summarise
from sweep.report.terminal import tables
from sweep.schedules.schedule import Schedule
from sweep.search.attributes import write_audition, write_record
from sweep.search.trials import EndingCounts
from sweep.study.settings import StudyConfig
from sweep.study.space import Range
from sweep.training.record import Audition, TrialRecord

# facts


def test_counts_and_costs_of_a_mixed_study(tmp_path: Path) -> None:
    summary = mixed(tmp_path)
    counts = summary.counts
    assert counts.endings == EndingCounts(completed=4, pruned=1, diverged=1, failed=2)
    assert (counts.asked, counts.unfinished, counts.endings.ended) == (10, 0, 8)
    assert summary.epochs_trained == 4 * EPOCHS + 2 + 1 + 0 + 1
    assert summary.epochs_saved == pytest.approx((2 + 3) / (8 * EPOCHS))
    assert summary.worker_secs == pytest.approx(0.5 * summary.epochs_trained)
    assert summary.failure == "ValueError: no [bold] rows"


def auditioned_study() -> optuna.Study:
    """Two trials that are trained whole after their audition of an epoch, one that failed it."""
    study = new_study()
    for scheduler, mses, state in (
        ("constant", [30, 20, 18, 16], COMPLETE),
        ("cosine", [], PRUNED),
        ("step", [30, 18], PRUNED),
    ):
        study.enqueue_trial(params(scheduler, 0.1))
        trial = study.ask()
        CONFIG.search_space.suggest(trial)
        audition = TrialRecord.from_curve(7, [epoch(trial.number, 1, 25.0)], "")
        write_audition(trial, Audition(1, audition.curve, 25.0), CONFIG.measure)
        trial.report(25.0, 1)
        curve = [epoch(trial.number, at, mse) for at, mse in enumerate(mses, start=1)]
        reason = "pruned by its audition over 1 epoch" if not mses else ""
        write_record(trial, TrialRecord.from_curve(7, curve, reason), "best", 20.0, CONFIG.measure)
        study.tell(trial, min(mses) if state == COMPLETE else None, state)
    return study


def test_epochs_of_auditions_are_paid_for(tmp_path: Path) -> None:
    study = auditioned_study()
    summary = summarise(study, CONFIG, tmp_path)
    assert summary.epochs_trained == 3 + EPOCHS + 2
    assert summary.epochs_saved == pytest.approx((3 + 1 - 1) / (3 * EPOCHS))
    assert summary.worker_secs == pytest.approx(0.5 * summary.epochs_trained)
    in_flight = TrialRecord.from_curve(7, [epoch(3, 1, 25.0)], "")
    write_audition(study.ask(), Audition(1, in_flight.curve, 25.0), CONFIG.measure)
    assert summarise(study, CONFIG, tmp_path).epochs_saved == summary.epochs_saved
    findings = gather(auditioned_study(), CONFIG, tmp_path)
    (picture,) = epoch_figure(findings)
    assert picture.description.startswith("9 epochs trained, 3 of them in auditions; early stops")
    assert picture.table and [*picture.table.header] == [
        *("scheduler", "trained", "in auditions", "saved")
    ]
    rows = {row[0]: row[1:] for row in picture.table.rows}
    assert rows == {
        "constant": ["4", "1", "0"],
        "cosine": ["0", "1", "3"],
        "step": ["2", "1", "1"],
    }
    texts = [hover(trial, findings.metric) for trial in findings.trials]
    assert "pruned after its audition" in texts[1] and "pruned after 2 epochs" in texts[2]


def test_best_trial_and_its_rivals(tmp_path: Path) -> None:
    write_best(tmp_path, trial=1)
    summary = mixed(tmp_path)
    best, constant, runner_up = summary.best, summary.constant, summary.runner_up
    assert best and constant and runner_up and summary.test
    assert best.schedule == Schedule("cosine", 0.2, 0.01, 0.1)
    assert (best.number, best.value, best.best_epoch, best.epochs) == (1, 12, 3, EPOCHS)
    assert best.r2 == pytest.approx(1 - 12 / 20)
    assert best.total_steps == 100
    assert best.torch == best.schedule.torch_spec(100)
    assert best.curve.value == [30, 18, 12, 13]
    assert best.curve.averaged == [22.5, 13.5, 9, 9.75]
    assert (constant.trial.number, runner_up.trial.number) == (0, 3)
    assert constant.behind == pytest.approx(4 / 16)
    assert runner_up.behind == pytest.approx(3 / 15)
    assert (summary.test.rows, summary.test.mse, summary.test.r2) == (20, 14.5, 0.3)


def test_sentences(tmp_path: Path) -> None:
    summary = mixed(tmp_path)
    assert summary.headline == (
        "cosine, lr 0.2, decay 0.01, warm-up 10 % reaches validation MSE 12 (R² 0.4) "
        "after 3 of 4 epochs."
    )
    averaged = CONFIG.model_copy(update={"objective": "averaged"})
    assert summarise(mixed_study(), averaged, tmp_path).headline == (
        "cosine, lr 0.2, decay 0.01, warm-up 10 % reaches validation MSE 12 (R² 0.4) "
        "with averaged weights after 3 of 4 epochs."
    )
    assert summary.gain == "25 % lower MSE than the best constant rate (lr 0.1: 16)"
    assert summary.rivalry == "step, lr 0.05, decay 0.1, warm-up 10 %, drops 2: 20 % behind"
    assert summary.cautions == ("a constant rate had only 1 trial, cosine had 3",)
    assert summary.mse_unit == "buy²"
    assert (
        replace(summary, unit="4").mse_unit == "('4')²"
    )  # of an event log whose codes are numbers


def test_schedulers_are_listed_by_their_best_and_the_untried_last(tmp_path: Path) -> None:
    rows = mixed(tmp_path).schedulers
    assert [row.name for row in rows] == ["cosine", "step", "constant", "plateau"]
    cosine, step, _, plateau = rows
    assert (cosine.trials, cosine.endings) == (3, EndingCounts(completed=2, diverged=1))
    assert cosine.median_value == 16
    assert (step.trials, step.endings) == (4, EndingCounts(completed=1, pruned=1, failed=2))
    assert (plateau.trials, plateau.best, plateau.median_value) == (0, None, None)


def test_top_holds_the_best_completed_trials(tmp_path: Path) -> None:
    assert [trial.number for trial in mixed(tmp_path, top=3).top] == [1, 3, 0]


def test_test_score_of_another_trial_is_not_shown(tmp_path: Path) -> None:
    write_best(tmp_path, trial=3)
    assert mixed(tmp_path).test is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"test": 3, "trial": 1}'])
def test_broken_best_schedule_file_is_done_without(tmp_path: Path, text: str) -> None:
    (tmp_path / "best_schedule.json").write_text(text)
    summary = mixed(tmp_path)
    assert summary.test is None
    assert summary.best and summary.best.torch is None
    assert summary.cautions[0].startswith(f"{tmp_path}/best_schedule.json: ")


def test_constant_rate_that_wins(tmp_path: Path) -> None:
    study = new_study()
    add(study, params("constant", 0.1), [10, 9, 8, 8])
    add(study, params("cosine", 0.1), [10, 9, 9, 8.04])
    summary = summarise(study, CONFIG, tmp_path)
    assert summary.gain == "a constant rate is the best that was found"
    assert summary.rivalry == "cosine, lr 0.1, decay 0.1, warm-up 10 %: 0.5 % behind"
    assert summary.cautions == ("a lead below 1 % may turn with another seed",)


def test_without_a_constant_rate_the_report_says_how_to_get_one(tmp_path: Path) -> None:
    study = new_study()
    space = CONFIG.space.model_copy(update={"scheduler": ["cosine", "step"]})
    config = CONFIG.model_copy(update={"space": space})
    add(study, params("cosine", 0.1), [10, 9, 9, 8], config=config)
    summary = summarise(study, config, tmp_path)
    expected = 'no constant-rate trial to compare with; add "constant" to space.scheduler'
    assert summary.gain == expected
    assert summary.constant is None and summary.runner_up is None
    assert "no constant-rate trial" in rendered(tables.best_panel(summary))


@pytest.mark.parametrize("drawn", [False, True])
def test_a_constant_rate_that_is_searched_already_is_not_asked_for(
    drawn: bool, tmp_path: Path
) -> None:
    study = new_study()
    add(study, params("cosine", 0.1), [10, 9, 9, 8])
    if drawn:
        add(study, params("constant", 0.1), [10, 9], PRUNED)
    assert summarise(study, CONFIG, tmp_path).gain == "no trial with a constant rate completed"


def test_to_dict_is_json_without_nan(tmp_path: Path) -> None:
    study = mixed_study()
    add(study, params("cosine", 0.15, 0.01), [math.nan, 11, 14, 13])
    described = summarise(study, CONFIG, tmp_path).to_dict()
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert described["best"]["curve"]["val_mse"] == [None, 11, 14, 13]
    assert described["best"]["schedule"]["scheduler"] == "cosine"
    assert described["headline"].startswith("cosine, lr 0.15")
    assert described["folder"] == str(tmp_path)


def test_running_and_waiting_trials_are_counted_apart(tmp_path: Path) -> None:
    study = mixed_study()
    CONFIG.search_space.suggest(study.ask())
    study.ask()  # killed before it had any parameters
    study.enqueue_trial(params("step", 0.1))
    summary = summarise(study, CONFIG, tmp_path)
    assert summary.counts.unfinished == 2
    assert sum(row.trials for row in summary.schedulers) == 9
    assert "2 unfinished" in rendered(tables.full_report(summary))


def test_every_parameter_fixed(tmp_path: Path) -> None:
    space = {"scheduler": "step", "lr": 0.1, "decay": 0.1, "warmup": 0, "step.drops": 2}
    config = StudyConfig.model_validate({"epochs": 2, "trials": 3, "space": space})
    study = new_study()
    for _ in range(3):
        add(study, {}, [3, 2], config=config)
    summary = summarise(study, config, tmp_path)
    assert summary.best and summary.best.edges == ()
    assert [row.name for row in summary.schedulers] == ["step"]
    assert "step, lr 0.1, decay 0.1, drops 2" in rendered(tables.full_report(summary))


# importance


def searched(trials: int, *, same: bool = False) -> optuna.Study:
    study = new_study()
    rng = np.random.default_rng(0)
    for _ in range(trials):
        lr, decay = 10 ** rng.uniform(-3, 0), 10 ** rng.uniform(-3, 0)
        value = 5.0 if same else 1 + (math.log10(lr) + 1) ** 2 + 0.01 * rng.random()
        scheduler = ("cosine", "constant", "step")[rng.integers(3)]
        own = {"drops": 3} if scheduler == "step" else {}
        add(study, params(scheduler, lr, decay, **own), [value] * EPOCHS)
    return study


def test_importance_finds_the_parameter_that_matters_quickly(tmp_path: Path) -> None:
    study = searched(300)
    started = time.process_time()
    found = summarise(study, CONFIG, tmp_path).importance
    assert time.process_time() - started < 10  # fANOVA would take minutes
    assert set(found.shares) == {"scheduler", "lr", "decay", "warmup"}
    assert next(iter(found.shares)) == "lr" and found.shares["lr"] > 0.8
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found == summarise(study, CONFIG, tmp_path).importance


def test_importance_says_why_there_is_none(tmp_path: Path) -> None:
    few = summarise(searched(3), CONFIG, tmp_path).importance
    assert (few.shares, few.note) == ({}, "takes 40 completed trials; there are 3")
    same = summarise(searched(40, same=True), CONFIG, tmp_path).importance
    assert (same.shares, same.note) == (
        {},
        "every completed trial has the same value",
    )


# range ends


@pytest.mark.parametrize(
    ("bounds", "end", "limits", "wider"),
    [
        (Range(0.001, 1, log=True), "upper", "(0, inf)", "0.001:10:log"),
        (Range(0.001, 1, log=True), "lower", "(0, inf)", "0.0001:1:log"),
        (Range(0.01, 1), "lower", "(0, inf)", "0.005:1"),
        (Range(0.001, 1, log=True), "upper", "(0, 1]", None),
        (Range(0.001, 0.5, log=True), "upper", "(0, 1]", "0.001:1:log"),
        (Range(0, 0.2), "lower", "[0, 1)", None),
        (Range(0, 0.2), "upper", "[0, 1)", "0:0.4"),
        (Range(0, 0.8), "upper", "[0, 1)", "0:0.9"),
        (Range(0.1, 0.2), "lower", "[0, 1)", "0:0.2"),
        (Range(1, 5, integer=True), "upper", "[1, inf)", "1:9"),
        (Range(1, 5, integer=True), "lower", "[1, inf)", None),
        (Range(1, 10, integer=True), "lower", "[0, inf)", "0:10"),
        (Range(-3, 3), "lower", "(-inf, inf)", "-9:3"),
    ],
)
def test_widened(bounds: Range, end: Any, limits: str, wider: str | None) -> None:
    found = widened(bounds, end, limits)
    assert (None if found is None else str(found)) == wider
    assert found is None or found.integer == bounds.integer


def test_edge_advice_names_what_to_set() -> None:
    space = CONFIG.search_space
    schedule = Schedule("step", 0.98, 0.9, 0.1, {"drops": 5})
    values: dict[str, Any] = {"lr": 0.98, "decay": 0.9, "warmup": 0.1, "step.drops": 5}
    assert edge_advice(schedule, values, space) == (
        "lr 0.98 is at the upper end of its range 0.001:1:log; try --lr 0.001:10:log",
        "step.drops 5 is at the upper end of its range 1:5; "
        'try space."step.drops" = "1:9" in the study file',
    )


def test_edge_advice_skips_what_a_schedule_does_not_use() -> None:
    values = {"lr": 0.03, "decay": 0.001, "warmup": 0.1}
    space = CONFIG.search_space
    assert edge_advice(Schedule("constant", 0.03), values, space) == ()
    (sentence,) = edge_advice(Schedule("cosine", 0.03, 0.001, 0.1), values, space)
    assert sentence.endswith("try --decay 0.0001:1:log")
