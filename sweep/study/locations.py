"""Which study a name means, and where its results go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sweep.base.errors import InputError, did_you_mean

DEFAULT_STUDY = "order_pre"
SAVED_STUDY = "study.toml"
_TRACES = (".lock", "study.journal", "results.csv")


@dataclass(frozen=True)
class Location:
    """One study's places.

    Args:
        name: The study's name, in its storage too.
        file: Its study file; None for one that flags alone describe.
        folder: Where its results are.
    """

    name: str
    file: Path | None
    folder: Path

    @property
    def code_folders(self) -> tuple[Path, ...]:
        """Where the user's own modules and relative paths are looked for, in this order."""
        beside = self.file.parent.resolve() if self.file else Path.cwd()
        above = (beside.parent,) if self.file == self.folder / SAVED_STUDY else ()
        return tuple(dict.fromkeys((beside, *above, Path.cwd())))


def shipped_studies() -> dict[str, Path]:
    """The study files that come with `sweep`, by name."""
    folder = Path(str(files("sweep"))) / "studies"
    if not folder.is_dir():  # a checkout: they are beside the package
        folder = folder.parent.parent / "studies"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def locate_study(
    study: str | None,
    out: Path | None = None,
    data: str | None = None,
    loop: str | None = None,
    command: Sequence[str] | None = None,
) -> Location:
    """What `sweep run STUDY` means.

    A results folder is the study as it was run there; a path ending in `.toml` is that file,
    with its results beside it; a name is `studies/<name>.toml` under the working folder, or a
    shipped study; nothing is the default study, or, with `--data`, `--loop` or a command, a study
    named after the table, the training loop's module or the script.

    Args:
        study: The argument.
        out: `--out`: the results folder, whatever the study.
        data: `--data`.
        loop: `--loop`.
        command: What stands after `--`.

    Raises:
        InputError: There is no such study.
    """
    if study is None and loop is not None:
        module, _, function = loop.rpartition(":")
        name = function if module == "__main__" else _name_of_module(module) or "loop"
        return Location(name, None, out or Path("studies") / name)
    if study is None and command:
        name = _name_of_command(command)
        return Location(name, None, out or Path("studies") / name)
    if study is None and data is not None:
        name = Path(data.partition(":")[0]).name.partition(".")[0]
        return Location(name, None, out or Path("studies") / name)
    study = study or DEFAULT_STUDY
    folder = Path(study) if Path(study).name != SAVED_STUDY else Path(study).parent
    if (folder / SAVED_STUDY).is_file() and _has_run(folder):
        return Location(folder.resolve().name, folder / SAVED_STUDY, out or folder)
    if study.endswith(".toml"):
        file = Path(study)
        if not file.is_file():
            raise InputError(f"{study}: no such study file{_near_file(file)}")
        return Location(file.stem, file, out or file.with_suffix(""))
    local, shipped = Path("studies") / f"{study}.toml", shipped_studies()
    if local.is_file():
        return Location(study, local, out or local.with_suffix(""))
    if study in shipped:
        return Location(study, shipped[study], out or Path("studies") / study)
    if Path(study).is_file():
        raise InputError(
            f"{study}: is no study file, which ends in .toml; if it is a table, write one with "
            f"`sweep init {study} --target COLUMN`, or run it by `--data {study} --target COLUMN`"
        )
    names = {*shipped, *(path.stem for path in Path("studies").glob("*.toml"))}
    raise InputError(
        f"no study named {study!r}{did_you_mean(study, names)} (here: {', '.join(sorted(names))}; "
        "or give a study file's path)"
    )


def locate_results(study: str | None) -> Path:
    """The results folder that `sweep report STUDY` means.

    A folder, a file in it, a study file, or a name, for `studies/<name>`; nothing is the study
    that was run last under the working folder.

    Raises:
        InputError: There are no results there.
    """
    if study is None:
        runs = sorted(Path("studies").glob(f"*/{SAVED_STUDY}"), key=lambda p: p.stat().st_mtime)
        if not runs:
            raise InputError("no results in studies/ here; run a study first: sweep run")
        return runs[-1].parent
    path = Path(study)
    candidates = [path, Path("studies") / study]
    if path.suffix == ".toml":
        candidates.append(path.with_suffix(""))
    if path.is_file() and (path.name == SAVED_STUDY or path.suffix != ".toml"):
        candidates.append(path.parent)
    for folder in candidates:
        if (folder / SAVED_STUDY).is_file():
            return folder
    known = [p.parent.name for p in Path("studies").glob(f"*/{SAVED_STUDY}")]
    listed = f" (here: {', '.join(sorted(known))})" if known else ""
    raise InputError(
        f"{study}: no results{did_you_mean(study, known)}{listed}; run it first: sweep run {study}"
    )


def _name_of_module(module: str) -> str:
    """The last part of `path/to/file.py` or `dotted.name`."""
    return Path(module.removesuffix(".py")).name.rpartition(".")[2]


def _name_of_command(words: Sequence[str]) -> str:
    """The name of the script that is run, or of the module, or else of the program."""
    script = next((word for word in words if word.endswith(".py")), None)
    if script is None and "-m" in words[1:-1]:
        script = words[words.index("-m") + 1]
    return _name_of_module(script or "") or Path(words[0]).stem or "command"


def _has_run(folder: Path) -> bool:
    """Whether a folder with a `study.toml` holds results, and not a user's file of that name."""
    return any((folder / trace).exists() for trace in _TRACES)


def _near_file(file: Path) -> str:
    if not file.parent.is_dir():
        return f"; there is no folder {file.parent}"
    return did_you_mean(file.name, (path.name for path in file.parent.glob("*.toml")))
