"""Optuna's storage in a database, for a process that trains trials: it reads and writes little."""

from __future__ import annotations

import copy
import json
import math
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select

from sweep.search.storage.batches import OWNER, Batch
from sweep.search.storage.lean_database import NewNumber, bare_trial, time_from_stored
from sweep.search.storage.optuna_private import (
    Kind,
    ListedDatabase,
    table_of,
    table_of_trials,
)
from sweep.search.storage.optuna_private import trial_id as id_of
from sweep.search.storage.patient_storage import PatientStorage

_NEWS_SECS = 1.0
"""How old what is known of other coordinators' trials may be outside of a turn."""


class _Before(NamedTuple):
    """What a turn goes back to if it comes to nothing."""

    held: set[int]
    batch: Batch
    trials: dict[tuple[int, int], FrozenTrial | None]
    unfinished: dict[int, set[int]]
    read_up_to: dict[int, int]


class BatchedDatabase(ListedDatabase):
    """A database in which nobody else writes to the trials that this process has in training.

    Optuna reads all open trials of a study for each question, and writes each parameter, report and
    attribute in a transaction of its own. Here those of the trials that are trained here are kept
    in memory, and are written together: with the end of any of them, with a turn, or on `flush`.
    On a server, those that a turn begins are written at its end, too, and their numbers are asked
    for at once. Those that are trained elsewhere are read once a turn, and else once a second.

    Args:
        backend: On one of the databases of `batches.BATCHING`.
    """

    def __init__(self, backend: PatientStorage) -> None:
        super().__init__(backend)
        self._lock = threading.RLock()  # type: ignore[assignment]
        self._database = backend
        self._held: set[int] = set()
        self._batch = Batch()
        self._read_up_to: dict[int, int] = {}  # ids of trials, by study
        self._read_at: dict[int, float] = {}
        self._before: _Before | None = None
        self._unread_in_turn: set[int] | None = None  # studies; None outside of a turn
        self._begins = 0
        self._numbers: deque[NewNumber] = deque()
        self._batches_ends = False

    def begin_turn(self, begins: int = 1) -> None:
        """From now on, what others have done counts, and all that is done here may be undone.

        Args:
            begins: How many trials may be begun in it.
        """
        with self._lock:
            self._begins = begins
            self._numbers.clear()
            self._before = _Before(
                set(self._held),
                self._batch.copy(),
                {},
                {study: set(known.unfinished_trial_ids) for study, known in self._studies.items()},
                dict(self._read_up_to),
            )
            self._unread_in_turn = set(self._studies)

    def end_turn(self) -> None:
        """It is over: what was done in it stays, if it has not been undone."""
        with self._lock:
            self._before = self._unread_in_turn = None
            self._numbers.clear()

    def undo_turn(self) -> None:
        """Have things as they were when it began; what a database has not kept is read anew."""
        with self._lock:
            before, self._before = self._before, None
            self._unread_in_turn = None
            if before is None:
                return
            self._held, self._batch = before.held, before.batch
            self._read_up_to = before.read_up_to
            self._read_at.clear()
            for (study_id, number), trial in before.trials.items():
                if trial is None:
                    self._remove(study_id, number)
                else:
                    self._studies[study_id].trials[number] = trial
                    self._changed.setdefault(study_id, set()).add(number)
            for study_id, known in self._studies.items():
                known.unfinished_trial_ids = before.unfinished.get(study_id, set())

    def _remove(self, study_id: int, number: int) -> None:
        del self._studies[study_id].trials[number]
        trial_id = self._study_id_and_number_to_trial_id.pop((study_id, number))
        self._trial_id_to_study_id_and_number.pop(trial_id, None)
        self._changed.get(study_id, set()).discard(number)
        if study_id in self._lists:
            self._lists[study_id].remove(number)

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        with self._lock:
            is_unread = self._unread_in_turn is not None and study_id in self._unread_in_turn
            age = time.monotonic() - self._read_at.get(study_id, -math.inf)
            if age < _NEWS_SECS and not is_unread:
                return
            study = self._study(study_id)
            up_to = self._read_up_to.get(study_id, -1)
            elsewhere = study.unfinished_trial_ids - self._held
            waiting = {each for each in elsewhere if self._of(each).state == TrialState.WAITING}
            elsewhere -= waiting - self._database.waiting_no_longer(waiting)
            new = self._database._get_trials(study_id, None, elsewhere, up_to)
            self._take_in(study_id, [trial for trial in new if id_of(trial) not in self._held])
            self._read_up_to[study_id] = max([up_to, *(id_of(trial) for trial in new)])
            self._read_at[study_id] = time.monotonic()
            if self._unread_in_turn is not None:
                self._unread_in_turn.discard(study_id)

    def _study(self, study_id: int) -> Any:
        if study_id not in self._studies:
            self.get_study_directions(study_id)
        return self._studies[study_id]

    def _take_in(self, study_id: int, trials: list[FrozenTrial]) -> None:
        known = self._study(study_id)
        if self._before is not None:
            for trial in trials:
                place = study_id, trial.number
                self._before.trials.setdefault(place, known.trials.get(trial.number))
        self._add_trials_to_cache(study_id, trials)
        for trial in trials:
            if trial.state.is_finished():
                known.unfinished_trial_ids.discard(id_of(trial))
            else:
                known.unfinished_trial_ids.add(id_of(trial))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """As it is here, if it is trained here, or was read in this turn."""
        with self._lock:
            if trial_id in self._held or self._is_read_in_turn(trial_id):
                return self._of(trial_id)
        return super().get_trial(trial_id)

    def _of(self, trial_id: int) -> FrozenTrial:
        study_id, number = self._trial_id_to_study_id_and_number[trial_id]
        return self._studies[study_id].trials[number]

    def _is_read_in_turn(self, trial_id: int) -> bool:
        """Whether all that counts of a trial is known: nobody else does any of it in a turn."""
        study_id, _ = self._trial_id_to_study_id_and_number.get(trial_id, (None, None))
        unread = self._unread_in_turn
        return study_id is not None and unread is not None and study_id not in unread

    def state_and_attribute(self, trial_id: int, key: str) -> tuple[TrialState, Any]:
        """What the database has of a trial now, which others may have taken over."""
        trials, (attributes, _) = table_of_trials(), table_of("system")
        of_key = (attributes.c.trial_id == trials.c.trial_id) & (attributes.c.key == key)
        question = (
            select(trials.c.state, attributes.c.value_json)
            .select_from(trials.outerjoin(attributes, of_key))
            .where(trials.c.trial_id == trial_id)
        )
        state, value = self._database.connected(lambda bound: bound.execute(question).one())
        return state, None if value is None else json.loads(value)

    def let_go(self, trial_id: int) -> None:
        """A trial is another's by now: what waits to be written to it is not."""
        with self._lock:
            self._held.discard(trial_id)
            self._batch.leave_out([trial_id])
            self._read_at.clear()
            if self._of(trial_id).state != TrialState.RUNNING:  # here alone, perhaps
                study_id, _ = self._trial_id_to_study_id_and_number[trial_id]
                self._take_in(study_id, [self._database.get_trial(trial_id)])

    def holds(self, trial_id: int) -> bool:
        """Whether a trial is trained here, as far as is known."""
        return trial_id in self._held

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Begin one, which is trained here, or enqueue one."""
        with self._lock:
            trial = self._begun_in_turn(study_id, template_trial)
            trial = trial or self._database._create_new_trial(study_id, template_trial)
            all_known = trial.number == len(self._study(study_id).trials)
            self._take_in(study_id, [trial])
            if trial.state == TrialState.RUNNING:
                self._held.add(id_of(trial))
            if all_known:
                self._read_up_to[study_id] = id_of(trial)
            else:
                self._read_at.clear()
        return id_of(trial)

    def _begun_in_turn(self, study_id: int, template: FrozenTrial | None) -> FrozenTrial | None:
        """A new trial that its turn writes down; None where the database has to make it."""
        if self._before is None or not self._database.is_in_turn:
            return None
        if template or not self._numbers:
            if self._batch.begins_any:  # the database numbers after the last one that it has
                self.flush()
            new = [] if template else self._database.new_numbers(study_id, self._begins)
            self._numbers = deque(new)
        if not self._numbers:
            return None
        number, trial_id = self._numbers.popleft()
        begun = bare_trial(trial_id, number, TrialState.RUNNING, datetime.now())
        self._batch.begin(study_id, begun)
        return begun

    def _hold(self, trial_id: int, takes: bool = False) -> FrozenTrial | None:
        """A trial that is written to, which is therefore ours; None if it is not in training.

        Args:
            trial_id: It.
            takes: Whether it is claimed with that.

        Raises:
            UpdateFinishedTrialError: Another run has claimed it, or it is in training no more.
        """
        if trial_id in self._held:
            held = self._of(trial_id)
            if held.state != TrialState.RUNNING:
                raise UpdateFinishedTrialError(f"trial {held.number} is not in training any more")
            return held
        if trial_id not in self._trial_id_to_study_id_and_number:
            return None
        is_read = self._is_read_in_turn(trial_id)
        trial = self._of(trial_id) if is_read else self._database.get_trial(trial_id)
        if trial.state != TrialState.RUNNING:
            return None
        if OWNER in trial.system_attrs and not takes:
            raise UpdateFinishedTrialError(f"trial {trial.number} is trained by another run")
        self._take_hold(trial)
        return trial

    def _take_hold(self, trial: FrozenTrial) -> None:
        self._take_in(self._trial_id_to_study_id_and_number[id_of(trial)][0], [trial])
        self._held.add(id_of(trial))

    def _change(self, trial_id: int, trial: FrozenTrial, field: str, key: Any, value: Any) -> None:
        """Put another one in a trial's place: whoever has it need not expect it to change."""
        changed = copy.copy(trial)
        setattr(changed, field, {**getattr(trial, field), key: value})
        self._take_in(self._trial_id_to_study_id_and_number[trial_id][0], [changed])

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Keep a parameter."""
        with self._lock:
            trial = self._hold(trial_id)
            known = None
            if trial is not None:
                study_id, _ = self._trial_id_to_study_id_and_number[trial_id]
                known = self._studies[study_id].param_distribution.get(param_name)
            if known is None:  # the first of its name, which others may differ in
                self.flush()
                super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
            else:
                check_distribution_compatibility(known, distribution)
                self._batch.parameter(trial_id, param_name, param_value_internal, distribution)
            if trial is not None:
                value = distribution.to_external_repr(param_value_internal)
                self._change(trial_id, trial, "_distributions", param_name, distribution)
                self._change(trial_id, self._of(trial_id), "params", param_name, value)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Keep a report."""
        with self._lock:
            if (trial := self._hold(trial_id)) is None:
                super().set_trial_intermediate_value(trial_id, step, intermediate_value)
                return
            self._batch.report(trial_id, step, intermediate_value)
            self._change(trial_id, trial, "intermediate_values", step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep an attribute."""
        with self._lock:
            if not self._keep("user", trial_id, key, value):
                super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep an attribute."""
        with self._lock:
            if not self._keep("system", trial_id, key, value):
                super().set_trial_system_attr(trial_id, key, value)

    def _keep(self, kind: Kind, trial_id: int, key: str, value: Any) -> bool:
        if (trial := self._hold(trial_id, takes=key == OWNER)) is None:
            return False
        field = f"{kind}_attrs"
        if key not in getattr(trial, field) or getattr(trial, field)[key] != value:
            self._batch.attribute(kind, trial_id, key, value)
            self._change(trial_id, trial, field, key, value)
        return True

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Begin one that waits, let one wait, or end one: at once, if not in a batch."""
        with self._lock:
            is_batched = self._batches_ends or self._before is not None
            if state == TrialState.RUNNING:
                begun = super().set_trial_state_values(trial_id, state, values)
                self._read_at.clear()
                if begun:
                    self._take_hold(self._database.get_trial(trial_id))
                return begun
            if is_batched and trial_id in self._held and (trial := self._hold(trial_id)):
                self._batch.leave(self._left(trial, state, values, datetime.now()))
                return True
            self.flush()
            done = super().set_trial_state_values(trial_id, state, values)
            if trial_id in self._held:
                self._left(self._of(trial_id), state, values, self._completed_at(trial_id))
                self._held.discard(trial_id)
            return done

    def _left(
        self,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
        complete: datetime | None,
    ) -> FrozenTrial:
        """A trial that has ended or waits again, in the place of the one that was in training."""
        left = copy.copy(trial)
        left.state, left.values = state, values and [*values]
        left.datetime_complete = complete if state.is_finished() else None
        self._take_in(self._trial_id_to_study_id_and_number[id_of(trial)][0], [left])
        return left

    @contextmanager
    def batching_ends(self) -> Iterator[None]:
        """Let trials that are trained here, and end meanwhile, be written with the next flush.

        That is to be in a turn: nobody may take a trial over while its end is written.
        """
        self._batches_ends = True
        try:
            yield
        finally:
            self._batches_ends = False

    @property
    def unwritten_ends(self) -> Collection[int]:
        """The trials that have ended here and not in the database."""
        return self._batch.left

    def _completed_at(self, trial_id: int) -> datetime | None:
        trials = table_of_trials()
        question = select(trials.c.datetime_complete).where(trials.c.trial_id == trial_id)
        return time_from_stored(
            self._database.connected(lambda bound: bound.execute(question).scalar_one())
        )

    def flush(self) -> None:
        """Write down what waits."""
        with self._lock:
            batch = self._batch
            if not batch:
                return
            owners = {each: self._of(each).system_attrs.get(OWNER) for each in batch.trial_ids}
            lost = self._database.connected(lambda bound: batch.write(bound, owners))
            self._batch = Batch()
            self._held -= batch.left.keys()
            for trial_id in lost:
                self.let_go(trial_id)
