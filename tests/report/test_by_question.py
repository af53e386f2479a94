"""The best trials of a search at their best epoch, and after their last one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_studies import CONFIG, FAIL, PRUNED, add, new_study, params, rendered

from sweep.report.findings import gather
from sweep.report.page.html import to_html
from sweep.report.summary import Summary, summarise
from sweep.report.terminal.tables import best_panel
from sweep.report.writers import to_markdown
from sweep.study.sections import Objective
from sweep.study.settings import StudyConfig

COSINE, STEP, CONSTANT = (
    [30.0, 18.0, 12.0, 20.0],  # the best epoch, and a bad end
    [40.0, 30.0, 20.0, 15.0],
    [30.0, 20.0, 18.0, 16.0],
)


def config(**changes: Any) -> StudyConfig:
    return CONFIG.model_copy(update=changes)


def found(folder: Path, courses: list[list[float]], **changes: Any) -> Summary:
    study, settings = new_study(), config(**changes)
    schedules = [
        params("cosine", 0.2, 0.01),
        params("step", 0.05, drops=2),
        params("constant", 0.1),
    ]
    for schedule, course in zip(schedules, courses, strict=False):
        add(study, schedule, course, config=settings)
    add(study, params("step", 0.03), [5, 4], PRUNED, "pruned at epoch 2 by auto", settings)
    add(study, params("step", 0.03), [1], FAIL, "epoch 2: ValueError: no rows", settings)
    return summarise(study, settings, folder)


def test_both_winners_are_told_from_the_completed_trials(tmp_path: Path) -> None:
    summary = found(tmp_path, [COSINE, STEP, CONSTANT])
    assert summary.by_question is not None and summary.by_question.differ
    assert [name for name, _ in summary.by_question.answers] == ["best epoch", "last epoch"]
    assert summary.by_question.best.sentence == (
        "of 3 completed trials, by the search's values, trial 0 (cosine, lr 0.2, decay 0.01, "
        "warm-up 10 %) has the best epoch, which this study judges by: validation MSE 12; it ends "
        "at 20"
    )
    assert summary.by_question.final.sentence == (
        "of 3 completed trials, by the search's values, trial 1 (step, lr 0.05, decay 0.1, warm-up "
        "10 %, drops 2) has the best last epoch: validation MSE 15; its best epoch has 15"
    )


@pytest.mark.parametrize(
    ("objective", "winner", "told"),
    [
        ("best", 0, ("which this study judges by: validation MSE 12;", "epoch: validation MSE 15")),
        ("final", 1, ("epoch: validation MSE 12;", "judges by: validation MSE 15;")),
        ("averaged", 0, ("MSE of averaged weights 9; it ends at 15", "weights 11.25; its best")),
    ],
)
def test_the_objective_decides_and_the_answers_stay(
    tmp_path: Path, objective: Objective, winner: int, told: tuple[str, str]
) -> None:
    summary = found(tmp_path, [COSINE, STEP, CONSTANT], objective=objective)
    assert summary.best is not None and summary.best.number == winner
    both = summary.by_question
    assert both is not None and (both.best.trial, both.final.trial) == (0, 1)
    assert both.decides == ("final" if objective == "final" else "best")
    assert told[0] in both.best.sentence and told[1] in both.final.sentence


def test_more_may_be_better(tmp_path: Path) -> None:
    courses = [[0.5, 0.9, 0.6], [0.5, 0.7, 0.8], [0.1, 0.2, 0.3]]
    changes = {"metric": "val_accuracy", "direction": "maximize"}
    both = found(tmp_path, courses, **changes).by_question
    assert both is not None and (both.best.trial, both.final.trial) == (0, 1)
    assert both.best.sentence.endswith("val_accuracy 0.9; it ends at 0.6")
    assert both.final.sentence.endswith("val_accuracy 0.8; its best epoch has 0.8")


@pytest.mark.parametrize(
    ("courses", "objective"),
    [
        ([STEP, CONSTANT, [*COSINE[:2], 16, 16]], "best"),
        ([[5, 4, 3], [5, 4, 3]], "best"),
        ([[5, 3, 4], [5, 3, 4]], "final"),
        ([[5, 3, 4], [5, 3.5, 4]], "best"),  # the study's own winner ends as well as any
    ],
)
def test_one_answer_to_both_is_not_told_twice(
    tmp_path: Path, courses: list[list[float]], objective: Objective
) -> None:
    summary = found(tmp_path, courses, objective=objective)
    both = summary.by_question
    assert both is not None and both.best.trial == both.final.trial == 0
    assert both.answers == () and not both.differ
    assert "best epoch" not in rendered(best_panel(summary))


def test_of_equal_best_epochs_the_one_that_ends_better_is_the_other_winner(tmp_path: Path) -> None:
    both = found(tmp_path, [[5, 3, 9], [5, 3, 4]]).by_question
    assert both is not None and (both.best.trial, both.final.trial) == (0, 1)


def test_without_a_completed_trial_there_is_none(tmp_path: Path) -> None:
    assert found(tmp_path, []).by_question is None


def test_every_report_has_both(tmp_path: Path) -> None:
    summary = found(tmp_path, [COSINE, STEP, CONSTANT])
    assert summary.by_question is not None
    best, final = summary.by_question.best, summary.by_question.final
    panel = " ".join(rendered(best_panel(summary), 400).split())
    assert f"best epoch {best.sentence}" in panel and f"last epoch {final.sentence}" in panel
    markdown = to_markdown(summary)
    assert f"- Best epoch: {best.sentence}" in markdown
    assert f"- Last epoch: {final.sentence}" in markdown
    told = json.loads(json.dumps(summary.to_dict()))["by_question"]
    assert told["decides"] == "best" and told["of_trials"] == 3
    assert (told["best"]["best_val_mse"], told["best"]["final_val_mse"]) == (12, 20)
    assert (told["final"]["trial"], told["final"]["sentence"]) == (1, final.sentence)


def test_the_page_has_both(tmp_path: Path) -> None:
    study = new_study()
    add(study, params("cosine", 0.2, 0.01), COSINE)
    add(study, params("step", 0.05, drops=2), STEP)
    page = to_html(gather(study, CONFIG, tmp_path))
    assert (
        "<dt>Best epoch</dt><dd>Of 2 completed trials, by the search&#39;s values, trial 0" in page
    )
    assert (
        "<dt>Last epoch</dt><dd>Of 2 completed trials, by the search&#39;s values, trial 1" in page
    )
