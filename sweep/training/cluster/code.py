"""The files of the user's own that workers need on other machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.base.code_files import with_imported
from sweep.base.errors import InputError
from sweep.base.user_code import file_of, script_of
from sweep.study.settings import StudyConfig

_MOST_BYTES = 100 * 2**20
"""Of all files; more belongs where all machines find it."""


def code_of(config: StudyConfig, folders: tuple[Path, ...]) -> dict[Path, bytes]:
    """What a study's modules and scripts hold, and what `[cluster] files` names.

    Args:
        config: The study's settings.
        folders: Where its modules are looked for.

    Raises:
        InputError: A file is not there, or they are too large to travel.
    """
    named = config.model_dump(exclude={"data", "cluster"})
    scripts = [path for text in _texts(named) if (path := _script(text, folders))]
    modules = with_imported(scripts, [*folders, *{script.parent for script in scripts}])
    packages = [path for module in modules for path in _packages(module)]
    files = [*modules, *packages, *_given(config.cluster.files, folders)]
    found: dict[Path, bytes] = {}
    size = 0
    for path in dict.fromkeys(files):
        found[path] = path.read_bytes()
        size += len(found[path])
        if size > _MOST_BYTES:
            raise InputError(
                f"cluster.files: more than {_MOST_BYTES // 2**20} MiB would travel with every "
                "worker; put data where all machines find it, and name its full path in your code"
            )
    return found


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _texts(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _texts(value)


def _script(text: str, folders: tuple[Path, ...]) -> Path | None:
    """The file that a setting names as `module:attribute`, or as a word of a command."""
    if text.endswith(".py"):
        return file_of(text, folders)
    module, colon, _ = text.rpartition(":")
    if not colon or not module:
        return None
    try:
        found = script_of(text, folders)
    except (OSError, ValueError):
        return None
    return found if found and any(found.is_relative_to(folder) for folder in folders) else None


def _packages(module: Path) -> Iterator[Path]:
    """The `__init__.py` of the packages that a module is in."""
    for folder in module.parents:
        if not (folder / "__init__.py").is_file():
            return
        yield folder / "__init__.py"


def _given(patterns: Iterable[str], folders: tuple[Path, ...]) -> Iterator[Path]:
    """The files of `[cluster] files`."""
    for pattern in patterns:
        matches = [path for folder in folders for path in sorted(_matches(folder, pattern))]
        if not matches:
            places = ", ".join(map(str, folders))
            raise InputError(f"cluster.files: {pattern}: no such file in {places}")
        for match in matches:
            inside = match.rglob("*") if match.is_dir() else [match]
            yield from (path for path in inside if path.is_file())


def _matches(folder: Path, pattern: str) -> Iterable[Path]:
    path = folder / pattern
    return [path] if path.exists() else folder.glob(pattern) if not path.is_absolute() else []
