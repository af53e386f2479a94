"""Write docs/packages.md from the imports: `.venv/bin/python docs/packages.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "packages.md"

HOLDS = {
    "integrations": "a module for each training framework, for scripts",
    "cli": "commands, options, display",
    "runs": "a run from beginning to end; run_study, check, lr-range, audit",
    "report": "tables, figures, page, dashboard",
    "confirm": "fresh seeds, intervals, the winner",
    "search": "coordinator, samplers, pruners, storages",
    "training": "models, engines, workers here and on a cluster, your own loops",
    "data": "tables and arrays read, prepared and split",
    "study": "settings, search space, metric",
    "schedules": "shapes, rates, torch schedulers, code",
    "base": "errors, files, wording",
}
"""The packages from the top down: each imports from those below it alone."""


def page() -> str:
    """The page, as the imports are."""
    uses = {name: set(used_by(name)) for name in HOLDS}
    lines = [f'    {name}["<b>{name}</b><br>{what}"]' for name, what in HOLDS.items()]
    for name, used in uses.items():
        through = {below for other in used for below in everything_below(other, uses)}
        lines += [f"    {name} --> {other}" for other in HOLDS if other in used - through]
    return "\n".join([*INTRODUCTION, "", "```mermaid", "flowchart TD", *lines, "```", *ENDING, ""])


INTRODUCTION = """\
# The packages of the code

Eleven packages under `sweep/`; an arrow means that something of one imports something of the other.
What can be reached through other arrows has none of its own. Imports run downwards only:
`tests/test_house.py` holds that.
""".splitlines()
ENDING = """
`.venv/bin/python docs/packages.py` writes this page from the imports; a test checks that it is in
step. [CONTRIBUTING.md](../CONTRIBUTING.md) says what is where, and how to add to it.
""".splitlines()


def used_by(name: str) -> Iterator[str]:
    """The other packages that something of a package imports."""
    for path in sorted((ROOT / "sweep" / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            parts = (module or "").split(".")
            if parts[0] == "sweep" and len(parts) > 1 and parts[1] in HOLDS and parts[1] != name:
                yield parts[1]


def everything_below(name: str, uses: dict[str, set[str]]) -> set[str]:
    """What a package imports, and what that imports, and so on."""
    return uses[name].union(*(everything_below(other, uses) for other in uses[name]))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
