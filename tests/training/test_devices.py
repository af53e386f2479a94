"""Which device each worker has; the count of GPUs is said here, for there may be none."""

from __future__ import annotations

import subprocess
import sys
import threading
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
import torch
from twins import some_dataset

from sweep.base.errors import InputError
from sweep.schedules.schedule import Schedule
from sweep.study.file import load_study
from sweep.training.build import resolve_device
from sweep.training.contract import EpochResult, OptimizerSettings, TrialSpec
from sweep.training.workers.devices import Share, named_devices, share_of
from sweep.training.workers.gpu_count import count_gpus
from sweep.training.workers.messages import WorkerSetup
from sweep.training.workers.process_pool import ProcessPool
from sweep.training.workers.retraining import Retraining
from sweep.training.workers.worker import _build_engine

LOOP = """
import torch

def train(schedule, *, epochs, device):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=1)
    for epoch in range(epochs):
        optimizer.step()
        scheduler.step()
        yield float(10 * device.index + len(device.type))
"""


@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [
        ("auto", 0, ("auto",)),
        ("auto", 2, ("cuda:0", "cuda:1")),
        ("cpu", 2, ("cpu",)),
        ("cuda", 3, ("cuda:0", "cuda:1", "cuda:2")),
        ("cuda:1", 2, ("cuda:1",)),
        ("cuda:2,0,2", 3, ("cuda:2", "cuda:0")),
    ],
)
def test_a_setting_means_devices(name: str, gpus: int, expected: tuple[str, ...]) -> None:
    assert named_devices(name, gpus) == expected


@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [
        ("cuda", 0, "device 'cuda': this machine has 0 CUDA devices; use --device cpu or auto"),
        ("cuda:1", 1, "device 'cuda:1': this machine has 1 CUDA device (cuda:0)"),
        ("cuda:0,2", 2, "device 'cuda:0,2': no cuda:2: this machine has 2 CUDA devices (cuda:0"),
    ],
)
def test_devices_that_are_not_there_are_named(name: str, gpus: int, expected: str) -> None:
    with pytest.raises(InputError) as raised:
        named_devices(name, gpus)
    assert str(raised.value).startswith(expected)


@pytest.fixture
def three_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def shared(most: int = 100, **settings: Any) -> Share:
    given = {key.replace("__", "."): value for key, value in settings.items()}
    return share_of(
        load_study(None, given), most, cores=8, gpus=count_gpus(given.get("device", "auto"))
    )


@pytest.mark.usefixtures("three_cards")
def test_a_card_has_one_worker_unless_told() -> None:
    every = ("cuda:0", "cuda:1", "cuda:2")
    assert shared() == Share(3, every)
    assert shared(device="cuda:0,2") == Share(2, ("cuda:0", "cuda:2"))
    assert shared(most=2) == Share(2, every[:2])
    assert shared(workers=5) == Share(5, (*every, *every[:2]))
    assert shared(loop="train.py:train") == Share(3, every)
    assert shared(engine="sequential").workers == 8
    assert shared(device="cpu") == Share(8, ("cpu",) * 8)
    assert shared(workers=4).told == (
        "cuda:0 has workers 1, 4; cuda:1 has worker 2; cuda:2 has worker 3"
    )
    with pytest.raises(InputError, match="no cuda:3"):
        shared(device="cuda:1,3")
    assert resolve_device("cuda:2,1") == torch.device("cuda:2")
    assert resolve_device("auto") == torch.device("cuda:0")


def test_torch_is_asked_only_where_there_may_be_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("asked"))
    assert count_gpus("cpu", {"CUDA_VISIBLE_DEVICES": "0"}) == 0
    assert count_gpus("auto", {"CUDA_VISIBLE_DEVICES": ""}) == 0


@pytest.mark.slow
def test_a_process_without_torch_asks_one_that_loads_it_for_workers() -> None:
    asks = (
        "import sys\n"
        "from sweep.training.workers.gpu_count import count_gpus\n"
        "print(count_gpus('cuda'), 'torch' in sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True)
    assert told.stdout.split() == [str(torch.cuda.device_count()), "False"], told.stderr


@pytest.mark.usefixtures("three_cards")
def test_a_loop_is_given_the_card_of_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    (tmp_path / "asks.py").write_text(LOOP)
    config = load_study(None, {"loop": "asks.py:train", "device": "cuda:0,2", "epochs": 1})
    share = share_of(config, 10, cores=8, gpus=3)
    setup = WorkerSetup.of(config, None, (tmp_path,))
    setup = WorkerSetup(**{**vars(setup), "devices": share.devices})
    spec = TrialSpec(0, 0, Schedule("constant", lr=0.1), OptimizerSettings())
    for index, value in enumerate((4.0, 24.0)):
        engine = _build_engine(setup, Pipe()[0], index)
        engine.add(spec)
        (told,) = engine.train_epoch()
        assert isinstance(told, EpochResult) and told.value == value
        engine.close()  # type: ignore[attr-defined]
    assert chosen == ["cuda:0", "cuda:2"]


@pytest.mark.slow
def test_workers_train_on_the_devices_that_they_are_given() -> None:
    config = load_study(None, {"model.name": "mlp", "epochs": 2, "device": "cuda", "trials": 6})
    setup = WorkerSetup.of(config, some_dataset(), ())
    setup = WorkerSetup(**{**vars(setup), "devices": ("cpu",)})  # of the two, by turns
    found: list[int] = []
    asked = Retraining(
        *("run", 2, threading.Event(), lambda note: None, config.measure),
        on_record=lambda spec, record: found.append(len(record.curve)),
    )
    specs = [TrialSpec(n, n, Schedule("constant", lr=0.01), OptimizerSettings()) for n in range(6)]
    with ProcessPool(setup, 2) as pool:
        asked.run(pool, specs)
    assert found == [2] * 6
