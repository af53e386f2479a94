"""Who trains which trial of a storage, where several coordinators work on it."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text

from sweep.errors import StorageError

_OWNER = "sweep:owner"


@contextmanager
def turn_to_ask(study: optuna.Study) -> Iterator[None]:
    """Keep the other coordinators of a database from asking for a trial meanwhile.

    Between counting a study's trials and asking for one more, another could ask too, and the
    study would end with more than its total. A journal needs no lock: `hold` sees to that. The
    lock ends with its connection or its process; it cannot be taken twice by one process.
    """
    engine: Any = getattr(getattr(study._storage, "_backend", None), "engine", None)
    dialect = None if engine is None else engine.dialect.name
    key = zlib.crc32(study.study_name.encode())
    if dialect == "postgresql":
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            yield
    elif dialect == "mysql":
        with engine.connect() as connection:
            got = connection.execute(text("SELECT GET_LOCK(:key, -1)"), {"key": f"sweep-{key}"})
            if got.scalar() != 1:
                raise StorageError("the database gives no lock; is it shutting down?")
            try:
                yield
            finally:
                connection.execute(text("SELECT RELEASE_LOCK(:key)"), {"key": f"sweep-{key}"})
    elif dialect == "sqlite" and engine.url.database:
        with FileLock(f"{engine.url.database}.sweep-lock"):
            yield
    else:
        yield


def owner_of(folder: Path) -> str:
    """Who runs trials from a results folder: one coordinator at a time, as `hold` sees to."""
    return f"{socket.gethostname()}:{folder.resolve()}"


def claim(trial: optuna.Trial, owner: str) -> None:
    """Write down who runs a trial."""
    trial.storage.set_trial_system_attr(trial._trial_id, _OWNER, owner)


def abandoned_trials(study: optuna.Study, owner: str, shared: bool) -> list[optuna.Trial]:
    """The trials that an earlier, killed run of this owner left running, to be run again.

    They keep their number and parameters: a trial's course depends on those alone, so running
    it again from its first epoch is all that resuming takes.

    Args:
        study: The study; where others may be at work on its storage, call it in `turn_to_ask`,
            under which every trial is claimed: one that nobody has claimed has lost its owner.
        owner: Whose trials to look for; call it while `hold` keeps others with that name away.
        shared: Whether other owners may be at work on the storage at this moment.
    """

    def is_abandoned(trial: FrozenTrial) -> bool:
        return not shared or trial.system_attrs.get(_OWNER, owner) == owner

    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [optuna.Trial(study, trial._trial_id) for trial in running if is_abandoned(trial)]


def others_running(study: optuna.Study, owner: str) -> int:
    """How many trials other owners have in training."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return sum(trial.system_attrs.get(_OWNER, owner) != owner for trial in running)
