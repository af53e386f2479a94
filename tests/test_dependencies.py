"""What the package imports is what it declares that it needs."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from support import ROOT

TABLE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, GROUPS = TABLE["project"], TABLE["dependency-groups"]
EXTRAS = PROJECT["optional-dependencies"]
ONLY_BY_NAME = {"pyarrow", "openpyxl", "cmaes", "alembic"}
"""Declared for what others import of them: pandas for its files, Optuna for a sampler, MLflow for a
database."""


def names(requirements: list[str]) -> set[str]:
    """The distributions that requirements name."""
    found = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {normal(match[0]) for match in found if match}


def normal(name: str) -> str:
    """A distribution's name as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def imported() -> dict[str, str]:
    """The distributions that the package imports from, each with a file that does.

    Frameworks are their users' own.
    """
    files = [path for path in (ROOT / "sweep").rglob("*.py") if path.parent.name != "integrations"]
    roots: dict[str, str] = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.append(node.module)
            for module in modules:
                roots[module.partition(".")[0]] = str(path.relative_to(ROOT))
    homes = packages_distributions()
    outside = roots.keys() - {*sys.stdlib_module_names, "sweep"}
    return {normal(homes[root][0]): roots[root] for root in outside}


def test_what_is_imported_is_declared() -> None:
    declared = names(PROJECT["dependencies"]).union(*map(names, EXTRAS.values()))
    assert {name: file for name, file in imported().items() if name not in declared} == {}


def test_what_is_declared_is_needed() -> None:
    declared = names(PROJECT["dependencies"]).union(*map(names, EXTRAS.values()))
    assert declared - imported().keys() <= ONLY_BY_NAME


def test_what_is_declared_is_pinned() -> None:
    pinned = names((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()[1:])
    declared = names(PROJECT["dependencies"]).union(*map(names, EXTRAS.values()))
    assert declared <= pinned


@pytest.mark.parametrize("group", ["dev", "docs"])
def test_what_checks_and_docs_need_is_pinned(group: str) -> None:
    pinned = names((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()[1:])
    assert names(GROUPS[group]) <= pinned


def test_frameworks_are_installed_for_the_tests() -> None:
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned += (ROOT / "tests/with_timm/requirements.txt").read_text(encoding="utf-8")
    modules = {path.stem for path in (ROOT / "sweep/integrations").glob("*.py")}
    for module in modules - {"__init__", "evaluations", "plateau"}:
        name = {"ignite": "pytorch-ignite"}.get(module, module)
        assert f"\n{name}==" in pinned
        assert name in GROUPS["frameworks"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_in_the_docs_with_the_command_that_errors_name(extra: str) -> None:
    command = f"pip install 'sweep-lr[{extra}]'"
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(command in page.read_text(encoding="utf-8") for page in pages)
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sweep").rglob("*.py"))
    assert command in code


def test_errors_name_no_other_installation() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sweep").rglob("*.py"))
    told = set(re.findall(r"pip install '?([^' ;\"]+)", code))
    assert told == {f"sweep-lr[{extra}]" for extra in EXTRAS}
