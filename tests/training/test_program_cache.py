"""What must be true of a kept program before it is run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sweep.training.lanes.native.program_cache import (
    first_use,
    kept_program,
    made_cache_folder,
    mistrust,
)

NAME = "program.so"


class Builds:
    """Builds programs of one content, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, path: Path) -> None:
        path.write_bytes(b"good" * 100)
        path.chmod(0o775)  # as compilers do
        self.count += 1


def test_a_program_is_built_once(tmp_path: Path) -> None:
    builds = Builds()
    for _ in range(3):
        path = kept_program(tmp_path, NAME, builds)
        assert path.read_bytes() == b"good" * 100
    assert builds.count == 1
    assert {p.name for p in tmp_path.iterdir()} == {NAME, f"{NAME}.sha256"}
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o600}


def test_of_several_that_want_a_program_one_builds_it(tmp_path: Path) -> None:
    builds = Builds()

    def build_slowly(path: Path) -> None:
        time.sleep(0.2)
        builds(path)

    with ThreadPoolExecutor() as pool:
        want = [pool.submit(kept_program, tmp_path, NAME, build_slowly) for _ in range(3)]
        assert {each.result() for each in want} == {tmp_path / NAME}
    assert builds.count == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"good" * 50),
        lambda path: path.write_bytes(b"good" * 99 + b"bad!"),
        lambda path: path.unlink(),
        lambda path: path.with_name(f"{NAME}.sha256").unlink(),
        lambda path: path.with_name(f"{NAME}.sha256").write_bytes(b"\xff"),
        lambda path: path.chmod(0o666),
        lambda path: path.chmod(0o620),
    ],
)
def test_a_damaged_or_open_one_is_built_again(tmp_path: Path, damage: object) -> None:
    builds = Builds()
    path = kept_program(tmp_path, NAME, builds)
    assert callable(damage)
    damage(path)
    assert kept_program(tmp_path, NAME, builds).read_bytes() == b"good" * 100
    assert builds.count == 2
    assert kept_program(tmp_path, NAME, builds) == path
    assert builds.count == 2


def test_a_link_is_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"planted")
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    path = kept_program(tmp_path, NAME, Builds())
    assert not path.is_symlink() and path.read_bytes() == b"good" * 100
    assert (tmp_path / "elsewhere").read_bytes() == b"planted"


@pytest.mark.slow
def test_a_program_that_a_process_died_of_is_built_again(tmp_path: Path) -> None:
    builds = Builds()
    path = kept_program(tmp_path, NAME, builds)
    with first_use(path):
        kept_program(tmp_path, NAME, builds)
        assert builds.count == 1  # the one that tries it is alive
    code = (
        "import os, signal, sys, pathlib\n"
        "from sweep.training.lanes.native.program_cache import first_use\n"
        f"with first_use(pathlib.Path({str(path)!r})):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", code], check=False)
    assert died.returncode == -signal.SIGKILL
    kept_program(tmp_path, NAME, builds)
    assert builds.count == 2
    kept_program(tmp_path, NAME, builds)
    assert builds.count == 2
    with pytest.raises(ValueError, match="raised"), first_use(path):
        raise ValueError("raised")
    kept_program(tmp_path, NAME, builds)
    assert builds.count == 2


def test_the_folder_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, reason = made_cache_folder()
    assert (reason, folder.stat().st_mode & 0o777) == ("", 0o700)
    for mode in (0o770, 0o702):
        folder.chmod(mode)
        assert made_cache_folder()[1] == f"{folder} can be written by others"
    folder.rename(tmp_path / "other")
    (tmp_path / "other").chmod(0o700)
    folder.symlink_to(tmp_path / "other")
    assert made_cache_folder()[1] == f"{folder} is a link"
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert mistrust(tmp_path) == f"{tmp_path} belongs to another user"
