"""Workers in processes of their own: what becomes of one whose compiler hangs."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep.base.errors import TrainingError
from sweep.data.load import load_dataset
from sweep.schedules.schedule import Schedule
from sweep.study.metric import MSE
from sweep.study.sections import DataConfig, ModelConfig
from sweep.training.contract import OptimizerSettings, TrainingSettings, TrialSpec
from sweep.training.record import TrialRecord
from sweep.training.workers import process_pool
from sweep.training.workers.messages import WorkerSetup
from sweep.training.workers.process_pool import ProcessPool
from sweep.training.workers.retraining import Retraining

pytestmark = pytest.mark.slow

EPOCHS = 1_000_000
"""Of a training that is worth compiling for."""

RESIDUAL = """
import os
import torch
import torch._inductor.config as config
from torch import nn

os.environ["TORCHINDUCTOR_CACHE_DIR"] = "FOLDER/torch"
config.cpp.cxx = (None, "COMPILER")  # CXX may have been read already

class Residual(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.first, self.last = nn.Linear(features, 4), nn.Linear(4, 1)
    def forward(self, x):
        hidden = self.first(x)
        return self.last(hidden + torch.tanh(hidden))
"""


def test_a_compiler_that_hangs_in_torch_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "slow-c++"
    compiler.write_text(f"#!/bin/sh\nsleep 1000 &\necho $$ $! >> {tmp_path}/pids\nwait\n")
    compiler.chmod(0o700)
    model = RESIDUAL.replace("COMPILER", str(compiler)).replace("FOLDER", str(tmp_path))
    (tmp_path / "residual.py").write_text(model)
    called = tmp_path / "pids"

    def much_later() -> float:
        """A clock that goes on by ten minutes once the compiler has been called."""
        return time.monotonic() + (600 if called.exists() and called.read_text() else 0)

    monkeypatch.setattr(process_pool, "time", SimpleNamespace(monotonic=much_later))
    setup = WorkerSetup(
        data=load_dataset(DataConfig(source="diabetes"), 0, ()),
        model=ModelConfig(name="residual:Residual"),
        folders=(tmp_path,),
        settings=TrainingSettings(epochs=EPOCHS, batch_size=None),
    )
    stop, notes, ended = threading.Event(), list[str](), list[TrialRecord]()
    trained: list[int] = []
    began = time.monotonic()

    def on_epochs(count: int) -> None:
        """Go on for a while after the compiler was given up."""
        trained.extend([count] if notes else [])
        if (trained and count > trained[0] + 50) or time.monotonic() > began + 200:
            stop.set()

    specs = [TrialSpec(n, n, Schedule("constant", 0.01), OptimizerSettings()) for n in range(2)]
    with ProcessPool(setup, 1) as pool:
        Retraining(
            "trial",
            EPOCHS,
            stop,
            notes.append,
            MSE,
            on_epochs=on_epochs,
            on_record=lambda spec, record: ended.append(record),
        ).run(pool, specs)
    assert notes == [
        "torch.compile had not ended after 5 min 00 s and was given up: training goes on uncompiled"
    ]
    assert trained[-1] > trained[0] + 50
    assert not ended  # neither has failed
    compilers = called.read_text().split()
    assert compilers
    deadline = time.monotonic() + 30
    while any(map(is_alive, compilers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, compilers))


def test_a_mistake_in_building_an_engine_comes_with_its_traceback() -> None:
    setup = WorkerSetup(
        data=load_dataset(DataConfig(source="diabetes"), 0, ()),
        model=ModelConfig(name="linear"),
        folders=(),
        settings=TrainingSettings(epochs=1, device="no device"),
    )
    with ProcessPool(setup, 1) as pool, pytest.raises(TrainingError) as raised:
        while True:
            pool.wait(timeout=1.0)
    assert str(raised.value).startswith("a worker cannot start: RuntimeError: ")
    assert "in build_engine" in raised.value.__notes__[0]


def is_alive(process: str) -> bool:
    """Whether it is there, and not only because nobody has asked how it ended."""
    try:
        status = Path("/proc", process, "stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
