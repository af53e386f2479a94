"""What waits to be written to trials in a database, and is written in few statements."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import TrialState
from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from sweep.search.storage.optuna_private import Kind, columns_of_report, table_of, table_of_trials

_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}

BATCHING = frozenset(_INSERT)
"""Databases whose statements are known here."""


class Batch:
    """Rows by what they belong to; a later one takes an earlier one's place."""

    def __init__(self) -> None:
        self._rows: dict[Kind, dict[tuple[int, Any], dict[str, Any]]] = {}

    def __bool__(self) -> bool:
        return any(self._rows.values())

    def copy(self) -> Batch:
        """The same, to go back to."""
        same = Batch()
        same._rows = {kind: rows.copy() for kind, rows in self._rows.items()}
        return same

    def attribute(self, kind: Kind, trial_id: int, key: str, value: Any) -> None:
        """Of a user or of the system."""
        self._put(kind, trial_id, key, {"key": key, "value_json": json.dumps(value)})

    def report(self, trial_id: int, step: int, value: float) -> None:
        """What a trial has come to at a step."""
        self._put("report", trial_id, step, {"step": step, **columns_of_report(value)})

    def parameter(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution
    ) -> None:
        """A parameter, as Optuna's storages have it inside."""
        about = {"param_value": value, "distribution_json": distribution_to_json(distribution)}
        self._put("parameter", trial_id, name, {"param_name": name, **about})

    def _put(self, kind: Kind, trial_id: int, key: Any, row: dict[str, Any]) -> None:
        self._rows.setdefault(kind, {})[trial_id, key] = {"trial_id": trial_id, **row}

    def leave_out(self, trial_ids: Iterable[int]) -> None:
        """Write nothing to some trials."""
        out = set(trial_ids)
        for kind, rows in self._rows.items():
            self._rows[kind] = {key: row for key, row in rows.items() if key[0] not in out}

    def write(self, connection: Connection) -> set[int]:
        """Write all to trials that are in training still.

        Args:
            connection: In a transaction.

        Returns:
            Those that are not.
        """
        wanted = {trial_id for rows in self._rows.values() for trial_id, _ in rows}
        trials = table_of_trials()
        at_work = select(trials.c.trial_id).where(
            trials.c.trial_id.in_(wanted), trials.c.state == TrialState.RUNNING
        )
        found = set(connection.execute(at_work.with_for_update(read=True)).scalars())
        for kind, rows in self._rows.items():
            if values := [row for (trial_id, _), row in rows.items() if trial_id in found]:
                _upsert(connection, *table_of(kind), values)
        return wanted - found


def _upsert(connection: Connection, table: Table, key: str, rows: list[dict[str, Any]]) -> None:
    statement = _INSERT[connection.dialect.name](table)
    unique = ["trial_id", key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in unique}
    connection.execute(statement.on_conflict_do_update(index_elements=unique, set_=changed), rows)
