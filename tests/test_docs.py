"""Pages of documentation whose examples are run, and whose outputs are compared."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import warnings
from pathlib import Path

import pytest
from support import ROOT

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["grad_fn.md"])
def test_every_output_is_what_the_lines_above_it_print(page: str) -> None:
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(blocks) > 10
    names: dict[str, object] = {}
    printed: str | None = None
    for kind, text in blocks:
        if kind == "text":
            assert printed == text
            printed = None
        else:
            assert kind == "python" and not printed, f"its output is not shown: {text}"
            heard = io.StringIO()
            with contextlib.redirect_stdout(heard), warnings.catch_warnings():
                exec(compile(text, page, "exec"), names)
            printed = heard.getvalue()
    assert not printed


@pytest.mark.parametrize(
    ("script", "page"), [("study_file.py", "study-file.md"), ("packages.py", "packages.md")]
)
def test_a_page_that_is_made_from_the_code_is_in_step_with_it(script: str, page: str) -> None:
    made = runpy.run_path(str(DOCS / script))["page"]()
    written = (DOCS / page).read_text(encoding="utf-8")
    assert written == made, f"write it again: .venv/bin/python docs/{script}"


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert re.match(r"https?:", target) or (page.parent / target).exists(), target


def test_every_page_stands_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200
