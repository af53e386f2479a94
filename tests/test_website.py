"""The docs as a site: that it builds, says what GitHub shows, and works from a folder, offline."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import markdown
import pytest
from browser import Browser, Page, browser
from markdown_it import MarkdownIt
from mkdocs.config import load_config
from support import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
TAG = re.compile(r"<(ul|ol|li|table|tr|th|td|h[1-6]|pre|blockquote|img|em|strong)\b")


@pytest.fixture(scope="session")
def dialect() -> dict[str, Any]:
    """Markdown as the site reads it."""
    config = load_config(str(ROOT / "mkdocs.yml"), hooks=[], plugins=[])
    return {"extensions": config.markdown_extensions, "extension_configs": config.mdx_configs}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_the_parts_that_it_has_on_github(page: Path, dialect: dict[str, Any]) -> None:
    """They read Markdown differently: a list below a line, code within an item of a list."""
    text = page.read_text(encoding="utf-8")
    on_github = MarkdownIt("commonmark").enable("table").render(text)
    assert Counter(TAG.findall(markdown.markdown(text, **dialect))) == Counter(
        TAG.findall(on_github)
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # mkdocs.yml makes its warnings errors
    return folder


def search(page: Page, words: str) -> list[str]:
    """The pages and sections that the site's search finds, the best first."""
    page.click("[data-md-component=search-query]")
    said = "document.querySelector('.md-search-result__meta').textContent"
    page.wait_until(f"{said} == 'Type to start searching'")
    page.call("Input.insertText", text=words)
    page.call("Input.dispatchKeyEvent", type="keyUp", key=words[-1])
    page.wait_until("document.querySelector('.md-search-result__link')")
    found = "[...document.querySelectorAll('.md-search-result__link')].map(each => each.href)"
    return [re.sub(r"\?[^#]*", "", str(each)) for each in page.run(found)]


def complaints(page: Page, site: Path) -> list[str]:
    """What is wrong with a page: errors, and whatever it wants from outside of the folder."""
    outside = [url for url in page.requests() if not url.startswith((site.as_uri(), "data:"))]
    return [*page.complaints(), *outside]


@pytest.mark.slow
class TestSite:
    def test_the_reference_has_public_names_and_commands(self, site: Path) -> None:
        reference = (site / "reference/python.html").read_text(encoding="utf-8")
        assert 'id="sweep.Schedule.attach"' in reference
        assert "Optimizer steps in an epoch." in reference
        commands = (site / "reference/commands.html").read_text(encoding="utf-8")
        assert 'id="sweep-run"' in commands and "<code>--lr RANGE</code>" in commands
        frameworks = (site / "reference/integrations.html").read_text(encoding="utf-8")
        assert 'id="sweep.integrations.timm.create_scheduler_v2"' in frameworks

    def test_links_out_of_the_docs_lead_to_pages_of_the_site(self, site: Path) -> None:
        start = (site / "index.html").read_text(encoding="utf-8")
        assert 'href="code/examples/command.html#trainpy"' in start
        assert 'href="index.zh-CN.html"' in start and 'href="all-pages.html"' in start
        assert 'id="trainpy"' in (site / "code/examples/command.html").read_text(encoding="utf-8")
        assert '<html lang="zh-CN"' in (site / "index.zh-CN.html").read_text(encoding="utf-8")

    def test_it_works_from_a_folder_without_a_network(self, site: Path) -> None:
        with browser() as chromium:
            self._finds(chromium, site)
            self._is_dark(chromium, site)

    def _finds(self, chromium: Browser, site: Path) -> None:
        start = chromium.open((site / "index.html").as_uri())
        assert f"{site.as_uri()}/budget.html" in search(start, "audition")
        assert complaints(start, site) == []
        below = chromium.open((site / "reference/python.html").as_uri())
        found = search(below, "steps_per_epoch")
        assert f"{site.as_uri()}/reference/python.html#sweep.Schedule.attach" in found
        chinese = chromium.open((site / "index.zh-CN.html").as_uri())
        pages = {each.partition("#")[0].rpartition("/")[2] for each in search(chinese, "学习率")}
        assert pages == {"index.zh-CN.html", "scheduler.zh-CN.html"}

    def _is_dark(self, chromium: Browser, site: Path) -> None:
        colours = []
        for dark in (False, True):
            page = chromium.open(
                (site / "packages.html").as_uri(), width=390, dark=dark, phone=True
            )
            assert complaints(page, site) == []
            assert page.run("document.documentElement.scrollWidth") <= 390
            colours.append(page.run("getComputedStyle(document.body).backgroundColor"))
        assert colours[0] == "rgb(255, 255, 255)" != colours[1]
