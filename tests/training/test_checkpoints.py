"""States of trials in flight: written as plain data, and read as nothing else."""

from __future__ import annotations

import random
import re
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sweep.base.errors import TrainingError
from sweep.schedules.schedule import Schedule
from sweep.training.contract import EpochResult, OptimizerSettings, TrialSpec
from sweep.training.own_loop.checkpoints import Checkpoint, Checkpoints

SPEC = TrialSpec(3, 5, Schedule("cosine", 0.1), OptimizerSettings())
RESULT = EpochResult(3, 1, 0.5, None, None, 0.1, 0.05, None, 0.01, total_steps=4)


class Own:
    """A type that torch does not know."""


class Runs:
    """What a hostile file holds: code."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self._path)!r}, 'w').write('ran')",)


def kept(folder: Path, state: Any) -> Path:
    """The file of a trial with a state."""
    Checkpoints(folder).save(SPEC, Checkpoint(state, [RESULT]))
    (path,) = folder.iterdir()
    return path


def state_dicts() -> dict[str, Any]:
    """What most loops keep."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.zeros(4, 2)).sum().backward()
    optimizer.step()
    scheduler = Schedule("plateau", 0.1, warmup=0.1).attach(optimizer, total_steps=8)
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    return {name: part.state_dict() for name, part in parts.items()}


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": 2, "rate": 0.1, "name": "a", "none": None, "list": [1, (2, {3}), b"x", True, 1j]},
        OrderedDict(a=torch.ones(2), b=torch.float64, c=torch.Size([2]), d=torch.device("cpu")),
        {"rng": torch.get_rng_state(), "python": random.getstate()},
        state_dicts(),
    ],
)
def test_plain_data_comes_back(tmp_path: Path, state: Any) -> None:
    kept(tmp_path / "kept", state)
    found = Checkpoints(tmp_path / "kept").load(SPEC)
    assert found is not None and found.results == [RESULT]
    assert repr(found.state) == repr(state)


@pytest.mark.parametrize(
    ("state", "type_name"),
    [
        ({"own": Own()}, "test_checkpoints.Own"),
        ({"deep": [{"path": Path()}]}, "pathlib."),
        ({"model": torch.nn.Linear(1, 1)}, "torch.nn.modules.linear.Linear"),
        ({"rows": np.zeros(2)}, "numpy."),
        ({"call": lambda: 0}, "<lambda>"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_its_type(
    tmp_path: Path, state: Any, type_name: str
) -> None:
    with pytest.raises(TrainingError) as raised:
        kept(tmp_path / "kept", state)
    text = str(raised.value)
    assert text.startswith("the loop yielded a state that cannot be kept, for it holds ")
    assert type_name in text and "state_dict()" in text
    assert not list(tmp_path.iterdir())


def test_a_file_that_holds_code_is_not_run(tmp_path: Path) -> None:
    path = kept(tmp_path / "kept", {})
    for planted in (Runs(tmp_path / "ran"), {"trial": Runs(tmp_path / "ran")}):
        torch.save(planted, path)
        with pytest.raises(TrainingError) as raised:
            Checkpoints(tmp_path / "kept").load(SPEC)
        assert str(raised.value) == (
            f"{path} is damaged or not a checkpoint (it holds exec, which would run code)"
        )
    assert not (tmp_path / "ran").exists()


def test_damaged_files_are_told_from_those_of_another_trial(tmp_path: Path) -> None:
    path = kept(tmp_path / "kept", {"weights": torch.ones(1000)})
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (b"", b"x", whole[:middle], whole[:100] + bytes(400) + whole[500:]):
        path.write_bytes(content)
        with pytest.raises(TrainingError, match="is damaged or not a checkpoint"):
            Checkpoints(tmp_path / "kept").load(SPEC)
    path.write_bytes(whole)
    saved = torch.load(path, weights_only=True)
    for change in ({"results": [{"number": 3}]}, {"results": 7}, {"trial": "of another"}):
        torch.save({**saved, **change}, path)
        if "trial" in change:
            assert Checkpoints(tmp_path / "kept").load(SPEC) is None
            continue
        with pytest.raises(TrainingError, match="is damaged or not a checkpoint"):
            Checkpoints(tmp_path / "kept").load(SPEC)
    for wrong in (
        {"val_mse": "low"},
        {"number": 4},
        {"metrics": {"f1": "high"}},
        {"metrics": 0.5},
        {"other": 1},
    ):
        torch.save({**saved, "results": [{**saved["results"][0], **wrong}]}, path)
        with pytest.raises(TrainingError, match="is damaged or not a checkpoint"):
            Checkpoints(tmp_path / "kept").load(SPEC)


def test_files_keep_the_names_that_they_have_always_had(tmp_path: Path) -> None:
    path = kept(tmp_path / "kept", {"step": 3})
    saved = torch.load(path, weights_only=True)
    epoch = {"number": SPEC.number, "epoch": 1, "val_mse": 0.5, "averaged_val_mse": None}
    epoch |= {"train_mse": 0.25, "lr_first": 0.1, "lr_last": 0.05, "grad_norm": None}
    epoch |= {"seconds": 0.1, "total_steps": 8}
    assert list(saved["results"][0]) == list(epoch)
    torch.save({**saved, "results": [epoch]}, path)
    found = Checkpoints(tmp_path / "kept").load(SPEC)
    assert found is not None
    assert found.results == [
        EpochResult(SPEC.number, 1, 0.5, None, 0.25, 0.1, 0.05, None, 0.1, total_steps=8)
    ]


def test_further_metrics_are_kept(tmp_path: Path) -> None:
    told = replace(RESULT, metrics={"f1": 0.5, "recall": 0.25})
    Checkpoints(tmp_path).save(SPEC, Checkpoint(None, [told]))
    found = Checkpoints(tmp_path).load(SPEC)
    assert found is not None and found.results == [told]


def test_nothing_in_the_package_reads_pickles_from_files() -> None:
    import sweep

    for path in Path(sweep.__file__).parent.rglob("*.py"):
        code = path.read_text()
        if path.name == "by_value.py":  # a worker's function, from its own coordinator
            assert code.count("pickle.load") == code.count("pickle.loads(code)") == 1
            assert "Path" not in code and "open(" not in code
            continue
        if path.parts[-2:] == ("trackers", "process.py"):  # pipes to and from a child of its own
            read = set(re.findall(r"pickle\.load\(([\w.]+)\)", code))
            assert read <= {"process.stdout", "stdout", "requests", "sys.stdin.buffer"}
            continue
        assert "weights_only=False" not in code, path
        for word in ("pickle.load", "read_pickle", "allow_pickle=True", "joblib"):
            assert word not in code, path
        for call in re.findall(r"torch\.load\(([^)]*)\)", code):
            assert "weights_only=True" in call, path
