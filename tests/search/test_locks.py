"""One run at a time works on a folder and on a journal."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from storages import contents, other_process

from sweep.base.errors import StorageError, StudyBusyError
from sweep.search.storage.locks import check_folders, check_not_held, hold


class TestHold:
    CODE = (
        "import sys, time; from pathlib import Path; from sweep.search.storage.locks import hold\n"
        "with hold(Path(sys.argv[1]), sys.argv[2]):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)"
    )

    @pytest.mark.slow
    def test_another_process_is_busy_with_the_folder(self, tmp_path: Path) -> None:
        url = str(tmp_path / "a.journal")
        with other_process(self.CODE, tmp_path / "run", url):
            with pytest.raises(StudyBusyError) as raised, hold(tmp_path / "run", f"{url}2"):
                pass
        assert str(raised.value) == (
            f"{tmp_path / 'run'}: this study is being run by another process; "
            "wait for it, stop it, or give --out another folder"
        )

    @pytest.mark.slow
    def test_another_process_is_busy_with_the_journal(self, tmp_path: Path) -> None:
        url = str(tmp_path / "a.journal")
        with other_process(self.CODE, tmp_path / "run", url):
            with pytest.raises(StudyBusyError) as raised, hold(tmp_path / "other", url):
                pass
            assert str(raised.value).startswith(f"{url}: this journal is in use by another run")
            assert "--storage sqlite:///FILE.db" in str(raised.value)
            with hold(tmp_path / "other", f"{url}2"):  # nothing is kept of the failed attempt
                pass

    @pytest.mark.slow
    @pytest.mark.parametrize(("out", "journal"), [("run", "new"), ("other", "a.journal")])
    def test_a_check_says_the_same_and_makes_nothing(
        self, tmp_path: Path, out: str, journal: str
    ) -> None:
        folder, url = tmp_path / out, str(tmp_path / journal)
        check_not_held(folder, url)
        assert os.listdir(tmp_path) == []
        with other_process(self.CODE, tmp_path / "run", tmp_path / "a.journal"):
            before = contents(tmp_path)
            with pytest.raises(StudyBusyError) as checked:
                check_not_held(folder, url)
            assert contents(tmp_path) == before
            with pytest.raises(StudyBusyError) as held, hold(folder, url):
                pass
            assert str(checked.value) == str(held.value)
        check_not_held(folder, url)

    @pytest.mark.slow
    def test_many_may_work_on_a_database(self, tmp_path: Path) -> None:
        url = "postgresql://host/db"
        with other_process(self.CODE, tmp_path / "run", url), hold(tmp_path / "other", url):
            pass

    @pytest.mark.slow
    def test_dies_with_its_process(self, tmp_path: Path) -> None:
        url = str(tmp_path / "a.journal")
        with other_process(self.CODE, tmp_path / "run", url) as process:
            process.send_signal(signal.SIGKILL)
            process.wait()
            with hold(tmp_path / "run", url):
                pass

    def test_can_be_taken_again(self, tmp_path: Path) -> None:
        for _ in range(2):
            with hold(tmp_path / "new" / "run", str(tmp_path / "far" / "a.journal")):
                assert (tmp_path / "far").is_dir()

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError) as raised, hold(tmp_path / "file", "sqlite:///x.db"):
            pass
        assert str(raised.value) == f"{tmp_path / 'file'}: cannot be made a folder: File exists"


class TestCheckFolders:
    """What `hold` would say."""

    @pytest.mark.parametrize("out", ["file", "file/below", "file/" + "long" * 100])
    def test_a_folder_that_cannot_be_made(self, tmp_path: Path, out: str) -> None:
        (tmp_path / "file").touch()
        self.says_what_hold_says(tmp_path / out, "sqlite:///a.db")

    def test_a_name_that_no_folder_can_have(self, tmp_path: Path) -> None:
        self.says_what_hold_says(tmp_path / ("long" * 100), "sqlite:///a.db")

    def says_what_hold_says(self, folder: Path, url: str) -> None:
        with pytest.raises(StorageError) as checked:
            check_folders(folder, url)
        with pytest.raises(StorageError) as held, hold(folder, url):
            pass
        assert str(checked.value) == str(held.value)
        assert str(held.value).startswith(f"{folder}: cannot be made a folder: ")

    def test_permissions(self, tmp_path: Path) -> None:
        for mode in (0o500, 0o000):
            tmp_path.chmod(mode)
            try:
                if os.access(tmp_path, os.W_OK):
                    pytest.skip("root may do everything")
                self.says_what_hold_says(tmp_path / "out", "sqlite:///a.db")
                if mode:
                    self.refuses(tmp_path, str(tmp_path / "a.journal"))
            finally:
                tmp_path.chmod(0o700)

    @pytest.mark.parametrize("journal", ["out/study.journal", "a.journal"])
    def test_a_folder_that_cannot_be_written_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: str
    ) -> None:
        out, url = tmp_path / "out", str(tmp_path / journal)
        out.mkdir()
        check_folders(out, url)
        closed = (tmp_path / journal).parent

        def access(path: Path, mode: int) -> bool:  # as for anyone but root
            return not (path == closed and mode & os.W_OK)

        monkeypatch.setattr(os, "access", access)
        with pytest.raises(StorageError) as checked:
            check_folders(out, url)
        assert str(checked.value) == f"{closed}: cannot be written to: Permission denied"

    def test_a_lock_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / ".lock").mkdir()
        self.refuses(tmp_path, "sqlite:///a.db")

    def refuses(self, folder: Path, url: str) -> None:
        with pytest.raises(StorageError) as held, hold(folder, url):
            pass
        assert str(held.value).startswith(f"{folder}: cannot be written to: ")
