"""Some of a study's pruned trials, trained to their end."""

from __future__ import annotations

from pathlib import Path

import optuna

from sweep.base.errors import InterruptedSweep, StudyChangedError
from sweep.base.signals import stopping_on_signals
from sweep.confirm.audit import Audit, audit
from sweep.runs.listener import Listener
from sweep.runs.opening import prepare, worker_pool
from sweep.search.context import RunContext
from sweep.search.trials import StudyReader
from sweep.study.locations import SAVED_STUDY, Location
from sweep.study.settings import StudyConfig


def run_audit(
    folder: Path, config: StudyConfig, study: optuna.Study, sample: int, listener: Listener
) -> Audit:
    """Train some of a study's pruned trials to their end.

    Args:
        folder: The study's results.
        config: Its settings as run.
        study: Its trials.
        sample: How many.
        listener: Hears how it goes.

    Raises:
        InputError: Nothing was pruned, or the data is not what the study was trained on.
        InterruptedSweep: SIGINT or SIGTERM.
    """
    location = Location(study.study_name, folder / SAVED_STUDY, folder)
    data = prepare(location, config)
    context = RunContext(location, config, data, StudyReader(study, config), listener.on_note)
    if data and data.fingerprint != context.reader.rows:
        raise StudyChangedError(f"{config.data.source}: not the rows that the study was trained on")
    with worker_pool(context) as pool, stopping_on_signals() as stop:
        found = audit(context, pool, sample, stop, listener.on_retraining)
    if found is None:
        raise InterruptedSweep("interrupted; the study and any earlier audit are as they were")
    return found
