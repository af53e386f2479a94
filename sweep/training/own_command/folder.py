"""The folder of one trial: its log, its reports so far, and whatever its script writes there."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from sweep.base.files import write_whole
from sweep.study.results_folder import TRACEBACK
from sweep.training.contract import EpochResult, TrialSpec
from sweep.training.own_command.current_trial import CHECKPOINT
from sweep.training.own_loop.trial import TRIAL

LOG = "log.txt"
"""What the process prints."""
REPORTS = "reports.jsonl"
"""What it has reported, an epoch a line."""


class TrialFolder:
    """A trial's folder, which stays while the trial is in training.

    Args:
        folders: Where those of all trials are.
        spec: The trial. What another one of the same name has left there is removed.
    """

    def __init__(self, folders: Path, spec: TrialSpec) -> None:
        self.path = folders / (spec.name or str(spec.number))
        self.log = self.path / LOG
        self.checkpoint = self.path / CHECKPOINT
        self._number = spec.number
        self._reports = self.path / REPORTS
        described = json.dumps(_described(spec), indent=2)
        try:
            same = (self.path / TRIAL).read_text(encoding="utf-8") == described
        except OSError:
            same = False
        if not same:
            shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        if not same:
            write_whole(self.path / TRIAL, described)

    def reports(self) -> list[EpochResult]:
        """What the trial had reported before it was interrupted.

        Without a checkpoint it is trained from its start, and they are forgotten.
        """
        if not self.checkpoint.exists():
            self._reports.unlink(missing_ok=True)
            return []
        results: list[EpochResult] = []
        try:
            lines = self._reports.read_text(encoding="utf-8").splitlines(keepends=True)
            for line in lines:
                if line.endswith("\n"):  # else it was being written
                    told = {**json.loads(line), "number": self._number}
                    results.append(EpochResult(**{**told, "advice": tuple(told["advice"])}))
        except (OSError, ValueError, TypeError, KeyError):
            pass
        whole = [result for epoch, result in enumerate(results, start=1) if result.epoch == epoch]
        self._reports.unlink(missing_ok=True)
        for result in whole:
            self.add(result)
        return whole

    def add(self, result: EpochResult) -> None:
        """Keep a report."""
        with open(self._reports, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.path, ignore_errors=True)


def remove_but_log(folder: Path) -> None:
    """Remove what is not worth keeping of a trial that has failed."""
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name not in (LOG, TRACEBACK):
            entry.unlink(missing_ok=True)


def number_in(folder: Path) -> int | None:
    """The number of the trial whose folder this is; None if it is none's."""
    try:
        number = json.loads((folder / TRIAL).read_text(encoding="utf-8"))["number"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return number if type(number) is int else None


def _described(spec: TrialSpec) -> dict[str, object]:
    return {
        "number": spec.number,
        "seed": spec.seed,
        "schedule": spec.schedule.to_dict(),
        "params": dict(spec.params),
        **({"epochs": spec.epochs} if spec.epochs else {}),
    }
