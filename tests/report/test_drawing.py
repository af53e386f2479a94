"""Curves, schedules and numbers in characters."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from made_studies import rendered

from sweep.base.wording import aligned, duration, number, percent
from sweep.report.terminal.curves import draw, draw_rates, sparkline
from sweep.report.terminal.gallery import schedule_detail, schedule_list
from sweep.schedules.schedule import SHAPES, Schedule

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


@pytest.mark.slow
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
