"""What waits to be written to trials in a database, and is written in few statements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    ARRAY,
    Connection,
    Executable,
    Table,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from sweep.search.storage.lean_database import among, parts, time_as_stored
from sweep.search.storage.optuna_private import (
    Kind,
    columns_of_report,
    columns_of_value,
    table_of,
    table_of_trials,
)
from sweep.search.storage.optuna_private import trial_id as id_of

BATCHING = frozenset({"postgresql", "sqlite"})
"""Databases whose statements are known here."""


OWNER = "sweep:owner"
"""The attribute of a trial in training, beside those that a user sets, that says who trains it."""


class Batch:
    """Rows by what they belong to; a later one takes an earlier one's place."""

    def __init__(self) -> None:
        self._begun: dict[int, dict[str, Any]] = {}
        self._rows: dict[Kind, dict[tuple[int, Any], dict[str, Any]]] = {}
        self._left: dict[int, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._begun or self._left) or any(self._rows.values())

    @property
    def begins_any(self) -> bool:
        """Whether a new trial is in it."""
        return bool(self._begun)

    @property
    def left(self) -> Mapping[int, object]:
        """The trials that end with it, or wait for another one to train them, by id."""
        return self._left

    def copy(self) -> Batch:
        """The same, to go back to."""
        same = Batch()
        same._begun, same._left = self._begun.copy(), self._left.copy()
        same._rows = {kind: rows.copy() for kind, rows in self._rows.items()}
        return same

    def begin(self, study_id: int, trial: FrozenTrial) -> None:
        """A new trial of a study, in training from now on."""
        about = {"study_id": study_id, "number": trial.number, "state": trial.state}
        start = {"datetime_start": time_as_stored(trial.datetime_start)}
        self._begun[id_of(trial)] = {"trial_id": id_of(trial), **about, **start}

    def leave(self, trial: FrozenTrial) -> None:
        """A trial that has ended, with what it has come to, or that waits again."""
        left, complete = id_of(trial), time_as_stored(trial.datetime_complete)
        about = {"state": trial.state, "datetime_complete": complete}
        self._left[left] = {"trial_id": left, **about}
        for place, value in enumerate(trial.values or ()):
            self._put("value", left, place, {"objective": place, **columns_of_value(float(value))})

    def attribute(self, kind: Kind, trial_id: int, key: str, value: Any) -> None:
        """Of a user or of the system."""
        self._put(kind, trial_id, key, {"key": key, "value_json": json.dumps(value)})

    def report(self, trial_id: int, step: int, value: float) -> None:
        """What a trial has come to at a step."""
        self._put("report", trial_id, step, {"step": step, **columns_of_report(float(value))})

    def parameter(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution
    ) -> None:
        """A parameter, as Optuna's storages have it inside."""
        about = {
            "param_value": float(value),
            "distribution_json": distribution_to_json(distribution),
        }
        self._put("parameter", trial_id, name, {"param_name": name, **about})

    def _put(self, kind: Kind, trial_id: int, key: Any, row: dict[str, Any]) -> None:
        self._rows.setdefault(kind, {})[trial_id, key] = {"trial_id": trial_id, **row}

    def leave_out(self, trial_ids: Iterable[int]) -> None:
        """Write nothing to some trials."""
        out = set(trial_ids)
        for each in out:
            self._begun.pop(each, None)
            self._left.pop(each, None)
        for kind, rows in self._rows.items():
            self._rows[kind] = {key: row for key, row in rows.items() if key[0] not in out}

    @property
    def trial_ids(self) -> set[int]:
        """Those that something is written to."""
        written = {trial_id for rows in self._rows.values() for trial_id, _ in rows}
        return written | self._begun.keys() | self._left.keys()

    def write(self, connection: Connection, owners: Mapping[int, str | None]) -> set[int]:
        """Write all to trials that are in training still, and have not been taken over.

        Args:
            connection: In a transaction.
            owners: Who trains each trial, as far as is known here; None if nobody has said.

        Returns:
            Those that have ended, and those that are another's and are not claimed with this.
        """
        trials = table_of_trials()
        if self._begun:
            _insert(connection, trials, None, [*self._begun.values()])
        wanted = self.trial_ids
        found = self._ours(connection, wanted - self._begun.keys(), owners) | self._begun.keys()
        for kind, rows in self._rows.items():
            if values := [row for (trial_id, _), row in rows.items() if trial_id in found]:
                _insert(connection, *table_of(kind), values)
        if rows_left := [row for trial_id, row in self._left.items() if trial_id in found]:
            _leave(connection, rows_left)
        return wanted - found

    def _ours(
        self, connection: Connection, wanted: set[int], owners: Mapping[int, str | None]
    ) -> set[int]:
        """Those of some trials that may be written to; nobody else does until the end of this."""
        claimed = {trial_id for trial_id, key in self._rows.get("system", ()) if key == OWNER}
        trials, (attributes, _) = table_of_trials(), table_of("system")
        of_owner = (attributes.c.trial_id == trials.c.trial_id) & (attributes.c.key == OWNER)
        at_work = (
            select(trials.c.trial_id, attributes.c.value_json)
            .select_from(trials.outerjoin(attributes, of_owner))
            .where(trials.c.state == TrialState.RUNNING)
            .order_by(trials.c.trial_id)  # as everybody else locks them
            .with_for_update(key_share=True, of=trials)
        )
        return {
            trial_id
            for some in parts(wanted)
            for trial_id, owner in connection.execute(
                at_work.where(among(connection, trials.c.trial_id, some))
            )
            if owner is None or trial_id in claimed or json.loads(owner) == owners[trial_id]
        }


def _insert(
    connection: Connection, table: Table, key: str | None, rows: list[dict[str, Any]]
) -> None:
    """Write rows, all of the same columns.

    Args:
        connection: In a transaction.
        table: Where.
        key: The column that, with the trial's, no two rows share, so that one that is there is
            written over; None if none is.
        rows: Of different trials or keys.
    """
    name = connection.dialect.name
    statement = _insertion(name, table, key, tuple(rows[0]))
    connection.execute(statement, _columns(rows) if name == "postgresql" else rows)


@cache
def _insertion(dialect: str, table: Table, key: str | None, names: tuple[str, ...]) -> Executable:
    """On PostgreSQL one statement for any number of rows, which it has in columns."""
    insert: Any
    if dialect == "postgresql":
        insert = postgresql.insert(table).from_select(names, select(*_given(table, names).c))
    else:
        insert = sqlite.insert(table)
    if key is None:
        return cast(Executable, insert)
    unique = ["trial_id", key]
    changed = {name: insert.excluded[name] for name in names if name not in unique}
    upsert = insert.on_conflict_do_update(index_elements=unique, set_=changed)
    return cast(Executable, upsert)


def _leave(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Write the states of trials that are in training no more."""
    trials = table_of_trials()
    if connection.dialect.name == "postgresql":
        connection.execute(_leaving(tuple(rows[0])), _columns(rows))
        return
    for row in rows:
        connection.execute(update(trials).where(trials.c.trial_id == row["trial_id"]).values(row))


@cache
def _leaving(names: tuple[str, ...]) -> Executable:
    trials = table_of_trials()
    given = _given(trials, names)
    changed = {name: given.c[name] for name in names if name != "trial_id"}
    return update(trials).where(trials.c.trial_id == given.c.trial_id).values(changed)


def _given(table: Table, names: tuple[str, ...]) -> Any:
    """Rows that a statement is given in columns of a table's types."""
    columns = [bindparam(f"given_{name}", type_=ARRAY(table.c[name].type)) for name in names]
    return func.unnest(*columns).table_valued(*names, name="given").render_derived()


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {f"given_{name}": [row[name] for row in rows] for name in rows[0]}
