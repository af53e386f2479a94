"""Commands of the user's own: what the engine makes of what they report and how they end."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy
import pytest
from commands import (
    EPOCHS,
    PLAIN,
    end_of,
    engine_of,
    error_of,
    spec,
    trained,
    values,
)

import sweep
from sweep.training.contract import EpochResult
from sweep.training.own_command.process import failure
from sweep.training.own_command.protocol import Peer
from sweep.training.own_command.trial_run import Report
from sweep.training.own_loop.advice import StepsSeen

pytestmark = pytest.mark.slow

REPORT = """
import os, sys, time, math, subprocess, pathlib
import sweep
trial = sweep.current_trial()
trial.schedule.rates(12)
"""


def test_what_it_reports_is_what_is_recorded(tmp_path: Path) -> None:
    with engine_of(tmp_path, PLAIN) as engine:
        news = trained(engine)
        assert values(news) == pytest.approx([0.2, 0.1, 0.2 / 3])
        rates = spec().schedule.rates(12)
        for epoch, result in enumerate(news):
            assert isinstance(result, EpochResult)
            assert (result.epoch, result.total_steps, result.training) == (epoch + 1, 12, 0.5)
            assert result.lr_first == pytest.approx(rates[4 * epoch])
            assert result.lr_last == pytest.approx(rates[4 * epoch + 3])
            assert result.seconds > 0
        log = (tmp_path / "trials/0/log.txt").read_text()
        assert log.split() == "reported 1 reported 2 reported 3".split()
        assert len(engine.notes) == 1 and "does not ask for trial.seed" in engine.notes[0]


def test_a_script_knows_its_trial(tmp_path: Path) -> None:
    code = REPORT + (
        "print(trial.number, trial.seed, trial.epochs, trial.horizon, trial.params)\n"
        "print(trial.folder, trial.checkpoint.name, sys.argv[1:], os.getcwd())\n"
        "print(os.environ['OMP_NUM_THREADS'], os.environ['CUDA_VISIBLE_DEVICES'])\n"
        "print(trial is sweep.current_trial(), sys.stdin.read() == '')\n"
        "assert not {'torch', 'optuna', 'pandas', 'pydantic'} & {*sys.modules}\n"
        "trial.report({'val_mse': 1, 'other': 2})\n"
    )
    given = {"threads": 3, "gpus": ("4,5",), "horizon": 60}
    with engine_of(tmp_path, code, "--amp", "a b", **given) as engine:
        news = trained(engine, spec(7, seed=11))
    assert values(news) == [1.0]
    assert isinstance(news[0], EpochResult) and news[0].metrics == {"other": 2.0}
    assert (tmp_path / "trials/7/log.txt").read_text().splitlines() == [
        "7 11 3 60 {'width': 4}",
        f"{tmp_path}/trials/7 checkpoint.pt ['--amp', 'a b'] {tmp_path}",
        "3 4,5",
        "True True",
    ]


def test_a_script_without_a_schedule_needs_no_numpy(tmp_path: Path) -> None:
    code = (
        "import sys\nfor name in ('numpy', 'torch', 'optuna', 'pandas'): sys.modules[name] = None\n"
        "import sweep\ntrial = sweep.current_trial()\nprint(trial.number)\n"
    )
    with engine_of(tmp_path, code) as engine:
        error = error_of(engine)
    assert error.error == "it ended with exit code 0 and reported nothing: call trial.report(value)"
    assert error.traceback == "0"


def test_another_environment_needs_numpy_and_this_package_alone(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = str(environment / "bin/python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
    packages = Path(found.stdout.strip())
    installed = Path(numpy.__file__).parent
    for source in (installed, installed.with_name("numpy.libs"), Path(sweep.__path__[0])):
        if source.exists():
            (packages / source.name).symlink_to(source)
    with engine_of(tmp_path, PLAIN, words=(python, "train.py")) as engine:
        assert len(values(trained(engine))) == EPOCHS
    (packages / "sweep").unlink()
    with engine_of(tmp_path, PLAIN, words=(python, "train.py")) as engine:
        error = error_of(engine).error
    assert (
        f"{python} is {python}: if another is meant, give its path, or install sweep-lr into its"
        in error
    )


def test_one_that_ends_early_has_completed(tmp_path: Path) -> None:
    code = REPORT + "trial.report(2)\ntrial.report(1)\n"
    with engine_of(tmp_path, code) as engine:
        news = trained(engine)
    assert values(news) == [2, 1]
    assert (end_of(news).ending, end_of(news).epoch) == ("completed", 2)
    assert (tmp_path / "trials/0/log.txt").exists()  # it may be the winner's


def test_one_report_at_the_end_is_the_last_epochs(tmp_path: Path) -> None:
    with engine_of(tmp_path, REPORT + "trial.report(2)\n") as engine:
        first, second = trained(engine), trained(engine)
        assert [n for n in engine.notes if "reports once" in n and "--epochs 1" in n]
    assert values(first) == values(second) == [2]
    assert isinstance(first[0], EpochResult) and first[0].epoch == 1  # nobody knew
    assert isinstance(second[0], EpochResult) and second[0].epoch == EPOCHS
    assert end_of(first).ending == "completed"


def test_an_epoch_that_is_left_out_counts_as_the_next(tmp_path: Path) -> None:
    with engine_of(tmp_path, REPORT + "trial.report(2, epoch=2)\ntrial.report(1)\n") as engine:
        assert values(trained(engine)) == [2, 2, 1]
        assert any("does not report every epoch" in note for note in engine.notes)


def test_after_a_trial_of_one_report_others_end_as_ever(tmp_path: Path) -> None:
    code = REPORT + (
        "trial.report(2)\nif trial.number == 0:\n    sys.exit()\ntrial.report(1)\n"
        "(trial.folder / 'model').touch()\n"
    )
    with engine_of(tmp_path, code, epochs=2) as engine:
        engine.add(spec(0))
        assert end_of([*engine.train_epoch(), *engine.train_epoch()]).ending == "completed"
        engine.add(spec(1))
        assert values(engine.train_epoch()) == [2, 1]
        engine.remove(1)
    assert (tmp_path / "trials/1/model").exists()  # it may be the winner's


def test_a_value_that_is_not_finite_is_passed_on(tmp_path: Path) -> None:
    with engine_of(tmp_path, REPORT + "trial.report(float('nan'))\n") as engine:
        assert math.isnan(values(trained(engine))[0])


def test_a_scripts_own_traceback_is_what_is_told(tmp_path: Path) -> None:
    code = REPORT + "print('x' * 100)\ntrial.report(1)\ndef step():\n    raise ValueError('bad')\n"
    with engine_of(tmp_path, code + "step()\n") as engine:
        error = error_of(engine)
    assert (error.epoch, error.error) == (2, "ValueError: bad (it ended with exit code 1)")
    assert "Traceback (most recent call last):" in error.traceback
    assert "in step" in error.traceback
    assert [path.name for path in (tmp_path / "trials/0").iterdir()] == ["log.txt"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("sys.exit('no data here')", "it ended with exit code 1: no data here"),
        ("os.kill(os.getpid(), 9)", "it was killed by SIGKILL"),
        ("trial.report(2, epoch=0)", "report was given epoch=0: epochs are counted from 1"),
        ("import absent", "ModuleNotFoundError: No module named 'absent' (it ended with exit"),
        ("trial.report('high')", "report was given 'high' (str) as val_mse; expected a number"),
        ("trial.report({'acc': 1})", "report was given no 'val_mse', the study's metric (but acc)"),
    ],
)
def test_how_a_script_fails(code: str, told: str, tmp_path: Path) -> None:
    with engine_of(tmp_path, REPORT + code) as engine:
        assert told in error_of(engine).error


@pytest.mark.parametrize("before", [0, 5, 8, 40])
def test_the_whole_traceback_is_kept_however_long_the_log_is(before: int, tmp_path: Path) -> None:
    raised = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    f()\nE: bad'
    log = tmp_path / "log.txt"
    log.write_text("".join(f"line {n}\n" for n in range(before)) + raised + "\n")
    told, traceback = failure(1, log)
    assert told == "E: bad (it ended with exit code 1)"
    assert traceback.endswith(raised) and traceback.count("line ") == 1 + min(before, 11)
    assert failure(-35, log)[0] == "E: bad (it was killed by signal 35)"


def test_a_schedule_that_is_not_used_is_told(tmp_path: Path) -> None:
    with engine_of(tmp_path, PLAIN.replace("trial.schedule.rates", "len('a') * range")) as engine:
        (tmp_path / "train.py").write_text("import sweep\nsweep.current_trial().report(1)\n")
        error = error_of(engine)
    assert "the script has not used its schedule: scheduler = trial.attach(" in error.error


def test_too_many_reports_end_it_with_a_note(tmp_path: Path) -> None:
    code = REPORT + "try:\n    while True: trial.report(1)\nfinally:\n    print('closed')\n"
    with engine_of(tmp_path, code) as engine:
        assert values(trained(engine)) == [1] * EPOCHS
        assert any("reports more than 3 times" in note for note in engine.notes)
    assert (tmp_path / "trials/0/log.txt").read_text() == "closed\n"


def test_one_that_hangs_after_its_last_report_is_ended(tmp_path: Path) -> None:
    code = PLAIN + "import time\ntime.sleep(1000)\n"
    with engine_of(tmp_path, code, finish_secs=0.5, stop_secs=0.5) as engine:
        assert len(values(trained(engine))) == EPOCHS
        assert any("had not ended" in note for note in engine.notes)


def test_what_is_printed_much_stops_nothing(tmp_path: Path) -> None:
    code = REPORT + "for _ in range(3):\n    print('x' * 10**6)\n    trial.report(1)\n"
    with engine_of(tmp_path, code) as engine:
        assert values(trained(engine)) == [1] * EPOCHS
    assert (tmp_path / "trials/0/log.txt").stat().st_size == 3 * 10**6 + 3


def test_a_child_process_may_report(tmp_path: Path) -> None:
    code = REPORT + "for value in (3, 2):\n    if os.fork() == 0:\n        trial.report(value)\n"
    code += "        os._exit(0)\n    os.wait()\nimport pickle\n"
    code += "assert pickle.loads(pickle.dumps(trial)) is trial\n"
    code += "subprocess.run([sys.executable, '-c', '''import sweep\nt = sweep.current_trial()\n"
    code += "t.schedule.rates(3)\nt.report(1, epoch=3)'''], check=True)\n"
    with engine_of(tmp_path, code) as engine:
        assert values(trained(engine)) == [3, 2, 1]


@pytest.mark.parametrize("stepped", [None, (4, 4)])
def test_steps_that_were_seen_are_told(stepped: tuple[int, ...] | None) -> None:
    seen = StepsSeen(told=12, taken=(4, 4), stepped=stepped, share=0.5, strayed=2)
    told = {"value": 1.0, "metrics": {}, "epoch": None, "lr_first": 0.1, "lr_last": 0.1}
    told |= {"total_steps": 12, "seen": asdict(seen), "seed_was_read": True}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        report = Report.of(Peer(ours), json.loads(json.dumps(told)), following=3)
    assert report.seen == seen and report.epoch == 3
