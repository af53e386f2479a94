"""Processes of commands: none is left, however the trial, its worker or its run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from commands import (
    EPOCHS,
    engine_of,
    settings_of,
    spec,
    trained,
    values,
    wait_for,
    wait_until_gone,
)

from sweep.training.own_command.engine import CommandEngine
from sweep.training.own_command.keeper import start_keeper

pytestmark = pytest.mark.slow

FAMILY = """
import os, signal, subprocess, sys, time
import sweep
trial = sweep.current_trial()
trial.schedule.rates(12)
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
children = [
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]),
    subprocess.Popen([sys.executable, "-c", STUBBORN + "print(1, flush=True); time.sleep(1000)"],
                     start_new_session=True, stdout=subprocess.PIPE),
    subprocess.Popen(["sleep", "1000"], start_new_session=True, env={}),
]
children[1].stdout.readline()
with open("pids.txt", "a") as file:
    print(os.getpid(), *(child.pid for child in children), file=file, flush=True)
"""
"""Has a child, a stubborn one in a session of its own, and one that has inherited nothing."""

REPORTS = "for epoch in range(trial.epochs):\n    trial.report(1)\n"
HANGS = "trial.report(1)\ntime.sleep(1000)\n"


def pids_of(folder: Path) -> list[int]:
    return [int(pid) for line in wait_for(folder / "pids.txt") for pid in line.split()]


def test_a_pruned_trial_ends_with_its_descendants(tmp_path: Path) -> None:
    code = FAMILY + "try:\n    trial.report(1)\nfinally:\n    open('closed.txt', 'w').write('1\\n')"
    with engine_of(tmp_path, code, stop_secs=1.0) as engine:
        engine.add(spec())
        assert values(engine.train_epoch()) == [1]
        pids = pids_of(tmp_path)
        engine.remove(0)
        wait_until_gone(pids, secs=0.1)
        assert wait_for(tmp_path / "closed.txt") == ["1"]  # it was told, not killed
        assert not (tmp_path / "trials/0").exists()


def test_one_that_completes_leaves_nothing_running(tmp_path: Path) -> None:
    with engine_of(tmp_path, FAMILY + REPORTS) as engine:
        assert values(trained(engine)) == [1] * EPOCHS
        wait_until_gone(pids_of(tmp_path), secs=0.1)
        assert (tmp_path / "trials/0/log.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_worker(number: signal.Signals, tmp_path: Path) -> None:
    worker = (
        "import sys; from pathlib import Path; from commands import settings_of, spec\n"
        "from sweep.training.own_command.engine import CommandEngine, end_on_signals\n"
        "here = Path('.').absolute()\n"
        "code = (here / 'script.py').read_text()\n"
        "engine = CommandEngine(settings_of(here, code, stop_secs=0.5))\n"
        "end_on_signals(engine)\n"
        "engine.add(spec())\n"
        "while True: engine.train_epoch()\n"
    )
    (tmp_path / "script.py").write_text(FAMILY + HANGS)
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", worker], cwd=tmp_path, env=environment)
    pids = pids_of(tmp_path)
    process.send_signal(number)
    process.wait()
    wait_until_gone(pids)
    while list(tmp_path.glob("sweep-*/*")):  # nor its sockets
        time.sleep(0.02)


def test_the_keeper_lets_sessions_be_that_have_ended(tmp_path: Path) -> None:
    """Their numbers may have been given to somebody else's."""
    mine, others = (
        subprocess.Popen(["sleep", "1000"], start_new_session=True, env={}) for _ in range(2)
    )
    try:
        keeper = start_keeper("no mark", str(tmp_path / "none"))
        keeper.communicate(f"{others.pid}\n\n{mine.pid}\n".encode())
        assert mine.wait() == -signal.SIGKILL
        assert others.poll() is None
    finally:
        for process in (mine, others):
            process.kill()
            process.wait()


RESUMED = """
import json, os, sys, time
import sweep
trial = sweep.current_trial()
trial.schedule.rates(12)
first = json.loads(trial.checkpoint.read_text())["epoch"] if trial.checkpoint.exists() else 0
print("from", first, "of which", trial.reported, "were told", flush=True)
for epoch in range(first, trial.epochs):
    trial.report(10 - epoch, epoch=epoch + 1)
    if (epoch, first) == (1, 0):
        os.abort() if "late" in sys.argv else None
    trial.checkpoint.write_text(json.dumps({"epoch": epoch + 1}))
    if (epoch, first) == (1, 0):
        time.sleep(1000)
"""


@pytest.mark.parametrize(("when", "kept"), [("soon", 2), ("late", 1)])
def test_an_interrupted_trial_goes_on_from_its_checkpoint(
    when: str, kept: int, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "trials/0/checkpoint.pt"
    engine = CommandEngine(settings_of(tmp_path, RESUMED, when, stop_secs=0.1))
    engine.add(spec())
    news = [*engine.train_epoch(), *engine.train_epoch()]
    assert values(news) == [10, 9]
    engine._runs[0].go_on()
    if when == "soon":
        while json.loads(wait_for(checkpoint)[0])["epoch"] < 2:
            pass
    else:
        engine._runs[0].process._process.wait()
    engine.close()  # in the middle of the third epoch, or before the checkpoint of the second
    with open(tmp_path / "trials/0/reports.jsonl", "a") as file:
        file.write('{"number": 0, "epo')  # what a kill may leave
    with engine_of(tmp_path, RESUMED, when) as again:
        assert values(trained(again)) == [10, 9, 8]  # each once
        assert again.notes[0] == "trial 0 goes on after its epoch 2"
    log = (tmp_path / "trials/0/log.txt").read_text()
    assert f"from {kept} of which 2 were told" in log


def test_a_trial_without_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    code = RESUMED.replace("trial.checkpoint.write_text", "str")
    engine = CommandEngine(settings_of(tmp_path, code, stop_secs=0.1))
    engine.add(spec())
    assert values(engine.train_epoch()) == [10]
    engine.close()
    with engine_of(tmp_path, code.replace("(1, 0)", "0")) as again:
        assert values(trained(again)) == [10, 9, 8]
        assert not any("goes on" in note for note in again.notes)


def test_another_trials_folder_is_not_taken_over(tmp_path: Path) -> None:
    with engine_of(tmp_path, RESUMED.replace("(1, 0)", "0")) as engine:
        trained(engine)
        assert (tmp_path / "trials/0/checkpoint.pt").exists()
        assert values(trained(engine, spec(seed=4))) == [10, 9, 8]
        assert "from 0" in (tmp_path / "trials/0/log.txt").read_text()


def test_runs_that_are_no_trials_leave_no_folder_unless_it_is_kept(tmp_path: Path) -> None:
    code = "import sweep\nt = sweep.current_trial()\nt.schedule.rates(3)\n"
    code += "for epoch in range(3): t.report(epoch)\n"
    for keep in (False, True):
        with engine_of(tmp_path, code, keep=keep) as engine:
            trained(engine, spec(name="confirm-4-1"))
        assert (tmp_path / "trials/confirm-4-1").exists() == keep


def test_a_command_that_is_not_there_fails_its_trials(tmp_path: Path) -> None:
    settings = replace(settings_of(tmp_path, ""), words=("no-such-command",))
    engine = CommandEngine(settings)
    try:
        with pytest.raises(Exception, match="no-such-command: cannot be started: No such file"):
            engine.add(spec())
    finally:
        engine.close()
