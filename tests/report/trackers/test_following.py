"""A study that runs, and trackers that are there, away, slow or silent."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from made_studies import CONFIG, PRUNED, add, mixed_study, new_study, params
from optuna.exceptions import StorageInternalError
from tracked import HANGING, LATE, LINES, SILENT, lines_of

from sweep.base.errors import TrackerError
from sweep.report.trackers import following as module
from sweep.report.trackers.following import Following, export, following
from sweep.search.trials import StudyReader
from sweep.study.registries.trackers import TRACKERS

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def trackers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for tracker in (LINES, SILENT, HANGING, LATE):
        monkeypatch.setitem(TRACKERS, tracker.name, tracker)
    monkeypatch.setattr(module, "LAST_SECS", 200.0)  # a process starts late on a busy machine
    yield


def finish(study: optuna.Study, reader: StudyReader) -> list[int]:
    """Let a trial of a study end; all numbers."""
    add(study, params("cosine", 0.1), [3, 2], PRUNED)
    return [trial.number for trial in reader.trials]


def send_until(
    notes: list[str], study: optuna.Study, reader: StudyReader, followed: Following
) -> None:
    """Let trials end, and be sent, until something is told."""
    while not notes:
        finish(study, reader)
        followed.trial_finished(reader.trials[-1])
        time.sleep(0.05)


def test_trials_are_sent_as_they_end_and_those_before_them(tmp_path: Path) -> None:
    study, notes, place = mixed_study(), list[str](), tmp_path / "lines"
    reader = StudyReader(study, CONFIG)
    place.touch()
    with following(reader, tmp_path, {"lines": str(place)}, notes.append) as followed:
        finish(study, reader)
        followed.trial_finished(reader.trials[-1])
    assert lines_of(place)[:-1] == [[t.number, str(t.ending)] for t in reader.trials]
    assert lines_of(place)[-1] == ["study", 1] and notes == []


def test_one_that_is_away_is_told_of_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, notes, place = new_study(), list[str](), tmp_path / "away"
    reader = StudyReader(study, CONFIG)
    with following(reader, tmp_path, {"lines": str(place)}, notes.append) as followed:
        send_until(notes, study, reader, followed)
        monkeypatch.setattr(module, "LAST_SECS", 0.2)
    (note,) = notes
    assert f"{place}: No such file or directory; the study goes on without it" in note
    assert f"`sweep export {tmp_path} --to lines={place}`" in note
    place.touch()
    count = len(reader.trials)
    assert export(reader, tmp_path, "lines", str(place)) == count
    assert len(lines_of(place)) == count + 1


def test_one_that_comes_back_is_sent_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECS", 0.05)
    study, notes, place = mixed_study(), list[str](), tmp_path / "away"
    reader = StudyReader(study, CONFIG)
    with following(reader, tmp_path, {"lines": str(place)}, notes.append) as followed:
        send_until(notes, study, reader, followed)
        place.touch()
    assert [number for number, _ in lines_of(place)] == [*range(len(reader.trials)), "study"]
    assert len(notes) == 1


def test_one_that_never_answers_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, notes, place = mixed_study(), list[str](), tmp_path / "lines"
    place.touch()
    reader = StudyReader(study, CONFIG)
    with following(reader, tmp_path, {"silent": str(place)}, notes.append) as followed:
        while not lines_of(place):
            time.sleep(0.05)
        began = time.monotonic()
        followed.trial_finished(reader.trials[-1])
        assert time.monotonic() - began < 5  # of 600 that it sleeps
        monkeypatch.setattr(module, "LAST_SECS", 0.2)
    (note,) = notes
    assert re.search(r"^silent .*: \d runs are not sent yet", note) and "sweep export" in note
    assert time.monotonic() - began < 60


def test_one_that_comes_back_after_the_end_is_sent_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECS", 0.05)
    notes, place = list[str](), tmp_path / "lines"
    place.touch()
    reader = StudyReader(mixed_study(), CONFIG)
    with following(reader, tmp_path, {"late": str(place)}, notes.append):
        pass  # it is over long before the tracker's process has begun
    assert len(lines_of(place)) == 9
    assert len(notes) == 1 and "come again" in notes[0]


def test_one_that_never_comes_to_an_end_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, place = list[str](), tmp_path / "lines"
    place.touch()
    study = mixed_study()
    followed = Following(
        StudyReader(study, CONFIG), tmp_path, {"hanging": str(place)}, notes.append
    )
    while len(lines_of(place)) < 8:
        time.sleep(0.05)
    monkeypatch.setattr(module, "LAST_SECS", 1.0)
    closing = threading.Thread(target=followed.close, args=[study], daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    assert len(notes) == 1 and re.search("not (sent|written)", notes[0]), notes


def test_a_database_that_is_away_at_the_end_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StorageInternalError("the database is away")

    notes, place, study = list[str](), tmp_path / "lines", mixed_study()
    place.touch()
    reader = StudyReader(study, CONFIG)
    with following(reader, tmp_path, {"lines": str(place)}, notes.append):
        monkeypatch.setattr(study, "get_trials", away)
    assert [number for number, _ in lines_of(place)] == [*range(8)]
    assert notes == ["the trackers lack what the study has found: the database is away"]


def test_a_large_study_that_goes_on_sends_what_is_new_and_what_it_has_found(
    tmp_path: Path,
) -> None:
    notes, place, study = list[str](), tmp_path / "lines", mixed_study()
    there = [json.dumps([number, "completed"]) for number in range(10_500)]
    place.write_text("\n".join(there) + "\n", encoding="utf-8")
    reader = StudyReader(study, CONFIG)
    with following(reader, tmp_path, {"lines": str(place)}, notes.append) as followed:
        for number in range(8, 10_501):
            followed.trial_finished(replace(reader.trials[1], number=number))
    assert lines_of(place)[10_500:] == [[10_500, "completed"], ["study", 1]]
    assert notes == []


def test_what_fails_in_a_run_is_told_and_not_what_its_trackers_lack(tmp_path: Path) -> None:
    notes, place = list[str](), tmp_path / "lines"
    place.touch()
    reader = StudyReader(mixed_study(), CONFIG)
    with (
        pytest.raises(KeyError, match="of the run"),
        following(reader, tmp_path, {"lines": str(place)}, notes.append),
    ):
        raise KeyError("of the run")
    assert len(lines_of(place)) == 9


def test_an_export_says_how_far_it_came(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match=r"lines .*: .*No such file.*; the same command goes on"):
        export(StudyReader(mixed_study(), CONFIG), tmp_path, "lines", str(tmp_path / "away"))
