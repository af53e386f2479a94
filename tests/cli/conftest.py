"""The command line, called in the process that tests."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from called import Called, called


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Called:
    """Calls commands in an empty folder, which is the test's own, too."""
    monkeypatch.chdir(tmp_path)
    return functools.partial(called, cwd=Path())
