"""Whether a sweep can go on with what its folder and its storage hold."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import TrialState

from sweep.base.errors import StudyChangedError
from sweep.data.dataset import Dataset
from sweep.data.examine.naive import NaivePrediction, naive_predictions
from sweep.search.attributes import table, text, texts
from sweep.search.storage.opening import ROWS, SETTINGS
from sweep.study.file import load_study
from sweep.study.locations import SAVED_STUDY, Location
from sweep.study.metric import Metric
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


CODE = "code"
"""Of a study: the files of the user's own code, as its first trials had them."""
_BEGUN = "begun"
"""Of a study: when it was."""


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


def begin(study: optuna.Study, settings: dict[str, Any]) -> None:
    """Write down what all trials of a study must have in common: what `comparable` gives."""
    if SETTINGS not in study.user_attrs:
        study.set_user_attr(_BEGUN, datetime.now().isoformat(timespec="milliseconds"))
        study.set_user_attr(SETTINGS, settings)  # the last, for it says that all is there


def begun(study: optuna.Study) -> str:
    """When a study was begun, in ISO's form, local time; empty if that was not written down.

    It tells a study from one of its name, and from the one that `--fresh` has thrown away.
    """
    return text(study.user_attrs, _BEGUN)


def note_code(study: optuna.Study, files: Mapping[str, str], has_trials: bool) -> tuple[str, ...]:
    """Compare the user's own code with that of a study's first trials, and remember what differs.

    Args:
        study: The study.
        files: A hash of each file, by name.
        has_trials: Whether any trial is of the code that was there before.

    Returns:
        The files that are not what they were.
    """
    if not files:
        return ()
    known = table(study.user_attrs, CODE)
    first = table(known, "first")
    if not has_trials or not first:
        study.set_user_attr(CODE, {"first": dict(files), "changed": []})
        return ()
    changed = [name for name in {**first, **files} if first.get(name) != files.get(name)]
    ever = [*dict.fromkeys([*texts(known, "changed"), *changed])]
    if ever != [*texts(known, "changed")]:
        study.set_user_attr(CODE, {"first": first, "changed": ever})
    return tuple(changed)


def first_code(study: optuna.Study) -> dict[str, str]:
    """A hash of each file of the user's own code as the first trials had it, by name."""
    first = table(table(study.user_attrs, CODE), "first")
    return {name: text(first, name) for name in first}


def changed_code(study: optuna.Study) -> tuple[str, ...]:
    """The files of the user's own code that were other ones for the first trials than for later."""
    return texts(table(study.user_attrs, CODE), "changed")


NAIVE = "naive"
"""Of a study: what predictions that need no model come to on its rows."""


WARNINGS = "warnings"
"""Of a study: what a person would warn of who looked at its rows."""


def warnings_of(study: optuna.Study) -> tuple[str, ...]:
    """What a person would warn of who looked at the study's rows, a sentence each."""
    return texts(study.user_attrs, WARNINGS)


def naive_of(study: optuna.Study) -> tuple[NaivePrediction, ...]:
    """Predictions that need no model; none of a study whose rows its own code has."""
    kept = study.user_attrs.get(NAIVE)
    read = map(NaivePrediction.read, kept if isinstance(kept, list) else ())
    return tuple(filter(None, read))


def of_rows(data: Dataset, loss: str) -> dict[str, Any]:
    """What is kept of a study's rows for its reports: `unit`, NAIVE and WARNINGS."""
    naive = [each.to_dict() for each in naive_predictions(data, loss)]
    return {"unit": data.unit, NAIVE: naive, WARNINGS: [*data.warnings]}


def describe(study: optuna.Study, metric: Metric, known: Mapping[str, Any]) -> bool:
    """Write down what optuna-dashboard shows of a study without being told, and reports read.

    Args:
        study: The study.
        metric: What its values are.
        known: What `of_rows` says, and `steps_per_epoch` or `training_rows`.

    Returns:
        Whether any of it was new to the study.
    """
    if not study.metric_names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([metric.title])
    said = study.user_attrs
    new = {name: value for name, value in known.items() if said.get(name) != value}
    for name, value in new.items():
        study.set_user_attr(name, value)
    return bool(new)
