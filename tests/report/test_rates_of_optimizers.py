"""Where the optimizer is searched: rates of one are not shown as if another's were like them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_studies import EPOCHS, add, new_study, rendered

from sweep.report.edges import edge_advice
from sweep.report.figures.all import pictures
from sweep.report.figures.image_files import rendered as image
from sweep.report.findings import Findings, gather
from sweep.report.page.html import to_html
from sweep.report.terminal.tables import scheduler_table
from sweep.report.writers import to_markdown
from sweep.schedules.schedule import Schedule
from sweep.study.settings import StudyConfig

RATES = {"sgd": (1e-2, 1.0), "adamw": (1e-5, 1e-3)}
CONFIG = StudyConfig.model_validate(
    {
        "epochs": EPOCHS,
        "optimizer": {"name": [*RATES]},
        "space": {
            "scheduler": ["constant", "cosine"],
            "lr": {name: f"{low}:{high}:log" for name, (low, high) in RATES.items()},
            "decay": "1e-3:1:log",
            "momentum": "0:0.95",
        },
    }
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    study, draw = new_study(), np.random.default_rng(0)
    for number in range(12):
        optimizer = "adamw" if number % 2 else "sgd"
        low, high = np.log10(RATES[optimizer])
        values = {
            "scheduler": "cosine" if number % 3 else "constant",
            "lr": float(10 ** draw.uniform(low, high)),
            "decay": float(10 ** draw.uniform(-3, 0)),
            "momentum": 0.94 if optimizer == "adamw" else 0.1,
            "optimizer": optimizer,
        }
        add(study, values, [2.0 - number / 100] * EPOCHS, config=CONFIG)
    return gather(study, CONFIG, tmp_path_factory.mktemp("results"))


def test_each_has_its_own_axis(found: Findings) -> None:
    drawn = pictures(found)
    maps = {name for name in drawn if name.startswith("map-")}
    assert maps == {f"map-{s}-{o}" for s in ("constant", "cosine") for o in RATES}
    assert {name for name in drawn if name.startswith("range-lr")} == {
        f"range-lr-{name}" for name in RATES
    }
    for name, picture in drawn.items():
        optimizer = name.rpartition("-")[2]
        if optimizer not in RATES:
            continue
        low, high = RATES[optimizer]
        assert f"{optimizer}" in picture.title and optimizer in picture.description
        points = [x for trace in picture.figure.data for x in trace.x]
        assert points and min(points) >= low and max(points) <= high
        left, right = picture.figure.layout.xaxis.range
        assert left == pytest.approx(np.log10(low), abs=0.2)
        assert right == pytest.approx(np.log10(high), abs=0.2)
    assert "the winner has" in drawn["range-lr-adamw"].description
    assert "the best of them has" in drawn["range-lr-sgd"].description


def test_every_figure_is_a_file_too(found: Findings) -> None:
    """Words are on the horizontal axis of one."""
    for picture in pictures(found).values():
        assert image(picture, "svg")
    drawn = image(pictures(found)["range-optimizer"], "svg").decode()
    assert ">sgd<" in drawn and ">adamw<" in drawn


def test_a_momentum_that_is_not_used_is_not_drawn(found: Findings) -> None:
    assert {*pictures(found)["range-momentum"].figure.data[0].x} == {0.1}
    space = CONFIG.search_space
    values: dict[str, Any] = {"lr": 1e-4, "decay": 0.1, "momentum": 0.94, "optimizer": "adamw"}
    assert edge_advice(Schedule("cosine", 1e-4, 0.1), values, space) == ()
    values["optimizer"], values["lr"] = "sgd", 0.1
    (advice,) = edge_advice(Schedule("cosine", 0.1, 0.1), values, space)
    assert advice.startswith("momentum 0.94 is at the upper end")


def test_a_rate_stands_with_its_optimizer(found: Findings) -> None:
    summary = found.summary
    for row in summary.schedulers:
        assert row.best is not None
        rate = f"{row.best.schedule.lr:.4g} ({row.best.params['optimizer']})"
        assert rate in rendered(scheduler_table(summary), 120)
        assert rate in to_html(found)
        assert rate in to_markdown(summary).replace("\\\\", "")


def test_the_winner_is_not_drawn_beside_a_constant_rate_of_another(found: Findings) -> None:
    constant = found.best_constant
    assert constant is not None and constant.suggestion.params["optimizer"] == "adamw"
    assert found.summary.best is not None
    assert found.summary.best.params["optimizer"] == "adamw"
    assert len(pictures(found)["rates"].figure.data) == 2


def test_one_trial_of_a_scheduler_has_the_axes_of_the_others(tmp_path: Path) -> None:
    space = {"scheduler": ["constant", "cosine", "step"], "lr": "1e-3:1:log", "decay": "1e-3:1:log"}
    config = StudyConfig.model_validate({"epochs": EPOCHS, "space": space})
    study = new_study()
    add(study, {"scheduler": "cosine", "lr": 0.1, "decay": 0.1}, [3.0] * EPOCHS, config=config)
    add(study, {"scheduler": "step", "lr": 0.1, "decay": 0.1}, [2.0] * EPOCHS, config=config)
    add(study, {"scheduler": "step", "lr": 0.2, "decay": 0.2}, [1.0] * EPOCHS, config=config)
    add(study, {"scheduler": "constant", "lr": 0.2, "decay": 1.0}, [0.3] * EPOCHS, config=config)
    drawn = pictures(gather(study, config, tmp_path))
    assert drawn["map-cosine"].figure.layout.yaxis == drawn["map-step"].figure.layout.yaxis
    assert drawn["map-cosine"].figure.layout.xaxis == drawn["map-step"].figure.layout.xaxis
    alone = drawn["map-constant"].figure.layout.yaxis
    assert alone.range == pytest.approx((0.15, 0.45))  # not -0.7 to 1.3
