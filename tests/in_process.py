"""The command line, called in the process that tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from sweep.cli import main


class Ended:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Sweep:
    """Runs the command line in this process, in an empty folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["sweep", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *self._capsys.readouterr())


def houses(folder: Path) -> None:
    rows = range(40)
    table = pd.DataFrame({"area": [10 + r % 9 for r in rows], "price": [3 * r % 17 for r in rows]})
    table.to_csv(folder / "houses.csv", index=False)
