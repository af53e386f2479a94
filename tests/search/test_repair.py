"""What a killed run left half-written in a journal."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState
from storages import finished_trials, new_study, other_process

from sweep.base.errors import StorageError
from sweep.search.storage.journal import repair_journal
from sweep.search.storage.opening import load_study
from sweep.search.storage.urls import JOURNAL


class TestRepairJournal:
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Path:
        """A journal with three finished trials."""
        path = tmp_path / JOURNAL
        finished_trials(new_study(str(path)), 3)
        return path

    def trials(self, journal: Path) -> int:
        return len(load_study("mine", str(journal)).get_trials(states=(TrialState.COMPLETE,)))

    def test_leaves_a_whole_journal_alone(self, journal: Path) -> None:
        before = journal.read_bytes()
        assert repair_journal(journal) == []
        assert journal.read_bytes() == before

    def test_no_journal_and_an_empty_one(self, tmp_path: Path) -> None:
        path = tmp_path / JOURNAL
        assert repair_journal(path) == []
        path.touch()
        assert repair_journal(path) == []
        finished_trials(new_study(str(path)), 1)
        assert self.trials(path) == 1

    @pytest.mark.parametrize("length", [1, 5, 12, 40])
    def test_cuts_a_torn_last_line(self, journal: Path, length: int) -> None:
        before = journal.read_bytes()
        journal.write_bytes(before + before.splitlines()[-1][:length])
        repairs = [f"cut {length} bytes that a killed process left half-written in study.journal"]
        assert repair_journal(journal) == repairs
        assert journal.read_bytes() == before
        finished_trials(new_study(str(journal)), 1)
        assert self.trials(journal) == 4

    def test_a_line_without_its_end_is_torn(self, journal: Path) -> None:
        before = journal.read_bytes()
        journal.write_bytes(before[:-1])
        assert len(repair_journal(journal)) == 1
        assert journal.read_bytes() == b"".join(before.splitlines(keepends=True)[:-1])

    def test_keeps_what_another_writer_appended_to_a_torn_line(self, journal: Path) -> None:
        before = journal.read_bytes()
        with open(journal, "ab") as file:
            file.write(before.splitlines()[-1][:30])
        note = b'{"op_code":2,"worker_id":"w","study_id":0,"user_attr":{"note":"{\\"op_code\\""}}\n'
        with open(journal, "ab") as file:
            file.write(note * 2)
        with pytest.raises(StorageError, match="half-written line; running the study mends it"):
            self.trials(journal)
        assert repair_journal(journal) == [
            "cut 30 bytes that a killed process left half-written in study.journal"
        ]
        assert journal.read_bytes() == before + note * 2
        assert load_study("mine", str(journal)).user_attrs == {"note": '{"op_code"'}
        assert self.trials(journal) == 3

    def test_cuts_the_very_first_line(self, tmp_path: Path) -> None:
        path = tmp_path / JOURNAL
        path.write_bytes(b'{"op_co')
        assert len(repair_journal(path)) == 1
        assert path.read_bytes() == b""

    @pytest.mark.parametrize(
        "content",
        [b"a,b\n1,2\n", b"one line", b"[1]\n", b'{"a": 1}\n', b"PAR1\x00\xff\n\x00", b"\n"],
    )
    def test_refuses_what_is_no_journal(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "notes.txt"
        path.write_bytes(content)
        with pytest.raises(StorageError) as raised:
            repair_journal(path)
        assert str(raised.value) == (
            f"{path}: not an Optuna journal; name another --storage or --out"
        )
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["notes.txt"]

    LOCK = (
        "import sys, time; from pathlib import Path\n"
        "from sweep.search.storage.journal import journal_lock\n"
        "lock = journal_lock(Path(sys.argv[1])); lock.acquire()\n"
        "print('locked', flush=True)\n"
        "time.sleep(float(sys.argv[2])); lock.release()\n"
        "print('released', flush=True)"
    )

    @pytest.mark.slow
    def test_removes_the_lock_of_a_dead_process(self, journal: Path) -> None:
        with other_process(self.LOCK, journal, "60") as process:
            process.send_signal(signal.SIGKILL)
            process.wait()
        lock = Path(f"{journal}.lock")
        assert os.path.lexists(lock)
        started = time.monotonic()
        assert repair_journal(journal) == [
            "removed the lock that a killed process left on study.journal"
        ]
        finished_trials(new_study(str(journal)), 1)
        assert time.monotonic() - started < 20  # Optuna would wait for 30 s
        assert not os.path.lexists(lock)
        assert self.trials(journal) == 4

    @pytest.mark.slow
    def test_waits_for_the_lock_of_a_live_process(self, journal: Path) -> None:
        with other_process(self.LOCK, journal, "0.5") as process:
            assert repair_journal(journal) == []
            assert process.stdout is not None
            assert process.stdout.readline() == "released\n"

    def test_does_not_disturb_a_live_writer(self, journal: Path) -> None:
        """The dashboard may write notes meanwhile: none of them is lost or torn."""
        study, stop, written = load_study("mine", str(journal)), threading.Event(), 0

        def write() -> None:
            nonlocal written
            while not stop.is_set():
                study.set_user_attr("note", written)
                written += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(5):
                assert repair_journal(journal) == []
        finally:
            stop.set()
            writer.join()
        lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
        notes = [line["user_attr"]["note"] for line in lines if "user_attr" in line]
        assert notes == list(range(written))
