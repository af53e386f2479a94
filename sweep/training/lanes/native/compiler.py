"""Compile a C program, or load it from where it is kept."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sweep.base.errors import TrainingError
from sweep.training.lanes.native.program_cache import kept_program, made_cache_folder

FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
PROCESSORS: tuple[tuple[str, ...], ...] = (("-march=native",), ("-mcpu=native",), ())
"""Flags for this processor's vectors, in the order in which they are tried."""

_COMPILE_SECS = 60
"""After which a compiler hangs; it takes about two."""


def _compiler() -> str:
    candidates = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    for name in candidates:
        if name and (path := shutil.which(name)):
            return path
    raise TrainingError("there is no C compiler here")


def _processor() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("flags", "Features"))}))


@dataclass(frozen=True)
class Library:
    """A compiled program that is loaded.

    Args:
        functions: Its functions.
        path: Where it was loaded from; None if it is kept nowhere.
        compiler: What has compiled it.
        note: What a user should know of that; empty if nothing.
    """

    functions: ctypes.CDLL
    path: Path | None
    compiler: str
    note: str = ""


@functools.cache
def library(source: str) -> Library:
    """The compiled program, from the disk if it has been compiled before.

    Raises:
        TrainingError: There is no compiler, it fails, or its product cannot be loaded.
    """
    compiler = _compiler()
    try:
        version = _output([compiler, "--version"], b"").stdout
        parts = (
            source,
            compiler,
            version.decode(errors="replace"),
            _processor(),
            repr((FLAGS, PROCESSORS)),
        )
        name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32] + ".so"
        build = functools.partial(_compile, compiler, source)
        folder, reason = made_cache_folder()
        if not reason:
            path = kept_program(folder, name, build)
            return Library(ctypes.CDLL(str(path)), path, compiler)
        with tempfile.TemporaryDirectory(prefix="sweep-") as private:
            path = Path(private) / name
            build(path)
            note = f"programs are compiled for this run alone: {reason}"
            return Library(ctypes.CDLL(str(path)), None, compiler, note)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        raise TrainingError(f"the compiled program cannot be kept or loaded: {error}") from error


def _compile(compiler: str, source: str, path: Path) -> None:
    cause = ""
    for processor in PROCESSORS:
        command = [compiler, *FLAGS, *processor, "-x", "c", "-", "-o", str(path), "-lm"]
        done = _output(command, source.encode())
        if not done.returncode:
            return
        lines = done.stderr.decode(errors="replace").splitlines()
        cause = next((line for line in lines if "error" in line), f"exit {done.returncode}")
    raise TrainingError(f"{Path(compiler).name} failed: {cause}")


def _output(command: list[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
    """What a compiler says; one that hangs is ended with all processes that it has started.

    Raises:
        TrainingError: It takes too long.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(given, timeout=_COMPILE_SECS)
        except subprocess.TimeoutExpired:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:  # Windows has no groups of processes
                process.kill()
            name = Path(command[0]).name
            raise TrainingError(f"{name} was given up after {_COMPILE_SECS} s") from None
        return subprocess.CompletedProcess(command, process.returncode, out, err)
