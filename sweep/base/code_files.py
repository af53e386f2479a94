"""The files that a piece of the user's own code is made of, and whether they have changed."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path


def fingerprints(file: Path) -> dict[str, str]:
    """What a script and the modules beside it that it imports hold, without running them.

    Args:
        file: The script.

    Returns:
        A hash of each, by its path from the script's folder.
    """
    root = file.resolve().parent
    found: dict[str, str] = {}
    for path in with_imported([file], (root,)):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        name = path.relative_to(root) if path.is_relative_to(root) else path
        found[name.as_posix()] = hashlib.sha256(content).hexdigest()[:16]
    return found


def with_imported(files: Iterable[Path], roots: Sequence[Path]) -> list[Path]:
    """Scripts and modules, and those that they import, without running them.

    Args:
        files: Those to begin with.
        roots: The folders in which what they import is looked for.
    """
    waiting = [file.resolve() for file in files]
    found = dict.fromkeys(waiting)
    while waiting:
        path = waiting.pop()
        try:
            content = path.read_bytes()
        except OSError:
            continue
        for root in roots:
            for other in _imported(content, path, root):
                if other not in found:
                    found[other] = None
                    waiting.append(other)
    return [*found]


def _imported(content: bytes, path: Path, root: Path) -> Iterator[Path]:
    """The files beside it that a module's text imports, wherever in it."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # whoever runs it is told
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(root, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] if node.level else root
            named = f"{node.module}." if node.module else ""
            if node.module:
                yield from _files_of(base, node.module)
            for alias in node.names:
                yield from _files_of(base, f"{named}{alias.name}")


def _files_of(folder: Path, name: str) -> Iterator[Path]:
    """The files of a dotted name, those of its packages included."""
    place = folder
    for part in name.split("."):
        place = place / part
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                yield path.resolve()
