"""The layout of the code: imports run downwards, and heavy packages stay where they belong."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import typer.main

from sweep.cli import app
from sweep.study.registries.trackers import TRACKERS

PACKAGE = Path(__file__).parent.parent / "sweep"

TESTS = sorted(Path(__file__).parent.rglob("*.py"))

PACKAGES = [
    *("base", "schedules", "study", "data", "training"),
    *("search", "confirm", "report", "runs", "cli", "integrations"),
]
"""Each imports from itself and from those before it in this list."""

KEPT_OUT = {
    "base": {"torch", "optuna"},
    "schedules": {"optuna", "pandas"},
    "data": {"optuna"},
    "study": {"optuna"},  # torch may be named in a function, as an entry of a registry does
    "training": {"optuna"},
    "integrations": {"optuna", "numpy", "pandas"},  # scripts of any environment import them
}
"""What a package imports nowhere."""

FRAMEWORKS = {"accelerate", "ignite", "lightning", "skorch", "timm", "transformers"}
"""Each has a module of its name in `integrations`, which alone imports it."""

ONLY_IN = {
    "typer": {"cli"},
    "rich": {"cli", "report"},
    "plotly": {"report"},
    "jinja2": {"report"},
    "matplotlib": {"report"},
    "optuna_dashboard": {"report"},
    "tensorboard": {"report"},
    "mlflow": {"report"},
    "wandb": {"report"},
    **{framework: {"integrations"} for framework in FRAMEWORKS},
}
"""The only packages that import something."""

MOST_LINES = 400
MOST_TEST_LINES = 500
MOST_FILES = 12
A_FILE_A_COMMAND = Path("cli", "commands")
"""The one folder that may hold more: each file is the command of its name."""


def module_files() -> dict[str, Path]:
    """Every file of the package, by the name that it is imported by."""
    named = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        named[".".join(parts).removesuffix(".__init__")] = path
    return named


MODULES = module_files()


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file's syntax tree."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@functools.cache
def imported(path: Path) -> set[str]:
    """Dotted names of modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (inner & MODULES.keys()) or {node.module}
    return names


def package_of(module: str) -> str | None:
    """The package that a module belongs to; None for `sweep` itself and what is not of it."""
    parts = module.split(".")
    return parts[1] if parts[0] == "sweep" and len(parts) > 1 else None


def test_imports_run_downwards() -> None:
    place = {package: at for at, package in enumerate(PACKAGES)}
    upwards = [
        f"{module} imports {target}"
        for module, path in MODULES.items()
        for target in imported(path)
        if place.get(str(package_of(target)), -1) > place.get(str(package_of(module)), len(place))
    ]
    assert not upwards


def test_every_package_has_its_place() -> None:
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
    assert {entry.removesuffix(".py") for entry in entries} == {
        *PACKAGES,
        *("__init__", "__main__", "py.typed"),
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: imported(path) & MODULES.keys() for name, path in MODULES.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_heavy_packages_stay_where_they_belong() -> None:
    for module, path in MODULES.items():
        own = str(package_of(module))
        roots = {target.partition(".")[0] for target in imported(path)}
        assert not roots & KEPT_OUT.get(own, set()), module
        assert not [root for root in roots if own not in ONLY_IN.get(root, {own})], module


BELOW_INTEGRATIONS = ("sweep.base.", "sweep.integrations.", "sweep.training.own_command.")


def test_a_framework_is_imported_by_the_module_of_its_name() -> None:
    for name in MODULES:
        for target in imported(MODULES[name]) if package_of(name) == "integrations" else ():
            root = target.partition(".")[0]
            assert root not in FRAMEWORKS or name == f"sweep.integrations.{root}"
            assert root != "sweep" or target.startswith(BELOW_INTEGRATIONS), name


MAKES_TORCH_OBJECTS = {"attached", "dry_run", "warmup"}
"""Of `schedules`: what is imported when a torch scheduler is wanted."""


@pytest.mark.slow
@pytest.mark.parametrize("package", ["base", "schedules", "study"])
def test_settings_and_schedules_are_read_without_torch_and_optuna(package: str) -> None:
    modules = [name for name in MODULES if package_of(name) == package]
    light = [name for name in modules if name.rpartition(".")[2] not in MAKES_TORCH_OBJECTS]
    heavy = "{'torch', 'optuna'} & {*sys.modules}"
    code = f"import sys, {', '.join(light)}; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_coordinator_starts_without_torch_and_trackers() -> None:
    heavy = {"torch", *(tracker.package for tracker in TRACKERS.values())}
    code = (
        "import sys, sweep.runs.run, sweep.cli.progress, sweep.cli.commands.export\n"
        f"sys.exit(bool({heavy} & {{*sys.modules}}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_folder_and_no_module_is_too_large() -> None:
    large = [path for path in MODULES.values() if lines(path) > MOST_LINES]
    large += [path for path in TESTS if lines(path) > MOST_TEST_LINES]
    assert not large
    folders = {path.parent for path in MODULES.values()} - {PACKAGE / A_FILE_A_COMMAND}
    full = [
        folder
        for folder in folders
        if len({*folder.glob("*.*")} - {folder / "__init__.py"}) > MOST_FILES
    ]
    assert not full


def test_no_test_imports_another() -> None:
    for path in TESTS:
        files = {target.rpartition(".")[2] for target in imported(path)}
        assert not {file for file in files if file.startswith("test_")}, path


def lines(path: Path) -> int:
    """How long a file is."""
    return len(path.read_text(encoding="utf-8").splitlines())


def calls(*names: str) -> list[tuple[str, str]]:
    """Every call of one of these names: the module, and the line."""
    return [
        (module, f"{node.lineno}: {ast.unparse(node.func)}")
        for module, path in MODULES.items()
        for node in nodes(path)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names
    ]


def test_only_the_command_line_prints_and_exits() -> None:
    prints = calls("print", "typer.echo")
    assert [call for call in prints if package_of(call[0]) != "cli"] == []
    assert {module for module, _ in calls("sys.exit", "exit")} == {"sweep.cli.entry"}


def test_commands_share_no_code_but_what_is_named_for_it() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    files = {f"sweep.cli.commands.{name.replace('-', '_')}" for name in commands}
    assert files <= MODULES.keys()
    for name, path in MODULES.items():
        if name.startswith("sweep.cli.") and name != "sweep.cli.entry":
            assert not files & imported(path), name


OPTUNAS_TRIAL = {"FrozenTrial", "TrialState", "user_attrs", "system_attrs"}
"""What a trial of Optuna's is made of: `search` makes a `Trial` of it, once."""

PRIVATE = re.compile(r"_(storage|study_id|trial_id|backend|trial_id_to_\w+|study_id_and_\w+)")
"""Names that Optuna does not promise to keep."""


@functools.cache
def names_in(path: Path) -> set[str]:
    """Every name, attribute and keyword of a file."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.keyword | ast.alias):
            found.add(str(getattr(node, "arg", None) or getattr(node, "name", "")))
    return found


def test_optunas_trials_stay_in_search() -> None:
    for module, path in MODULES.items():
        if package_of(module) in ("confirm", "report", "runs", "cli"):
            assert not names_in(path) & OPTUNAS_TRIAL, module


def test_optunas_private_names_stand_in_one_module() -> None:
    for module in MODULES.keys() - {"sweep.search.storage.optuna_private"}:
        assert not {name for name in names_in(MODULES[module]) if PRIVATE.fullmatch(name)}, module
        imports = imported(MODULES[module])
        assert not {name for name in imports if re.match(r"optuna\..*\._", name)}, module


def test_no_metric_is_assumed() -> None:
    """A forgotten argument would sort the wrong way without a word."""
    for module, path in MODULES.items():
        for node in nodes(path):
            if isinstance(node, ast.arguments):
                defaults = [*node.defaults, *filter(None, node.kw_defaults)]
                assert "MSE" not in map(ast.unparse, defaults), module
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                told = (ast.unparse(node.annotation), ast.unparse(node.value))
                assert told != ("Metric", "MSE"), module
