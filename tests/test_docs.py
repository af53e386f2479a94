"""Pages of documentation whose examples are run, and whose outputs are compared."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import runpy
import warnings
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from support import ROOT

from sweep.study.file import load_study

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["grad_fn.md", "scheduler.zh-CN.md"])
def test_every_output_is_what_the_lines_above_it_print(page: str) -> None:
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(blocks) > 10
    names: dict[str, object] = {}
    printed: str | None = None
    for kind, text in blocks:
        if kind == "text":
            assert printed == text
            printed = None
        elif kind not in ("console", "toml"):
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


PAGES = [
    *(page for folder in (".", "docs", ".github") for page in sorted((ROOT / folder).glob("*.md"))),
    *(
        page
        for folder in ("benchmarks", "examples")
        for page in sorted((ROOT / folder).rglob("*.md"))
    ),
]
CHINESE = [page for page in PAGES if page.name.endswith(".zh-CN.md")]
FILE_NAMED = re.compile(r"\b(?:benchmarks|docs|examples|sweep|tests)/[\w/.-]+\.[a-z]+\b")


def tokens(text: str) -> Iterator[Token]:
    """What Markdown makes of a text, as GitHub reads it."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield token
        yield from token.children or ()


def links(page: Path) -> list[tuple[str, str]]:
    """Where links and pictures lead: a path or an address, "" for the page; an anchor or ""."""
    led: list[str] = []
    for token in tokens(page.read_text(encoding="utf-8")):
        led += (unquote(str(token.attrs[name])) for name in ("href", "src") if name in token.attrs)
        if token.type in ("html_block", "html_inline"):
            led += re.findall(r'(?:href|src)="([^"]*)"', token.content)
    return [(target, anchor) for target, _, anchor in (each.partition("#") for each in led)]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings: of one that stands twice, `-1` too."""
    found: set[str] = set()
    read = [*tokens(page.read_text(encoding="utf-8"))]
    for before, heading in pairwise(read):
        if before.type == "heading_open":
            words = "".join(part.content for part in heading.children or ())
            anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            numbered = (f"{anchor}-{count}" for count in itertools.count(1))
            found.add(next(each for each in (anchor, *islice(numbered, 99)) if each not in found))
    return found


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """A page's blocks of code, without comments."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        (kind, [re.sub(r"\s+# .*", "", line) for line in code.splitlines()])
        for kind, code in blocks
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        if not re.match(r"https?:", target):
            led_to = page.parent / target if target else page
            assert led_to.exists(), target
            assert not anchor or anchor in anchors(led_to), f"{target}#{anchor}"


@pytest.mark.parametrize(
    ("text", "there", "anchored"),
    [
        ("[a](there.md)", [("there.md", "")], set()),
        ("[`a` b][c]\n\n[c]: there.md#d", [("there.md", "d")], set()),
        ("![a](there.svg 'words')", [("there.svg", "")], set()),
        ("[a](%E4%B8%AD.md#%E6%96%87)", [("中.md", "文")], set()),
        ('<img src="there.png">', [("there.png", "")], set()),
        ("`[a](b.md)`\n\n    [a](b.md)\n\n- x\n\n  ```md\n  [a](b.md)\n  ```", [], set()),
        ("# A `b_c` (d)\n\n## E\n\n## E", [], {"a-b_c-d", "e", "e-1"}),
        ("```sh\n# no heading\n```\n\nOne\n===", [], {"one"}),
    ],
)
def test_links_and_anchors_are_found(
    text: str, there: list[tuple[str, str]], anchored: set[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert links(page) == there
    assert anchors(page) == anchored


def test_every_file_that_is_named_is_there() -> None:
    told = {
        *(page for page in PAGES if page.name != "CHANGELOG.md"),
        *(path for path in (ROOT / "sweep").rglob("*.py")),
    }
    named = {
        (str(path.relative_to(ROOT)), name)
        for path in told
        for name in FILE_NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 50
    assert {(path, name) for path, name in named if not (ROOT / name).exists()} == set()


def test_every_page_stands_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


@pytest.mark.parametrize("page", sorted(ROOT.glob("README*.md")), ids=lambda page: page.name)
def test_the_readme_is_short(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 200


class TestChinese:
    """Pages in Chinese say what their English originals do."""

    @pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
    def test_either_language_begins_with_a_link_to_the_other(self, page: Path) -> None:
        english = page.with_name(page.name.replace(".zh-CN", ""))
        for here, there in ((page, english), (english, page)):
            assert f"]({there.name})" in here.read_text(encoding="utf-8").partition("\n")[0]

    def test_both_readmes_have_the_same_commands(self) -> None:
        english, chinese = ROOT / "README.md", ROOT / "README.zh-CN.md"
        assert len(commands(english)) > 5
        assert commands(chinese) == commands(english)
        inline = re.compile(r"`([^`]+)`")
        assert {*inline.findall(prose(english))} <= {*inline.findall(prose(chinese))}

    def test_both_readmes_lead_to_the_same_pages(self) -> None:
        english, chinese = (
            {(target.replace(".zh-CN", ""), anchor) for target, anchor in links(page)}
            for page in (ROOT / "README.md", ROOT / "README.zh-CN.md")
        )
        assert chinese == english

    def test_both_readmes_give_the_same_numbers(self) -> None:
        number = re.compile(r"\d+(?:\.\d+)?")
        english, chinese = (
            {*number.findall(prose(page))}
            for page in (ROOT / "README.md", ROOT / "README.zh-CN.md")
        )
        assert chinese == english

    @pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
    def test_no_measurement_has_another_value(self, page: Path) -> None:
        english = page.with_name(page.name.replace(".zh-CN", ""))
        decimals = re.compile(r"\d+\.\d+")
        measured = {*decimals.findall(prose(page))}
        assert measured
        assert measured <= {*decimals.findall(prose(english))}

    def test_the_study_file_of_a_log_is_valid(self, tmp_path: Path) -> None:
        ((_, text),) = (
            block
            for block in BLOCK.findall((DOCS / "scheduler.zh-CN.md").read_text(encoding="utf-8"))
            if block[0] == "toml"
        )
        study = tmp_path / "log.toml"
        study.write_text(text, encoding="utf-8")
        assert load_study(study).data.target == "4"
