"""Studies on a Ray cluster: real actors, on machines that are all this one."""

from __future__ import annotations

import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pandas as pd
import psutil
import pytest
from ray_machines import machines
from support import no_page, sweep, sweep_anew

from sweep.base.errors import InputError, TrainingError
from sweep.runs.before.check import check_study
from sweep.runs.library import load_study, run_study
from sweep.runs.listener import Listener
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig
from sweep.study.training.cluster import ClusterConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

LOOP = dedent(
    """
    import os, time, torch
    from pathlib import Path
    from helper import start

    def train(schedule, *, epochs, seed, trial, state=None):
        weight = torch.nn.Parameter(torch.tensor(start(state)))
        optimizer = torch.optim.SGD([weight], lr=0.1)
        scheduler = schedule.attach(optimizer, steps_per_epoch=1)
        for epoch in range(state["epoch"] if state else 0, epochs):
            while epoch == 4 and trial.number >= FIRST and not Path("HERE/go").exists():
                time.sleep(0.05)  # until a machine was lost with it, or with another one
            time.sleep(0.1)
            loss = weight.square()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            (trial.folder / "weight.txt").write_text(str(float(weight)))
            (trial.folder / "gpus.txt").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
            yield {"val_mse": float(loss), "state": {"epoch": epoch + 1, "weight": float(weight)}}
    """
)
LACKING = dedent(
    """
    import sys

    class Lacking:
        def find_spec(self, name, *_):
            if name == "scipy":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Lacking())
    """
)
HELPER = "def start(state):\n    return state['weight'] if state else 1.0\n"


class Acting(Listener):
    """Does something, once, when so many trials have ended and each in training has a state."""

    def __init__(self, after: int, act: Any) -> None:
        self.after = after
        self.act = act
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)

    def on_tick(self, status: Any) -> None:
        reached = [lane.epochs for lane in status.lanes]
        if self.act and status.endings.ended >= self.after and min(reached, default=0) >= 2:
            act, self.act = self.act, None
            act()


def courses(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "epochs.csv").drop(columns=["seconds"])


def rays(folder: str) -> list[str]:
    """Processes of a cluster whose files are there: other tests have clusters of their own."""
    names = []
    for process in psutil.process_iter(["name", "cmdline"]):
        line = " ".join(process.info["cmdline"] or [process.info["name"]])
        if folder in line and ("/raylet" in line or "gcs_server" in line):
            names.append(line)
    return names


def test_trials_take_the_course_that_they_take_in_local_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = "/tmp/" + tmp_path.parent.name  # no cluster of another's
    monkeypatch.setenv("RAY_TMPDIR", files)
    study = ("run", "--data", "diabetes", "--epochs", "4", "--trials", "8", "--workers", "2")
    same = (*study, "--deterministic", "--set", "confirm.seeds=2")
    local = sweep(*same, "--out", "local", cwd=tmp_path)
    assert local.returncode == 0, local.stderr
    done = sweep_anew(*same, "--out", "ray", "--cluster", "ray", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "started here" in done.stdout + done.stderr
    pd.testing.assert_frame_equal(courses(tmp_path / "ray"), courses(tmp_path / "local"))
    for name in ("confirm.csv", "best_schedule.json", "predictions.csv"):
        ours, theirs = tmp_path / "ray" / name, tmp_path / "local" / name
        assert ours.read_bytes() == theirs.read_bytes(), name
    assert "(raylet)" not in done.stdout + done.stderr
    assert not rays(files)  # a cluster that was started for it has ended with it


def test_machines_come_and_go_and_at_last_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = 3  # of the trials that wait for it
    (tmp_path / "train.py").write_text(
        LOOP.replace("FIRST", str(first)).replace("HERE", str(tmp_path))
    )
    (tmp_path / "helper.py").write_text(HELPER)
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {"epochs": 8, "pruner": "none", "confirm": {"enabled": False}}
    with machines() as cluster:
        cluster.add()
        cluster.add()

        def lose_one_and_get_another() -> None:
            cluster.kill()
            (tmp_path / "go").touch()
            cluster.add()

        heard = Acting(first, lose_one_and_get_another)
        address: dict[str, Any] = {"address": cluster.address, "gpus_per_worker": 1}
        found = run_study(
            loop="train.py:train", trials=10, cluster=address, listener=heard, **settings
        )
        assert (found.folder / "best" / "gpus.txt").read_text() == "0"
        assert list(found.results["state"]) == ["COMPLETE"] * 10
        assert found.epochs.groupby("number").size().tolist() == [8] * 10
        assert any("was lost with its place on the machine" in note for note in heard.notes)
        assert any("goes on after its epoch" in note for note in heard.notes), heard.notes
        assert (found.folder / "best" / "weight.txt").is_file()
        assert "Ray" in heard.notes[0]

        (tmp_path / "go").unlink()
        del address["gpus_per_worker"]
        heard = Acting(first, cluster.kill_all)
        began = time.monotonic()
        with pytest.raises(TrainingError, match=r"has gone.*--cluster local|Ray has ended"):
            run_study(loop="train.py:train", trials=16, cluster=address, listener=heard, **settings)
        assert time.monotonic() - began < 400
        seen = [path.read_text() for path in found.folder.glob("trials/*/gpus.txt")]
        assert seen and not any(seen)  # a machine's GPUs are theirs who ask for them
    (tmp_path / "go").touch()
    heard = Acting(0, None)
    found = run_study(loop="train.py:train", trials=16, listener=heard, **settings)
    assert any("resuming trials that were interrupted" in note for note in heard.notes)
    assert list(found.results["state"]) == ["COMPLETE"] * 16
    assert found.epochs.groupby("number").size().tolist() == [8] * 16
    assert not (found.folder / "checkpoints").exists()


def test_a_check_looks_at_every_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them lacks a package that the loop imports: this one has it."""
    (tmp_path / "train.py").write_text(
        LOOP.replace("FIRST", "9").replace("import os", "import scipy, os")
    )
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "lacks").mkdir()
    (tmp_path / "lacks" / "sitecustomize.py").write_text(LACKING)
    monkeypatch.chdir(tmp_path)
    place = Location("lacking", None, tmp_path / "out")
    config = StudyConfig(loop="train.py:train", trials=4, epochs=2)
    with machines() as cluster:
        cluster.add()
        config = config.model_copy(update={"cluster": ClusterConfig(address=cluster.address)})
        cluster.add(PYTHONPATH=str(tmp_path / "lacks"))
        (problem,) = check_study(place, config).problems
        assert problem.startswith("on the machine ") and "'scipy'; install it there" in problem
    assert not (tmp_path / "out").exists()


def test_nothing_is_thrown_away_for_a_cluster_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {"epochs": 1, "trials": 2, "confirm": {"enabled": False}}
    with no_page():
        run_study(data="diabetes", out="out", model={"name": "linear"}, **settings)
    before = (tmp_path / "out" / "results.csv").read_bytes()
    for device, wrong in (("auto", "no Ray cluster is reached"), ("cuda", "gpus_per_worker")):
        with pytest.raises(InputError, match=wrong):
            run_study(
                data="diabetes",
                out="out",
                fresh=True,
                cluster="127.0.0.1:1",
                device=device,
                **settings,
            )
    assert (tmp_path / "out" / "results.csv").read_bytes() == before
    assert len(load_study("out").results) == 2
