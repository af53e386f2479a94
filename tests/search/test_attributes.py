"""Whatever the attributes of a study and its trials hold, its results can be looked at."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sweep.report.figures.all import pictures
from sweep.report.findings import gather
from sweep.report.page.html import to_html
from sweep.report.summary import summarise
from sweep.runs.library import load_study
from sweep.search.attributes import number, table, text, whole_number


def test_what_is_of_another_type_is_not_there() -> None:
    found: dict[str, Any] = {"a": 1, "b": 0.5, "c": "x", "d": {"e": 1}, "f": True, "g": -1}
    found |= {"h": float("nan"), "i": 10**400}
    assert [number(found, name) for name in "abcdfhz"] == [1, 0.5, None, None, None, None, None]
    assert [whole_number(found, name) for name in "abgifz"] == [1, None, None, None, None, None]
    assert [text(found, name) for name in "acz"] == ["", "x", ""]
    assert [table(found, name) for name in "adz"] == [{}, {"e": 1}, {}]


@pytest.mark.slow
@pytest.mark.parametrize(
    "hostile", ["a\x1b[31mtext", -7, 10**400, 0.5, True, None, [[1, 2]], [["a"] * 7], {"a": {}}]
)
def test_results_whose_attributes_are_of_other_types(
    tiny_study: Path, tmp_path: Path, hostile: Any
) -> None:
    folder = tmp_path / "got"
    shutil.copytree(tiny_study, folder)
    journal = folder / "study.journal"
    lines = []
    for line in journal.read_text().splitlines():
        entry = json.loads(line)
        for kind in ("user_attr", "system_attr"):
            if kind in entry:
                entry[kind] = dict.fromkeys(entry[kind], hostile)
        lines.append(json.dumps(entry) + "\n")
    journal.write_text("".join(lines))
    ran = load_study(folder)
    assert len(ran.results) == 3
    assert len(ran.epochs) in (0, 3 * len(hostile) if isinstance(hostile, list) else 0)
    summary = summarise(ran.study, ran.config, folder)
    assert summary.best is not None and summary.best.best_epoch is None
    findings = gather(ran.study, ran.config, folder)
    page = to_html(findings, pictures(findings))
    assert "\x1b" not in page
