"""What this project uses of Optuna that Optuna does not promise to keep.

It stands here. Beside it, the storages that are made of these classes override or call of a
database `_get_trials`, `_create_new_trial`, `_set_trial_param` and `_get_best_trial_id`; of its
cache `_lock`, `_studies`, `_trial_id_to_study_id_and_number`, `_study_id_and_number_to_trial_id`,
`_add_trials_to_cache` and `_read_trials_from_remote_storage`; of a trial `_distributions`.
tests/search/test_optuna_private.py holds that list to it, and says for which versions it holds.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import (
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Literal, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from optuna.storages.journal import BaseJournalBackend
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from sweep.search.storage.trial_list import TrialList

RECORD_START = b'{"op_code"'
"""How Optuna starts each line of a journal."""

CAN_WAIT = frozenset(
    {
        JournalOperation.SET_TRIAL_PARAM,
        JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
        JournalOperation.SET_TRIAL_USER_ATTR,
        JournalOperation.SET_TRIAL_SYSTEM_ATTR,
    }
)
"""Operations of a journal that may reach the file a little later than the ones after them: a
trial's parameters, reports and attributes. What creates or ends a trial or a study never waits."""


DISCARDED = "sweep:discarded"
"""The attribute of a study with the numbers of the trials that are to count for nothing.

Optuna lets nobody write to a trial that has ended.
"""

_NO: frozenset[int] = frozenset()


def discarded_in(attributes: Mapping[str, Any]) -> frozenset[int]:
    """The numbers of the discarded trials, of a study's attributes."""
    numbers = attributes.get(DISCARDED)
    return frozenset(n for n in numbers if isinstance(n, int)) if isinstance(numbers, list) else _NO


def discarded_numbers(study: optuna.Study) -> frozenset[int]:
    """The numbers of the trials that a study has discarded."""
    return discarded_in(study_attributes(study))


Kind = Literal["parameter", "report", "user", "system", "value"]
"""What may be written to a trial that is in training, beside its state."""

_TABLES: dict[Kind, tuple[Any, str]] = {
    "parameter": (models.TrialParamModel, "param_name"),
    "report": (models.TrialIntermediateValueModel, "step"),
    "user": (models.TrialUserAttributeModel, "key"),
    "system": (models.TrialSystemAttributeModel, "key"),
    "value": (models.TrialValueModel, "objective"),
}


def table_of(kind: Kind) -> tuple[Table, str]:
    """A database's table of them, and the column that, with the trial's, no two rows share."""
    model, key = _TABLES[kind]
    return model.__table__, key


def table_of_trials() -> Table:
    """A database's table of trials."""
    return cast(Table, models.TrialModel.__table__)


def table_of_studies() -> Table:
    """A database's table of studies."""
    return cast(Table, models.StudyModel.__table__)


def columns_of_report(value: float) -> dict[str, Any]:
    """A report as a database has it, which knows no infinity."""
    encoded = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    return dict(zip(("intermediate_value", "intermediate_value_type"), encoded, strict=True))


def columns_of_value(value: float) -> dict[str, Any]:
    """What a trial has come to, likewise."""
    encoded = models.TrialValueModel.value_to_stored_repr(value)
    return dict(zip(("value", "value_type"), encoded, strict=True))


class NumberingDatabase(RDBStorage):
    """Optuna's storage in a database; to number a new trial costs little however many there are."""

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> models.TrialModel:
        """A new trial of a study, which is locked."""
        if template_trial is not None:
            return super()._get_prepared_new_trial(study_id, template_trial, session)
        of_study = select(models.TrialModel.number).where(models.TrialModel.study_id == study_id)
        last = session.scalar(of_study.order_by(models.TrialModel.trial_id.desc()).limit(1))
        number = 0 if last is None else last + 1
        about = {"state": TrialState.RUNNING, "datetime_start": datetime.now()}
        trial = models.TrialModel(study_id=study_id, number=number, **about)
        session.add(trial)
        session.flush()
        return trial


class Listed(BaseStorage):
    """A storage that keeps the list of a study's trials: to ask for them costs little.

    Nobody who asks for trials is shown those that are discarded, or left out by this process.

    Attributes:
        left_out: Numbers of trials, by study.
    """

    left_out: dict[int, frozenset[int]]

    @abstractmethod
    def listed(self, study_id: int) -> AbstractContextManager[TrialList]:
        """All trials of a study as they are now, under the storage's lock."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """A study's trials by number, as Optuna's storage has them, without excluded ones."""
        with self.listed(study_id) as trials:
            found = trials.of(states)
        return copy.deepcopy(found) if deepcopy else found


class ListedJournal(Listed, JournalStorage):
    """Optuna's storage in a journal, listed."""

    def __init__(self, backend: BaseJournalBackend) -> None:
        self.left_out = {}
        self._lists: dict[int, TrialList] = {}  # by study
        self._changed: set[int] = set()  # trials in the storage's own counting
        self._names: dict[str, str] = {}
        self._distributions: dict[str, BaseDistribution] = {}  # by their JSON
        super().__init__(backend)

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state | {"_lists": {}, "_changed": set()})

    def _sync_with_backend(self) -> None:
        logs = self._backend.read_logs(self._replay_result.log_number_read)
        self._replay_result.apply_logs(self._watched(logs))

    def _watched(self, logs: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The same; which trials they change is kept, and what all have alike is kept once."""
        for log in logs:
            if "trial_id" in log:
                self._changed.add(log["trial_id"])
                self._share_names(log)
            yield log
            if log["op_code"] == JournalOperation.SET_TRIAL_PARAM:  # it is applied by now
                self._share_distribution(log)

    def _share_names(self, log: dict[str, Any]) -> None:
        """Let trials have the same names, where each line of a file has brought its own."""
        shared = self._names.setdefault
        if "param_name" in log:
            log["param_name"] = shared(log["param_name"], log["param_name"])
        for kind in ("user_attr", "system_attr"):
            if kind in log:
                log[kind] = {shared(name, name): value for name, value in log[kind].items()}

    def _share_distribution(self, log: dict[str, Any]) -> None:
        """Let trials have the same distribution of a parameter, not an equal one each."""
        trial = self._replay_result._trials.get(log["trial_id"])
        own = trial and trial._distributions.get(log["param_name"])
        if trial and own:
            shared = self._distributions.setdefault(log["distribution"], own)
            trial._distributions[log["param_name"]] = shared

    @contextmanager
    def listed(self, study_id: int) -> Iterator[TrialList]:
        """All trials of a study as they are now, under the storage's lock."""
        with self._thread_lock:
            self._sync_with_backend()
            replayed = self._replay_result
            attributes = replayed.get_study(study_id).system_attrs
            for changed in self._changed & replayed._trials.keys():
                listed = self._lists.get(replayed._trial_id_to_study_id[changed])
                if listed is not None and replayed._trials[changed].number < len(listed):
                    listed.put(replayed._trials[changed])
            self._changed.clear()
            trials = self._lists.setdefault(study_id, TrialList())
            for trial_id in replayed._study_id_to_trial_ids[study_id][len(trials) :]:
                trials.put(replayed._trials[trial_id])
            trials.exclude(discarded_in(attributes) | self.left_out.get(study_id, _NO))
            yield trials


class ListedDatabase(Listed, _CachedStorage):
    """Optuna's cache of a database, listed.

    What is discarded is known anew whenever a study's attributes are read, as every coordinator
    does now and then: a look for it each time would be one more question to the server.
    """

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self.left_out = {}
        self._discarded: dict[int, frozenset[int]] = {}  # by study
        self._lists: dict[int, TrialList] = {}  # by study
        self._changed: dict[int, set[int]] = {}  # numbers of trials, by study

    def begin_turn(self, begins: int = 1) -> None:
        """Nobody else does anything that counts from now on; it may come to nothing."""

    def end_turn(self) -> None:
        """It is over."""

    def flush(self) -> None:
        """Write down what waits: nothing does."""

    def undo_turn(self) -> None:
        """Read all trials anew."""
        with self._lock:
            self._studies.clear()
            self._trial_id_to_study_id_and_number.clear()
            self._study_id_and_number_to_trial_id.clear()
            self._lists.clear()
            self._changed.clear()
            self._discarded.clear()

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """A study's attributes beside those that a user sets."""
        attributes = super().get_study_system_attrs(study_id)
        self._discarded[study_id] = discarded_in(attributes)
        return attributes

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The best of those that `get_all_trials` shows."""
        return BaseStorage.get_best_trial(self, study_id)

    def _add_trials_to_cache(self, study_id: int, trials: list[FrozenTrial]) -> None:
        super()._add_trials_to_cache(study_id, trials)
        self._changed.setdefault(study_id, set()).update(trial.number for trial in trials)

    @contextmanager
    def listed(self, study_id: int) -> Iterator[TrialList]:
        """All trials of a study as they are now, under the storage's lock."""
        self._read_trials_from_remote_storage(study_id)
        if study_id not in self._discarded:
            self.get_study_system_attrs(study_id)
        with self._lock:
            known = self._studies[study_id].trials
            trials = self._lists.setdefault(study_id, TrialList())
            for number in sorted(self._changed.pop(study_id, ())):
                trials.put(known[number])
            trials.exclude(self._discarded[study_id] | self.left_out.get(study_id, _NO))
            yield trials


def shown_trials(study: optuna.Study) -> Sequence[FrozenTrial]:
    """A study's trials by number, also where `study` is a pruner's view of some of them.

    To be read at once: they are not copied, and the next one who asks for trials may change them.
    """
    storage = study._storage
    if isinstance(storage, Listed):
        with storage.listed(study._study_id) as trials:
            return trials.shown
    return storage.get_all_trials(study._study_id, deepcopy=False)


def excluded_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that a study does not show, by number."""
    storage = study._storage
    if isinstance(storage, Listed):
        with storage.listed(study._study_id) as trials:
            return trials.excluded
    return []


def leave_out(study: optuna.Study, numbers: Collection[int]) -> None:
    """Exclude trials for everybody who asks this study for them, as if they were discarded."""
    storage = study._storage
    if not isinstance(storage, Listed):
        raise TypeError(f"{type(storage).__name__} excludes no trials")
    storage.left_out[study._study_id] = frozenset(numbers)


def storage_of(study: optuna.Study) -> BaseStorage:
    """Where a study is kept."""
    return study._storage


def backend_of(kept: optuna.Study | BaseStorage) -> Any:
    """What stands behind the cache of a storage, or a study's: a database, or a journal's file."""
    return getattr(kept if isinstance(kept, BaseStorage) else kept._storage, "_backend", None)


def study_id(study: optuna.Study) -> int:
    """A study in the storage's own counting."""
    return study._study_id


def study_attributes(study: optuna.Study) -> dict[str, Any]:
    """A study's attributes beside those that a user sets."""
    return study._storage.get_study_system_attrs(study._study_id)


def set_study_attribute(study: optuna.Study, name: str, value: Any) -> None:
    """Set one of `study_attributes`."""
    study._storage.set_study_system_attr(study._study_id, name, value)


def trial_id(trial: optuna.Trial | FrozenTrial) -> int:
    """A trial in the storage's own counting."""
    return trial._trial_id


def trial_ids(study: optuna.Study) -> dict[int, int]:
    """Every trial of a study in the storage's own counting, by number; excluded ones, too."""
    every = (*study.get_trials(deepcopy=False), *excluded_trials(study))
    return {trial.number: trial._trial_id for trial in every}


def without_trials(study: optuna.Study, is_hidden: Callable[[FrozenTrial], bool]) -> optuna.Study:
    """A study, or a pruner's view of one, as a sampler is to see it."""
    return cast(optuna.Study, _WithoutTrials(study, is_hidden))


class _WithoutTrials:
    """A study that shows some of its trials."""

    def __init__(self, study: optuna.Study, is_hidden: Callable[[FrozenTrial], bool]) -> None:
        self._whole, self._is_hidden = study, is_hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.get_trials()

    def get_trials(self, *given: Any, **named: Any) -> list[FrozenTrial]:
        return [t for t in self._whole.get_trials(*given, **named) if not self._is_hidden(t)]

    def _get_trials(self, *given: Any, **named: Any) -> list[FrozenTrial]:
        return [t for t in self._whole._get_trials(*given, **named) if not self._is_hidden(t)]


def stored(trial: optuna.Trial) -> FrozenTrial:
    """A trial as the storage has it now."""
    return trial.storage.get_trial(trial._trial_id)


def set_trial_attribute(trial: optuna.Trial, name: str, value: Any) -> None:
    """Set an attribute of a trial beside those that a user sets."""
    trial.storage.set_trial_system_attr(trial._trial_id, name, value)


def set_state(trial: optuna.Trial, state: TrialState) -> None:
    """Set a trial's state without telling its sampler."""
    trial.storage.set_trial_state_values(trial._trial_id, state=state)


def trial_in_training(study: optuna.Study, frozen: FrozenTrial) -> optuna.Trial:
    """A trial that is in the storage already, to report to and to tell."""
    return optuna.Trial(study, frozen._trial_id)
