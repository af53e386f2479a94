"""Files that are whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep.base.files import write_whole


def test_writes_text_as_utf8_and_bytes_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_whole(file, "größe\n")
    assert file.read_bytes() == "größe\n".encode()
    write_whole(file, b"\xff\n")
    assert file.read_bytes() == b"\xff\n"


def test_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "a")
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_has_the_rights_of_any_other_file(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "a.txt", "a")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_a_problem_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    (folder / "inner").mkdir(parents=True)
    with pytest.raises(OSError):
        write_whole(folder, "a")  # a folder cannot be replaced by a file
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.slow
def test_readers_never_see_a_part(tmp_path: Path) -> None:
    """A writer is killed again and again; its file is one of the contents, whole."""
    file = tmp_path / "a.txt"
    write_whole(file, "0" * 3_000_000)
    code = (
        "import sys; from pathlib import Path; from sweep.base.files import write_whole\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for digit in '0123456789': write_whole(Path(sys.argv[1]), digit * 3_000_000)"
    )
    for attempt in range(5):
        command = [sys.executable, "-c", code, str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.02 + 0.01 * attempt)
            content = file.read_text()
            assert content == content[0] * 3_000_000
            writer.send_signal(signal.SIGKILL)
        content = file.read_text()
        assert content == content[0] * 3_000_000
