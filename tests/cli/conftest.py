"""The command line, called in the process that tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from in_process import Sweep


@pytest.fixture
def sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sweep:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return Sweep(monkeypatch, capsys)
