"""The report in a real browser, without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, Page, browser

from sweep.schedules.schedule import Schedule

DRAWN = "document.documentElement.dataset.figures == 'drawn'"
MARKS = """
[...document.querySelectorAll('.plot')].map(plot => [
    plot.closest('figure').id,
    plot.querySelectorAll('.scatterlayer .trace path, .barlayer .point path').length,
])
"""


@pytest.fixture(scope="session")  # as the studies are: without a browser none is run
def window() -> Iterator[Browser]:
    with browser() as started:
        yield started


def opened(
    window: Browser, folder: Path, width: int = 1100, dark: bool = False, phone: bool = False
) -> Page:
    page = window.open((folder / "report.html").as_uri(), width, dark, phone)
    page.wait_until(DRAWN)
    return page


@pytest.mark.parametrize(
    ("width", "dark", "phone"), [(1100, False, False), (1100, True, False), (320, True, True)]
)
def test_draws_every_figure_without_a_complaint_or_a_request(
    window: Browser, searched_study: Path, width: int, dark: bool, phone: bool
) -> None:
    page = opened(window, searched_study, width, dark, phone)
    assert page.complaints() == []
    assert page.requests() == [(searched_study / "report.html").as_uri()]
    marks = dict(page.run(MARKS))
    assert len(marks) > 12
    assert [name for name, count in marks.items() if not count] == []
    assert page.run("document.documentElement.scrollWidth") <= width
    ink = "rgb(230, 232, 235)" if dark else "rgb(29, 33, 39)"
    assert page.run("getComputedStyle(document.body).color") == ink
    title = "document.querySelector('.plot .xtitle')"
    assert page.run(f"getComputedStyle({title}).fill") == ink


@pytest.mark.parametrize("clipboard", [True, False])
def test_the_button_copies_code_that_runs_with_torch_alone(
    window: Browser, searched_study: Path, tmp_path: Path, clipboard: bool
) -> None:
    page = opened(window, searched_study)
    if not clipboard:  # as in browsers that give none to a page from a file
        page.run("Object.defineProperty(navigator, 'clipboard', {value: undefined}), 0")
    page.click("[data-copies=code]")
    page.wait_until("document.querySelector('[data-copies=code]').textContent == 'Copied'")
    code = page.pasted()
    assert code == (searched_study / "best_schedule.py").read_text(encoding="utf-8")
    (tmp_path / "pasted.py").write_text(code)
    (tmp_path / "train.py").write_text(
        "import json, sys, torch\n"
        "from pasted import build_scheduler\n"
        "optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)\n"
        "scheduler = build_scheduler(optimizer, 88)\n"
        "rates = []\n"
        "for _ in range(88):\n"
        "    rates.append(optimizer.param_groups[0]['lr'])\n"
        "    optimizer.step()\n"
        "    scheduler.step()\n"
        "print(json.dumps([rates, 'sweep' in sys.modules]))\n"
    )
    command = [sys.executable, "train.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    rates, imported = json.loads(done.stdout)
    schedule = Schedule.load(searched_study / "best_schedule.json")
    np.testing.assert_allclose(rates, schedule.rates(88), rtol=1e-9)
    assert not imported


def test_hover_tells_trial_and_parameters(window: Browser, searched_study: Path) -> None:
    page = opened(window, searched_study)
    said = page.run(
        "(() => { const plot = document.querySelector('#history .plot');"
        "Plotly.Fx.hover(plot, [{curveNumber: 0, pointNumber: 3}]);"
        "return plot.querySelector('.hoverlayer').textContent; })()"
    )
    assert "trial " in said
    assert "validation MSE" in said
    assert "lr 0." in said


def test_follows_the_system_between_light_and_dark_and_prints_light(
    window: Browser, searched_study: Path
) -> None:
    page = opened(window, searched_study)
    ink = "getComputedStyle(document.querySelector('.plot .xtitle')).fill"
    dark, light = "rgb(230, 232, 235)", "rgb(29, 33, 39)"
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.call("Emulation.setEmulatedMedia", features=features)
    page.wait_until(f"{ink} == '{dark}'")
    page.run("dispatchEvent(new Event('beforeprint'))")
    page.wait_until(f"{ink} == '{light}'")
    page.run("dispatchEvent(new Event('afterprint'))")
    page.wait_until(f"{ink} == '{dark}'")
    assert page.pdf().startswith(b"%PDF")
    assert page.complaints() == []


def test_a_finger_on_a_figure_scrolls_the_page(window: Browser, searched_study: Path) -> None:
    page = opened(window, searched_study, 360, phone=True)
    modes = page.run("[...document.querySelectorAll('.plot')].map(p => p._fullLayout.dragmode)")
    assert set(modes) == {False}


def test_names_do_nothing(window: Browser, hostile_study: Path) -> None:
    page = opened(window, hostile_study)
    page.run(
        "(() => { for (const plot of document.querySelectorAll('.plot')) {"
        "Plotly.Fx.hover(plot, [{curveNumber: 0, pointNumber: 0}]); } })()"
    )
    assert page.run("typeof window.hacked") == "undefined"
    assert page.run("document.images.length") == 0
    assert page.complaints() == []
    assert page.requests() == [(hostile_study / "report.html").as_uri()]
    title = page.run("document.querySelector('#predictions .xtitle').textContent")
    assert title.startswith("true $x_1$ %{y} </script><script>window.hacked=1")
