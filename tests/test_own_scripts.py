"""The scripts of docs/own-code.md: each of its differences is applied, and the outcome is run."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from called import called
from support import ROOT

from sweep.runs.library import load_study
from sweep.schedules.schedule import Schedule
from sweep.training.own_command import current_trial as home
from sweep.training.own_command.current_trial import current_trial
from sweep.training.own_loop.advice import warnings

SCRIPTS = ROOT / "tests/own_scripts"
PAGE = (ROOT / "docs/own-code.md").read_text(encoding="utf-8")
DIFFERENCES = dict(
    re.findall(
        r"\[(\w+)\.py\]\(\.\./tests/own_scripts/\1\.py\)[^`#]*(?:`[^`\n]+`[^`#]*)*```diff\n(.*?)```",
        PAGE,
        re.DOTALL,
    )
)
"""The text of each, by the name of the script before it."""

FRAMEWORKS = {
    "trainer": "transformers",
    "lightning_module": "lightning",
    "accelerate_loop": "accelerate",
    "timm_script": "timm",
    "skorch_net": "skorch",
    "ignite_engine": "ignite",
}
"""Scripts whose changed form is an example."""

PLAIN = sorted(DIFFERENCES.keys() - FRAMEWORKS.keys())


EXAMPLES = ROOT / "examples"

WITH_TIMM = f"PYTHONPATH={ROOT / 'tests/with_timm'}:{Path(sys.prefix) / 'timm'}"
"""Where it is installed, beside what lets it be imported."""


def changed(name: str) -> str:
    """A script after its difference: each hunk's old lines stand in it exactly once."""
    text = (SCRIPTS / f"{name}.py").read_text(encoding="utf-8")
    for hunk in DIFFERENCES[name].split("...\n"):
        lines = hunk.splitlines(keepends=True)
        old, new = (
            "".join(line[1:] or line for line in lines if line[0] in kept) for kept in ("- ", "+ ")
        )
        assert text.count(old) == 1, f"{name}.py does not have once:\n{old}"
        text = text.replace(old, new)
    return text


def changed_lines(name: str) -> int:
    """How many lines of a script are changed: one that is replaced is one."""
    signs = [line[0] for line in DIFFERENCES[name].splitlines() if line[1:].strip()]
    return max(signs.count("+"), signs.count("-"))


@pytest.mark.parametrize("name", sorted(path.stem for path in SCRIPTS.glob("*.py")))
def test_few_lines_are_changed(name: str) -> None:
    most = 4 if name in ("trainer", "lightning_module") else 3
    assert 1 <= changed_lines(name) <= most
    rows = re.findall(r"^\| \[.*\| (\d) \| `sweep run (.*)` \|$", PAGE, re.MULTILINE)
    told = [int(lines) for lines, command in rows if FRAMEWORKS.get(name, f"{name}.py") in command]
    assert told == [changed_lines(name)]


@pytest.fixture
def _one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No trial is known yet, and the script finds what it is started with."""
    monkeypatch.setattr(home, "_known", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize("name", PLAIN)
def test_a_changed_script_follows_its_schedule_in_all_of_its_steps(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(changed(name))
    trial = current_trial(Schedule("cosine", lr=0.01, decay=0.1, warmup=0.2))
    left = runpy.run_path("train.py", run_name="__main__")
    assert 3 <= len(capsys.readouterr().out.splitlines()) <= 4
    if name == "nanogpt":
        rates = [left["get_lr"](step) for step in range(left["max_iters"])]
        assert rates == trial.schedule.rates(len(rates)).tolist()
        assert left["optimizer"].param_groups[0]["lr"] == rates[-1]
        return
    trial._course.end_epoch()
    seen = trial._course.seen(share=1.0)
    assert seen is not None and not warnings(seen)
    if name == "gan":
        assert seen.stepped == (4,) and len(trial._course._watched) == 2


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize("name", ["plain", "nanogpt"])
def test_a_changed_script_is_still_one_without_a_sweep(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(changed(name))
    left = runpy.run_path("train.py", run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) == 4
    rate = left["get_lr"](left["max_iters"] - 1) if name == "nanogpt" else 0.1
    assert left["optimizer"].param_groups[0]["lr"] == pytest.approx(rate)
    if name == "nanogpt":
        assert left["min_lr"] <= rate < 2 * left["min_lr"]  # its own


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_example_is_a_script_after_its_change(name: str) -> None:
    assert (EXAMPLES / FRAMEWORKS[name] / "train.py").read_text(encoding="utf-8") == changed(name)


@pytest.fixture
def _activated(no_page: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are those of the environment that the tests run in; no page is drawn."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


STOPPED_THEN_COMPLETED = (
    *("--trials", "1", "--epochs", "2", "--no-confirm", "--workers", "1", "--keep"),
    *("--set", "pruner.name=threshold", "--set", "pruner.lower=1000"),
)
"""One trial, which is pruned after its first epoch, and then, as there is no other, completed."""


def assert_stopped_then_completed(folder: Path, scheduler: str, lr: float) -> None:
    """Both trials have followed the schedule, and the first has ended as quietly as the other."""
    found = load_study(folder)
    assert list(found.results["state"]) == ["PRUNED", "COMPLETE"]
    assert list(found.epochs["epoch"]) == [1, 1, 2]
    steps = found.described["total_steps"]
    half = steps // 2
    if scheduler == "plateau":  # has been told one metric when it ends
        rates = lr * np.minimum(np.arange(1, steps + 1) / (half + 1), 1)
    else:
        rates = Schedule(scheduler, lr=lr, decay=0.1, warmup=0.5).rates(steps)
    first, last = found.epochs["lr_first"], found.epochs["lr_last"]
    np.testing.assert_allclose(first, rates[[0, 0, half]], rtol=1e-6)
    np.testing.assert_allclose(last, rates[[half - 1, half - 1, -1]], rtol=1e-6)
    stopped, whole = ((folder / "trials" / n / "log.txt").read_text() for n in "01")
    assert not re.search("Traceback|[Ee]rror|final", stopped)
    if 'print("final' in (folder.parent / "train.py").read_text():
        assert "final" in whole


@pytest.mark.slow
@pytest.mark.usefixtures("_activated")
@pytest.mark.parametrize(
    ("framework", "scheduler"),
    [
        ("accelerate", "plateau"),
        ("ignite", "cosine"),
        ("lightning", "plateau"),
        ("skorch", "cosine"),
        ("timm", "cosine"),
        ("transformers", "plateau"),
    ],
)
def test_an_example_is_swept(framework: str, scheduler: str, tmp_path: Path) -> None:
    folder = shutil.copytree(EXAMPLES / framework, tmp_path / "example")
    words = [WITH_TIMM, "python", "train.py"]
    command = f"command=env {' '.join(words)}" if framework == "timm" else "keep=true"
    space = ("--lr", "0.01", "--warmup", "0.5", "--set", f"space.scheduler={scheduler}")
    done = called(
        *("run", f"{framework}.toml", "--out", "out", *STOPPED_THEN_COMPLETED),
        *(*space, "--set", "space.decay=0.1", "--set", command),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "attach was told" not in done.stdout and "follow the schedule" not in done.stdout
    assert_stopped_then_completed(folder / "out", scheduler, lr=0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("_activated")
def test_several_processes_train_a_trial(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(changed("ddp"))
    done = called(
        *("run", "--metric", "acc", "--direction", "maximize", "--out", "out", "--no-confirm"),
        *("--trials", "1", "--epochs", "2", "--lr", "0.1", "--scheduler", "linear"),
        *("--warmup", "0", "--set", "space.decay=0.1"),
        *("--", "torchrun", "--nproc-per-node", "2", "train.py", "--epochs", "2"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = load_study(tmp_path / "out")
    rates = Schedule("linear", lr=0.1, decay=0.1).rates(16)  # 512 rows, 32 at once in each of two
    np.testing.assert_allclose(found.epochs["lr_first"], rates[[0, 8]], rtol=1e-6)
    np.testing.assert_allclose(found.epochs["lr_last"], rates[[7, 15]], rtol=1e-6)
    assert "attach was told" not in done.stdout
