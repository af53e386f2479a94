"""A worker on another machine: code travels there, and what it writes comes back."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from sweep.base.errors import InputError
from sweep.schedules.schedule import Schedule
from sweep.study.metric import MSE
from sweep.study.sections import ModelConfig
from sweep.study.settings import StudyConfig
from sweep.study.training.cluster import ClusterConfig
from sweep.training.cluster.code import code_of
from sweep.training.cluster.messages import Appended, Files, Job, Reply
from sweep.training.cluster.node import Node
from sweep.training.contract import (
    EpochResult,
    LoopSettings,
    OptimizerSettings,
    TrainingSettings,
    TrialSpec,
)
from sweep.training.workers.messages import Answer, Orders, WorkerSetup

pytestmark = pytest.mark.slow

ELSEWHERE = Path("/nowhere/study")
"""A folder that only the coordinator has."""

LOOP = dedent(
    """
    import torch
    from layers.small import start

    def train(schedule, *, epochs, trial, state=None):
        weight = torch.nn.Parameter(torch.tensor(start(state)))
        optimizer = torch.optim.SGD([weight], lr=0.1)
        scheduler = schedule.attach(optimizer, steps_per_epoch=1)
        for epoch in range(state["epoch"] if state else 0, epochs):
            weight.square().backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            print("epoch", epoch + 1, flush=True)
            (trial.folder / "weight.txt").write_text(str(float(weight)))
            state = {"epoch": epoch + 1, "weight": float(weight)}
            yield {"val_mse": float(weight) ** 2, "state": state}
    """
)
CODE = {
    ELSEWHERE / "train.py": LOOP.encode(),
    ELSEWHERE / "layers/__init__.py": b"",
    ELSEWHERE / "layers/small.py": (
        b"def start(state):\n    return state['weight'] if state else 1.0\n"
    ),
}
SPEC = TrialSpec(5, 0, Schedule("constant", lr=0.1), OptimizerSettings())


def node(code: dict[Path, bytes] = CODE) -> Node:
    results = ELSEWHERE / "results"
    loop = LoopSettings(
        "train.py:train",
        MSE,
        epochs=4,
        checkpoints=results / "checkpoints",
        folders=results / "trials",
        logs=results / "logs",
    )
    config = StudyConfig(loop="train.py:train")
    setup = WorkerSetup(
        None, ModelConfig(name="mlp"), (ELSEWHERE,), TrainingSettings.of(config), loop=loop
    )
    return Node(Job(setup, code, ELSEWHERE), 3)


def epochs(heard: Reply) -> list[int]:
    assert isinstance(heard.message, Answer)
    return [one.epoch for one in heard.message.results if isinstance(one, EpochResult)]


def contents(files: Files) -> dict[Path, bytes]:
    return {path: content for path, content in files.items() if isinstance(content, bytes)}


def test_a_trial_goes_on_elsewhere_from_what_came_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # which a worker leaves
    first, second = node(), node()
    try:
        assert isinstance(first.begin().message, Answer)
        heard = first.obey(Orders(add=[SPEC], epochs=1), {})
        kept = contents(heard.files)
        while epochs(heard)[-1] < 2:
            heard = first.obey(Orders(epochs=1), {})
            kept |= contents(heard.files)
        kept |= contents(first.end().files)
        assert {path.parent.name for path in kept} == {"checkpoints", "5"}
        assert all(path.is_relative_to(ELSEWHERE / "results") for path in kept)
        second.begin()
        heard = second.obey(Orders(add=[SPEC], epochs=1), kept)
        told = epochs(heard)
        while told[-1] < 4:
            heard = second.obey(Orders(epochs=1), {})
            told += epochs(heard)
        assert told == [1, 2, 3, 4]
        assert ELSEWHERE / "results/trials/5/weight.txt" in heard.files
        heard = second.obey(Orders(remove=[5], epochs=0), {})
        gone = [path for path, content in heard.files.items() if content is None]
        assert [path.parent.name for path in gone] == ["checkpoints"]
        log = [content for content in heard.files.values() if isinstance(content, Appended)]
        assert not log or b"epoch" in log[0].content
    finally:
        first.end()
        second.end()


def test_a_module_that_is_missing_there_is_told_with_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    lacking = node({ELSEWHERE / "train.py": LOOP.encode()})
    try:
        problem = lacking.begin().message
    finally:
        lacking.end()
    assert isinstance(problem, InputError)
    assert "on the machine " in str(problem)
    assert "No module named 'layers'" in str(problem)
    assert "[cluster] files" in str(problem)


def test_code_travels_with_what_it_imports_and_what_the_study_names(tmp_path: Path) -> None:
    written = {
        "train.py": "import layers.small\nimport torch\n",
        "layers/__init__.py": "",
        "layers/small.py": "def width():\n    from . import deep\n",
        "layers/deep.py": "",
        "other.py": "",
        "configs/a.yaml": "a: 1",
    }
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    cluster = ClusterConfig(address="auto", files=["configs"])
    config = StudyConfig(loop="train.py:train", cluster=cluster)
    found = code_of(config, (tmp_path,))
    names = {path.relative_to(tmp_path).as_posix() for path in found}
    assert names == written.keys() - {"other.py"}
    lacking = config.model_copy(
        update={"cluster": config.cluster.model_copy(update={"files": ["*.json"]})}
    )
    with pytest.raises(InputError, match=r"cluster\.files: \*\.json: no such file"):
        code_of(lacking, (tmp_path,))
