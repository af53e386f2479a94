"""Files that optuna-dashboard shows with a study and with its best trials."""

from __future__ import annotations

import io
import json
import mimetypes
import uuid
from collections.abc import Iterator
from pathlib import Path

from optuna.artifacts import FileSystemArtifactStore

from sweep.confirm.best_schedule import BestSchedule
from sweep.report.dashboard.notes_and_figures import best_trials
from sweep.report.figures.image_files import rendered
from sweep.report.figures.one_trial import trial_curve, trial_rates
from sweep.report.findings import Findings
from sweep.search.storage.optuna_private import (
    set_study_attribute,
    study_attributes,
    trial_ids,
)
from sweep.study.results_folder import ARTIFACTS, BEST_CODE, RESULTS

_OF_STUDY, _OF_TRIAL = "artifacts:", "dashboard:artifacts:{}:"
"""How optuna-dashboard finds artifacts among a study's attributes. A trial's own attributes, which
`optuna.artifacts` writes to, can no longer be changed once it has ended."""

_TEXTS = {".py": "text/x-python", ".csv": "text/csv"}
"""The types that not every system knows."""


def store_of(folder: Path) -> FileSystemArtifactStore:
    """Where a study's artifacts are: `artifacts/` in its results folder."""
    place = folder / ARTIFACTS
    place.mkdir(exist_ok=True)
    return FileSystemArtifactStore(place)


def attach(findings: Findings) -> int:
    """Store the files of a study and its best trials; the same again changes nothing.

    An artifact's id derives from whose it is and from its name, so a newer file takes the place
    of an older one.

    Returns:
        How many there are.
    """
    study, store = findings.study, store_of(findings.summary.folder)
    attributes = study_attributes(study)
    count = 0
    for prefix, name, content in _files(findings):
        artifact = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{study.study_name}/{prefix}{name}"))
        guessed, encoding = mimetypes.guess_type(name)
        described = {
            "artifact_id": artifact,
            "filename": name,
            "mimetype": _TEXTS.get(Path(name).suffix, guessed or "application/octet-stream"),
            "encoding": encoding,
        }
        store.write(artifact, io.BytesIO(content))
        key, value = f"{prefix}{artifact}", json.dumps(described)
        if attributes.get(key) != value:
            set_study_attribute(study, key, value)
        count += 1
    return count


def _files(findings: Findings) -> Iterator[tuple[str, str, bytes]]:
    """The attribute's prefix, the file's name and its content."""
    folder = findings.summary.folder
    if (folder / RESULTS).is_file():
        yield _OF_STUDY, RESULTS, (folder / RESULTS).read_bytes()
    best, _ = BestSchedule.if_valid(folder)
    if best:  # not the file itself, which is somebody's code where the folder is
        yield _OF_STUDY, BEST_CODE, best.to_code().encode()
    ids = trial_ids(findings.study)
    for facts in best_trials(findings):
        trial = findings.of(facts)
        for picture in (trial_rates(findings, trial), trial_curve(findings, trial)):
            if picture:
                name = f"{picture.name}-{trial.number}.png"
                yield _OF_TRIAL.format(ids[trial.number]), name, rendered(picture, "png")
