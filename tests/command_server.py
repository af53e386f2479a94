"""Runs commands in processes of their own that need not import torch, Optuna and pandas first.

Run as a script, this imports everything once and then forks a process for each command that it is
sent. The worker processes of such a command are forked, too, instead of started anew. What a
command does is otherwise what `python -m sweep` does; `test_commands_in_new_processes.py` holds
the two side by side. `support.sweep` is what tests call.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver, process, util
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TextIO


class CommandServer:
    """The process that commands are forked from; it ends with this one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._one_at_a_time = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End it; a command that still runs goes on."""
        self._socket.close()
        self._process.wait()

    def run(
        self, arguments: list[str], cwd: Path, environment: dict[str, str], **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """What a command says, once it and its workers have ended; see `start`."""
        command = self.start(arguments, cwd, environment, **more)
        said = command.communicate()
        return subprocess.CompletedProcess(arguments, command.returncode, *said)

    def start(
        self, arguments: list[str], cwd: Path, environment: dict[str, str], **more: Any
    ) -> Command:
        """Start `sweep` with these arguments.

        Args:
            arguments: Its own.
            cwd: Its working folder.
            environment: All its variables.
            more: `script`, which is run instead, as `python script` does; `session`, whether it has
                one of its own; `largest_file` that it can write, in bytes.
        """
        request = {"arguments": arguments, "cwd": str(cwd), "environment": environment, **more}
        ours, theirs = socket.socketpair()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        with self._one_at_a_time:
            socket.send_fds(self._socket, [b"."], [theirs.fileno(), out_end, err_end])
        theirs.close()
        os.close(out_end)
        os.close(err_end)
        ours.sendall(json.dumps(request).encode() + b"\n")
        return Command(ours, out, err)


class Command:
    """A command that has been started, and what tests use of a `subprocess.Popen`.

    Attributes:
        pid: Of its process.
    """

    def __init__(self, told: socket.socket, out: int, err: int) -> None:
        with told:
            lines = told.makefile()
        self.pid = int(lines.readline())
        threads = ThreadPoolExecutor(3)
        self._code = threads.submit(_read_line, lines)
        self._said = [threads.submit(_read_all, fd) for fd in (out, err)]
        threads.shutdown(wait=False)

    @property
    def returncode(self) -> int:
        """Its exit code; minus the number of the signal that killed it. Waits for its end."""
        return int(self._code.result())

    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return not self._code.done()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has said, once all that can write to its streams has ended."""
        out, err = (said.result(timeout) for said in self._said)
        return out, err


def _read_line(lines: TextIO) -> str:
    with lines:
        return lines.readline()


def _read_all(fd: int) -> str:
    with open(fd) as stream:
        return stream.read()


WITHOUT_PAGE = "SWEEP_TESTS_DRAW_NO_PAGE"
"""A variable of the environment; `support.no_page` sets it."""

LATER = (
    *("optuna.visualization", "optuna.visualization.matplotlib", "plotly.graph_objs._figure"),
    *("sklearn.datasets", "torch._dynamo", "torch.profiler"),
)
"""What commands import no sooner than they need it, which takes longer than all they do then."""


def _import_everything() -> None:
    """Import what any command imports, and the parts of torch that training starts with."""
    import sweep

    for module in pkgutil.walk_packages(sweep.__path__, "sweep."):
        if not re.search(r"\.__main__$|^sweep\.integrations\.", module.name):
            importlib.import_module(module.name)
    for name in LATER:
        importlib.import_module(name)


def _serve(server: socket.socket) -> dict[str, Any]:
    """Fork a process for each command; only such a process returns, with the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait below
    while True:
        sent, fds, _, _ = socket.recv_fds(server, 1, 3)
        if not sent:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            with socket.socket(fileno=fds[0]) as asker:
                request = json.loads(asker.makefile().readline())
                command = os.fork()
                if command == 0:
                    return {**request, "fds": fds[1:]}
                for fd in fds[1:]:
                    os.close(fd)
                asker.sendall(b"%d\n" % command)
                _, status = os.waitpid(command, 0)
                with contextlib.suppress(OSError):
                    asker.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        for fd in fds:
            os.close(fd)


def _fork_instead(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
    """Take the place of `multiprocessing.util.spawnv_passfds`, which starts a new Python."""
    pid = os.fork()
    if pid:
        return pid
    kept = [0, 1, 2, *sorted(passfds)]
    for before, after in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
        os.closerange(before + 1, after)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        if signal.getsignal(number) is not signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    warnings.resetwarnings()
    warnings.filters[:] = _FILTERS  # type: ignore[index]
    warnings.showwarning = _SHOWWARNING
    forkserver._forkserver.__init__()  # type: ignore[misc]
    code = 1
    try:
        exec(args[-1], {})
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        os._exit(code)


def _become(request: dict[str, Any]) -> None:
    """Be as `python -m sweep` is when it begins."""
    if request.get("session"):
        os.setsid()
    if size := request.get("largest_file"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    for to, fd in zip((1, 2), request["fds"], strict=True):
        os.dup2(fd, to)
        os.close(fd)
    encoding = sys.stdout.encoding  # the streams know whether what they write to can be sought
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)
    sys.stderr = open(2, "w", 1, encoding, "backslashreplace", closefd=False)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if os.environ.pop(WITHOUT_PAGE, ""):
        sys.modules["sweep.runs.run"].write_report = lambda *_: None  # type: ignore[attr-defined]
    process.ORIGINAL_DIR = os.getcwd()  # type: ignore[attr-defined]
    script = request.get("script", "")
    sys.path[0] = str(Path(script).resolve().parent) if script else os.getcwd()
    sys.argv = [script or "sweep", *request["arguments"]]
    util.spawnv_passfds = _fork_instead


def _call(script: str | None) -> int:
    """Call the command or the script; the code that its process is to end with."""
    from sweep.cli import main

    try:
        if script is None:
            main()
        else:
            module = ModuleType("__main__")
            module.__file__ = os.path.abspath(script)
            sys.modules["__main__"] = module
            code = compile(Path(script).read_bytes(), script, "exec", dont_inherit=True)
            exec(code, vars(module))
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Exception:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """End the process as Python does, but leave its memory to the system: it is much."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    control = socket.socket(fileno=int(sys.argv[1]))
    sys.path[0] = ""
    _import_everything()
    _FILTERS, _SHOWWARNING = list(warnings.filters), warnings.showwarning
    gc.freeze()
    with contextlib.suppress(KeyboardInterrupt):
        request = _serve(control)
        _become(request)
        _end(_call(request.get("script")))
