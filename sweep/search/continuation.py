"""Whether a sweep can go on with what its folder and its storage hold."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import TrialState

from sweep.base.errors import StudyChangedError
from sweep.data.dataset import Dataset
from sweep.search.storage.opening import ROWS, SETTINGS
from sweep.study.file import load_study
from sweep.study.locations import SAVED_STUDY, Location
from sweep.study.settings import StudyConfig


def check_folder(location: Location) -> None:
    """Refuse to write one study's results over another's.

    Raises:
        StudyChangedError: The folder holds those of another study.
    """
    saved = location.folder / SAVED_STUDY
    name = load_study(saved).name if saved.is_file() else None
    if name not in (None, location.name):
        raise StudyChangedError(
            f"{location.folder} holds the results of study {name!r}; give another --out"
        )


def comparable(config: StudyConfig, data: Dataset | None) -> dict[str, Any]:
    """What must stay the same for a study's trials to be compared."""
    return {**config.comparable(), **({ROWS: data.fingerprint} if data else {})}


def continues(study: optuna.Study, now: dict[str, Any], shared: bool) -> bool:
    """Whether new trials can stand beside a study's own; False if none of these was trained yet.

    Args:
        study: The study.
        now: What `comparable` gives for the new trials.
        shared: Whether others may be at work on the storage.

    Raises:
        StudyChangedError: They cannot be compared with trials that there are.
    """
    before: dict[str, Any] | None = study.user_attrs.get(SETTINGS)
    trials = study.get_trials(deepcopy=False)
    if before == now or (before is None and not trials):
        return True
    if not shared and all(trial.state == TrialState.WAITING for trial in trials):
        return False
    before = before or {}
    changed = [
        f"  {key}: was {before.get(key)!r}, now {now.get(key)!r}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
    raise StudyChangedError(
        "\n".join(
            [
                f"study {study.study_name!r} has trials with other settings:",
                *changed,
                "Go on with the old settings, keep both with --out FOLDER, "
                "or throw the old trials away with --fresh.",
            ]
        )
    )
