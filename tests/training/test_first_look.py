"""A first look at training code of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from loops import LINE, spec

from sweep.study.metric import Metric
from sweep.study.sections import ModelConfig
from sweep.training.contract import LoopSettings, TrainingSettings, TrialError
from sweep.training.workers.first_look import FirstLook, first_look
from sweep.training.workers.messages import WorkerSetup
from sweep.training.workers.process_pool import ProcessPool

pytestmark = pytest.mark.slow

OUTLIVES = LINE.replace("    weight = torch.randn((), requires_grad=True)\n", "").replace(
    "\ndef train", "\nweight = torch.ones((), requires_grad=True)\ndef train"
)
UNSEEDED = LINE.replace("torch.randn(()", "torch.tensor(float(os.urandom(1)[0])").replace(
    "import math", "import os, math"
)


def look(folder: Path, code: str) -> FirstLook:
    (folder / "train.py").write_text(code)
    settings = LoopSettings(reference="train.py:train", metric=Metric(), epochs=4)
    setup = WorkerSetup(None, ModelConfig(), (folder,), TrainingSettings(4), loop=settings)
    return first_look(lambda: ProcessPool(setup, 1), spec(), 4)


def test_all_is_well(tmp_path: Path) -> None:
    found = look(tmp_path, LINE)
    assert found.advice == () and found.end is None and found.again == found.values
    assert found.seen.startswith("2 epochs of a trial took ")
    assert "; attach was told 40 steps" in found.seen


def test_what_outlives_a_trial_is_found(tmp_path: Path) -> None:
    (told,) = look(tmp_path, OUTLIVES).advice
    assert "something outlives a trial, such as a model or an optimizer at module level" in told


def test_what_does_not_follow_the_seed_is_found(tmp_path: Path) -> None:
    (told,) = look(tmp_path, UNSEEDED).advice
    assert "something random does not follow its seed" in told


def test_a_loop_that_raises(tmp_path: Path) -> None:
    found = look(tmp_path, LINE.replace("error = float(", "x[100]; error = float("))
    assert isinstance(found.end, TrialError) and found.again is None
    assert "IndexError" in found.end.traceback and found.seen == ""
    steps = LINE.replace("steps_per_epoch=10", "steps_per_epoch=40")
    assert "attach was told 160 optimizer steps" in look(tmp_path, steps).advice[0]
