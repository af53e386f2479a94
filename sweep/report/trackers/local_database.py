"""The file of a tracker's own database: whether it is still to be made, or was left half made."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError


def database_file(place: str) -> Path | None:
    """The file of `sqlite:///mlflow.db`; None of a place of another kind."""
    try:
        url = make_url(place)
    except (ArgumentError, ValueError):
        return None
    return Path(url.database) if url.database and url.get_backend_name() == "sqlite" else None


def is_new(place: str) -> bool:
    """Whether a place is such a file and nothing is in it, so that tables are made first."""
    file = database_file(place)
    return file is not None and not (file.is_file() and file.stat().st_size)


def why_unusable(problem: Exception, file: Path) -> str:
    """What to do where a database was left between two states of its tables; empty if it was not.

    A table or column is then there already when it is to be made, and will be each time.
    """
    if not re.search("already exists|duplicate column", str(problem)):
        return ""
    if _has_runs(file):
        return (
            "MLflow was interrupted as it changed the tables of this database, which has runs: "
            "put a copy from before in its place, or send to another one"
        )
    return (
        "MLflow was interrupted as it made its tables here, and the database is half made: delete "
        "this file, there is no run in it"
    )


def _has_runs(file: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return database.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is not None
    except sqlite3.Error:  # there is no such table yet
        return False
