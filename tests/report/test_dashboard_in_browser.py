"""The pages of optuna-dashboard for a finished study, in a real browser."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

import pytest
from browser import Browser, Page, browser

from sweep.report.dashboard import server
from sweep.report.findings import Findings, gather
from sweep.search.storage.opening import load_study
from sweep.search.storage.urls import storage_url
from sweep.study.file import load_study as load_settings

pytestmark = pytest.mark.slow

BODY = "document.body.innerText"


@pytest.fixture(scope="module")
def findings(searched_study: Path) -> Findings:
    study = load_study("order_pre_minibatch", storage_url(None, searched_study))
    return gather(study, load_settings(searched_study / "study.toml"), searched_study)


@pytest.fixture(scope="module")
def address(findings: Findings) -> Iterator[str]:
    """Served by a thread of this process; `test_server.py` has the command."""
    study, folder = findings.study, findings.summary.folder
    made, ready = list[Any](), queue.Queue[str]()

    def kept(*arguments: Any) -> Any:
        made.append(make_server(*arguments))
        return made[-1]

    assert server.prepare(study, findings.config, folder, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "make_server", kept)
        serving = threading.Thread(target=server.serve, args=(study, folder, 0, ready.put))
        serving.start()
        yield ready.get(timeout=60)
    made[0].shutdown()
    serving.join()


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as started:
        yield started


def opened(window: Browser, url: str) -> Page:
    return window.open(url, 1300, offline=False)


def plot_under(title: str) -> str:
    """The traces of the plot of the card with this heading."""
    return (
        f"[...document.querySelectorAll('.MuiCard-root')].find(card => "
        f"card.innerText.includes({title!r}) && card.querySelector('.plot-container'))"
        "?.querySelectorAll('.trace path, .bars path').length"
    )


def test_history_learning_curves_importance_and_figures_are_drawn(
    window: Browser, address: str
) -> None:
    page = opened(window, address)
    for title in ("History", "Hyperparameter Importance", "Intermediate values"):
        page.wait_until(plot_under(title))
    page.wait_until(f"{BODY}.includes('Best Trial (number=')")
    for title in ("Learning rate over training", "How trials ended"):
        page.wait_until(
            "[...document.querySelectorAll('.gtitle')]"
            f".some(title => title.textContent == {title!r})"
        )
    for name in ("results.csv", "best_schedule.py"):
        page.wait_until(f"{BODY}.replace(/\\s/g, '').includes({name!r})")
    assert page.complaints() == []
    outside = [url for url in page.requests() if not url.startswith((address[:21], "data:"))]
    assert outside == []


def test_the_note_is_shown_as_tables(window: Browser, address: str, findings: Findings) -> None:
    page = opened(window, f"{address}/note")
    page.wait_until(f"{BODY}.includes({findings.summary.headline!r})")
    heads = page.run("[...document.querySelectorAll('th')].map(head => head.innerText)")
    assert {"best MSE", "median MSE", "mean best MSE"} <= set(heads)
    assert "[sweep]" not in page.run(BODY)


def test_the_best_trial_has_a_note_attributes_and_pictures(
    window: Browser, address: str, findings: Findings
) -> None:
    best = findings.summary.best
    assert best is not None
    page = opened(window, f"{address}/trials?numbers={best.number}")
    page.wait_until(f"{BODY}.includes({best.schedule.describe()!r})")
    page.wait_until("document.querySelectorAll('img').length >= 2")
    images = "[...document.querySelectorAll('img')]"
    page.wait_until(f"{images}.filter(image => image.naturalWidth > 1000).length == 2")
    shown = page.run(BODY)
    for attribute in ("best_epoch", "lr_final", "r2"):
        assert attribute in shown
    assert "build_scheduler" in shown
    assert page.complaints() == []
