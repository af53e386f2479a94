"""Trackers for tests: one that writes lines, and one that never answers."""

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
        self._file.seek(0, 2)

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


LINES = Tracker("lines", "Lines", "FILE", "a file", "", "tracked:Lines")
SILENT = Tracker("silent", "Silent", "FILE", "a file", "", "tracked:Silent")


def lines_of(path: Path) -> list[list[object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
