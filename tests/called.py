"""Commands called in the process that tests, which takes a tenth of one in a process of its own.

For what a command says and leaves. How it ends as a process, what it warns of and how it takes
signals is the business of `support.sweep` and `support.start_sweep`.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from sweep.cli import main

Called = Callable[..., subprocess.CompletedProcess[str]]


def called(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What `sweep` with these arguments says; its workers have processes of their own."""
    given = [*map(str, arguments)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["sweep", *given])
        patch.setattr(sys, "path", [*sys.path])  # which the user's folders are put on
        patch.setenv("COLUMNS", "100")
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(given, code, out.getvalue(), err.getvalue())
