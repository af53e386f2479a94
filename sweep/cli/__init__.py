"""The command line: parse, call one function, render. A command's file has its name."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.cli.entry import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback, also while it still imports.

    So do SIGTERM and SIGHUP, unless they are ignored. A command that has something to save handles
    the signals itself meanwhile.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end)
    from sweep.cli.entry import main

    main()


def _end(number: int, frame: Any) -> None:
    """End this process at once; its workers end with it."""
    with contextlib.suppress(OSError):  # the terminal may be gone
        os.write(2, b"\ninterrupted\n")
    os._exit(130)


def __getattr__(name: str) -> Any:
    """Import the commands when they are first wanted."""
    if name == "app":
        from sweep.cli.entry import app

        return app
    raise AttributeError(f"module 'sweep.cli' has no attribute {name!r}")
