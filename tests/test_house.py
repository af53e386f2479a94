"""The layout of the code: imports run downwards, and heavy packages stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import typer.main

from sweep.cli import app

PACKAGE = Path(__file__).parent.parent / "sweep"

FLOORS = [
    {"errors", "numbers", "paired", "metric", "divergence", "library_warnings", "completion"}
    | {"failures", "storage_urls", "text"},
    {"files", "imports", "shapes", "behaviour_log", "arguments", "dataset", "halving"}
    | {"dates", "magnitude", "generators", "csv_cells"},
    {"schedule_code", "warmup", "attached"},
    {"schedules", "journal", "patience"},
    {"space", "parzen"},
    {"settings", "locations", "family_sampler", "ends"},
    {"samplers", "pruners", "columns", "encodings", "number_convention", "models", "storage"}
    | {"locks", "owners"},
    {"number_columns"},
    {"text_layout"},
    {"text_tables"},
    {"table_files"},
    {"sources"},
    {"preparation", "problems"},
    {"data", "study"},
    {"training", "template"},
    {"workers", "records", "continuation", "underway", "confirmation", "race", "time_limit"},
    {"best_schedule"},
    {"dispatch", "results"},
    {"account"},
    {"coordinator", "retraining", "candidates"},
    {"confirm", "audit", "overrides", "speed", "lr_range", "warm_start"},
    {"winner", "check"},
    {"report"},
    {"notes"},
    {"exhibits", "run"},
    {"artifacts"},
    {"dashboard"},
    {"display"},
    {"progress", "library"},
    {"cli"},
    {"__main__", "__init__"},
]
"""Each module imports from its own floor or the floors above it in this list."""

HEAVY = {
    "torch": {"schedules", "warmup", "attached", "data", "sources", "models", "training"}
    | {"workers", "generators"},
    "optuna": {
        "account",
        "check",
        "space",
        "continuation",
        "divergence",
        "completion",
        "journal",
        "samplers",
        "family_sampler",
        "pruners",
        "halving",
        "storage",
        "storage_urls",
        "owners",
        "patience",
        "records",
        "results",
        "coordinator",
        "candidates",
        "underway",
        "confirm",
        "audit",
        "warm_start",
    }
    | {"winner", "run", "report", "progress", "dashboard", "library", "cli"}
    | {"notes", "exhibits", "artifacts"},
    "typer": {"cli"},
    "rich": {"cli", "progress", "display", "report"},
    "optuna_dashboard": {"dashboard", "notes", "exhibits"},
    "plotly": {"report", "exhibits"},
    "jinja2": {"report"},
    "matplotlib": {"report"},
}


def modules() -> dict[Path, str]:
    """Every file of the package, and the name that the floors call it by."""
    return {
        path: path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in PACKAGE.rglob("*.py")
    }


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "sweep":
                names |= {f"sweep.{alias.name}" for alias in node.names}
    return names


def test_imports_run_downwards() -> None:
    floor_of = {name: height for height, names in enumerate(FLOORS) for name in names}
    upwards = []
    for path, name in modules().items():
        for target in imported(path):
            if target.startswith("sweep."):
                other = target.split(".")[1]
                if other in floor_of and floor_of[other] > floor_of[name]:
                    upwards.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert not upwards
    assert set(floor_of) == set(modules().values())


def test_heavy_packages_stay_where_they_belong() -> None:
    astray = []
    for path, name in modules().items():
        for target in imported(path):
            package = target.partition(".")[0]
            if package in HEAVY and name not in HEAVY[package]:
                astray.append(f"{path.relative_to(PACKAGE)} imports {package}")
    assert not astray


def calls(*names: str) -> list[tuple[str, str]]:
    """Every call of one of these names: the file, as the package has it, and the line."""
    return [
        (path.relative_to(PACKAGE).as_posix(), f"{node.lineno}: {ast.unparse(node.func)}")
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names
    ]


def test_only_the_command_line_prints_and_exits() -> None:
    prints = calls("print", "typer.echo")
    assert [call for call in prints if not call[0].startswith("cli/")] == []
    assert {file for file, _ in calls("sys.exit", "exit")} == {"cli/entry.py"}


def test_commands_share_no_code_but_what_is_named_for_it() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    files = {f"sweep.cli.{name.replace('-', '_')}" for name in commands}
    for path, name in modules().items():
        if name == "cli" and path.name != "entry.py":
            assert not files & imported(path), path


def test_a_coordinator_starts_without_torch() -> None:
    code = "import sys, sweep.runs.run, sweep.cli.progress; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
