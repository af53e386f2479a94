"""Sweeps from scripts, and the page about them."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import optuna
import pandas as pd
import pytest
from support import ROOT, python

import sweep
from sweep.base.errors import DataError, InputError, StudyChangedError, StudyFileError
from sweep.runs.library import reference_to, run_study

PAGE = ROOT / "docs" / "library.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the scripts of the page have been run, in their order."""
    folder = tmp_path_factory.mktemp("page")
    for block in re.findall(r"(?s)```python\n(.*?)```", PAGE.read_text()):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name, f"a script on the page has no name: {block}"
        (folder / name[1]).write_text(block)
        done = python(name[1], cwd=folder)
        assert done.returncode == 0, f"{name[1]}: {done.stderr}"
        assert not done.stderr
        (folder / f"{name[1]}.out").write_text(done.stdout)
    return folder


@pytest.mark.slow
def test_the_scripts_of_the_page_say_the_same_of_the_winner(folder: Path) -> None:
    ran, loaded = ((folder / f"{name}.py.out").read_text() for name in ("run", "load"))
    assert loaded.startswith(ran.splitlines()[0])
    assert "def build_scheduler(" in (folder / "schedule.py.out").read_text()


@pytest.mark.slow
def test_a_result_is_what_its_files_say(folder: Path) -> None:
    found = sweep.load_study(folder / "mine")
    assert isinstance(found.study, optuna.Study)
    assert found.config.loop == "train:train"
    assert found.results["completes"].isna().sum() == 12
    for name in ("results", "epochs", "confirm"):
        written = pd.read_csv(folder / "mine" / f"{name}.csv")
        assert list(getattr(found, name)) == list(written)
        pd.testing.assert_series_equal(
            getattr(found, name)["val_mse"].astype(float), written["val_mse"]
        )
    assert found.best == sweep.Schedule.load(folder / "mine" / "best_schedule.json")
    (folder / "mine" / "best_schedule.json").rename(folder / "kept.json")
    try:
        best = found.results.sort_values(["val_mse", "number"]).iloc[0]
        assert found.best.lr == best["lr"]
    finally:
        (folder / "kept.json").rename(folder / "mine" / "best_schedule.json")


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_loop_in_the_script_itself(tmp_path: Path) -> None:
    code = """
    import torch
    from sweep import run_study

    def train(schedule, epochs):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
        scheduler = schedule.attach(optimizer, steps_per_epoch=1)
        for epoch in range(epochs):
            optimizer.step()
            scheduler.step()
            yield schedule.lr

    if __name__ == "__main__":
        space = {"lr": "0.1:0.5", "scheduler": ["constant", "step"]}
        settings = {"epochs": 3, "space": space, "metric": "gain", "direction": "maximize"}
        found = run_study(loop=train, trials=4, confirm=False, workers=1, **settings)
        more = run_study(loop=train, trials=6, confirm=False, workers=1, **settings)
        assert more.folder.name == "plain"
        print(found.best.lr == found.results["gain"].max() <= 0.5, len(found.confirm))
        print(*found.notes, sep="\\n")
    """
    (tmp_path / "plain.py").write_text(dedent(code))
    done = python("plain.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "True 0"
    assert "the loop yields no averaged_gain" in done.stdout
    assert pd.read_csv(tmp_path / "studies/plain/results.csv")["completes"].isna().sum() == 6


TRAIN = """
def train(schedule, *, epochs):
    import torch
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=1)
    for _ in range(epochs):
        optimizer.step()
        scheduler.step()
        yield 1.0
"""
CALL = """
from sweep import run_study
found = run_study(loop="train.py:train", trials=2, epochs=1, workers=2, confirm=False)
print(len(found.results))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_call_beside_the_loop_needs_no_guard(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "plain.py").write_text(CALL)
    done = python("plain.py", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


@pytest.mark.slow
def test_a_call_from_standard_input_needs_no_guard(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    done = subprocess.run(
        [sys.executable, "-"], input=CALL, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


@pytest.mark.slow
def test_an_unguarded_call_in_the_loops_file_is_explained_once(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN + CALL)
    done = python("train.py", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    last = done.stderr.splitlines()[-1]
    assert "'train.py:train': importing it failed: InputError: run_study was called" in last
    assert 'put the call under if __name__ == "__main__":' in last


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_loop_that_workers_cannot_import_is_handed_to_them(tmp_path: Path) -> None:
    scale = 3.0

    def inner(schedule: Any, epochs: int) -> Iterator[float]:
        import torch

        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        scheduler = schedule.attach(optimizer, steps_per_epoch=1)
        for epoch in range(epochs):
            optimizer.step()
            scheduler.step()
            yield scale - epoch

    small: dict[str, Any] = {"epochs": 2, "trials": 2, "workers": 1, "confirm": False}
    found = run_study(loop=inner, out=tmp_path / "out", **small)
    assert found.results["val_mse"].tolist() == [2.0, 2.0]
    assert found.config.loop == "__main__:inner"
    shown = found._repr_html_()
    assert found.best.describe() in shown and "<td>2</td>" in shown
    assert reference_to(reference_to) == "sweep.runs.library:reference_to"
    assert reference_to(lambda: None) == "__main__:loop"
    with pytest.raises(InputError, match="__main__:other: is a function of a notebook"):
        run_study(loop="__main__:other", out=tmp_path / "other", **small)
    lock = threading.Lock()
    with pytest.raises(InputError, match="__main__:loop: cannot be handed to workers"):
        run_study(loop=lambda: lock, out=tmp_path / "locked", **small)


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_table_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = range(80)
    frame = pd.DataFrame({"a": [r % 7 for r in rows], "b": [(r * r) % 11 for r in rows]})
    frame["y"] = 2.0 * frame["a"] - frame["b"]
    small: dict[str, Any] = {"epochs": 2, "trials": 2, "workers": 1, "confirm": False}
    small |= {"model": {"name": "linear"}, "pruner": "none"}
    found = run_study("mine", data=frame, target="y", **small)
    assert found.folder == Path("studies/mine") and len(found.results) == 2
    table = {"source": frame, "target": "y"}
    again = run_study("mine", data=table, **small | {"trials": 3})
    assert len(again.results) == 3
    with pytest.raises(StudyChangedError, match="rows"):
        run_study("mine", data=frame.assign(a=1.5 * frame["b"]), target="y", **small)
    monkeypatch.setattr("sweep.data.sources._given", [])
    with pytest.raises(DataError, match="was a DataFrame, or arrays, of another program"):
        run_study("studies/mine")


def test_wrong_settings_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyFileError, match=r"epochs = 0: must be at least 1"):
        sweep.run_study("diabetes", epochs=0)
    with pytest.raises(InputError, match="no results in studies/ here"):
        sweep.load_study()
