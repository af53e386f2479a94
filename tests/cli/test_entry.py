"""Wrong input and interruptions end a command with a text that helps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from called import Called
from support import sweep as sweep_process

from sweep.base.errors import InputError
from sweep.schedules.schedule import SHAPES


class TestErrors:
    """On stderr, in words, with the exit code that scripts look at."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (
                ("run", "diabets"),
                "error: no study named 'diabets'; did you mean 'diabetes'? (here: diabetes, "
                "families, order_pre, order_pre_minibatch; or give a study file's path)\n",
            ),
            (
                ("run", "diabetes", "--lr", "1:0.1"),
                "error: --lr '1:0.1': low must be at most high: write '0.1:1'\n",
            ),
            (
                ("run", "diabetes", "--set", "epochs"),
                "error: --set epochs: expected KEY=VALUE, such as data.log1p=true\n",
            ),
            (
                ("run", "diabetes", "--set", "epoch=3"),
                "error: --set epoch: unknown key; did you mean 'epochs'?\n",
            ),
            (
                ("run", "--data", "nowhere.csv", "--target", "price", "--batch-size", "ful"),
                "error: --batch-size 'ful': expected a whole number of at least 1, or \"full\", "
                "or a list of them\n",
            ),
            (
                ("run", "diabetes", "--timeout", "10x"),
                "error: --timeout '10x': expected seconds, or a number with s, m or h: '10m'\n",
            ),
            (("report",), "error: no results in studies/ here; run a study first: sweep run\n"),
            (
                ("export", "diabetes"),
                "error: diabetes: no results; run it first: sweep run diabetes\n",
            ),
            (
                ("report", "--format", "xml"),
                "error: --format xml: expected text, json, csv or md\n",
            ),
            (
                ("report", "--html", "--format", "md"),
                "error: --format md: --html has one format; leave --format out\n",
            ),
            (
                ("report", "--figures", "pictures", "--format", "md"),
                "error: --format md: with --figures, expected svg or png\n",
            ),
            (
                ("report", "--format", "svg"),
                "error: --format svg: expected text, json, csv or md; svg needs --figures FOLDER\n",
            ),
            (
                ("schedules", "cosin"),
                f"error: scheduler must be one of {', '.join(SHAPES)}, but got "
                "scheduler='cosin'; did you mean 'cosine'?\n",
            ),
            (
                ("run", "diabetes", "--fresh"),
                "error: --fresh throws trials away: confirm it with --yes\n",
            ),
        ],
    )
    def test_wrong_input(self, sweep: Called, arguments: tuple[str, ...], expected: str) -> None:
        ended = sweep(*arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith(expected)
        assert not Path("studies").exists()

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("fly",), "No such command 'fly'."),
            (("run", "--schedular", "step"), "No such option: --schedular"),
            (("run", "--step-size", "30"), "No such option: --step-size; step_size is drops here"),
            (("run", "--trials", "many"), "Invalid value for '--trials'"),
            (("report", "--top", "0"), "Invalid value for '--top'"),
        ],
    )
    def test_wrong_usage(self, sweep: Called, arguments: tuple[str, ...], expected: str) -> None:
        ended = sweep(*arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert expected in ended.stderr and "Traceback" not in ended.stderr

    @pytest.mark.slow
    def test_a_storage_that_cannot_be_reached(self, sweep: Called, tiny_study: Path) -> None:
        ended = sweep(
            "report", tiny_study, "--storage", "postgresql://me:secret@nowhere.invalid/db"
        )
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith(
            "error: postgresql://me@nowhere.invalid/db: the storage cannot be"
        )
        assert "secret" not in ended.stderr

    @pytest.mark.slow
    def test_a_place_that_cannot_be_written(self, sweep: Called, tiny_study: Path) -> None:
        ended = sweep("export", tiny_study, "--out", "nowhere/schedule.py")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == "error: nowhere/schedule.py: there is no folder nowhere\n"

    @pytest.mark.slow
    def test_a_traceback_with_debug(self, sweep: Called, tmp_path: Path) -> None:
        with pytest.raises(InputError):
            sweep("--debug", "report", "mine")
        done = sweep_process("report", "mine", "--debug", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("Traceback (most recent call last):")
        assert done.stderr.splitlines()[-1] == (
            "sweep.base.errors.InputError: mine: no results; run it first: sweep run mine"
        )


INTERRUPTED = """
import os, signal, sys, threading, time
from sweep.cli import main
assert "typer" not in sys.modules
number = getattr(signal, sys.argv[1])
before = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
signal.signal(number, before)
def interrupt():
    while signal.getsignal(number) is before:
        time.sleep(0.001)
    for _ in range(3):
        os.kill(os.getpid(), number)
threading.Thread(target=interrupt, daemon=True).start()
sys.argv = ["sweep", "run", "diabetes", "--trials", "1000"]
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_while_it_still_imports(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130
    assert set(done.stderr.split()) == {"interrupted"}


@pytest.mark.slow
def test_a_folder_for_temporary_files_whose_path_is_too_long(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "sweep", "run", "diabetes", "--trials", "1"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"{folder}: worker processes cannot be started from there" in done.stderr
    assert "set TMPDIR to" in done.stderr
