"""Warnings of libraries stay away from a user's terminal; those of his own files do not."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from textwrap import dedent

import numpy as np
import optuna
import pytest
from support import python, sweep

from sweep.base.library_warnings import hidden_library_warnings, is_of_library
from sweep.training import models

LOOP = """
    import warnings
    import numpy as np
    import optuna
    import torch

    def train(schedule, epochs):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
        scheduler = schedule.attach(optimizer, steps_per_epoch=1)
        warnings.warn("the user's own")
        for epoch in range(epochs):
            np.mean([])  # NumPy warns of it in its own files
            optimizer.step()
            scheduler.step()
            yield 0.5 + schedule.lr
"""
RUN = ("run", "--loop", "train.py:train", "--epochs", "1", "--trials", "2", "--workers", "1")
NUMPYS = "RuntimeWarning: Mean of empty slice"


def test_which_files_are_of_libraries(tmp_path: Path) -> None:
    for module in (np, optuna, os, warnings, models, sys.modules["sweep.base.library_warnings"]):
        assert is_of_library(str(module.__file__)), module
    assert is_of_library("<string>")
    assert not is_of_library(str(tmp_path / "train.py"))
    assert not is_of_library("train.py")
    assert not is_of_library(__file__)


def test_what_is_hidden_is_the_printing_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []

    def before(message: str, *about: object) -> None:
        printed.append(message)

    monkeypatch.setattr(warnings, "showwarning", before)
    library = str(np.__file__)
    with hidden_library_warnings():
        warnings.showwarning("not shown", UserWarning, library, 1)
        warnings.showwarning("shown", UserWarning, "train.py", 1)
        with pytest.raises(UserWarning):  # the filters of whoever turns warnings into errors hold
            warnings.warn_explicit("raised", UserWarning, library, 1)
    assert warnings.showwarning is before
    assert printed == ["shown"]


@pytest.mark.slow
def test_a_run_shows_the_users_own_warnings_alone(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(dedent(LOOP))
    done = sweep(*RUN, "--no-confirm", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = tmp_path / "studies/train/logs/worker-0.txt"
    assert "UserWarning: the user's own" in log.read_text()
    assert NUMPYS not in done.stderr + done.stdout + log.read_text()
    done = sweep("--debug", *RUN, "--no-confirm", "--fresh", "--yes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert NUMPYS in log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["qmc", "cmaes", "gp", "tpe"])
def test_no_sampler_warns(sampler: str, tmp_path: Path) -> None:
    done = sweep(
        *("run", "diabetes", "--sampler", sampler, "--trials", "14", "--epochs", "1"),
        *("--model", "linear", "--workers", "1", "--no-confirm"),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_script_is_spared_them_too(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(dedent(LOOP))
    (tmp_path / "script.py").write_text(
        "import sweep\n"
        "if __name__ == '__main__':\n"
        "    sweep.run_study(loop='train.py:train', epochs=1, trials=2, workers=1, "
        "confirm=False, sampler='qmc')\n"
    )
    done = python(tmp_path / "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "studies/train/logs/worker-0.txt").read_text()
    assert "the user's own" in log
    assert NUMPYS not in done.stderr + log and "Experimental" not in done.stderr + log
