"""What a study found, as facts, tables and drawings."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
from made_studies import (
    CONFIG,
    EPOCHS,
    PRUNED,
    add,
    mixed,
    mixed_study,
    new_study,
    params,
    rendered,
    write_best,
)

from sweep.report import writers
from sweep.report.summary import summarise
from sweep.report.terminal import tables
from sweep.report.terminal.fitting import Column, FittingTable, fitting
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.search.storage.opening import load_study
from sweep.study.file import load_study as load_settings
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig

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
│ spent          5 whole trainings: 1 on trials that were stopped early, 4 on  │
│                trials that completed                                         │
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
    assert "'my [bold] study'" in text


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


# a real sweep


@pytest.mark.slow
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
    assert summary.counts.endings.completed == 2
    assert summary.best and summary.best.torch and summary.test
    assert summary.best.torch["class"] == "CosineAnnealingLR"
    assert summary.epochs_trained == 4 and summary.worker_secs > 0
    text = rendered(tables.full_report(summary))
    assert text.startswith("╭─  tiny  ─")
    assert "the schedule as torch code" in text
