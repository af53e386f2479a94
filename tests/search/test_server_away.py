"""A command that begins while a database's server is away."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from support import PostgreSQL

from sweep.search.storage.opening import await_server

pytestmark = pytest.mark.slow


def noted(url: str) -> list[str]:
    notes: list[str] = []
    await_server(url, notes.append)
    return notes


@pytest.fixture
def told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.search.storage.patience._TOLD_AFTER_SECS", 0.0)


@pytest.mark.usefixtures("told_soon")
def test_a_server_that_comes_back_is_waited_for(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database("begins")
    postgresql.call("pg_ctl", "-m", "immediate", "stop")
    back = threading.Timer(1.0, postgresql.start)
    back.start()
    try:
        told, *_, again = noted(url)
    finally:
        back.join()
    assert told.startswith("waiting for the storage, for up to 1 min 00 s: ")
    assert "Connection refused" in told or "the database system is" in told
    assert again.startswith("the storage answers again, after ")


@pytest.mark.usefixtures("told_soon")
def test_one_that_stays_away_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.search.storage.opening.BEGIN_SECS", 0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        told, *_ = noted(f"postgresql://me:secret@127.0.0.1:{free.getsockname()[1]}/db")
    assert "Connection refused" in told and "secret" not in told


@pytest.mark.parametrize("wrong", ["sweep:x@", "nobody:x@", "/nope", "?sslmode=require"])
def test_who_is_there_and_refuses_is_not_waited_for(postgresql: PostgreSQL, wrong: str) -> None:
    url = postgresql.url("postgres")
    user, _, place = url.partition("@")
    if wrong.endswith("@"):
        url = f"postgresql://{wrong}{place}"
    else:
        url = f"{user}@{place.replace('/postgres', wrong)}"
    began = time.monotonic()
    assert noted(url) == []
    assert time.monotonic() - began < 30
    assert noted("postgresql://me@nowhere.invalid/db") == []
