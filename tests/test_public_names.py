"""What users are told to import, and that it is all that they are told to import."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support import ROOT

import sweep

PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
BLOCK = re.compile(r"^ *```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r"^\s*((?:from sweep[\w.]* import .*)|(?:import sweep[\w.]*))", re.MULTILINE)


def named(path: Path) -> set[str]:
    """Every name of `sweep` that a page or an example imports or uses, as `inner.module.name`.

    Those of `sweep.integrations` are public, too.
    """
    text = path.read_text(encoding="utf-8")
    used = set(re.findall(r"\bsweep\.((?:[a-z_]+\.)*[A-Za-z_]\w*)", text))
    lines = IMPORT.findall(text if path.suffix == ".py" else "\n".join(BLOCK.findall(text)))
    for node in ast.parse("\n".join(line.partition("#")[0] for line in lines)).body:
        if isinstance(node, ast.ImportFrom):
            inner = str(node.module).partition(".")[2]
            used |= {f"{inner}.{alias.name}".strip(".") for alias in node.names}
    return {name for name in used if not re.match(r"integrations\b", name)}


@pytest.mark.parametrize("path", PAGES + EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_and_examples_use_public_names_alone(path: Path) -> None:
    assert named(path) <= {*sweep.__all__}


def test_every_public_name_is_there_and_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    for name in {*sweep.__all__} - {"__version__"}:
        assert getattr(sweep, name).__name__ == name
        assert f"`{name}`" in page
    assert {*sweep.__all__} <= {*dir(sweep)}
    with pytest.raises(AttributeError, match="no attribute 'scheduel'"):
        _ = sweep.scheduel


def test_names_are_found_where_they_stand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Call `sweep.run_study`:\n\n```python\nfrom sweep import Schedule, load_study  # both\n"
        "from sweep.cli.progress import Progress\n```\n"
    )
    assert named(page) == {
        *("run_study", "Schedule", "load_study"),
        *("cli.progress", "cli.progress.Progress"),
    }
