"""What waits to be written to trials in a database, and is written in few statements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import TrialState
from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from sweep.search.storage.optuna_private import Kind, columns_of_report, table_of, table_of_trials

_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}

BATCHING = frozenset(_INSERT)
"""Databases whose statements are known here."""


OWNER = "sweep:owner"
"""The attribute of a trial in training, beside those that a user sets, that says who trains it."""


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

    @property
    def trial_ids(self) -> set[int]:
        """Those that something is written to."""
        return {trial_id for rows in self._rows.values() for trial_id, _ in rows}

    def write(self, connection: Connection, owners: Mapping[int, str | None]) -> set[int]:
        """Write all to trials that are in training still, and have not been taken over.

        Args:
            connection: In a transaction.
            owners: Who trains each trial, as far as is known here; None if nobody has said.

        Returns:
            Those that have ended, and those that are another's and are not claimed with this.
        """
        wanted = self.trial_ids
        claimed = {trial_id for trial_id, key in self._rows.get("system", ()) if key == OWNER}
        trials, (attributes, _) = table_of_trials(), table_of("system")
        of_owner = (attributes.c.trial_id == trials.c.trial_id) & (attributes.c.key == OWNER)
        at_work = (
            select(trials.c.trial_id, attributes.c.value_json)
            .select_from(trials.outerjoin(attributes, of_owner))
            .where(trials.c.trial_id.in_(wanted), trials.c.state == TrialState.RUNNING)
            .with_for_update(read=True, of=trials)
        )
        found = {
            trial_id
            for trial_id, owner in connection.execute(at_work)
            if owner is None or trial_id in claimed or json.loads(owner) == owners[trial_id]
        }
        for kind, rows in self._rows.items():
            if values := [row for (trial_id, _), row in rows.items() if trial_id in found]:
                _upsert(connection, *table_of(kind), values)
        return wanted - found


def _upsert(connection: Connection, table: Table, key: str, rows: list[dict[str, Any]]) -> None:
    statement = _INSERT[connection.dialect.name](table)
    unique = ["trial_id", key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in unique}
    connection.execute(statement.on_conflict_do_update(index_elements=unique, set_=changed), rows)
