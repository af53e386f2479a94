"""What a study found, as facts, tables and drawings."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from rich.console import Console, RenderableType

from sweep.base.wording import aligned, duration, number, percent
from sweep.report import writers
from sweep.report.edges import edge_advice, widened
from sweep.report.summary import Summary, summarise
from sweep.report.terminal import tables
from sweep.report.terminal.curves import draw, draw_rates, sparkline
from sweep.report.terminal.fitting import Column, FittingTable, fitting
from sweep.report.terminal.gallery import schedule_detail, schedule_list
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.schedules.schedule import SHAPES, Schedule
from sweep.search.storage.opening import load_study
from sweep.search.trial_records import write_record
from sweep.study.file import load_study as load_settings
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig
from sweep.study.space import Range
from sweep.training.contract import EpochResult
from sweep.training.record import TrialRecord

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
EPOCHS = 4
CONFIG = StudyConfig.model_validate(
    {
        "epochs": EPOCHS,
        "trials": 10,
        "space": {
            "scheduler": ["constant", "cosine", "step", "plateau"],
            "lr": "0.001:1:log",
            "decay": "0.001:1:log",
        },
    }
)
Params = Mapping[str, Any]


def epoch(number: int, epoch: int, val_mse: float, rate: float = 0.1) -> EpochResult:
    averaged = val_mse * 0.75
    return EpochResult(number, epoch, val_mse, averaged, val_mse / 2, rate, rate / 2, 1.0, 0.5)


def new_study(name: str = "shop", unit: str = "buy") -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=name, sampler=optuna.samplers.RandomSampler(seed=0))
    study.set_user_attr("unit", unit)
    return study


def add(
    study: optuna.Study,
    params: Params,
    mses: Sequence[float],
    state: TrialState = COMPLETE,
    reason: str = "",
    config: StudyConfig = CONFIG,
) -> None:
    """Add a trial that ended after as many epochs as there are MSEs."""
    study.enqueue_trial(dict(params))
    trial = study.ask()
    config.search_space.suggest(trial)
    curve = [epoch(trial.number, at, mse) for at, mse in enumerate(mses, start=1)]
    record = TrialRecord.from_curve(7, curve, reason)
    write_record(trial, record, config.objective, 20.0)
    study.tell(trial, record.val_mse(config.objective) if state == COMPLETE else None, state)


def params(scheduler: str, lr: float, decay: float = 0.1, **own: Any) -> dict[str, Any]:
    named = {f"{scheduler}.{name}": value for name, value in own.items()}
    return {"scheduler": scheduler, "lr": lr, "decay": decay, "warmup": 0.1, **named}


FULL_REPORT = """\
╭─  shop  ─────────────────────────────────────────────────────────────────────╮
│ cosine, lr 0.2, decay 0.01, warm-up 10 % reaches validation MSE 12 (R² 0.4)  │
│ after 3 of 4 epochs.                                                         │
│                                                                              │
│ constant rate  25 % lower MSE than the best constant rate (lr 0.1: 16)       │
│ next best      step, lr 0.05, decay 0.1, warm-up 10 %, drops 2: 20 % behind  │
│ note           a constant rate had only 1 trial, cosine had 3                │
│ MSE in         buy²                                                          │
│ trials         4 completed, 1 pruned, 1 diverged, 2 failed of 10; 20 epochs  │
│                in 10.0 s of worker time; early stops saved 16 %              │
│ shares         no trial of plateau                                           │
│ failed with    ValueError: no [bold] rows                                    │
╰──────────────────────────────────────────────────────────────────────────────╯

learning rate
0.20 ┤       ⡎⠉⠉⠉⠉⠉⠒⠒⠒⠒⠤⠤⠤⣀⣀
     │      ⡜               ⠉⠉⠒⠒⠤⢄⣀⡀
0.15 ┤     ⡜                       ⠈⠉⠒⠢⠤⣀⡀
0.10 ┤    ⡜                              ⠈⠉⠒⠤⢄⣀
     │   ⡜                                     ⠉⠑⠢⠤⣀⡀
0.05 ┤  ⡜                                           ⠈⠉⠒⠢⠤⣀⡀
     │ ⡸                                                  ⠈⠉⠒⠒⠤⠤⣀⣀
0.00 ┤⡰⠁                                                          ⠉⠉⠑⠒⠒⠢⠤⠤⠤⠤⢄⣀⣀⣀
     └──────────────────────────────────────────────────────────────────────────
      0                                 epochs                                 4

MSE of trial 1   ── validation   ┈┈ training
30 ┤⠉⠒⠢⠤⢄⣀
25 ┤      ⠉⠑⠒⠤⠤⣀⡀
   │            ⠈⠉⠒⠢⠤⢄⣀
20 ┤                   ⠉⠑⠒⠤⠤⣀⡀
15 ┤⡀                        ⠈⠉⠉⠑⠒⠒⠒⠤⠤⠤⣀⣀⣀⡀
   │ ⠁⠁⠁⠂⠂⠂⠄⠄⠄⠄⡀⡀⡀                        ⠈⠉⠉⠑⠒⠒⠒⠤⠤⠤⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤
10 ┤              ⠁⠁⠁⠂⠂⠂⠄⠄⠄⠄⡀⡀⡀⡀
   │                            ⠁⠁⠁⠁⠁⠁⠁⠂⠂⠂⠂⠂⠂⠄⠄⠄⠄⠄⠄⠄⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⠄⠄⠄⠄⠄⠄
   └────────────────────────────────────────────────────────────────────────────
    1                                  epoch                                   4

Schedulers
scheduler  best MSE  median  best lr  decay  trials  pruned  diverged  failed
─────────────────────────────────────────────────────────────────────────────
cosine        12.00   16.00  0.2      0.01        3       0         1       0
step          15.00   15.00  0.05     0.1         4       1         0       2
constant      16.00   16.00  0.1      -           1       0         0       0
plateau           -       -  -        -           0       0         0       0
no room for: behind, completed; every trial is in results.csv

Best trials
trial  scheduler  val MSE      R²  epoch  lr    decay  warm-up  parameters
──────────────────────────────────────────────────────────────────────────
    1  cosine       12.00  0.4000      3  0.2   0.01      10 %
    3  step         15.00  0.2500      4  0.05  0.1       10 %  drops 2
    0  constant     16.00  0.2000      4  0.1   -         10 %
    2  cosine       20.00   0.000      4  0.1   0.02      10 %

What mattered
takes 40 completed trials; there are 4

Next
2 more trials             sweep run studies/shop
every trial in a browser  sweep dashboard studies/shop
"""


def mixed_study() -> optuna.Study:
    """Six completed, one pruned, one diverged, two failed trials."""
    study = new_study()
    add(study, params("constant", 0.1), [30, 20, 18, 16])
    add(study, params("cosine", 0.2, 0.01), [30, 18, 12, 13])
    add(study, params("cosine", 0.1, 0.02), [30, 25, 21, 20])
    add(study, params("step", 0.05, 0.1, drops=2), [40, 30, 20, 15])
    add(study, params("step", 0.03), [50, 45], PRUNED, "pruned at epoch 2 by auto")
    add(study, params("cosine", 0.9), [math.inf], PRUNED, "diverged at epoch 1: MSE is inf")
    add(study, params("step", 0.3, 0.5, drops=3), [], FAIL, "start: ValueError: no [bold] rows")
    add(study, params("step", 0.3, 0.5, drops=3), [9], FAIL, "epoch 2: ValueError: no [bold] rows")
    return study


def mixed(folder: Path, top: int = 10) -> Summary:
    return summarise(mixed_study(), CONFIG, folder, top)


def write_best(folder: Path, trial: int) -> None:
    test = {"rows": 20, "mse": 14.5, "r2": 0.3}
    schedule = Schedule("cosine", 0.2).to_dict()
    text = json.dumps({"schedule": schedule, "trial": trial, "steps_per_epoch": 25, "test": test})
    (folder / "best_schedule.json").write_text(text)
    (folder / "best_schedule.py").write_text("# the schedule\n")


def rendered(renderable: RenderableType, width: int = 80) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, highlight=False)
    console.print(renderable)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


# facts


def test_counts_and_costs_of_a_mixed_study(tmp_path: Path) -> None:
    summary = mixed(tmp_path)
    counts = summary.counts
    assert (counts.completed, counts.pruned, counts.diverged, counts.failed) == (4, 1, 1, 2)
    assert (counts.asked, counts.unfinished, counts.ended) == (10, 0, 8)
    assert summary.epochs_trained == 4 * EPOCHS + 2 + 1 + 0 + 1
    assert summary.epochs_saved == pytest.approx((2 + 3) / (8 * EPOCHS))
    assert summary.worker_secs == pytest.approx(0.5 * summary.epochs_trained)
    assert summary.failure == "ValueError: no [bold] rows"


def test_best_trial_and_its_rivals(tmp_path: Path) -> None:
    write_best(tmp_path, trial=1)
    summary = mixed(tmp_path)
    best, constant, runner_up = summary.best, summary.constant, summary.runner_up
    assert best and constant and runner_up and summary.test
    assert best.schedule == Schedule("cosine", 0.2, 0.01, 0.1)
    assert (best.number, best.val_mse, best.best_epoch, best.epochs) == (1, 12, 3, EPOCHS)
    assert best.r2 == pytest.approx(1 - 12 / 20)
    assert best.total_steps == 100
    assert best.torch == best.schedule.torch_spec(100)
    assert best.curve["val_mse"] == [30, 18, 12, 13]
    assert best.curve["averaged_val_mse"] == [22.5, 13.5, 9, 9.75]
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


def test_schedulers_are_listed_by_their_best_and_the_untried_last(tmp_path: Path) -> None:
    rows = mixed(tmp_path).schedulers
    assert [row.name for row in rows] == ["cosine", "step", "constant", "plateau"]
    cosine, step, _, plateau = rows
    assert (cosine.trials, cosine.completed, cosine.diverged) == (3, 2, 1)
    assert cosine.median_val_mse == 16
    assert (step.trials, step.completed, step.pruned, step.failed) == (4, 1, 1, 2)
    assert (plateau.trials, plateau.best, plateau.median_val_mse) == (0, None, None)


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
    add(study, params("cosine", 0.1), [10, 9, 9, 8])
    summary = summarise(study, CONFIG, tmp_path)
    expected = 'no constant-rate trial to compare with; add "constant" to space.scheduler'
    assert summary.gain == expected
    assert summary.constant is None and summary.runner_up is None
    assert "no constant-rate trial" in rendered(tables.best_panel(summary))


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


# tables


def test_full_report_of_a_mixed_study(tmp_path: Path) -> None:
    folder = Path("studies/shop")
    text = rendered(tables.full_report(mixed(folder), 80))
    assert text == FULL_REPORT


def test_run_ending_names_the_files_and_commands(tmp_path: Path) -> None:
    write_best(tmp_path, trial=1)
    text = rendered(tables.run_ending(mixed(tmp_path), tmp_path, 140), 140)
    assert "test           MSE 14.5, R² 0.3 on 20 rows that the search never saw" in text
    assert "torch          CosineAnnealingLR(T_max=89, eta_min=0.002) after 10 warm-up" in text
    assert text.splitlines()[-5:] == [
        "Next",
        f"2 more trials               sweep run {tmp_path}",
        f"the whole report            sweep report {tmp_path}",
        f"every trial in a browser    sweep dashboard {tmp_path}",
        f"the schedule as torch code  {tmp_path}/best_schedule.py",
    ]


def test_commands_are_whole_where_they_do_not_fit(tmp_path: Path) -> None:
    folder = Path("studies") / ("long" * 20)
    text = rendered(tables.run_ending(mixed(tmp_path), folder, 60), 60)
    assert f"sweep report{folder}" in text.replace("\n", "")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_reports_keep_within_the_terminal(tmp_path: Path, width: int) -> None:
    text = rendered(tables.full_report(mixed(Path("studies/shop")), width), width)
    assert max(map(len, text.splitlines())) <= width


def test_report_of_nothing_completed(tmp_path: Path) -> None:
    study = new_study()
    add(study, params("cosine", 0.9), [math.nan], PRUNED, "diverged at epoch 1: MSE is nan")
    text = rendered(tables.full_report(summarise(study, CONFIG, tmp_path)))
    assert "no trial has completed yet (1 has ended)" in text
    assert "1 diverged of 10" in text
    assert "Best trials" not in text


def test_report_of_an_empty_study(tmp_path: Path) -> None:
    summary = summarise(new_study(unit=""), CONFIG, tmp_path)
    text = rendered(tables.full_report(summary))
    assert "no trial has completed yet (0 have ended)" in text
    assert "10 more trials" in text
    assert writers.to_csv(summary).count("\n") == 1
    assert "no trial has completed yet" in writers.to_markdown(summary)


def test_names_from_the_user_are_not_read_as_markup(tmp_path: Path) -> None:
    study = mixed_study()
    study.set_user_attr("unit", "price [red]")
    summary = summarise(study, CONFIG, Path("my [bold] study"))
    text = rendered(tables.full_report(summary))
    assert "(price [red])²" in text
    assert "ValueError: no [bold] rows" in text
    assert '"my [bold] study"' in text


def test_winner_with_plateau_is_drawn_from_its_recorded_rates(tmp_path: Path) -> None:
    study = new_study()
    add(study, params("plateau", 0.1, factor=0.5, patience=2), [9, 8, 7, 6])
    text = rendered(tables.full_report(summarise(study, CONFIG, tmp_path)))
    assert "0.10 ┤" in text and "0                                 epochs" in text


def test_winner_of_the_users_own_needs_no_import(tmp_path: Path) -> None:
    custom = {"mine": {"factory": "nowhere:build", "params": {"power": "1:3"}}}
    settings = {"epochs": EPOCHS, "custom": custom, "space": {"scheduler": ["mine"]}}
    config = StudyConfig.model_validate(settings)
    study = new_study()
    own = {"lr": 0.1, "decay": 0.1, "warmup": 0.1, "mine.power": 3.0}
    add(study, own, [9, 8, 7, 6], config=config)
    write_best(tmp_path, trial=0)
    text = rendered(tables.full_report(summarise(study, config, tmp_path), 120), 120)
    assert "nowhere:build(total_steps=90, decay=0.1, power=3) after 10 warm-up steps" in text
    assert 'try space."mine.power" = "1:5" in the study file' in text


def test_what_a_table_leaves_out_is_told() -> None:
    columns = (Column("a", ["12345"]), Column("b", ["1"], 2), Column("c", ["0"], 1))
    table = FittingTable("three", columns, "see table.csv")
    assert "no room" not in rendered(table, 8)  # c is empty, and not missed
    narrow = "".join(rendered(table, 7).split())
    assert narrow.endswith("12345noroomfor:b;seetable.csv")


def test_fitting_leaves_out_the_least_important_columns() -> None:
    columns = [Column("a", ["12345"]), Column("b", ["1"], 2), Column("c", ["0"], 1)]
    assert [column.header for column in fitting(columns, 80)] == ["a", "b"]
    assert [column.header for column in fitting(columns, 7)] == ["a"]
    assert [column.header for column in fitting(columns, 3)] == ["a"]


# other formats


def test_csv_has_a_row_for_each_top_trial_in_full_precision(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(writers.to_csv(mixed(tmp_path)))))
    assert [row["number"] for row in rows] == ["1", "3", "0", "2"]
    assert rows[1] == {
        "number": "3",
        "scheduler": "step",
        "lr": "0.05",
        "decay": "0.1",
        "warmup": "0.1",
        "step.drops": "2",
        "val_mse": "15.0",
        "val_r2": "0.25",
        "best_epoch": "4",
    }


def test_json_is_the_summary(tmp_path: Path) -> None:
    summary = mixed(tmp_path)
    assert json.loads(writers.to_json(summary)) == summary.to_dict()


def test_markdown_tables_are_square_and_escaped(tmp_path: Path) -> None:
    study = mixed_study()
    study.set_user_attr("unit", "a|b")
    text = writers.to_markdown(summarise(study, CONFIG, tmp_path))
    assert text.startswith("# shop\n\ncosine, lr 0.2, decay 0.01, warm-up 10 % reaches")
    assert "- MSE in (a\\|b)²" in text
    assert "ValueError: no \\[bold] rows" in text
    assert "| 3 | step | 0.05 | 0.1 | 0.1 | drops 2 | 15 | 0.25 | 4 |" in text
    for table in text.split("\n\n"):
        if table.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in table.split("\n")}) == 1


# drawings


def test_sparkline() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 8], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.ones(100), 4) == "████"
    assert sparkline([0.0, 0.0], 3) == "▁▁▁"
    assert sparkline([math.nan, 2.0], 2) == " █"
    assert sparkline([], 3) == "   "


def test_draw_a_straight_line() -> None:
    chart = draw({"y": [0, 1, 2, 3]}, width=14, height=3, title="line", x_label="x")
    assert chart.plain.splitlines() == [
        "line",
        "  │       ⢀⡠⠔⠊",
        "2 ┤   ⢀⡠⠔⠊⠁   ",
        "0 ┤⡠⠔⠊⠁       ",
        "  └───────────",
        "   1    x    4",
    ]


def test_draw_without_anything_to_draw() -> None:
    chart = draw({"y": [math.nan]}, width=20, height=3, title="MSE", x_label="epoch")
    assert chart.plain == "MSE: -"


@pytest.mark.parametrize(
    "values", [[1.0], [2.0, 2.0], [0.0, 0.0], [1, math.inf, 3], [-1e-12, 1e12]]
)
@pytest.mark.parametrize("log", [False, True])
def test_draw_never_fails_on_numbers(values: list[float], log: bool) -> None:
    chart = draw({"y": values}, width=30, height=4, title="t", x_label="x", log=log)
    lines = chart.plain.splitlines()
    assert len(lines) in (1, 4 + 3)
    assert max(map(len, lines)) <= 30


@pytest.mark.parametrize("scheduler", [name for name in SHAPES if name != "plateau"])
@pytest.mark.parametrize("steps", [1, 2, 500])
def test_draw_rates_of_every_schedule(scheduler: str, steps: int) -> None:
    text = draw_rates(Schedule(scheduler, 0.1), steps, width=60).plain
    assert text.startswith("learning rate")
    assert max(map(len, text.splitlines())) <= 60


def test_axis_is_logarithmic_only_where_a_linear_one_hides_the_course() -> None:
    def title(scheduler: str, decay: float) -> str:
        chart = draw_rates(Schedule(scheduler, 0.1, decay), 200, width=60)
        return chart.plain.splitlines()[0]

    assert title("exponential", 1e-4) == "learning rate (log scale)"
    assert title("exponential", 1e-1) == "learning rate"
    assert title("cosine", 1e-4) == "learning rate"


def test_second_series_is_told_apart_without_colour() -> None:
    series = {"validation": [1.0] * 9, "training": [2.0] * 9}
    chart = draw(series, width=40, height=4, title="MSE", x_label="epoch").plain.splitlines()
    assert chart[0] == "MSE   ── validation   ┈┈ training"
    masks = [[ord(c) - 0x2800 for c in line if c >= "\u2800"] for line in chart[1:5]]
    dotted, _, _, through = (sum(mask.bit_count() for mask in row) for row in masks)
    assert dotted == through / 2


# gallery


def test_schedule_list_has_every_schedule() -> None:
    text = rendered(schedule_list())
    for name, shape in SHAPES.items():
        assert f"\n{name} " in f"\n{text}"
        assert shape.torch_class in text
    assert "step             ████" in text
    assert "StepLR; drops [1 to 5]" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", SHAPES)
def test_schedule_detail_of_every_schedule(name: str) -> None:
    schedule = Schedule(name, 0.1)
    text = rendered(schedule_detail(schedule))
    assert text.startswith(schedule.describe())
    assert f"for 1,000 steps: {SHAPES[name].torch_class}" in text
    for param in SHAPES[name].params:
        assert f"\n{param.name} " in text


def test_schedule_detail_of_plateau_says_why_it_is_not_drawn() -> None:
    assert "not drawn: a plateau schedule has no rates" in rendered(
        schedule_detail(Schedule("plateau", 0.1))
    )


def test_gallery_is_light() -> None:
    code = (
        "import sys; import sweep.report.terminal.gallery;"
        "print([m for m in ('torch', 'optuna', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# numbers


def test_numbers() -> None:
    assert [number(x) for x in (0.00123456, 12.3, 12345.6, 1e-7, 3e9, math.nan, None, 0)] == [
        "0.001235", "12.3", "12346", "1e-07", "3e+09", "-", "-", "0",
    ]  # fmt: skip
    assert [aligned(x) for x in (12.3, 1.0, 1234.5, None)] == ["12.30", "1.000", "1234", "-"]
    assert [percent(x) for x in (0.5, 0.0123, 0.0, -0.004)] == ["50 %", "1.2 %", "0 %", "-0.4 %"]
    assert [duration(x) for x in (0, 8.24, 59.99, 250, 11100)] == [
        "0.0 s", "8.2 s", "1 min 00 s", "4 min 10 s", "3 h 05 min",
    ]  # fmt: skip


# a real sweep


def test_report_of_a_real_sweep(tmp_path: Path) -> None:
    overrides = {
        "epochs": 2,
        "trials": 2,
        "workers": 1,
        "data.users": 60,
        "model.name": "linear",
        "pruner": "none",
        "space.scheduler": ["cosine"],
    }
    config = load_settings(None, overrides)
    run_sweep(Location("tiny", None, tmp_path), config, Listener())
    study = load_study("tiny", str(tmp_path / "study.journal"))
    summary = summarise(study, config, tmp_path)
    assert summary.counts.completed == 2
    assert summary.best and summary.best.torch and summary.test
    assert summary.best.torch["class"] == "CosineAnnealingLR"
    assert summary.epochs_trained == 4 and summary.worker_secs > 0
    text = rendered(tables.full_report(summary))
    assert text.startswith("╭─  tiny  ─")
    assert "the schedule as torch code" in text
