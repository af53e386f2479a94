"""Ends the processes of a worker's trials: what they have started, too, and in whichever session.

A worker ends its trials itself. For the case that it cannot, because it was killed, a small process
runs this file as a script: it waits until the worker is gone and kills what is left. It imports
nothing of this package, and belongs to a session of its own, so that no signal to the run's
processes reaches it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress

import psutil

MARK = "SWEEP_WORKER"
"""The environment variable that what a worker has started inherits; its value is the worker's."""

KILL_SECS = 5.0
"""Until processes that were killed are given up."""


def processes_of(mark: str, leaders: Collection[int]) -> dict[int, psutil.Process]:
    """The processes that have inherited a mark, or are in a session of one of the leaders.

    Their children count, too, whatever these have changed of it.
    """
    found: dict[int, psutil.Process] = {}
    children: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            children.setdefault(process.ppid(), []).append(process)
            if _session(process.pid) in leaders or process.environ().get(MARK) == mark:
                found[process.pid] = process
        except (psutil.Error, OSError):  # it has ended, or is somebody else's
            continue
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child.pid not in found:
                found[child.pid] = child
                waiting.append(child.pid)
    return found


def _session(pid: int) -> int | None:
    return os.getsid(pid) if hasattr(os, "getsid") else None  # Windows has no sessions


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def end_processes(
    mark: str,
    leaders: Collection[int],
    grace_secs: float,
    known: Mapping[int, psutil.Process] | None = None,
) -> None:
    """Ask them to end, and kill those that have not after a while.

    Args:
        mark: As `processes_of`.
        leaders: As `processes_of`.
        grace_secs: Between SIGTERM and SIGKILL; 0 kills at once.
        known: What `processes_of` gave before: a child may outlive what it was found by.
    """
    begun = time.monotonic()
    known, asked = dict(known or {}), set[int]()
    while True:
        known = {**known, **processes_of(mark, leaders)}
        known = {pid: process for pid, process in known.items() if _is_alive(process)}
        waited = time.monotonic() - begun
        if not known or waited > grace_secs + KILL_SECS:  # else it cannot be interrupted
            return
        for pid, process in known.items():
            with suppress(psutil.Error):
                if waited >= grace_secs:
                    process.kill()
                elif pid not in asked:
                    process.terminate()
        asked = {*known}
        time.sleep(0.02)


def start_keeper(mark: str, folder: str) -> subprocess.Popen[bytes]:
    """A process that kills what has a mark once its standard input is closed.

    The leaders of the sessions that are to be ended then are told to it there: a line has all of
    them, and takes the place of the one before. A number that was once theirs may be another's.

    Args:
        mark: The worker's.
        folder: One of the worker's, removed in the end.
    """
    return subprocess.Popen(
        [sys.executable, "-P", __file__, mark, folder],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=os.sep,
    )


def _keep(mark: str, folder: str) -> None:
    leaders = set[int]()
    for line in sys.stdin:
        leaders = {*map(int, line.split())}
    end_processes(mark, leaders, 0.0)
    time.sleep(0.1)  # one that was being started
    end_processes(mark, leaders, 0.0)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _keep(*sys.argv[1:])
