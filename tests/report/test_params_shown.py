"""Parameters of the user's own in what is told of a study."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import optuna
import pytest
from made_studies import PRUNED, add, new_study, rendered

from sweep.report.dashboard.notes_and_figures import show
from sweep.report.edges import edge_advice
from sweep.report.facts import Summary
from sweep.report.figures.all import pictures
from sweep.report.findings import Findings, gather
from sweep.report.importance import importance
from sweep.report.page.html import to_html
from sweep.report.summary import summarise
from sweep.report.terminal.tables import full_report
from sweep.report.writers import to_csv, to_json, to_markdown
from sweep.schedules.schedule import Schedule
from sweep.search.tables import results_frame
from sweep.search.trials import StudyReader
from sweep.study.settings import StudyConfig

WORD = "<b>%{x}</b>"
"""What must not be taken for markup."""

CONFIG = StudyConfig.model_validate(
    {
        "loop": "train.py:train",
        "epochs": 2,
        "trials": 60,
        "space": {
            "scheduler": ["constant", "step"],
            "lr": [0.01, 0.1, 1],
            "decay": [0.01, 0.1],
            "params": {
                "weight_decay": "1e-6:1e-1:log",
                "dropout": "0:0.5",
                "width": [32, 64, 128],
                "activation": ["relu", WORD],
                "amp": [True, False],
                "fixed": 3,
            },
        },
    }
)


def a_study() -> optuna.Study:
    """48 completed trials, and a pruned one; the more dropout, the worse."""
    study = new_study("own", "")
    for number in range(49):
        drawn = {
            "scheduler": ("constant", "step")[number % 2],
            "lr": (0.01, 0.1, 1.0)[number % 3],
            "decay": (0.01, 0.1)[number % 2],
            "warmup": 0.1,
            "step.drops": 2,
            "weight_decay": 10.0 ** -(1.5 + number % 4),
            "dropout": number / 100,
            "width": (32, 64, 128)[number % 3],
            "activation": ("relu", WORD)[number // 2 % 2],
            "amp": number % 2 == 0,
        }
        if number < 48:
            add(study, drawn, [3.0, 1 + number / 100], config=CONFIG)
        else:
            add(study, drawn, [5.0], PRUNED, "pruned at epoch 1 by auto", CONFIG)
    return study


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return gather(a_study(), CONFIG, tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def summary(found: Findings) -> Summary:
    return found.summary


BEST = "constant, lr 0.01, warm-up 10 %, weight_decay 0.03162, dropout 0, width 32, activation relu"


def test_the_headline(summary: Summary) -> None:
    assert summary.headline.startswith(f"{BEST}, amp True, fixed 3 reaches")
    assert "step, lr 0.1, decay 0.1" in summary.rivalry and "width 64" in summary.rivalry


def test_the_terminal(summary: Summary) -> None:
    text = rendered(full_report(summary, 200), 200)
    assert "weight_decay 0.03162, dropout 0, width 32, activation relu, amp True, fixed 3" in text
    assert f"activation {WORD}" in text
    assert "drops 2, weight_decay" in text


def test_other_programs(summary: Summary) -> None:
    best = json.loads(to_json(summary))["best"]
    assert best["params"]["width"] == 32 and best["params"]["amp"] is True
    rows = list(csv.DictReader(io.StringIO(to_csv(summary))))
    assert rows[0]["width"] == "32" and rows[1]["width"] == "64"
    assert [*rows[0]][5:12] == ["step.drops", *CONFIG.space.params]
    assert "weight\\_decay" not in to_markdown(summary)
    assert "weight_decay 0.03162, dropout 0, width 32" in to_markdown(summary)


def test_a_study_without_any_says_nothing_of_them(tmp_path: Path) -> None:
    study = new_study()
    config = StudyConfig(epochs=2)
    drawn = {"scheduler": "constant", "lr": 0.1, "decay": 0.1, "warmup": 0.1}
    add(study, drawn, [3.0, 2.0], config=config)
    best = summarise(study, config, tmp_path).to_dict()["best"]
    assert "params" not in best


def test_results(found: Findings) -> None:
    frame = results_frame(found.reader.trials, CONFIG)
    assert [frame[name].dtype.kind for name in ("width", "fixed", "amp")] == ["i", "i", "b"]
    assert frame["step.drops"].dtype == "Int64"
    assert set(frame["fixed"]) == {3}


def test_what_mattered(found: Findings) -> None:
    shares = importance(found.reader).shares
    searched = {"weight_decay", "dropout", "width", "activation", "amp"}
    assert searched < set(shares) and "fixed" not in shares
    assert max(shares, key=shares.__getitem__) == "dropout"


def test_figures(found: Findings) -> None:
    drawn = pictures(found)
    names = {name for name in drawn if name.startswith("range-")}
    searched = ("lr", "decay", "warmup", "weight-decay", "dropout", "width", "activation", "amp")
    assert names == {f"range-{name}" for name in searched}
    width = drawn["range-width"]
    searched_over = "width was searched over [32, 64, 128]; the winner has 32, the best quarter"
    assert width.description.startswith(searched_over)
    assert list(width.figure.layout.xaxis.categoryarray) == ["32", "64", "128"]
    points = width.figure.data[0]
    for place, value, text in zip(points.x, points.y, points.text, strict=True):
        assert f"width {place}" in text and f"{value:.4g}" in text
    words = drawn["range-activation"].figure
    assert all("<b>" not in place for place in words.data[0].x)
    decay = drawn["range-decay"].figure
    assert set(decay.data[0].x) == {"1.0", "0.1"}  # a constant rate has no other
    lr = drawn["map-step"].figure.layout.xaxis
    assert lr.type == "log" and lr.range[0] < -2 and lr.range[1] > 0
    hovers = [text for trace in drawn["map-step"].figure.data for text in trace.text or ()]
    assert any("dropout 0.01" in text for text in hovers)


def test_the_page(found: Findings) -> None:
    page = to_html(found, pictures(found))
    assert "width" in page and "&lt;b&gt;%{x}&lt;/b&gt;" in page
    assert ', with weight_decay <em class="number">0.03162</em>' in page
    assert 'fixed <em class="number">3</em>.</h1>' in page


def test_optuna_dashboard(found: Findings) -> None:
    show(found, {})
    attributes = json.dumps(found.study._storage.get_study_system_attrs(found.study._study_id))
    assert "width 32" in attributes


class TestEdges:
    SPACE = CONFIG.search_space

    def advice(self, **values: float | int | str) -> tuple[str, ...]:
        inside = {"lr": 0.1, "weight_decay": 1e-3, "dropout": 0.2, "width": 64}
        return edge_advice(Schedule("constant", 0.1), {**inside, **values}, self.SPACE)

    def test_none(self) -> None:
        assert self.advice() == ()
        assert self.advice(dropout=0.0) == ()  # there is nothing below

    def test_ranges(self) -> None:
        assert self.advice(dropout=0.5) == (
            "dropout 0.5 is at the upper end of its range 0:0.5; try --param dropout=0.0:1.0",
        )
        assert self.advice(weight_decay=1e-6) == (
            "weight_decay 1e-06 is at the lower end of its range 1e-06:0.1:log; "
            "try --param weight_decay=1e-07:0.1:log",
        )

    def test_lists_of_three(self) -> None:
        (told,) = self.advice(width=128)
        assert told == "width 128 is the greatest of [32, 64, 128]; try higher ones"
        (told,) = self.advice(lr=0.01)
        assert told == "lr 0.01 is the least of [0.01, 0.1, 1]; try lower ones"


def test_a_trial_reads_its_own(found: Findings) -> None:
    trial = StudyReader(found.study, CONFIG).trials[1]
    assert trial.suggestion.params == {
        "weight_decay": 10**-2.5,
        "dropout": 0.01,
        "width": 64,
        "activation": "relu",
        "amp": False,
        "fixed": 3,
    }
    assert type(trial.suggestion.params["amp"]) is bool
