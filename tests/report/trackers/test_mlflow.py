"""Runs in a local MLflow: a database that its own client reads."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
from made_studies import CONFIG, mixed_study, write_best

from sweep.report.trackers.contract import Epoch
from sweep.report.trackers.local_database import is_new
from sweep.report.trackers.process import in_short
from sweep.report.trackers.runs import study_run, tracked_study, trial_run
from sweep.search.trials import StudyReader
from sweep.study.registries.trackers import TRACKERS

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of MLflow and SQLAlchemy

READER = StudyReader(mixed_study(), CONFIG)
STUDY = tracked_study(READER)


class Database:
    """An MLflow of this module's own, with the study in it."""

    def __init__(self, folder: Path) -> None:
        from mlflow import MlflowClient

        self.folder, self.uri = folder, f"sqlite:///{folder}/mlflow.db"
        self.client = MlflowClient(tracking_uri=self.uri)
        self.send()

    def send(self) -> None:
        from sweep.report.trackers.mlflow import MLflow

        tracker = MLflow(self.uri, STUDY)
        for trial in READER.trials:
            if not tracker.has_trial(trial.number):
                tracker.send_trial(trial_run(trial, CONFIG))
        tracker.send_study(study_run(READER.study, READER, self.folder))
        tracker.close()

    @property
    def runs(self) -> dict[str, Any]:
        experiment = self.client.get_experiment_by_name("shop")
        assert experiment
        found = self.client.search_runs([experiment.experiment_id])
        assert len({run.info.run_name for run in found}) == len(found)
        return {str(run.info.run_name): run for run in found}

    def files(self, name: str) -> set[str]:
        return {file.path for file in self.client.list_artifacts(self.runs[name].info.run_id)}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("mlflow")
    write_best(folder, trial=1)
    (folder / "results.csv").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # MLflow keeps files in mlruns/ there
        for name, value in TRACKERS["mlflow"].environment.items():
            patch.setenv(name, value)
        yield Database(folder)


def test_trials_are_runs_in_that_of_the_study(database: Database) -> None:
    runs = database.runs
    parent = runs.pop("shop")
    assert sorted(runs) == [f"trial-{number:04}" for number in range(8)]
    assert {r.data.tags["mlflow.parentRunId"] for r in runs.values()} == {parent.info.run_id}
    assert parent.data.params["optimizer.name"] == "sgd" and "data.target" not in parent.data.params
    assert parent.data.metrics["result/trials_pruned"] == 1
    assert database.files("shop") == {"results.csv"}


def test_a_run_has_its_curves_by_epoch_its_parameters_and_tags(database: Database) -> None:
    run = database.runs["trial-0001"]
    history = database.client.get_metric_history(run.info.run_id, "val_mse")
    assert [(m.step, m.value) for m in history] == [(1, 30), (2, 18), (3, 12), (4, 13)]
    assert run.data.metrics["result/val_mse"] == 12
    assert {"scheduler": "cosine", "lr": "0.2", "decay": "0.01"}.items() <= run.data.params.items()
    tags = {"sweep.study": "shop", "sweep.trial": "1", "sweep.ending": "completed"}
    assert tags.items() <= run.data.tags.items()
    assert database.files("trial-0001") == {"best_schedule.json", "best_schedule.py"}


def test_endings_are_marked(database: Database) -> None:
    runs = database.runs
    states = [runs[f"trial-{number:04}"].info.status for number in (0, 4, 5, 6)]
    assert states == ["FINISHED", "KILLED", "FAILED", "FAILED"]
    assert runs["trial-0004"].data.tags["sweep.reason"] == "pruned at epoch 2 by auto"
    marked = {name for name, run in runs.items() if "sweep.winner" in run.data.tags}
    assert marked == {"trial-0001", "shop"}


def test_to_send_it_again_completes_what_is_there(database: Database) -> None:
    before = database.runs
    half = before["trial-0002"].info.run_id
    database.client.delete_tag(half, "sweep.sent")  # as if the connection had been lost
    for other in ("trial-0000",):  # as if it had been the winner once
        database.client.set_tag(before[other].info.run_id, "sweep.winner", "true")
    database.send()
    after = database.runs
    ids = {name: run.info.run_id for name, run in before.items()}
    assert {name: run.info.run_id for name, run in after.items()} == ids
    assert len(database.client.get_metric_history(half, "val_mse")) == 4
    assert after["trial-0002"].data.tags["sweep.sent"] == "true"
    assert "sweep.winner" not in after["trial-0000"].data.tags


def test_a_discarded_trial_is_marked_for_as_long_as_it_is(database: Database) -> None:
    from sweep.report.trackers.mlflow import MLflow

    found = study_run(READER.study, READER, database.folder)
    for discarded in ((3,), ()):
        MLflow(database.uri, STUDY).send_study(replace(found, discarded=discarded))
        tags = database.runs["trial-0003"].data.tags
        assert ("sweep.discarded" in tags) is bool(discarded)


def test_marks_are_taken_away_on_whatever_page_of_the_answer_they_are(database: Database) -> None:
    from mlflow import MlflowClient

    from sweep.report.trackers.mlflow import MLflow

    by_two = partialmethod(MlflowClient.search_runs, max_results=2)
    found = study_run(READER.study, READER, database.folder)
    for discarded in (tuple(range(5)), ()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MlflowClient, "search_runs", by_two)
            MLflow(database.uri, STUDY).send_study(replace(found, discarded=discarded))
        marks = [run.data.tags.get("sweep.discarded") for run in database.runs.values()]
        assert marks.count("true") == len(discarded)


def test_names_that_mlflow_does_not_allow(database: Database) -> None:
    from sweep.report.trackers.mlflow import MLflow

    first = trial_run(READER.trials[0], CONFIG)
    course = (Epoch(1, first.started, {"recall@5": 0.5, "métrique (%)": float("inf")}),)
    strange = replace(first, epochs=course, params={"a:b[c]": "x" * 9000}, results={"f1@k": 1.0})
    MLflow(database.uri, replace(STUDY, name="strange", id="0a1b2c3d")).send_trial(strange)
    experiment = database.client.get_experiment_by_name("strange")
    assert experiment
    found = database.client.search_runs([experiment.experiment_id])
    (run,) = (run for run in found if run.info.run_name == "trial-0000")
    assert {"recall_5", "m_trique ___", "result/f1_k"} == {*run.data.metrics}
    assert len(run.data.params["a_b_c_"]) == 5000


def test_a_server_that_is_away_is_told_of_in_short(database: Database) -> None:
    from sweep.report.trackers.mlflow import MLflow

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"http://user:s3cret@127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(Exception) as raised:
            MLflow(place, STUDY)
    assert in_short(raised.value, place) == "cannot be reached: Connection refused"


def test_a_database_that_is_half_made_is_to_be_deleted(database: Database, tmp_path: Path) -> None:
    from sweep.report.trackers.mlflow import MLflow

    file = tmp_path / "half.db"
    shutil.copy(database.folder / "mlflow.db", file)
    with closing(sqlite3.connect(file)) as half:  # as it is in the middle of MLflow's migrations
        half.execute("DROP TABLE trace_tags")
        half.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        half.commit()
    for has_runs, remedy in ((True, "put a copy from before"), (False, "delete this file")):
        if not has_runs:
            with closing(sqlite3.connect(file)) as half:
                half.execute("DELETE FROM runs")
                half.commit()
        with pytest.raises(FileExistsError) as found:
            MLflow(f"sqlite:///{file}", STUDY)
        told = in_short(found.value, f"sqlite:///{file}")
        assert told.startswith(f"{file}: MLflow was interrupted") and remedy in told


def test_which_places_are_new_databases(database: Database, tmp_path: Path) -> None:
    assert is_new(f"sqlite:///{tmp_path}/not_there.db") and not is_new(database.uri)
    (tmp_path / "empty.db").touch()
    assert is_new(f"sqlite:///{tmp_path}/empty.db?timeout=9")
    for other in ("http://host:5000", "mlruns", "databricks", "postgresql://host/mlflow"):
        assert not is_new(other)
