"""Offline runs for Weights & Biases: nothing is sent; `wandb sync` does that."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from sweep.report.trackers.contract import Epoch, Study, StudyRun, TrialRun

_SETTINGS = {
    "silent": True,
    "host": "",
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "disable_job_creation": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}
"""Of the machine and its packages nothing is kept."""


class WandB:
    """A folder of offline runs, `wandb/offline-run-*` under `place`.

    A run is written beside its place and moved there whole, so that it is known by its id whether
    it is there.

    Args:
        place: The folder.
        study: Whose runs.
    """

    def __init__(self, place: str, study: Study) -> None:
        self._folder = Path(place).absolute() / "wandb"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._study = study
        name = re.sub(r"[^\w.-]+", "_", study.name, flags=re.ASCII).strip("._-") or "study"
        self._prefix = f"{name[:80]}-{study.id}"
        self._project = os.environ.get("WANDB_PROJECT") or name
        self._written = {path.name.split("-", 3)[-1] for path in self._folder.glob("offline-run-*")}
        """The ids of the runs that are there, of whatever study."""

    def has_trial(self, number: int) -> bool:
        """Whether its run is there."""
        return self._run_id(number) in self._written

    def send_trial(self, trial: TrialRun) -> None:
        """Write its run."""
        tags = [trial.ending, str(trial.params["scheduler"])]
        tags += ["baseline"] if "baseline" in trial.tags else []
        config = {**self._study.settings, **trial.params, "study": self._study.name, **trial.tags}
        about = {"name": trial.name, "notes": trial.description, "job_type": "trial"}
        self._write(
            self._run_id(trial.number),
            {**about, "tags": [tag[:64] for tag in tags], "config": config},
            trial.epochs,
            {**trial.results, "ending": trial.ending},
            failed=trial.ending in ("failed", "diverged"),
        )

    def send_study(self, study: StudyRun) -> None:
        """Write its run anew."""
        run_id = f"{self._prefix}-study"
        earlier = [*self._folder.glob(f"offline-run-*-{run_id}")]
        about = {"name": self._study.name, "notes": study.report, "job_type": "study"}
        self._write(
            run_id,
            {**about, "config": {**self._study.settings, **study.tags}},
            study.course,
            {**study.results, **study.tags},
            files=(*study.winner_files, *study.files),
        )
        for folder in earlier:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """End the process that writes the files."""
        wandb.teardown()

    def _run_id(self, number: int) -> str:
        return f"{self._prefix}-{number}"

    def _write(
        self,
        run_id: str,
        about: Mapping[str, Any],
        course: tuple[Epoch, ...],
        summary: Mapping[str, Any],
        files: tuple[Path, ...] = (),
        failed: bool = False,
    ) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".unfinished-") as unfinished:
            run = wandb.init(
                id=run_id,
                project=self._project,
                group=f"{self._study.name} {self._study.id}"[:128],
                mode="offline",
                resume="allow",
                dir=unfinished,
                reinit="create_new",
                settings=wandb.Settings(**_SETTINGS),
                **about,
            )
            for epoch in course:
                run.log({**epoch.values, "_timestamp": epoch.at}, step=epoch.number, commit=True)
            run.summary.update(dict(summary))
            for path in files:
                run.save(path, base_path=path.parent, policy="now")
            run.finish(exit_code=1 if failed else 0)
            for written in Path(unfinished, "wandb").glob("offline-run-*"):
                written.rename(self._folder / written.name)
        self._written.add(run_id)
