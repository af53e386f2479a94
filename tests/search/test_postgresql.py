"""Studies on a PostgreSQL server."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pandas as pd
import pytest
from optuna.trial import TrialState
from sqlalchemy import create_engine, inspect
from storages import TRICKY, closed_later, finished_trials, new_study
from support import PASSWORD, PostgreSQL, drawn, sweep

from sweep.base.errors import StorageError
from sweep.search.storage.opening import load_study, peek_study
from sweep.search.storage.owners import owner_of
from sweep.search.storage.urls import without_password

pytestmark = pytest.mark.slow

TOGETHER = """
import os
import time
from pathlib import Path

import torch

def train(schedule, epochs, seed):
    Path(f"worker-{os.getpid()}").touch()
    while len(list(Path().glob("worker-*"))) < 2:  # until both have begun a trial
        time.sleep(0.05)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=1)
    for epoch in range(epochs):
        optimizer.step()
        scheduler.step()
        yield {"val_mse": schedule.lr + seed % 97 / 1e4 + 1 / (epoch + 1)}
"""


class TestPostgreSQL:
    def test_creates_it_once_and_loads_it_later(self, postgresql: PostgreSQL) -> None:
        url = postgresql.new_database("plain")
        with closed_later(new_study(url)) as study:
            finished_trials(study, 2)
        with closed_later(new_study(url)) as study, closed_later(load_study("mine", url)) as read:
            assert len(study.trials) == len(read.trials) == 2

    def test_problems_never_show_the_password(self, postgresql: PostgreSQL) -> None:
        wrong = postgresql.url("postgres").replace(TRICKY, "wr0ng")
        for url in (postgresql.url("nowhere"), wrong):
            with pytest.raises(StorageError) as raised:
                new_study(url)
            start = f"{without_password(url)}: the storage cannot be opened: (psycopg.Operational"
            assert str(raised.value).startswith(start)
            assert PASSWORD not in str(raised.value) and "wr0ng" not in str(raised.value)

    def test_a_peek_creates_no_table(self, postgresql: PostgreSQL, tmp_path: Path) -> None:
        url = postgresql.new_database("peeked")
        assert peek_study("mine", url, tmp_path) is None
        engine = create_engine(url)
        assert inspect(engine).get_table_names() == []
        engine.dispose()
        wrong = url.replace(TRICKY, "wr0ng")
        with pytest.raises(StorageError) as peeked:
            peek_study("mine", wrong, tmp_path)
        with pytest.raises(StorageError) as ran:
            new_study(wrong)
        assert str(peeked.value) == str(ran.value) and "wr0ng" not in str(peeked.value)
        with closed_later(new_study(url)) as study:
            finished_trials(study, 2)
        seen = peek_study("mine", url, tmp_path)
        assert seen is not None
        with closed_later(seen):
            assert len(seen.trials) == 2

    def test_a_peek_that_is_not_allowed(self, postgresql: PostgreSQL, tmp_path: Path) -> None:
        url = postgresql.new_database("denied")
        with closed_later(new_study(url)):
            pass
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE ROLE guest LOGIN PASSWORD 'guest'")
            connection.exec_driver_sql("GRANT SELECT ON version_info, alembic_version TO guest")
        engine.dispose()
        guest = url.replace(f"sweep:{TRICKY}", "guest:guest")
        with pytest.raises(StorageError) as raised:
            peek_study("mine", guest, tmp_path)
        assert str(raised.value) == (
            f"{without_password(guest)}: the storage cannot be opened: "
            "(psycopg.errors.InsufficientPrivilege) permission denied for table studies"
        )

    def test_two_coordinators_share_a_study(self, postgresql: PostgreSQL, tmp_path: Path) -> None:
        """Two machines, one total; and the password is nowhere to be found."""
        url = postgresql.new_database("shared")
        total = 8
        (tmp_path / "train.py").write_text(TOGETHER)
        command = ["run", "--loop", "train.py:train", "--trials", str(total), "--epochs", "2"]
        command += ["--workers", "1", "--storage", url]
        done: dict[str, subprocess.CompletedProcess[str]] = {}

        def run(out: str) -> None:
            done[out] = sweep(*command, "--out", out, cwd=tmp_path)

        threads = [threading.Thread(target=run, args=(out,)) for out in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for out, process in done.items():
            assert process.returncode == 0, process.stderr
            written = [file.read_bytes() for file in (tmp_path / out).rglob("*") if file.is_file()]
            assert len(written) >= 5
            for text in (process.stdout.encode(), process.stderr.encode(), *written):
                assert PASSWORD.encode() not in text and TRICKY.encode() not in text
            shown = without_password(url)
            assert f'storage = "{shown}"' in (tmp_path / out / "study.toml").read_text()
        with closed_later(load_study("train", url)) as study:
            trials = study.trials
        assert len(drawn(trials)) == total
        assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
        owners = {trial.system_attrs["sweep:owner"] for trial in trials}
        assert owners == {owner_of(tmp_path / "a"), owner_of(tmp_path / "b")}
        assert len(pd.read_csv(tmp_path / "a" / "results.csv")) >= 1
