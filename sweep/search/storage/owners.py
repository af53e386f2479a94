"""Who trains which trial of a storage, where several coordinators work on it."""

from __future__ import annotations

import hashlib
import socket
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.search.storage.batched_database import BatchedDatabase
from sweep.search.storage.batches import OWNER
from sweep.search.storage.optuna_private import (
    ListedDatabase,
    backend_of,
    set_state,
    set_study_attribute,
    set_trial_attribute,
    storage_of,
    stored,
    study_attributes,
    trial_id,
    trial_in_training,
)
from sweep.search.storage.patient_storage import PatientStorage

BEAT_SECS = 20.0
"""How often a coordinator gives a sign of life."""
SILENT_SECS = 120.0
"""After so long without one, its trials are taken over."""
_BEAT = "sweep:beat:"

T = TypeVar("T")


def in_turn(study: optuna.Study, act: Callable[[], T], begins: int = 1) -> T:
    """Do something while no other coordinator of a database does.

    Between counting a study's trials and asking for one more, another could ask too, and the
    study would end with more than its total. A journal needs no lock: `hold` sees to that. What
    is done must read what it decides by in the turn: it is done again where its attempt is lost.

    Args:
        study: Whose turn.
        act: What to do.
        begins: How many trials it may begin, whose numbers are then asked for at once.

    Returns:
        What it returns.

    Raises:
        StorageError: Another keeps the turn for too long.
    """
    database, kept = backend_of(study), storage_of(study)
    if not isinstance(database, PatientStorage) or not isinstance(kept, ListedDatabase):
        return act()
    if database.is_in_turn:
        return act()

    def take_turn() -> T:
        kept.begin_turn(begins)
        result = act()
        kept.flush()
        return result

    try:
        return database.in_turn(zlib.crc32(study.study_name.encode()), take_turn, kept.undo_turn)
    finally:
        kept.end_turn()


def owner_of(folder: Path) -> str:
    """Who runs trials from a results folder: one coordinator at a time, as `hold` sees to."""
    return f"{socket.gethostname()}:{folder.resolve()}"


def claim(trial: optuna.Trial, owner: str) -> None:
    """Write down who runs a trial."""
    set_trial_attribute(trial, OWNER, owner)


def is_claimed(trial: FrozenTrial, owner: str) -> bool:
    """Whether this owner runs a trial; one that nobody has claimed has lost its own."""
    return bool(trial.system_attrs.get(OWNER, owner) == owner)


def state_now(study: optuna.Study, trial: optuna.Trial, owner: str) -> tuple[TrialState, bool]:
    """A trial's state and whether it is this owner's, whatever this process remembers of it."""
    kept = storage_of(study)
    if isinstance(kept, BatchedDatabase):
        state, claimed_by = kept.state_and_attribute(trial_id(trial), OWNER)
        return state, claimed_by in (None, owner)
    now = stored(trial)
    return now.state, is_claimed(now, owner)


def batches_ends(study: optuna.Study) -> bool:
    """Whether a study's storage writes ends in batches, as `end_in_batch` has it."""
    return isinstance(storage_of(study), BatchedDatabase)


def end_in_batch(
    study: optuna.Study, trial: optuna.Trial, tell: Callable[[], FrozenTrial]
) -> FrozenTrial | None:
    """A trial of ours, told how it has ended: here at once, and in the storage with a flush.

    Whether another has taken it over meanwhile shows when it `is_settled`.

    Returns:
        None, and nothing is told, if it is known to be another's.
    """
    kept = storage_of(study)
    assert isinstance(kept, BatchedDatabase)
    if not kept.holds(trial_id(trial)):
        return None
    with kept.batching_ends():
        return tell()


def is_settled(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Whether the storage knows of a trial's end."""
    kept = storage_of(study)
    return not (isinstance(kept, BatchedDatabase) and trial_id(trial) in kept.unwritten_ends)


def let_go(study: optuna.Study, trial: optuna.Trial) -> None:
    """A trial is another's: what is known of it is read anew, and nothing more is written to it."""
    kept = storage_of(study)
    if isinstance(kept, BatchedDatabase):
        kept.let_go(trial_id(trial))


def abandoned_trials(
    study: optuna.Study, owner: str, shared: bool, silent: Collection[str] = ()
) -> list[optuna.Trial]:
    """The trials that a killed run left running, to be run again.

    They keep their number and parameters: a trial's course depends on those alone, so running
    it again from its first epoch is all that resuming takes.

    Args:
        study: The study; where others may be at work on its storage, call it in `in_turn`, in
            which every trial is claimed.
        owner: Whose trials to look for; call it while `hold` keeps others with that name away.
        shared: Whether other owners may be at work on the storage at this moment.
        silent: Other owners that are gone, as `SignsOfLife` has it.
    """

    def is_abandoned(trial: FrozenTrial) -> bool:
        return not shared or is_claimed(trial, owner) or trial.system_attrs[OWNER] in silent

    return [trial_in_training(study, t) for t in _running(study) if is_abandoned(t)]


def give_back(study: optuna.Study, trials: Iterable[optuna.Trial], owner: str) -> None:
    """Let trials in training wait for whoever asks next, here or elsewhere.

    As with an interrupted trial, their numbers and parameters stay, and they are trained again.
    """
    unfinished, kept = list(trials), storage_of(study)

    def is_in_training(trial: optuna.Trial) -> bool:
        if isinstance(kept, BatchedDatabase):  # which writes to no other
            return kept.holds(trial_id(trial))
        return state_now(study, trial, owner) == (TrialState.RUNNING, True)

    def give() -> None:
        for trial in unfinished:
            if is_in_training(trial):
                set_state(trial, TrialState.WAITING)

    in_turn(study, give)


def others_running(study: optuna.Study, owner: str) -> Counter[str]:
    """How many trials each other owner has in training."""
    return Counter(trial.system_attrs[OWNER] for trial in others_trials(study, owner))


def others_trials(study: optuna.Study, owner: str) -> list[FrozenTrial]:
    """The trials that other owners have in training."""
    return [trial for trial in _running(study) if not is_claimed(trial, owner)]


def _running(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


class SignsOfLife:
    """Which of the coordinators of a storage are still there.

    Each writes something new every BEAT_SECS. Clocks of machines differ, so nothing that they
    show is compared: one is gone if nothing new was seen from it for SILENT_SECS.

    Args:
        study: The study.
        owner: Who we are.
    """

    def __init__(self, study: optuna.Study, owner: str) -> None:
        self._study, self._owner = study, owner
        self._run = uuid.uuid4().hex
        self._beats = 0
        self._beat_at = 0.0
        self._seen: dict[str, _Seen] = {}

    def beat(self) -> None:
        """Give one."""
        self._beats += 1
        value = f"{self._run}-{self._beats}"
        key = _BEAT + hashlib.sha256(self._owner.encode()).hexdigest()[:16]
        set_study_attribute(self._study, key, value)
        self._beat_at = time.time()

    @property
    def silent_secs(self) -> float:
        """Seconds since our own last one, time in which the machine slept included."""
        return abs(time.time() - self._beat_at)

    def look(self) -> None:
        """See what the others have written."""
        attributes = study_attributes(self._study)
        now = time.monotonic()
        others = others_running(self._study, self._owner)
        self._seen = {other: seen for other, seen in self._seen.items() if other in others}
        for other in others:
            beat = attributes.get(_BEAT + hashlib.sha256(other.encode()).hexdigest()[:16])
            before = self._seen.get(other)
            if before is None or before.beat != beat:
                self._seen[other] = _Seen(beat, now, lives=before is not None)

    def silent(self) -> set[str]:
        """Owners with trials in training that are gone."""
        now = time.monotonic()
        return {other for other, seen in self._seen.items() if now - seen.at > SILENT_SECS}

    def uncertain(self) -> set[str]:
        """Owners with trials in training of whom no sign has been seen lately."""
        now = time.monotonic()
        lately = 2 * BEAT_SECS
        return {o for o, seen in self._seen.items() if not seen.lives or now - seen.at > lately}


class _Seen(NamedTuple):
    """What an owner has written, when that was first seen, and whether it was news."""

    beat: str | None
    at: float
    lives: bool
