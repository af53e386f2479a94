"""Trials that are first trained over a compressed horizon: whole runs, and what they leave."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from called import called
from optuna.trial import FrozenTrial, TrialState
from small_runs import Notes
from small_runs import sweep as small_sweep
from storages import closed_later
from support import PostgreSQL, drawn, no_page, start_sweep, sweep

from sweep.search.storage.opening import load_study
from sweep.search.tables import read_results

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

BY_HAND = """
import math, os, pathlib, signal, sys
HERE = pathlib.Path(__file__).parent

def train(schedule, *, epochs, seed, trial):
    rates = schedule.rates(100 * epochs)
    with open(HERE / "begun.txt", "a") as file:
        file.write(f"{trial.number} {epochs}\\n")
    for epoch in range(1, epochs + 1):
        at(trial.number, epochs, epoch)
        yield 1 + abs(math.log10(schedule.lr) + 1.5) + float(rates[-1]) / (epoch + 10)

def at(number, epochs, epoch):
    pass
"""
"""A loop whose metric is least for rates near 0.03."""


@pytest.fixture(autouse=True)
def _few_steps_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that trainings may be short."""
    for module in ("strategies.without_auditions", "coordinator"):
        monkeypatch.setattr(f"sweep.search.{module}.FEWEST_STEPS", 24)


LOOP = ("run", "--loop", "train.py:train", "--epochs", "8", "--lr", "1e-3:1:log", "--out", "out")
SMALL = ("--sampler", "random", "--no-confirm", "--workers", "1", "--quiet")
TIMES = ["started", "finished", "duration", "seconds"]


def written(folder: Path, code: str = BY_HAND) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(code)
    return folder


def trials_of(folder: Path) -> list[FrozenTrial]:
    """Those that were drawn."""
    return drawn(all_trials_of(folder))


def all_trials_of(folder: Path) -> list[FrozenTrial]:
    return load_study("train", str(folder / "out/study.journal")).get_trials(deepcopy=False)


def begun_in(folder: Path) -> list[tuple[int, int]]:
    """Number and horizon of each training that a loop has begun, in their order."""
    lines = (folder / "begun.txt").read_text().splitlines()
    return [(int(number), int(epochs)) for number, epochs in map(str.split, lines)]


def tables(folder: Path) -> list[pd.DataFrame]:
    read = [pd.read_csv(folder / "out" / f"{name}.csv") for name in ("results", "epochs")]
    return [table.drop(columns=TIMES, errors="ignore") for table in read]


def assert_sound(trials: list[FrozenTrial], epochs: int, horizon: int) -> None:
    """One report of an audition, at its horizon; of the whole trial only what comes after it."""
    for trial in trials:
        steps = sorted(trial.intermediate_values)  # a server has no order
        assert trial.system_attrs["sweep:audition"]["epochs"] == horizon
        if trial.state == TrialState.COMPLETE:
            assert steps == [*range(horizon, epochs + 1)]
        elif "audition" in trial.user_attrs["reason"]:
            assert steps == [horizon]
            assert trial.user_attrs["epochs_run"] == 0


def test_the_best_third_is_trained_whole_from_its_start(tmp_path: Path) -> None:
    written(tmp_path)
    done = called(*LOOP, *SMALL, "--trials", "24", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = trials_of(tmp_path)
    assert_sound(trials, 8, 1)
    first = sorted(trials[:8], key=lambda trial: trial.intermediate_values[1])
    begun = begun_in(tmp_path)
    whole = [number for number, epochs in begun if epochs == 8]
    assert begun[:8] == [(number, 1) for number in range(8)]  # before any is decided on
    assert {n for n in whole if n < 8} == {trial.number for trial in first[:2]}
    assert len(begun) == len(set(begun)) == 24 + len(whole)
    assert 4 <= len(whole) <= 14
    results, epochs = tables(tmp_path)
    assert (results["audition_val_mse"].notna() == results["completes"].isna()).all()
    assert epochs.groupby("horizon").size()[1] == 24
    assert set(epochs["horizon"]) == {1, 8}
    assert not any((tmp_path / "out").rglob("state.pt"))


@pytest.mark.parametrize("engine", ["sequential", "vectorized"])
def test_an_audition_is_a_study_of_so_few_epochs(engine: str, tmp_path: Path) -> None:
    """Several lanes and workers, auditions of 2 epochs beside whole trials of 16."""
    one: dict[str, Any] = {
        "sampler__name": "random",
        "seed": 5,
        "model__name": "mlp",
        "engine": engine,
        "optimizer__batch_size": 16,
    }
    study, *_ = small_sweep(tmp_path, epochs=16, trials=24, lanes=4, **one)
    short: dict[str, Any] = {"epochs": 2, "trials": 24, "pruner__name": "none"}
    other = tmp_path / "short"
    other.mkdir()
    few, *_ = small_sweep(other, **short, **one)
    trials = drawn(study.get_trials(deepcopy=False))
    assert_sound(trials, 16, 2)
    counts = [trial.state == TrialState.COMPLETE for trial in trials]
    assert 2 <= sum(counts) <= 12
    for trial, alone in zip(trials, drawn(few.get_trials(deepcopy=False)), strict=True):
        assert trial.params == alone.params
        if alone.value is not None and 2 in trial.intermediate_values:
            assert trial.intermediate_values[2] == pytest.approx(alone.value, rel=1e-4)


@pytest.mark.parametrize("name", ["median", "hyperband", "none", "halving", "thorough", "fast"])
def test_other_pruners_have_no_auditions(name: str, tmp_path: Path) -> None:
    study, config, location = small_sweep(tmp_path, pruner__name=name, epochs=16, trials=3)
    assert config.audition_epochs == 0
    assert set(pd.read_csv(location.folder / "epochs.csv")["horizon"]) == {16}
    assert read_results(location.folder)["audition_val_mse"].isna().all()
    for trial in study.get_trials(deepcopy=False):
        assert "sweep:audition" not in trial.system_attrs
        assert [*trial.intermediate_values] == [*range(1, len(trial.intermediate_values) + 1)]


def test_baselines_and_those_that_complete_a_pruned_one_have_none(tmp_path: Path) -> None:
    written(tmp_path)
    baseline = ("--baseline", "cosine, lr=0.5")
    given = ("--trials", "12", "--workers", "1", "--quiet", *baseline)
    done = called(*LOOP, *given, "--set", "confirm.share=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = all_trials_of(tmp_path)
    own = [trial for trial in trials if "baseline" in trial.user_attrs]
    completing = [trial for trial in trials if "completes_trial" in trial.user_attrs]
    assert len(own) == 1 and completing
    for trial in (*own, *completing):
        assert trial.state == TrialState.COMPLETE
        assert trial.user_attrs["epochs_run"] == 8
        assert "sweep:audition" not in trial.system_attrs
    assert 1 not in own[0].intermediate_values  # it would be taken for an audition's


IGNORES = {
    "attached": """
import torch
def train(schedule, *, epochs, seed):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    scheduler = schedule.attach(optimizer, total_steps=240)
    for epoch in range(8):
        for _ in range(30):
            optimizer.step()
            scheduler.step()
        yield schedule.lr + 1 / (epoch + 1)
""",
    "by hand": """
def train(schedule, *, seed):
    rates = schedule.rates(240)
    for epoch in range(8):
        yield schedule.lr + 1 / (epoch + 1)
""",
    "returned": """
def train(schedule, *, seed):
    rates = schedule.rates(240)
    return schedule.lr
""",
}


@pytest.mark.parametrize("form", IGNORES)
def test_a_loop_that_ignores_its_epochs_is_found(form: str, tmp_path: Path) -> None:
    """Said once; trials are pruned by their epochs then, and each is trained whole till there."""
    written(tmp_path, IGNORES[form])
    done = called(*LOOP, *SMALL[:-1], "--trials", "14", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert said.count("no trial gets an audition") == 1, said
    trials = trials_of(tmp_path)
    unlucky = [t for t in trials if "audition" in t.user_attrs.get("reason", "")]
    # Without an optimizer it takes a whole trial to see it. The first eight have had auditions
    # then, and the ninth, which was asked for while the eighth had its.
    assert 0 == len(unlucky) if form == "attached" else 6 <= len(unlucky) <= 7
    for trial in trials:
        if trial not in unlucky:
            assert trial.user_attrs["epochs_run"] >= (1 if form == "returned" else 2)
    assert sum(trial.state == TrialState.COMPLETE for trial in trials) >= 2


ODD = {
    "raises": ('raise RuntimeError("out of patience")', "FAIL"),
    "diverges": ('raise OverflowError("too large")', "PRUNED"),
    "prunes itself": ("raise TrialPruned()", "PRUNED"),
    "dies": ("os._exit(7)", "FAIL"),
}


@pytest.mark.parametrize("how", ODD)
def test_an_audition_that_goes_wrong(how: str, tmp_path: Path) -> None:
    code, state = ODD[how]
    wrong = f"    if epochs == 2 and number == 3 and epoch == 2: {code}\n"
    written(tmp_path, BY_HAND.replace("    pass\n", wrong) + "class TrialPruned(Exception): pass\n")
    long = ("--epochs", "16", "--trials", "10")
    done = called(*LOOP, *SMALL, *long, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = trials_of(tmp_path)
    assert trials[3].state.name == state
    assert trials[3].intermediate_values == {}
    results, epochs = tables(tmp_path)
    assert results["epochs_run"][3] == 0
    assert_sound([trial for trial in trials if trial.number != 3], 16, 2)
    begun = (tmp_path / "begun.txt").read_text().splitlines()
    assert begun.count("3 2") == (2 if how == "dies" else 1) and "3 16" not in begun
    trained = epochs.query("number == 3")
    if how == "dies":  # what it had trained is lost with its worker
        assert trained.empty
    else:
        assert [*trained["epoch"]] == [1] and [*trained["horizon"]] == [2]


def test_a_metric_that_is_no_number_ends_an_audition(tmp_path: Path) -> None:
    wrong = BY_HAND.replace("yield 1 +", "yield math.nan if trial.number == 3 else 1 +")
    written(tmp_path, wrong)
    done = called(*LOOP, *SMALL, "--trials", "10", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trial = trials_of(tmp_path)[3]
    assert trial.state == TrialState.PRUNED and "diverged" in trial.user_attrs["reason"]
    assert trial.system_attrs["sweep:audition"]["value"] is None


KILLED = """
def at(number, epochs, epoch):
    if (number, epochs, epoch) == WHERE and not (HERE / "killed.txt").exists():
        (HERE / "killed.txt").write_text("")
        import time
        while not (HERE / "pid.txt").exists():
            time.sleep(0.01)
        os.kill(int((HERE / "pid.txt").read_text()), SIGNAL)
        time.sleep(60)
"""


TO_KILL = (*LOOP, *SMALL, "--epochs", "16", "--trials", "14")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, which nothing interrupts."""
    folder = written(tmp_path_factory.mktemp("whole"))
    with no_page():
        done = called(*TO_KILL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("where", "with_signal"),
    [
        ("its own first audition", signal.SIGKILL),
        ("an audition, others wait for their decision", signal.SIGKILL),
        ("an audition, others wait for their decision", signal.SIGINT),
        ("a whole trial, before its first report", signal.SIGKILL),
        ("a whole trial, after some reports", signal.SIGKILL),
        ("a whole trial, after some reports", signal.SIGINT),
        ("a later audition", signal.SIGKILL),
    ],
)
def test_an_interrupted_run_comes_to_the_same(
    where: str, with_signal: signal.Signals, whole: Path, tmp_path: Path
) -> None:
    begun = begun_in(whole)
    passed = [number for number, epochs in begun if epochs == 16]
    places = {
        "its own first audition": (0, 2, 2),
        "an audition, others wait for their decision": (5, 2, 1),
        "a whole trial, before its first report": (passed[0], 16, 2),
        "a whole trial, after some reports": (passed[1], 16, 4),
        "a later audition": (10, 2, 2),
    }
    killing = KILLED.replace("WHERE", str(places[where])).replace("SIGNAL", str(int(with_signal)))
    folder = written(tmp_path / "killed", BY_HAND.partition("def at")[0] + killing)
    process = start_sweep(*TO_KILL, cwd=folder)
    (folder / "pid.txt").write_text(str(process.pid))
    process.communicate(timeout=120)
    assert (folder / "killed.txt").exists()
    before = {t.number: dict(t.intermediate_values) for t in trials_of(folder)}
    done = called(*TO_KILL, cwd=folder)
    assert done.returncode == 0, done.stderr
    trials = trials_of(folder)
    assert_sound(trials, 16, 2)
    for trial in trials:
        kept = before.get(trial.number, {})
        assert kept.items() <= trial.intermediate_values.items()
    for one, other in zip(tables(folder), tables(whole), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_two_workers_on_a_server(tmp_path: Path, postgresql: PostgreSQL) -> None:
    written(tmp_path)
    url = postgresql.new_database("auditions")
    given = (*LOOP, *SMALL[:3], "--workers", "2", "--quiet", "--storage", url)
    done = sweep(*given, "--trials", "10", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = sweep(*given, "--trials", "16", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with closed_later(load_study("train", url)) as study:
        trials = drawn(study.get_trials(deepcopy=False))
    assert len(trials) == 16
    assert_sound(trials, 8, 1)
    results, epochs = tables(tmp_path)
    assert results["completes"].isna().sum() == 16
    assert epochs.query("horizon == 1").groupby("number").size().eq(1).all()


def test_a_study_of_the_rule_before_auditions_goes_on_with_them(tmp_path: Path) -> None:
    """Epoch 2 of its whole trials is not taken for what an audition came to."""
    settings: dict[str, Any] = {"epochs": 16, "sampler__name": "random", "workers": 1}
    settings["optimizer__batch_size"] = 16
    small_sweep(tmp_path, trials=10, pruner__name="halving", **settings)
    notes = Notes()
    study, *_ = small_sweep(tmp_path, notes, trials=20, **settings)
    trials = drawn(study.get_trials(deepcopy=False))
    assert all(2 in trial.intermediate_values for trial in trials[:10])
    assert_sound(trials[10:], 16, 2)
    best = sorted(trials[10:18], key=lambda trial: trial.intermediate_values[2])
    passed = {t.number for t in trials[10:18] if "audition" not in t.user_attrs.get("reason", "")}
    assert passed == {trial.number for trial in best[:2]}


def test_trials_carried_over_have_auditions(tmp_path: Path) -> None:
    written(tmp_path)
    assert called(*LOOP, *SMALL, "--trials", "10", cwd=tmp_path).returncode == 0
    again = (*LOOP[:-1], "other", *SMALL, "--warm-start", "out", "--trials", "12")
    done = called(*again, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    study = load_study("train", str(tmp_path / "other/study.journal"))
    assert_sound(drawn(study.get_trials(deepcopy=False)), 8, 1)


SCRIPT = """
import sweep
trial = sweep.current_trial()
epochs = EPOCHS
rates = trial.schedule.rates(100 * epochs)
(trial.folder / f"left-{epochs}.txt").write_text("")
trial.seed
for epoch in range(epochs):
    trial.report(trial.schedule.lr + float(rates[-1]))
"""


@pytest.mark.parametrize("epochs", ["trial.epochs", "8"])
def test_a_command_has_auditions_if_it_trains_its_epochs(epochs: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT.replace("EPOCHS", epochs))
    given = ("--epochs", "8", "--trials", "10", "--no-confirm", "--out", "out", "--keep")
    more = ("--lr", "1e-3:1:log", "--workers", "1", "--", sys.executable, "train.py")
    done = sweep("run", *given, *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert ("no trial gets an audition" in said) is (epochs == "8")
    for trial in trials_of(tmp_path):
        files = {path.name for path in (tmp_path / f"out/trials/{trial.number}").iterdir()}
        horizon = 8 if trial.user_attrs["epochs_run"] or epochs == "8" else 1
        assert {name for name in files if name.startswith("left")} == {f"left-{horizon}.txt"}
    if epochs == "trial.epochs":
        assert_sound(trials_of(tmp_path), 8, 1)
