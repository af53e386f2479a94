"""Whether what a database refused may succeed if it is tried again."""

from __future__ import annotations

import re

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

_NOBODY_THERE = re.compile(
    r"Connection refused|Connection reset|timed out|timeout expired|is unreachable|"
    r"No route to host|on socket .* failed: No such file|server closed the connection|"
    r"the database system is "
)
"""What PostgreSQL's library says of a server that is not there, and the server of itself as it
starts or stops: a connection that fails at its beginning has no code."""


def is_away(problem: BaseException | None) -> bool:
    """Whether nobody answers at a database's address yet, or only to say that it is starting.

    One who is there and refuses this user or knows no such database is not away, nor is a host
    whose name nobody knows.
    """
    return isinstance(problem, OperationalError) and bool(_NOBODY_THERE.search(str(problem.orig)))


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
