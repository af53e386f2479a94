"""Files that hold a table: text, compressed or not, Parquet, Feather, Excel and JSON lines."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pandas as pd

from sweep.base.errors import DataError, did_you_mean
from sweep.base.wording import listed
from sweep.data.reading.number_convention import AsInTraining
from sweep.data.reading.text import ReadTable, read_text_table, read_texts_of

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig

TEXT = {".csv": ",", ".tsv": "\t", ".txt": ","}
"""The endings of text tables, and the separator that each stands for."""

LINES = (".jsonl", ".ndjson")
BINARY = (".parquet", ".feather", ".xlsx")


def _unzipped(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [
            name
            for name in archive.namelist()
            if PurePosixPath(name).suffix.lower() in (*TEXT, *LINES)
            and not name.startswith("__MACOSX/")
        ]
        if len(names) != 1:
            held = listed(map(repr, archive.namelist())) or "nothing"
            raise DataError(f"a ZIP file with one table in it is expected; it holds {held}")
        return archive.read(names[0])


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zip": _unzipped,
}

ENDINGS = (*TEXT, *LINES, *BINARY)

_OF_TEXT = ("encoding", "separator", "columns")
_OF_NUMBERS = ("decimal", "thousands", "missing")


def known_endings() -> str:
    """The endings of files that can be read, for a message."""
    return f"{either(ENDINGS)} (text also with {either(tuple(COMPRESSED))})"


def either(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


def find_table(name: str, folders: tuple[Path, ...]) -> Path:
    """The file of that name, looked for in the folders.

    Raises:
        DataError: There is none, or its ending is none of ENDINGS.
    """
    given = Path(name).expanduser()
    candidates = [folder / given for folder in folders or (Path(),)]
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        parents = list(dict.fromkeys(path.parent for path in candidates))
        beside = [p.name for folder in parents if folder.is_dir() for p in folder.iterdir()]
        looked = ", ".join(str(folder.resolve()) for folder in parents)
        near = did_you_mean(given.name, beside)
        raise DataError(f"{name}: no such file (looked in {looked}){near}")
    if found.is_dir():
        raise DataError(f"{name}: is a folder; expected a file ending in {known_endings()}")
    ending, compression = endings(found)
    if ending not in ENDINGS or (compression and ending in BINARY):
        raise DataError(f"{name}: unsupported ending; expected {known_endings()}")
    return found


def endings(path: Path) -> tuple[str, str]:
    """What a file's name says of its kind and of its compression: `(".csv", ".gz")`.

    A ZIP file names its kind inside: `houses.zip` is as good as `houses.csv.zip`.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if not suffixes or suffixes[-1] not in COMPRESSED:
        return suffixes[-1] if suffixes else "", ""
    kind = suffixes[-2] if len(suffixes) > 1 else ""
    if suffixes[-1] == ".zip" and kind not in ENDINGS:
        kind = ".csv"
    return kind, suffixes[-1]


def of_other_files(path: Path) -> tuple[str, ...]:
    """Settings that a file of this ending has no use for."""
    ending, _ = endings(path)
    if ending in (".parquet", ".feather"):
        return (*_OF_TEXT, *_OF_NUMBERS)
    return () if ending in TEXT else _OF_TEXT


def read_file(path: Path, config: DataConfig, training: AsInTraining | None = None) -> ReadTable:
    """Read a file that holds a table.

    Args:
        path: A file with one of ENDINGS.
        config: The study's data settings.
        training: Of new rows, how those of the training were written.

    Raises:
        DataError: It cannot be read as what its ending says, or a setting does not fit it.
    """
    ending, compression = endings(path)
    for key in of_other_files(path):
        if getattr(config, key) is not None:
            raise DataError(
                f"data.{key} is for a text file; one ending in {ending} says that itself"
            )
    kind = {".parquet": "Parquet", ".feather": "Feather", ".xlsx": "Excel"}.get(ending, "CSV")
    try:
        if ending in TEXT or ending in LINES:
            data = path.read_bytes()
            if compression:
                data = COMPRESSED[compression](data)
            if ending in TEXT:
                return read_text_table(data, config, TEXT[ending], training)
            kind = "JSON lines"
            return _from_lines(data, config, training)
        if ending == ".xlsx":
            return _from_excel(path, config, training)
        frame = pd.read_parquet(path) if ending == ".parquet" else pd.read_feather(path)
        frame = frame.reset_index(drop=frame.index.names == [None])
        return ReadTable(_with_text_names(frame), ())
    except (OSError, EOFError, ValueError, lzma.LZMAError, zipfile.BadZipFile) as error:
        text = " ".join(str(error).split())
        raise DataError(f"cannot be read as {kind}: {text}") from error


def _from_lines(data: bytes, config: DataConfig, training: AsInTraining | None) -> ReadTable:
    rows = []
    for place, line in enumerate(data.decode("utf-8-sig").split("\n"), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise DataError(f"line {place} cannot be read as JSON: {error}") from None
            if not isinstance(rows[-1], dict):
                raise DataError(f"line {place} is no JSON object, but {line.strip()[:40]!r}")
    if not rows:
        raise DataError("is empty")
    frame = pd.DataFrame(rows)
    nested = [
        name for name in frame if frame[name].map(lambda cell: isinstance(cell, dict | list)).any()
    ]
    if nested:
        raise DataError(
            f"columns with objects or lists: {listed(map(repr, nested))}; write numbers "
            "and texts only"
        )
    return read_texts_of(_with_text_names(frame), config, training)


def _from_excel(path: Path, config: DataConfig, training: AsInTraining | None) -> ReadTable:
    try:
        book = pd.ExcelFile(path, engine="openpyxl")
    except ImportError:
        raise DataError(
            "Excel files need a package that is not installed: pip install 'sweep-lr[excel]'; "
            "or save the sheet as CSV"
        ) from None
    with book:
        sheets = [str(name) for name in book.sheet_names]
        frame = pd.read_excel(book, sheet_name=sheets[0])
    read = read_texts_of(_with_text_names(frame), config, training)
    if len(sheets) == 1:
        return read
    first = f"sheet {sheets[0]!r} read, the first of {len(sheets)}"
    return replace(read, notes=(first, *read.notes))


def _with_text_names(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis([str(name) for name in frame.columns], axis="columns")
