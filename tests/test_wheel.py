"""The wheel: built, installed in an environment of its own, run from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def test_the_wheel_runs_from_an_empty_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    environment = tmp_path / "venv"
    venv.create(environment)
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
    subprocess.run([*install, "--no-deps", str(wheel)], check=True, capture_output=True)
    # The dependencies are lent by this environment, so that nothing is downloaded; sweep is not:
    # a .pth file in the new environment adds the folder without this one's editable install.
    purelib = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(purelib, "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    variables = {**os.environ, "PYTHONPATH": ""}

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [str(environment / "bin" / "sweep"), *arguments],
            cwd=empty,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [str(python), "-c", "import sweep; print(sweep.__file__)"],
        cwd=empty,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert where.startswith(str(environment))
    assert call("--version").startswith("sweep ")
    call("run", "--trials", "2", "--epochs", "1", "--set", "data.users=100")
    assert (empty / "studies" / "order_pre" / "best_schedule.py").is_file()
    assert (empty / "studies" / "order_pre" / "report.html").is_file()
    assert "order_pre" in call("report")
    assert "调度器" in call("report", "--lang", "zh")
