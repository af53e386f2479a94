"""Notes on every kind of storage."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest
from called import called
from optuna_dashboard import get_note, save_note
from support import PostgreSQL

from sweep.report.dashboard.note import is_ours, write_note
from sweep.report.dashboard.running_note import RunningNote, running_note
from sweep.search.storage.opening import load_study, open_study
from sweep.search.storage.urls import storage_url
from sweep.search.trials import StudyReader
from sweep.study.file import load_study as load_settings
from sweep.study.settings import StudyConfig


def study_on(kind: str, folder: Path, request: pytest.FixtureRequest) -> optuna.Study:
    if kind == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.new_database("notes")
    else:
        url = str(folder / "study.journal") if kind == "journal" else f"sqlite:///{folder}/a.db"
    study = open_study("mine", url, optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())
    for value in (3.0, 2.0, 1.0):
        trial = study.ask()
        trial.suggest_float("lr", 0.001, 1.0)
        study.tell(trial, value)
    return study


@pytest.mark.parametrize(
    "kind", ["journal", "sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
)
def test_notes_on_a_study_and_on_trials_that_have_ended(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    study = study_on(kind, tmp_path, request)
    try:
        first = study.get_trials()[0]._trial_id
        long = "word " * 1500
        assert write_note(study, long)
        assert not write_note(study, long)
        assert get_note(study).startswith(long.rstrip())
        assert is_ours(get_note(study))
        assert write_note(study, "short")
        assert get_note(study).splitlines()[0] == "short"
        assert write_note(study, "of a trial", first)
        assert get_note(optuna.Trial(study, first)).startswith("of a trial")
        assert write_note(study, "", first)
        assert get_note(optuna.Trial(study, first)) == ""
        assert get_note(study).startswith("short")
    finally:
        if isinstance(study._storage, optuna.storages._CachedStorage):
            study._storage.remove_session()
            study._storage._backend.engine.dispose()


def test_an_edited_note_stays(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    study = study_on("journal", tmp_path, request)
    write_note(study, "ours")
    save_note(study, "to remember: " + get_note(study))
    assert not write_note(study, "ours, newer")
    assert get_note(study).startswith("to remember: ours\n")


@pytest.mark.slow
def test_a_running_note_is_right_and_one_record(tiny_study: Path) -> None:
    study = load_study("diabetes", storage_url(None, tiny_study))
    config = load_settings(tiny_study / "study.toml")
    trials = StudyReader(study, config).trials
    note = running_note("diabetes", trials, config, 9)
    best = study.best_trial
    assert "**3 of 9 trials** have ended: 3 completed." in note
    assert f"validation MSE **{best.value:.4g}** of trial {best.number} " in note
    rows = [line for line in note.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len({trial.scheduler for trial in trials})
    assert rows[0].startswith(f"| {best.params['scheduler']} | ")
    assert running_note("diabetes", [], config, 9).endswith("have ended: none.")
    many = {"name": "x" * 5000, "scheduler": ["constant"]}
    assert len(running_note(many["name"], trials, config, 9)) < 2045  # type: ignore[arg-type]


def test_a_run_that_is_interrupted_leaves_a_note(tmp_path: Path) -> None:
    study = open_study(
        "mine",
        str(tmp_path / "study.journal"),
        optuna.samplers.RandomSampler(),
        optuna.pruners.NopPruner(),
    )
    config = StudyConfig.model_validate({"data": {"source": "diabetes"}})
    note = RunningNote(StudyReader(study, config), 50)
    note.trial_finished()
    assert "**0 of 50 trials** have ended" in get_note(study)
    size = (tmp_path / "study.journal").stat().st_size
    for _ in range(1000):
        note.trial_finished()
    assert (tmp_path / "study.journal").stat().st_size == size


@pytest.mark.slow
def test_a_note_costs_little_of_a_study_of_thousands(tiny_study: Path) -> None:
    import time

    study = load_study("diabetes", storage_url(None, tiny_study))
    config = load_settings(tiny_study / "study.toml")
    trials = StudyReader(study, config).trials * 1000
    began = time.process_time()
    running_note("diabetes", trials, config, 5000)
    assert time.process_time() - began < 1e-4 * len(trials)


@pytest.mark.slow
def test_a_real_run_keeps_its_note(tmp_path: Path) -> None:
    small = ("--trials", "2", "--epochs", "2", "--workers", "1", "--no-confirm")
    assert called("run", "diabetes", *small, cwd=tmp_path).returncode == 0
    folder = tmp_path / "studies" / "diabetes"
    journal = (folder / "study.journal").read_text()
    assert re.search(r"\*\*[12] of 2 trials\*\* ha(s|ve) ended", journal)
    study = load_study("diabetes", storage_url(None, folder))
    assert get_note(study).startswith("# diabetes\n")
    assert "## Schedulers" in get_note(study)
