"""Whether what a database refused may succeed if it is tried again."""

from __future__ import annotations

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
)

_PASSING = ("08", "57", "40", "53300", "55P03", "25P03", "25P02")
"""How the codes of PostgreSQL begin for what another try may mend: the connection, a server that
stops or starts, a cancelled statement, a deadlock, too many connections, a lock, an idle end, what
follows on any."""


def may_pass(problem: BaseException | None) -> bool:
    """Whether the same may succeed if it is tried again."""
    if isinstance(problem, StorageInternalError):
        problem = problem.__cause__
    if isinstance(problem, PendingRollbackError):  # what follows on a lost connection
        return True
    if not isinstance(problem, DBAPIError):
        return False
    code = getattr(problem.orig, "sqlstate", None)
    if problem.connection_invalidated or (code and code.startswith(_PASSING)):
        return True
    if type(problem.orig).__module__.startswith("psycopg"):
        return code is None and isinstance(problem, OperationalError | InterfaceError)
    return "database is locked" in str(problem.orig)
