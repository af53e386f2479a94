"""The winner against predictions that need no model."""

from __future__ import annotations

import html
import json
import math
from pathlib import Path

import pytest
from made_studies import CONFIG, mixed_study, rendered, write_best

from sweep.confirm.best_schedule import HeldOutScore
from sweep.confirm.intervals import Interval
from sweep.data.examine.naive import NaivePrediction
from sweep.report.findings import gather
from sweep.report.page.html import to_html
from sweep.report.references.without_model import WithoutModel, without_model
from sweep.report.terminal.tables import best_panel
from sweep.report.writers import to_json, to_markdown
from sweep.study.metric import MSE, Metric

MEAN = NaivePrediction("the mean of the training rows", {"mse": 100.0}, {"mse": 80.0})


def against(
    value: float | Interval,
    test: HeldOutScore | None = None,
    naive: NaivePrediction = MEAN,
    metric: Metric = MSE,
) -> WithoutModel:
    (found,) = without_model([naive], value, test, metric)
    return found


def test_a_winner_that_is_better() -> None:
    found = against(50.0, HeldOutScore(10, 60.0, 0.3))
    assert found.sentence == (
        "50 % lower MSE than predicting the mean of the training rows (validation MSE 100); on the "
        "test rows 60 and 80: 25 % better"
    )
    assert (found.is_beaten, found.is_beaten_in_test, found.caution) == (True, True, "")


@pytest.mark.parametrize("value", [100.0, 120.0, math.nan, Interval(101.0, 99.0, 103.0, 3)])
def test_a_winner_that_is_not(value: float | Interval) -> None:
    found = against(value)
    assert found.sentence.startswith("no better than predicting the mean of the training rows")
    assert found.caution.startswith("the winner is not shown to be better than predicting the mean")
    assert found.test_value is None


def test_a_mean_whose_interval_holds_the_naive_one_is_not_shown_to_be_better() -> None:
    found = against(Interval(95.0, 88.0, 102.0, 3))
    assert found.sentence.startswith("not shown to be better than predicting")
    assert against(Interval(95.0, 91.0, 99.0, 3)).caution == ""
    assert against(Interval(95.0, -math.inf, math.inf, 1)).caution == ""


def test_a_winner_that_is_better_in_validation_alone() -> None:
    found = against(50.0, HeldOutScore(10, 90.0, -0.1))
    assert found.sentence.endswith("; on the test rows 90 and 80: no better")
    assert "better on the test rows than predicting the mean" in found.caution


def test_more_may_be_better() -> None:
    accuracy = Metric("val_accuracy", maximize=True)
    naive = NaivePrediction("'no'", {"accuracy": 0.8, "cross_entropy": 0.6}, {"accuracy": 0.7})
    score = HeldOutScore(10, None, None, {"accuracy": 0.75})
    assert against(0.9, score, naive, accuracy).is_beaten_in_test
    assert not against(0.8, score, naive, accuracy).is_beaten
    loss = against(0.5, None, naive, Metric("val_cross_entropy"))
    assert loss.sentence.endswith("(val_cross_entropy 0.6), which is right in 80 % of the rows")


def test_nothing_is_said_of_a_metric_of_ones_own() -> None:
    assert without_model([MEAN], 1.0, None, Metric("val_pinball")) == ()


def test_every_report_has_it(tmp_path: Path) -> None:
    study = mixed_study()  # the best one comes to 12, and to 14.5 on test rows
    write_best(tmp_path, 1)
    mean = {"what": "the mean of the training rows", "validation": {"mse": 24}, "test": {"mse": 29}}
    last = {"what": "the last value", "validation": {"mse": 11}, "test": {"mse": 10}}
    study.set_user_attr("naive", [mean, last, "damaged"])
    findings = gather(study, CONFIG, tmp_path)
    summary = findings.summary
    for text in (
        rendered(best_panel(summary), 300),
        to_markdown(summary),
        html.unescape(to_html(findings)).replace("No better", "no better"),
    ):
        assert (
            "50 % lower MSE than predicting the mean of the training rows (validation MSE 24); on "
            "the test rows 14.5 and 29: 50 % better"
        ) in text
        assert "no better than predicting the last value (validation MSE 11)" in text
        assert "winner is not shown to be better than predicting the last value" in text
    told = json.loads(to_json(summary))["without_model"]
    assert [each["val_mse"] for each in told] == [24, 11]
    assert [each["is_beaten"] for each in told] == [True, False]
