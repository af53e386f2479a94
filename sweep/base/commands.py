"""Command lines for a user to paste."""

from __future__ import annotations

import os
import shlex
import subprocess


def command_line(*words: str | os.PathLike[str]) -> str:
    """The words as a shell takes them: `sweep report 'my studies/a'`."""
    texts = [os.fspath(word) for word in words]
    return subprocess.list2cmdline(texts) if os.name == "nt" else shlex.join(texts)
