"""Event files, read back by TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from made_studies import CONFIG, mixed_study, write_best
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from sweep.report.trackers.contract import Study
from sweep.report.trackers.runs import study_run, tracked_study, trial_run
from sweep.report.trackers.tensorboard import TensorBoard
from sweep.search.trials import StudyReader

READER = StudyReader(mixed_study(), CONFIG)
STUDY = tracked_study(READER)


def send_all(place: Path, study: Study = STUDY) -> None:
    tracker = TensorBoard(str(place), study)
    for trial in READER.trials:
        if not tracker.has_trial(trial.number):
            tracker.send_trial(trial_run(trial, CONFIG))
    tracker.send_study(study_run(READER.study, READER, place))
    tracker.close()


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def text(events: EventAccumulator, tag: str) -> str:
    return str(events.Tensors(tag)[0].tensor_proto.string_val[0].decode())


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("logs")
    write_best(place, trial=1)
    send_all(place)
    yield place / "shop"


def test_a_trial_is_a_run_with_its_curves_by_epoch(logs: Path) -> None:
    names = sorted(path.name for path in logs.iterdir())
    assert names == ["study", *(f"trial-{number:04}" for number in range(8))]
    events = read(logs / "trial-0001")
    values = [(event.step, event.value) for event in events.Scalars("val_mse")]
    assert values == [(1, 30), (2, 18), (3, 12), (4, 13)]
    assert {"averaged_val_mse", "train_mse", "lr/first", "lr/last"} <= {*events.Tags()["scalars"]}
    assert [event.value for event in events.Scalars("hparam/val_mse")] == [12]


def test_its_hyperparameters_are_those_of_the_hparams_table(logs: Path) -> None:
    def start(number: int) -> dict[str, object]:
        events = read(logs / f"trial-{number:04}")
        content = events.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
        hparams = metadata.parse_session_start_info_plugin_data(content).hparams
        return {n: getattr(v, v.WhichOneof("kind")) for n, v in hparams.items()}

    cosine = {"scheduler": "cosine", "lr": 0.2, "decay": 0.01, "ending": "completed"}
    assert cosine.items() <= start(1).items()
    assert start(3)["step.drops"] == 2 and start(4)["ending"] == "pruned"


@pytest.mark.parametrize(
    ("number", "ending", "succeeded"),
    [(0, "completed", True), (4, "pruned", True), (5, "diverged", False), (6, "failed", False)],
)
def test_endings_are_marked(logs: Path, number: int, ending: str, succeeded: bool) -> None:
    events = read(logs / f"trial-{number:04}")
    content = events.summary_metadata[metadata.SESSION_END_INFO_TAG].plugin_data.content
    status = metadata.parse_session_end_info_plugin_data(content).status
    assert (status == api_pb2.STATUS_SUCCESS) is succeeded
    assert f"- ending: {ending}" in text(events, "trial")


def test_the_study_has_its_course_its_report_and_the_best_schedule(logs: Path) -> None:
    events = read(logs / "study")
    assert [(e.step, e.value) for e in events.Scalars("best_val_mse")] == [
        *((0, 16), (1, 12), (2, 12), (3, 12))
    ]
    assert "cosine, lr 0.2" in text(events, "report")
    assert "build_scheduler" in text(events, "best_schedule.py")


def test_to_send_it_again_makes_nothing_twice(tmp_path: Path) -> None:
    send_all(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("shop/trial-*/*")}
    send_all(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.glob("shop/trial-*/*")} == before
    assert len([*tmp_path.glob("shop/study/*")]) == 1


def test_another_study_of_that_name_has_a_folder_of_its_own(tmp_path: Path) -> None:
    send_all(tmp_path)
    send_all(tmp_path, replace(STUDY, id="0a1b2c3d"))
    assert {path.name for path in tmp_path.iterdir()} == {"shop", "shop-0a1b2c3d"}
    again = TensorBoard(str(tmp_path), replace(STUDY, id="0a1b2c3d"))
    assert again.has_trial(0) and len([*tmp_path.glob("shop*/trial-0000/*")]) == 2


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    place = tmp_path / "logs"
    send_all(place, replace(STUDY, name="../../etc/<b>"))
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert len([*place.iterdir()]) == 1
