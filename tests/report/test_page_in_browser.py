"""The report in a real browser, without a network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Browser, Page, browser

from sweep.report.summary import summarise
from sweep.report.writers import to_markdown
from sweep.runs.library import load_study
from sweep.schedules.schedule import Schedule

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def light_page(window: Browser, searched_study: Path) -> Page:
    """The report on a desktop; loading it takes long, so tests leave it as they found it."""
    return opened(window, searched_study)


@pytest.fixture(scope="module")
def phone_page(window: Browser, searched_study: Path) -> Page:
    """The same on a phone whose system is dark."""
    return opened(window, searched_study, 320, dark=True, phone=True)


@pytest.fixture(scope="module")
def hostile_page(window: Browser, hostile_study: Path) -> Page:
    """The report of a study with hostile names."""
    return opened(window, hostile_study)


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Page:
    """One of the pages, in front, where it is drawn as a page that one looks at."""
    found: Page = request.getfixturevalue(request.param)
    found.call("Page.bringToFront")
    return found


LIGHT, PHONE, HOSTILE_NAMES = (
    pytest.mark.parametrize("page", [name], indirect=True)
    for name in ("light_page", "phone_page", "hostile_page")
)


@pytest.mark.parametrize(
    ("page", "width", "ink"),
    [("light_page", 1100, "rgb(29, 33, 39)"), ("phone_page", 320, "rgb(230, 232, 235)")],
    indirect=["page"],
)
def test_draws_every_figure_without_a_complaint_or_a_request(
    page: Page, searched_study: Path, width: int, ink: str
) -> None:
    assert page.complaints() == []
    assert page.requests() == [(searched_study / "report.html").as_uri()]
    marks = dict(page.run(MARKS))
    assert len(marks) > 12
    assert [name for name, count in marks.items() if not count] == []
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("getComputedStyle(document.body).color") == ink
    title = "document.querySelector('.plot .xtitle')"
    assert page.run(f"getComputedStyle({title}).fill") == ink


@pytest.mark.parametrize(
    ("page", "study", "clipboard"),
    [("light_page", "searched_study", True), ("hostile_page", "hostile_study", False)],
    indirect=["page"],
)
def test_the_button_copies_code_that_runs_with_torch_alone(
    page: Page,
    study: str,
    clipboard: bool,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder: Path = request.getfixturevalue(study)
    if not clipboard:  # as in browsers that give none to a page from a file
        page.run("Object.defineProperty(navigator, 'clipboard', {value: undefined}), 0")
    page.click("[data-copies=code]")
    page.wait_until("document.querySelector('[data-copies=code]').textContent == 'Copied'")
    code = page.pasted()
    assert code == (folder / "best_schedule.py").read_text(encoding="utf-8")
    monkeypatch.setitem(sys.modules, "sweep", None)  # importing it would raise
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = namespace["build_scheduler"](optimizer, 88)
    rates = []
    for _ in range(88):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    schedule = Schedule.load(folder / "best_schedule.json")
    np.testing.assert_allclose(rates, schedule.rates(88), rtol=1e-9)


CONTENTS = """
[...document.querySelectorAll('.contents a')].map(link => [
    link.textContent, document.querySelector(link.getAttribute('href')).textContent,
])
"""


@LIGHT
def test_contents_stand_at_the_side_and_mark_what_is_read(page: Page) -> None:
    pairs = page.run(CONTENTS)
    assert len(pairs) > 8
    assert [name for name, heading in pairs if name != heading] == []
    side = "document.querySelector('.contents').getBoundingClientRect()"
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=1500,
        height=900,
        deviceScaleFactor=1,
        mobile=False,
    )
    main = "document.querySelector('main').getBoundingClientRect()"
    assert page.run(f"{side}.width > 0 && {side}.right <= {main}.left")
    page.run("document.getElementById('wide').scrollIntoView()")
    page.wait_until(
        "document.querySelector('.contents [aria-current]')?.getAttribute('href') == '#wide'"
    )
    page.run("scrollTo(0, 0)")
    page.call("Emulation.clearDeviceMetricsOverride")


@PHONE
def test_contents_take_no_room_on_a_phone(page: Page) -> None:
    assert page.run("getComputedStyle(document.querySelector('.contents')).display") == "none"


@LIGHT
def test_the_summary_is_copied_as_markdown(page: Page, searched_study: Path) -> None:
    page.click("[data-copies=markdown]")
    page.wait_until("document.querySelector('[data-copies=markdown]').textContent == 'Copied'")
    ran = load_study(str(searched_study))
    assert page.pasted() == to_markdown(summarise(ran.study, ran.config, ran.folder))


@LIGHT
def test_hover_tells_trial_and_parameters(page: Page) -> None:
    said = page.run(
        "(() => { const plot = document.querySelector('#history .plot');"
        "Plotly.Fx.hover(plot, [{curveNumber: 0, pointNumber: 3}]);"
        "return plot.querySelector('.hoverlayer').textContent; })()"
    )
    assert "trial " in said
    assert "validation MSE" in said
    assert "lr 0." in said


@LIGHT
def test_follows_the_system_between_light_and_dark_and_prints_light(page: Page) -> None:
    ink = "getComputedStyle(document.querySelector('.plot .xtitle')).fill"
    dark, light = "rgb(230, 232, 235)", "rgb(29, 33, 39)"
    prefer(page, "dark")
    page.wait_until(f"{ink} == '{dark}'")
    page.run("dispatchEvent(new Event('beforeprint'))")
    page.wait_until(f"{ink} == '{light}'")
    page.run("dispatchEvent(new Event('afterprint'))")
    page.wait_until(f"{ink} == '{dark}'")
    assert page.pdf().startswith(b"%PDF")
    prefer(page, "light")
    page.wait_until(f"{ink} == '{light}'")
    assert page.complaints() == []


def prefer(page: Page, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("Emulation.setEmulatedMedia", features=features)


@PHONE
def test_a_finger_on_a_figure_scrolls_the_page(page: Page) -> None:
    modes = page.run("[...document.querySelectorAll('.plot')].map(p => p._fullLayout.dragmode)")
    assert set(modes) == {False}


@HOSTILE_NAMES
def test_names_do_nothing(page: Page, hostile_study: Path) -> None:
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
