"""Optuna's storage in a database, which reads trials in few and plain statements."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple, TypeVar, cast

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Integer,
    String,
    and_,
    any_,
    bindparam,
    func,
    select,
    type_coerce,
)

from sweep.search.storage.optuna_private import (
    Kind,
    NumberingDatabase,
    table_of,
    table_of_studies,
    table_of_trials,
)

_AT_ONCE = 900
"""Trials that one statement names: SQLite before 3.32 takes 999 parameters."""

_NO_NUMBER = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
"""What stands for a value that a database has by the name of its type alone."""

T = TypeVar("T")


class NewNumber(NamedTuple):
    """What a new trial will be called, by the study and by the database."""

    number: int
    trial_id: int


class LeanDatabase(NumberingDatabase):
    """Optuna's storage, whose objects for each row of a trial take longer than the server does."""

    def connected(self, act: Callable[[Connection], T]) -> T:
        """Do something in a transaction, or in the one that a turn is."""
        session = self.scoped_session()
        try:
            result = act(session.connection())
            session.commit()
            return result
        except BaseException:
            session.rollback()
            raise

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """A study's trials above an id, and some of those up to it, in the order of their ids."""
        trials = table_of_trials()
        before = [each for each in included_trial_ids if each <= trial_id_greater_than]

        def read(connection: Connection) -> list[FrozenTrial]:
            found: dict[int, FrozenTrial] = {}
            wanted = [trials.c.trial_id > trial_id_greater_than]
            wanted += [among(connection, trials.c.trial_id, some) for some in parts(before)]
            for condition in wanted:
                found |= _without_contents(connection, study_id, condition)
            if states is not None:
                found = {each: trial for each, trial in found.items() if trial.state in states}
            _fill(connection, found)
            return [found[each] for each in sorted(found)]

        return self.connected(read)

    def waiting_no_longer(self, trial_ids: Collection[int]) -> set[int]:
        """Those of some trials that have waited which somebody has begun or ended."""
        trials = table_of_trials()

        def read(connection: Connection) -> set[int]:
            found = set[int]()
            for some in parts(trial_ids):
                is_one = among(connection, trials.c.trial_id, some)
                begun = and_(is_one, trials.c.state != TrialState.WAITING)
                found.update(connection.scalars(select(trials.c.trial_id).where(begun)))
            return found

        return self.connected(read)

    def new_numbers(self, study_id: int, count: int) -> list[NewNumber]:
        """Numbers of new trials of a study, which nobody else is given; for PostgreSQL.

        Args:
            study_id: The study, which is locked with that, as Optuna locks it for a new trial.
            count: How many.

        Returns:
            None at all where the ids of trials come from no sequence of their table.
        """
        studies, trials = table_of_studies(), table_of_trials()
        locked = select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update()
        of_study = select(trials.c.number).where(trials.c.study_id == study_id)
        last = of_study.order_by(trials.c.trial_id.desc()).limit(1).scalar_subquery()
        sequence = func.pg_get_serial_sequence("trials", "trial_id")
        new_ids = select(func.nextval(sequence), last).select_from(func.generate_series(1, count))

        def ask(connection: Connection) -> list[NewNumber]:
            connection.execute(locked)
            found = connection.execute(new_ids).all()  # after the lock, and what it waited for
            ids = sorted(new_id for new_id, _ in found if new_id is not None)
            first = 0 if found[0][1] is None else found[0][1] + 1
            return [NewNumber(first + place, each) for place, each in enumerate(ids)]

        return self.connected(ask)


def _without_contents(
    connection: Connection, study_id: int, condition: ColumnElement[bool]
) -> dict[int, FrozenTrial]:
    """A study's trials by id, as far as they stand in the table of trials.

    Raises:
        KeyError: There is no such study.
    """
    studies, trials = table_of_studies(), table_of_trials()
    of_study = and_(trials.c.study_id == studies.c.study_id, condition)
    names = ("trial_id", "number", "state", "datetime_start", "datetime_complete")
    question = (
        select(*(trials.c[name] for name in names))
        .select_from(studies.outerjoin(trials, of_study))
        .where(studies.c.study_id == study_id)
    )
    rows: Sequence[Any] = connection.execute(question).all()
    if not rows:
        raise KeyError(f"there is no study with the id {study_id}")
    return {
        trial_id: bare_trial(
            trial_id, number, state, time_from_stored(start), time_from_stored(complete)
        )
        for trial_id, number, state, start, complete in rows
        if trial_id is not None
    }


def bare_trial(
    trial_id: int,
    number: int,
    state: TrialState,
    start: datetime | None,
    complete: datetime | None = None,
) -> FrozenTrial:
    """A trial without anything that belongs to it."""
    return FrozenTrial(
        number=number,
        state=state,
        value=None,
        datetime_start=start,
        datetime_complete=complete,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=trial_id,
    )


def _fill(connection: Connection, trials: dict[int, FrozenTrial]) -> None:
    """Read what belongs to trials, by id."""
    for some in parts(trials):
        values: defaultdict[int, dict[int, float]] = defaultdict(dict)
        parameters = _rows(connection, "parameter", some, "param_value", "distribution_json")
        for trial_id, name, number, written in parameters:
            distribution, trial = _distribution(written), trials[trial_id]
            trial.params[intern(name)] = distribution.to_external_repr(number)
            trial.distributions[intern(name)] = distribution
        for trial_id, key, written in _rows(connection, "user", some, "value_json"):
            trials[trial_id].user_attrs[intern(key)] = json.loads(written)
        for trial_id, key, written in _rows(connection, "system", some, "value_json"):
            trials[trial_id].system_attrs[intern(key)] = json.loads(written)
        reports = ("intermediate_value", "intermediate_value_type")
        for trial_id, step, number, kind in _rows(connection, "report", some, *reports):
            trials[trial_id].intermediate_values[step] = _NO_NUMBER.get(kind, number)
        for trial_id, place, number, kind in _rows(
            connection, "value", some, "value", "value_type"
        ):
            values[trial_id][place] = _NO_NUMBER.get(kind, number)
        for trial_id, by_place in values.items():
            trials[trial_id].values = [by_place[place] for place in sorted(by_place)]


def _rows(
    connection: Connection, kind: Kind, trial_ids: Collection[int], *names: str
) -> Sequence[Any]:
    """Each row's trial, key and columns of these names, in the order in which they were written."""
    table, key = table_of(kind)
    columns = [
        type_coerce(column, String) if column.name.endswith("_type") else column
        for column in (table.c[name] for name in names)
    ]
    (written,) = table.primary_key
    question = select(table.c.trial_id, table.c[key], *columns).order_by(written)
    is_one = among(connection, table.c.trial_id, trial_ids)
    return connection.execute(question.where(is_one)).all()


def among(connection: Connection, column: Any, ids: Collection[int]) -> ColumnElement[bool]:
    """That a column's value is one of these; on PostgreSQL, the statement is the same for any."""
    if connection.dialect.name != "postgresql":
        return cast(ColumnElement[bool], column.in_(ids))
    return cast(ColumnElement[bool], column == any_(bindparam(None, [*ids], ARRAY(Integer))))


@lru_cache(maxsize=1000)
def _distribution(written: str) -> BaseDistribution:
    """The same object for all trials that draw from it: they are many, and nobody changes it."""
    return json_to_distribution(written)


def parts(trial_ids: Collection[int]) -> Iterator[list[int]]:
    """Trials by their ids, in order, as many at a time as one statement may name."""
    ordered = sorted(trial_ids)
    return (ordered[at : at + _AT_ONCE] for at in range(0, len(ordered), _AT_ONCE))


def time_as_stored(time: datetime | None) -> datetime | None:
    """A time of a trial, naive and local, as a database has it: naive and of UTC."""
    return time and time.astimezone(UTC).replace(tzinfo=None)


def time_from_stored(time: datetime | None) -> datetime | None:
    """The other way round."""
    return time and time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
