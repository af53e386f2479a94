"""What CONTRIBUTING.md says of adding to the registries, done in a copy of the package."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support import ROOT

pytestmark = pytest.mark.slow

HOW_TO = re.compile(r"^### (?P<kind>.*?)$(?P<text>.*?)^```python\n(?P<code>.*?)^```$", re.M | re.S)
KINDS = [
    *("A scheduler", "An optimizer", "A loss", "A sampler", "A pruner", "A data source"),
    *("A model", "A figure", "A tracker"),
]
CONFORMANCE = {
    "quadratic": ("schedules/test_schedule.py", "schedules/test_schedule_values.py"),
    "adagrad": ("training/test_lane_optimizers.py",),
    "smooth_l1": ("training/test_criterion.py",),
    "genetic": ("search/test_samplers.py",),
    "midway": ("search/test_pruners.py",),
}
"""Where the tests are that run over all entries of a registry, by the name of the new one."""


def add(code: str, path: Path, registry: str) -> None:
    """Put an entry at the end of its registry, and what it needs above that."""
    lines, given = path.read_text(encoding="utf-8").splitlines(), code.splitlines()
    places = [
        node
        for node in ast.parse("\n".join(lines)).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == registry
    ]
    assert len(places) == 1, f"{path.name} has no {registry}"
    first, last = places[0].lineno - 1, (places[0].end_lineno or 0) - 1
    entry = ast.parse(code).body[-1].lineno - 1
    lines[last:last] = [*given[entry:], ","]
    lines[first:first] = given[:entry]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Copy:
    """A copy of the project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("sweep", "studies", "tests"):
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=skipped)
        shutil.copy(ROOT / "pyproject.toml", folder)

    def python(self, *arguments: str, cwd: Path | None = None) -> str:
        """What a module says that is run with the copy."""
        environment = os.environ | {"PYTHONPATH": str(self.folder), "COLUMNS": "200"}
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(
            command, cwd=cwd or self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """One with an entry more in each registry, as CONTRIBUTING.md shows them."""
    copy = Copy(tmp_path_factory.mktemp("copy"))
    how_tos = [*HOW_TO.finditer((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))]
    assert [found["kind"] for found in how_tos] == KINDS
    for found in how_tos:
        (file, *_) = re.findall(r"`(sweep/\S+\.py)`", found["text"])
        (registry, *_) = re.findall(r"`(_?[A-Z]{2,})`", found["text"])
        add(found["code"], copy.folder / file, registry)
    return copy


def test_a_study_that_names_all_that_is_new_is_run(copy: Copy, tmp_path: Path) -> None:
    names = {
        "--data": "wine",
        "--model": "wide",
        "--optimizer": "adagrad",
        "--loss": "smooth_l1",
        "--scheduler": "quadratic",
        "--sampler": "genetic",
        "--pruner": "midway",
    }
    given = [word for pair in names.items() for word in pair]
    small = ("--trials", "2", "--epochs", "2", "--workers", "1", "--no-confirm", "--out", "new")
    tracked = ("--track", "jsonfiles=tracked")
    copy.python("sweep", "run", *given, *small, *tracked, cwd=tmp_path)
    results = tmp_path / "new"
    table = pd.read_csv(results / "results.csv")
    assert {*table["scheduler"]} == {"quadratic"} and table["val_smooth_l1"].notna().any()
    saved = (results / "study.toml").read_text(encoding="utf-8")
    assert [name for name in names.values() if f'"{name}"' not in saved] == []
    page = (results / "report.html").read_text(encoding="utf-8")
    assert '<figure class="picture" id="durations">' in page
    assert "quadratic" in copy.python("sweep", "schedules", cwd=tmp_path)
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("tracked/*/trial-*.json")]
    assert [run["scheduler"] for run in runs] == ["quadratic"] * len(table)
    assert len([*tmp_path.glob("tracked/*/report.md")]) == 1


def test_help_and_schema_have_them(copy: Copy) -> None:
    help = copy.python("sweep", "run", "--help")
    schema = json.dumps(json.loads(copy.python("sweep", "schema")))
    for name in ("wine", "wide", "adagrad", "smooth_l1", "genetic", "midway"):
        assert re.search(rf"\b{name}\b", help), name
        assert f'"{name}"' in schema, name
    assert '"quadratic"' in schema
    assert "jsonfiles=DIR" in help and '"jsonfiles"' in schema


def test_the_tests_of_all_entries_pass_for_them(copy: Copy) -> None:
    files = [f"tests/{file}" for files in CONFORMANCE.values() for file in files]
    said = copy.python("pytest", "-v", "-k", " or ".join(CONFORMANCE), *files)
    for name in CONFORMANCE:
        assert re.search(rf"\[.*{name}.*\] PASSED", said), said
