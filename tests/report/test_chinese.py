"""The report in Chinese: nothing but names, settings, commands and code is left in English."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_studies import CONFIG, mixed, mixed_study, rendered, write_best
from optuna_dashboard import get_note
from rich.cells import cell_len

from sweep.base.languages.sentences import CHINESE, language
from sweep.report.all_files import write_report
from sweep.report.findings import gather
from sweep.report.page.html import to_html
from sweep.report.summary import summarise
from sweep.report.terminal.tables import full_report, run_ending
from sweep.report.writers import to_markdown
from sweep.runs.library import load_study
from sweep.schedules.schedule import SHAPES

PARAMS = (param for shape in SHAPES.values() for param in shape.params)

NAMES = {
    *SHAPES,
    *(
        word
        for param in PARAMS
        for text in (param.name, *param.choices)
        for word in text.split("_")
    ),
    *(
        "scheduler",
        "lr",
        "decay",
        "warmup",
        "order",
        "pre",
        "minibatch",
        "buy",
        "shop",
        "data",
        "test",
    ),
    *("MSE", "log", "min", "epoch", "sweep", "torch", "Markdown", "Ctrl", "PNG", "Python"),
    *("no", "confirm", "pt"),
}
"""Words that mean the same in every language: names, settings, units."""

FILES = r"[\w/.-]*\w+\.(csv|html|py|toml|json|pt)\b|studies/\w+"
CALLS = r"\b[A-Z]\w+LR\([^)]*\)|LambdaLR[^，]*"
COMMANDS = r"sweep (report|run|dashboard|predict|discard) \S+"


def english(text: str, folder: Path) -> set[str]:
    """The words that are not Chinese, without names, files, commands and code."""
    text = text.replace(str(folder), "studies/it")
    for pattern in (COMMANDS, FILES, CALLS, r"%\{[^}]*\}", r"</?\w+>", r"https?:\S+"):
        text = re.sub(pattern, " ", text)
    return {*re.findall(r"[A-Za-z]{2,}", text)} - NAMES


class Texts(HTMLParser):
    """What a page shows and reads out, without code, and what its figures draw."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.drawn: list[Any] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.shown += [text for name in ("aria-label", "title") if (text := named.get(name))]
        if tag not in ("meta", "link", "br", "img"):
            kind = named.get("type") if tag == "script" else ""
            self._open.append("json" if kind == "application/json" else tag)

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "json":
            found = json.loads(data)
            if "data" in found:
                self.drawn.append(found)
            else:
                self.shown += found.values()
        elif not {"code", "pre", "script", "style"} & {*self._open}:
            self.shown.append(data)


def texts_of(figure: Any, has_legend: bool = True) -> Iterator[str]:
    """What a figure says: titles, ticks, what hovers, and names that a legend shows."""
    if isinstance(figure, list):
        for each in figure:
            yield from texts_of(each, has_legend)
    if not isinstance(figure, dict):
        return
    has_legend = has_legend and figure.get("layout", figure).get("showlegend") is not False
    for key, value in figure.items():
        if key in ("text", "hovertemplate", "ticktext", "customdata") or (
            key == "name" and has_legend
        ):
            yield from _strings(value)
        yield from texts_of(value, has_legend)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value if isinstance(value, list) else ():
        yield from _strings(each)


@pytest.mark.slow
class TestARealStudy:
    def test_its_page_has_no_english_sentence(self, searched_study: Path) -> None:
        ran = load_study(searched_study)
        with language(CHINESE):
            page = to_html(gather(ran.study, ran.config, ran.folder))
        assert '<html lang="zh-CN">' in page
        found = Texts(page)
        assert english("\n".join(found.shown), ran.folder) == set()
        assert len(found.drawn) > 12
        drawn = [text for each in found.drawn for text in texts_of(each)]
        assert "学习率" in drawn
        assert english("\n".join(drawn), ran.folder) == set()
        code = (searched_study / "best_schedule.py").read_text(encoding="utf-8")
        assert code.splitlines()[0] in page

    def test_nor_have_the_terminal_and_markdown(self, searched_study: Path) -> None:
        ran = load_study(searched_study)
        with language(CHINESE):
            summary = summarise(ran.study, ran.config, ran.folder)
            shown = rendered(full_report(summary), 300) + rendered(
                run_ending(summary, ran.folder), 300
            )
            written = to_markdown(summary)
        assert english(shown, ran.folder) == set()
        assert english(written, ran.folder) == set()


def test_columns_of_a_terminal_line_up(tmp_path: Path) -> None:
    write_best(tmp_path, trial=1)
    with language(CHINESE):
        summary = mixed(tmp_path)
        lines = rendered(full_report(summary, 80), 80).splitlines()
        wide = rendered(full_report(summary, 300), 300).splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert {cell_len(line) for line in lines if line.startswith("│")} == {80}
    steps = [line.rpartition("  ") for line in wide[wide.index("接下来") + 1 :]]
    assert len(steps) > 1
    assert len({cell_len(purpose + gap) for purpose, gap, _command in steps}) == 1


def test_json_and_the_dashboard_stay_english(tmp_path: Path) -> None:
    study, problems = mixed_study(), list[Any]()
    write_best(tmp_path, trial=1)
    write_report(study, CONFIG, tmp_path, lambda *told: problems.append(told), CHINESE)
    assert not problems
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<html lang="zh-CN">' in page and "调度器" in page
    note = get_note(study)
    assert "## Schedulers" in note and not re.search(r"[\u4e00-\u9fff]", note)
