"""Trials and studies as runs: what trackers are sent."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
from made_studies import CONFIG, add, mixed_study, new_study, write_best
from optuna.samplers import RandomSampler

from sweep.report.trackers.contract import TrialRun
from sweep.report.trackers.runs import study_run, tracked_study, trial_run
from sweep.search.continuation import begin
from sweep.search.storage.opening import open_study
from sweep.search.storage.optuna_private import DISCARDED, set_study_attribute
from sweep.search.trials import StudyReader
from sweep.study.settings import StudyConfig


def runs(config: StudyConfig, reader: StudyReader) -> list[TrialRun]:
    return [trial_run(trial, config) for trial in reader.trials]


def test_a_trial_has_its_course_its_parameters_and_what_it_came_to() -> None:
    cosine, step = (runs(CONFIG, StudyReader(mixed_study(), CONFIG))[n] for n in (1, 3))
    assert [epoch.number for epoch in cosine.epochs] == [1, 2, 3, 4]
    assert [epoch.values["val_mse"] for epoch in cosine.epochs] == [30, 18, 12, 13]
    first = dict(cosine.epochs[0].values)
    assert first["averaged_val_mse"] == 22.5 and first["train_mse"] == 15
    assert (first["lr/first"], first["lr/last"]) == (0.1, 0.05)
    assert cosine.results["val_mse"] == 12 and cosine.results["best_epoch"] == 3
    assert {"scheduler": "cosine", "lr": 0.2, "decay": 0.01}.items() <= cosine.params.items()
    assert cosine.params["optimizer"] == "sgd" and cosine.params["seed"] == 7
    assert step.params["step.drops"] == 2
    times = [cosine.started, *(epoch.at for epoch in cosine.epochs)]
    assert times == sorted(times) and math.isclose(times[-1], cosine.finished)


def test_what_a_schedule_makes_no_use_of_is_no_parameter() -> None:
    constant, *_ = runs(CONFIG, StudyReader(mixed_study(), CONFIG))
    assert "decay" not in constant.params and "warmup" in constant.params


def test_endings_are_marked_with_their_reasons() -> None:
    found = runs(CONFIG, StudyReader(mixed_study(), CONFIG))
    endings = [run.tags["ending"] for run in found]
    assert endings == [*["completed"] * 4, "pruned", "diverged", "failed", "failed"]
    assert found[4].tags["reason"] == "pruned at epoch 2 by auto" and "reason" not in found[0].tags
    assert "val_mse" not in found[5].epochs[0].values and not found[6].epochs
    assert found[4].results["val_mse"] == 45 and "val_mse" not in found[6].results


def test_a_loop_of_ones_own_with_its_metric_and_parameters() -> None:
    settings = {
        "loop": "train.py:train",
        "metric": "recall@5",
        "direction": "maximize",
        "epochs": 3,
        "space": {"scheduler": "cosine", "params": {"width": [32, 64], "mode": ["a", "b"]}},
    }
    config = StudyConfig.model_validate(settings)
    study = new_study()
    given = {"lr": 0.1, "decay": 0.1, "warmup": 0.1, "width": 64, "mode": "b"}
    add(study, given, [0.2, 0.9, 0.8], config=config)
    reader = StudyReader(study, config)
    (run,) = runs(config, reader)
    assert {"width": 64, "mode": "b", "scheduler": "cosine"}.items() <= run.params.items()
    assert not {"optimizer", "batch_size"} & run.params.keys()
    assert [epoch.values["recall@5"] for epoch in run.epochs] == [0.2, 0.9, 0.8]
    assert run.results["recall@5"] == 0.9 and run.tags["direction"] == "maximize"
    told = tracked_study(reader)
    assert (told.metric, told.maximize) == ("recall@5", True)


def test_a_searched_optimizer_is_the_trials_own() -> None:
    several = {"name": ["sgd", "adamw"], "batch_size": [16, 64]}
    config = StudyConfig.model_validate({"optimizer": several, "space": {"scheduler": "cosine"}})
    study = new_study()
    given = {"lr": 0.1, "decay": 0.1, "warmup": 0.1, "optimizer": "adamw", "batch_size": 64}
    add(study, given, [2.0, 1.0], config=config)
    (run,) = runs(config, StudyReader(study, config))
    assert (run.params["optimizer"], run.params["batch_size"]) == ("adamw", 64)
    assert run.params.get("momentum") is None


def test_a_study_has_its_course_its_report_and_its_winners_files(tmp_path: Path) -> None:
    study = mixed_study()
    write_best(tmp_path, trial=1)
    (tmp_path / "results.csv").touch()
    found = study_run(study, StudyReader(study, CONFIG), tmp_path)
    assert (found.winner, found.trials, found.tags["trials"]) == (1, 8, "8")
    assert [(e.number, e.values["best_val_mse"]) for e in found.course] == [
        *((0, 16), (1, 12), (2, 12), (3, 12))
    ]
    assert found.results["trials_pruned"] == 1 and found.results["test_mse"] == 14.5
    assert [path.name for path in found.winner_files] == ["best_schedule.json", "best_schedule.py"]
    assert [path.name for path in found.files] == ["results.csv"]
    assert found.report.startswith("# shop")


def test_files_of_an_earlier_winner_are_not_this_ones(tmp_path: Path) -> None:
    study = mixed_study()
    write_best(tmp_path, trial=3)
    assert study_run(study, StudyReader(study, CONFIG), tmp_path).winner_files == ()


def test_studies_of_one_name_are_told_apart() -> None:
    first, second = mixed_study(), mixed_study()
    begin(first, {"epochs": 4})
    one = tracked_study(StudyReader(first, CONFIG))
    assert one == tracked_study(StudyReader(first, CONFIG))
    assert one.id != tracked_study(StudyReader(second, CONFIG)).id


def test_a_study_without_a_date_stays_itself_whichever_trial_is_discarded(tmp_path: Path) -> None:
    study = open_study(
        "old", str(tmp_path / "study.journal"), RandomSampler(seed=0), optuna.pruners.NopPruner()
    )
    first, second = (study.ask() for _ in range(2))
    study.tell(second, 1.0)
    before = tracked_study(StudyReader(study, CONFIG))
    study.tell(first, 2.0)
    assert tracked_study(StudyReader(study, CONFIG)) == before  # which ends first is chance
    set_study_attribute(study, DISCARDED, [0])
    assert [trial.number for trial in StudyReader(study, CONFIG).trials] == [1]
    assert tracked_study(StudyReader(study, CONFIG)) == before
