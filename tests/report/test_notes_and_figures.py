"""Notes and figures of a study that has been run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import optuna
import pytest
from optuna_dashboard import get_note, save_note

from sweep.report.dashboard.artifacts import attach
from sweep.report.dashboard.notes_and_figures import show
from sweep.report.figures.all import pictures
from sweep.report.findings import Findings, gather
from sweep.search.storage.opening import load_study
from sweep.search.storage.urls import storage_url
from sweep.study.file import load_study as load_settings

pytestmark = pytest.mark.slow


@pytest.fixture
def findings(tiny_study: Path, tmp_path: Path) -> Findings:
    folder = tmp_path / "diabetes"
    shutil.copytree(tiny_study, folder)
    study = load_study("diabetes", storage_url(None, folder))
    return gather(study, load_settings(folder / "study.toml"), folder)


def journal_size(findings: Findings) -> int:
    return (findings.summary.folder / "study.journal").stat().st_size


def test_showing_twice_writes_nothing_more(findings: Findings) -> None:
    drawn = pictures(findings)
    show(findings, drawn)
    size = journal_size(findings)
    show(findings, drawn)
    assert journal_size(findings) == size


def test_the_best_trials_have_notes_with_code_that_runs(findings: Findings) -> None:
    show(findings, pictures(findings))
    best = findings.summary.best
    assert best is not None
    note = get_note(optuna.Trial(findings.study, findings.study.trials[best.number]._trial_id))
    assert note.startswith(f"# {best.schedule.describe()}")
    assert "Winner, rank " in note
    namespace: dict[str, object] = {}
    exec(note.split("```python\n")[1].split("```")[0], namespace)
    assert callable(namespace["build_scheduler"])


def test_what_a_person_wrote_stays_and_what_is_no_longer_best_loses_its_note(
    findings: Findings,
) -> None:
    show(findings, pictures(findings))
    study, best = findings.study, findings.summary.best
    assert best is not None
    mine = optuna.Trial(study, study.trials[best.number]._trial_id)
    save_note(mine, "keep this")
    from dataclasses import replace

    other = next(trial for trial in findings.summary.top if trial.number != best.number)
    alone = replace(findings.summary, top=(findings.summary.top[0],))
    show(replace(findings, summary=alone), pictures(findings))
    assert get_note(mine) == "keep this"
    left = {t.number for t in study.trials if get_note(optuna.Trial(study, t._trial_id))}
    assert left <= {best.number, findings.summary.top[0].number}
    assert other.number not in left or other.number == findings.summary.top[0].number


def test_a_figure_that_is_no_longer_drawn_says_so(findings: Findings) -> None:
    drawn = pictures(findings)
    show(findings, drawn)
    show(findings, {name: picture for name, picture in drawn.items() if name != "residuals"})
    attributes = findings.study._storage.get_study_system_attrs(findings.study._study_id)
    prefix = "dashboard:plot_data:residuals:"
    chunks = {k: v for k, v in attributes.items() if k.startswith(prefix)}
    saved = "".join(chunks[f"{prefix}{place}"] for place in range(len(chunks)))
    assert "not drawn" in json.loads(saved)["layout"]["title"]["text"]


def test_attaching_twice_doubles_nothing(findings: Findings) -> None:
    count = attach(findings)
    assert count == 2 + 2 * len(findings.summary.top)
    files = sorted((findings.summary.folder / "artifacts").iterdir())
    size = journal_size(findings)
    assert attach(findings) == count == len(files)
    assert sorted((findings.summary.folder / "artifacts").iterdir()) == files
    assert journal_size(findings) == size

    (findings.summary.folder / "results.csv").write_text("new")
    attach(findings)
    assert journal_size(findings) == size
    assert "new" in [file.read_text(errors="ignore") for file in files]
