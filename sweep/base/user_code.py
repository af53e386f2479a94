"""The user's own objects, named as `module:attribute`."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from sweep.base.errors import InputError, did_you_mean


def is_reference(name: str) -> bool:
    """Whether a name has the form `module:attribute`, which no built-in name has."""
    module, colon, attribute = name.partition(":")
    return bool(colon and module and attribute.isidentifier())


def look_in(folders: tuple[Path, ...]) -> None:
    """Let this process import modules from folders, before the installed packages."""
    for folder in reversed(folders):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


@contextmanager
def as_a_script(reference: str, folders: tuple[Path, ...]) -> Iterator[None]:
    """Inside this context a module finds what a script finds that is called without arguments.

    `sys.argv` is its path alone, and its own folder stays the first to look in for its imports.

    Args:
        reference: `path/to/file.py:attribute`, or a module that is called by its name.
        folders: Where to look for it.
    """
    name = reference.rpartition(":")[0]
    path = file_of(name, folders) if name.endswith(".py") else None
    if path is not None:
        folder = str(path.resolve().parent)
        sys.path[:] = [folder, *(place for place in sys.path if place != folder)]
    before, sys.argv = sys.argv, [name if path is None else str(path)]
    try:
        yield
    finally:
        sys.argv = before


def script_of(reference: str, folders: tuple[Path, ...]) -> Path | None:
    """The file of `path/to/file.py:attribute` or `module:attribute`; None if it is not found."""
    name = reference.rpartition(":")[0]
    return file_of(name if name.endswith(".py") else f"{name.replace('.', '/')}.py", folders)


def load_object(
    reference: str, folders: tuple[Path, ...] = (), error: type[InputError] = InputError
) -> Any:
    """Import `module:attribute` or `path/to/file.py:attribute`.

    Args:
        reference: A dotted module name, or a path ending in `.py`, then a colon and the name
            of an attribute.
        folders: Where to look before the installed packages, in this order: the study file's
            folder, the working folder. They stay on `sys.path`, so that a module's own imports
            and unpickling in a worker find their neighbours.
        error: The class of error to raise, so that the message names the right concern.

    Raises:
        InputError: The module cannot be found or raises on import, or lacks the attribute.
    """
    module_name, _, attribute = reference.rpartition(":")
    if not is_reference(reference) and not (module_name.endswith(".py") and attribute):
        raise error(f"{reference!r}: expected 'module:name', such as 'my_model:Net'")
    look_in(folders)
    module = _load_module(module_name, folders, reference, error)
    if not hasattr(module, attribute):
        near = did_you_mean(attribute, vars(module))
        raise error(f"{reference!r}: module {module_name!r} has no {attribute!r}{near}")
    return getattr(module, attribute)


def _load_module(
    name: str, folders: tuple[Path, ...], reference: str, error: type[InputError]
) -> ModuleType:
    try:
        if name.endswith(".py"):
            return _load_file(name, folders)
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name not in (name, name.partition(".")[0]):
            raise error(f"{reference!r}: importing it failed: {missing}") from missing
        places = ", ".join(str(folder) for folder in folders) or "the installed packages"
        raise error(f"{reference!r}: no module {name!r} found (looked in {places})") from missing
    except (Exception, SystemExit) as broken:
        kind = type(broken).__name__
        raise error(f"{reference!r}: importing it failed: {kind}: {broken}") from broken


def file_of(name: str, folders: tuple[Path, ...]) -> Path | None:
    """Where a file is; None if it is nowhere."""
    places = (*folders, Path(), *map(Path, sys.path))
    return next((folder / name for folder in places if (folder / name).is_file()), None)


def _load_file(name: str, folders: tuple[Path, ...]) -> ModuleType:
    path = file_of(name, folders)
    if path is None:
        raise ModuleNotFoundError(name=name)
    path = path.resolve()
    if package := _package_parts(path):
        return _load_from_package(path, package)
    for module_name in (path.stem, str(path)):  # another module may have the short name
        known = sys.modules.get(module_name)
        if known is None:
            break
        if getattr(known, "__file__", None) == str(path):
            return known
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _package_parts(path: Path) -> tuple[str, ...]:
    """The names of the packages that a file is in, the outermost first; none if it is in none.

    A folder is a package if it has an `__init__.py`, or if the file's relative imports need it.
    """
    folders = list(path.parents)
    depth = 0
    while (folders[depth] / "__init__.py").is_file():
        depth += 1
    depth = min(max(depth, _relative_levels(path)), len(folders) - 1)
    parts = tuple(folder.name for folder in reversed(folders[:depth]))
    return parts if all(part.isidentifier() for part in (*parts, path.stem)) else ()


def _relative_levels(path: Path) -> int:
    """How many folders up a file's relative imports reach: 1 for `from .layers import block`."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # importing it says so
        return 0
    levels = (node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return max(levels, default=0)


def _load_from_package(path: Path, package: tuple[str, ...]) -> ModuleType:
    """Import a file as the module of its package that it is."""
    look_in((path.parents[len(package)],))
    name = ".".join(package if path.stem == "__init__" else (*package, path.stem))
    module = importlib.import_module(name)
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != path:
        raise ImportError(f"{path} is the module {name!r}, but another one has that name: {found}")
    return module
