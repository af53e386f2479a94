"""How a training loop of the user's own may end, and what it may know of its trial."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from loops import EPOCHS, HEAD, LINE, engine_of, spec, train

from sweep.training.contract import EpochResult, TrialEnd, TrialError, TrialNews
from sweep.training.own_loop.engine import LoopEngine


def news_of(engine: LoopEngine, **of_trial: Any) -> list[TrialNews]:
    """Everything that is heard of one trial."""
    engine.add(spec(**of_trial))
    return [news for _ in range(EPOCHS + 1) for news in engine.train_epoch()]


def test_a_loop_that_ends_early_has_completed(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, LINE.replace("range(epochs)", "range(epochs - 1)"))
    *results, end = news_of(engine)
    assert [r.epoch for r in results] == [1, 2, 3]
    assert end == TrialEnd(0, 3, "completed")
    assert not any(r.advice for r in results if isinstance(r, EpochResult))
    assert engine.notes == []


def test_what_is_yielded_after_the_last_epoch_is_dropped(tmp_path: Path) -> None:
    code = LINE.replace("range(epochs)", "range(epochs + 5)") + (
        f"        if epoch > epochs: pathlib.Path({str(tmp_path / 'far')!r}).touch()\n"
    )
    engine = engine_of(tmp_path, code)
    for number in (0, 1):
        engine.add(spec(number=number))
    results = train(engine)
    assert [r.epoch for r in results] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert engine.notes == [
        "the loop goes on to yield after the 4 epochs that it is told: what it yields then is not "
        "used"
    ]
    assert not (tmp_path / "far").exists()


RETURNS = LINE.replace("        yield {", "        told = {") + "    return told\n"
RETURNS_A_GENERATOR = LINE.replace("def train", "def inner") + (
    "def train(schedule, epochs):\n"
    "    return inner(schedule, epochs=epochs, seed=1, device='cpu')\n"
)


@pytest.mark.parametrize("code", [RETURNS, RETURNS + "    yield\n"], ids=["plain", "yield"])
def test_a_loop_that_returns_its_metric_is_never_pruned(code: str, tmp_path: Path) -> None:
    engine = engine_of(tmp_path, code)
    result, end = news_of(engine)
    assert isinstance(result, EpochResult)
    assert result.epoch == EPOCHS and result.value < 1 and result.training
    assert (result.lr_first, result.lr_last) == pytest.approx((0.2, 0.02), rel=0.05)
    assert end == TrialEnd(0, EPOCHS, "completed") and not result.advice
    assert engine.notes == [
        "the loop returns its metric instead of yielding it once an epoch: no trial is pruned"
    ]


def test_a_function_may_return_a_generator(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, RETURNS_A_GENERATOR)
    engine.add(spec())
    assert [r.epoch for r in train(engine)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("raised", "ending", "reason"),
    [
        ("FloatingPointError('loss is nan')", "diverged", "FloatingPointError: loss is nan"),
        ("OverflowError('math range error')", "diverged", "OverflowError: math range error"),
        ("TrialPruned('not good enough')", "pruned", "not good enough"),
        ("Hopeless()", "pruned", "by the loop itself"),
    ],
)
def test_a_loop_that_gives_up(raised: str, ending: str, reason: str, tmp_path: Path) -> None:
    code = LINE + (
        f"        if epoch == 1: raise {raised}\n"
        "class TrialPruned(Exception): pass\n"
        "class Hopeless(TrialPruned): pass\n"
    )
    *results, end = news_of(engine_of(tmp_path, code))
    assert len(results) == 2 and isinstance(end, TrialEnd)
    assert (end.epoch, end.ending) == (2, ending)
    assert end.reason.startswith(reason)


def test_the_traceback_names_the_line_in_a_neighbour(tmp_path: Path) -> None:
    (tmp_path / "helper_of_a_loop.py").write_text("def metric(epoch):\n    return {}['val_mse']\n")
    code = "import helper_of_a_loop\n" + LINE + "        helper_of_a_loop.metric(epoch)\n"
    error = news_of(engine_of(tmp_path, code))[-1]
    assert isinstance(error, TrialError)
    assert 'helper_of_a_loop.py", line 2, in metric' in error.traceback


TOLD = (
    HEAD
    + """
def train(schedule, *, epochs, trial, width=None):
    schedule.attach(torch.optim.SGD([torch.zeros(1)], lr=1), total_steps=epochs)
    assert trial.epochs == epochs and trial.params == {"width": width}, trial
    for epoch in range(epochs):
        (trial.folder / "best.pt").write_text(f"{trial.number} {trial.seed}")
        yield float(width)
"""
)


def test_a_loop_is_told_of_its_trial(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, TOLD, folders=tmp_path / "trials", params=("width",))
    for number in (0, 1):
        engine.add(spec(number=number, params={"width": 8 + number}))
    results = train(engine)
    assert [r.value for r in results[:2]] == [8.0, 9.0]
    assert (tmp_path / "trials/1/best.pt").read_text() == "1 3"
    engine.remove(0)
    assert (tmp_path / "trials/0").exists()
    engine.remove(1)
    engine.add(spec(number=2, params={"width": 8}))
    train(engine, 1)
    engine.remove(2)
    assert not (tmp_path / "trials/2").exists()


def test_a_script_finds_its_neighbours_and_no_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "neighbour_of_a_script.py").write_text("VALUE = 7\n")
    argv = [*sys.argv]
    monkeypatch.setattr(sys, "path", [*sys.path])
    code = """
import sys
from neighbour_of_a_script import VALUE
ARGUMENTS = [*sys.argv]
def train(schedule):
    schedule.attach(torch.optim.SGD([torch.zeros(1)], lr=1), total_steps=4)
    assert ARGUMENTS[1:] == [] and ARGUMENTS[0].endswith("code/script.py"), ARGUMENTS
    for _ in range(4): yield VALUE
"""
    (folder / "script.py").write_text(HEAD + code)
    engine = engine_of(tmp_path, "", reference="code/script.py:train")
    engine.add(spec())
    assert [r.value for r in train(engine)] == [7.0] * EPOCHS
    assert sys.argv == argv


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "ending"),
    [
        ("range(epochs)", "range(epochs)"),
        ("range(epochs)", "range(epochs - 1)"),
        ("error =", "assert epoch < 3; error ="),
    ],
    ids=["trains to its end", "ends early", "raises"],
)
def test_what_a_trial_has_built_is_let_go(line: str, ending: str, tmp_path: Path) -> None:
    """Also that of the first trial, whichever way it ends."""
    built = "optimizer.circle = [optimizer]; register(weight); register(optimizer); scheduler ="
    code = LINE.replace("scheduler =", built, 1).replace(line, ending, 1)
    engine = engine_of(tmp_path, code)
    alive: list[weakref.ref[Any]] = []
    engine._loop.function.__globals__["register"] = lambda it: alive.append(weakref.ref(it))
    gc.disable()
    try:
        for number in range(3):
            engine.add(spec(number=number))
            assert len([news for _ in range(EPOCHS) for news in engine.train_epoch()]) == EPOCHS
            engine.remove(number)
    finally:
        gc.enable()
    assert [each() for each in alive] == [None] * 6
