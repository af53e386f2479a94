"""Which tests start processes, a server or a browser: those that `make quick` leaves out.

A test is one of them if it, a fixture of it, or a function or class of the tests that these use
names something that starts one. So no test has to say so, and none can forget to. What takes long
without a process of its own is marked `slow` by hand.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import browser
import pytest
import support

from sweep.runs.run import run_sweep
from sweep.training.workers.pool import WorkerPool

STARTERS = (
    *(subprocess, subprocess.run, subprocess.Popen, run_sweep, WorkerPool),
    *(browser.browser, support.sweep, support.sweep_anew, support.PostgreSQL),
)
TESTS = Path(__file__).parent


def starts_processes(item: pytest.Function) -> bool:
    """Whether a test or one of its fixtures starts a process."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    functions = [item.function, *(definition.func for each in fixtures for definition in each)]
    return any(_reaches_a_starter(function, item.cls) for function in functions)


@functools.cache
def _reaches_a_starter(function: Any, owner: type | None) -> bool:
    """Whether a function, or what it uses of the tests' own code, names one of the starters."""
    waiting, seen = [function], {id(function)}
    while waiting:
        found = waiting.pop()
        if any(found is starter for starter in STARTERS):
            return True
        uses: list[Any] = []
        if isinstance(found, type):
            uses = list(vars(found).values())
        elif isinstance(found, FunctionType):
            names = _names(found.__code__)
            uses = [found.__globals__.get(name, getattr(owner, name, None)) for name in names]
        for used in uses:
            if id(used) not in seen and (
                _is_of_the_tests(used) or any(used is starter for starter in STARTERS)
            ):
                seen.add(id(used))
                waiting.append(used)
    return False


def _names(code: CodeType) -> Iterator[str]:
    """Globals and attributes that code names, functions within it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_of_the_tests(used: Any) -> bool:
    """Whether this is a function or class that a file of the tests defines."""
    if not isinstance(used, FunctionType | type):
        return False
    file = getattr(sys.modules.get(used.__module__), "__file__", None)
    return file is not None and TESTS in Path(file).parents
