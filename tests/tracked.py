"""Trackers for tests: one that writes lines, and some that do not do so well."""

from __future__ import annotations

import json
import time
from pathlib import Path

from sweep.report.trackers.contract import Study, StudyRun, TrialRun
from sweep.study.registries.trackers import Tracker


class Lines:
    """Writes a line for each run into a file, which must be there."""

    def __init__(self, place: str, study: Study) -> None:
        self._file = open(place, "r+", encoding="utf-8")
        self._there = {json.loads(line)[0] for line in self._file}

    def has_trial(self, number: int) -> bool:
        return number in self._there

    def send_trial(self, trial: TrialRun) -> None:
        self._file.write(json.dumps([trial.number, trial.ending]) + "\n")

    def send_study(self, study: StudyRun) -> None:
        self._file.write(json.dumps(["study", study.winner]) + "\n")

    def close(self) -> None:
        self._file.close()


class Silent(Lines):
    """Takes the first run, and nothing more."""

    def send_trial(self, trial: TrialRun) -> None:
        super().send_trial(trial)
        self._file.flush()
        if trial.number:
            time.sleep(600)


class Hanging(Lines):
    """Writes each run at once, and never comes to an end."""

    def __init__(self, place: str, study: Study) -> None:
        super().__init__(place, study)
        self._closing = Path(f"{place}.closing")

    def send_trial(self, trial: TrialRun) -> None:
        super().send_trial(trial)
        self._file.flush()

    def close(self) -> None:
        super().close()
        self._closing.touch()
        time.sleep(600)


class Late(Lines):
    """Can be reached from the fourth time on."""

    def __init__(self, place: str, study: Study) -> None:
        with open(f"{place}.tries", "a+", encoding="utf-8") as tries:
            tries.write("x")
            if tries.tell() < 4:
                raise ConnectionError("come again")
        super().__init__(place, study)


LINES = Tracker("lines", "Lines", "FILE", "a file", "", "tracked:Lines")
SILENT = Tracker("silent", "Silent", "FILE", "a file", "", "tracked:Silent")
HANGING = Tracker("hanging", "Hanging", "FILE", "a file", "", "tracked:Hanging")
LATE = Tracker("late", "Late", "FILE", "a file", "", "tracked:Late")


def lines_of(path: Path) -> list[list[object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
