"""Predictions of a file's rows, written beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.base.csv_cells import cell
from sweep.base.errors import InputError
from sweep.base.files import write_whole
from sweep.base.wording import listed
from sweep.data.fitted.answers import to_seven_digits
from sweep.data.fitted.arrays import ArrayPreparation
from sweep.data.fitted.columns import unique_name
from sweep.data.reading.encodings import PLAIN
from sweep.data.reading.files import COMPRESSED, ENDINGS, LINES, TEXT, either
from sweep.data.reading.text import TextForm
from sweep.runs.overrides import read_setting
from sweep.runs.predictor import ARRAY, Answer, Predictor

_OF_READING = ("columns", "encoding", "separator", "decimal", "thousands", "missing", "numbers")


@dataclass(frozen=True)
class Predicted:
    """A file of predictions.

    Args:
        path: Where it is.
        target: What is predicted.
        trial: Whose model it was.
        columns: What stands beside the rows.
        rows: How many there are.
        unseen_rows: How many of them have what no training row had.
        unseen: What that is, a sentence each.
        notes: What else was decided, a sentence each.
    """

    path: Path
    target: str
    trial: int
    columns: tuple[str, ...]
    rows: int
    unseen_rows: int
    unseen: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, by name."""
        return {
            **vars(self),
            "path": str(self.path),
            **{name: [*getattr(self, name)] for name in ("columns", "unseen", "notes")},
        }


def predict_file(
    predictor: Predictor,
    source: Path,
    out: Path | None = None,
    force: bool = False,
    settings: Sequence[str] = (),
) -> Predicted:
    """Predict a file's rows, and write them with the predictions beside them.

    Args:
        predictor: The model.
        source: A table in any file that can be read, or arrays in a .npy file.
        out: The file to write, of any such kind; by default beside the source, as it is.
        force: Whether a file that is there is written over.
        settings: How this file is read, `data.KEY=VALUE`, where that is not as in training.

    Raises:
        InputError: The rows cannot be read or predicted, or the file is there or cannot be.
    """
    of_arrays = isinstance(predictor.contents.preparation, ArrayPreparation)
    target = out or _beside(source)
    kind = target.suffix.lower()
    if kind not in ENDINGS:
        raise InputError(f"--out {target}: unsupported ending; expected {either(ENDINGS)}")
    if target.exists() and target.samefile(source):
        raise InputError(f"--out {target}: is the file that is read; name another one")
    if target.exists() and not force:
        raise InputError(
            f"{target}: there already; write over it with --force, or name another --out"
        )
    form: TextForm | None = None
    if of_arrays and source.suffix.lower() == ARRAY:
        answer = predictor.answer_arrays(_array(source), str(source))
        rows = pd.DataFrame({"row": np.arange(1, len(answer.frame) + 1)})
        notes = answer.notes
    else:
        table = predictor.read(source, _read_settings(settings))
        answer, form = predictor.answer(table), table.form
        as_text = form is not None and kind in TEXT
        rows = table.given if as_text or form is None else table.frame
        notes = answer.notes
    rows, noted = _beside_answers(rows, list(map(str, answer.frame)))
    shown, told = _written(kind, rows, answer, _form(kind, form, is_named=out is not None))
    write_whole(target, shown)
    unseen = answer.frame.iloc[:, -1] != ""
    return Predicted(
        target,
        predictor.target,
        predictor.contents.trial,
        tuple(map(str, answer.frame)),
        len(rows),
        int(unseen.sum()),
        answer.unseen,
        (*notes, *noted, *told),
    )


def _beside(source: Path) -> Path:
    """`new.predictions.csv` of `new.csv`, also of `new.csv.gz`."""
    name = source
    if name.suffix.lower() in COMPRESSED:
        name = name.with_suffix("")
    ending = name.suffix if name.suffix.lower() in ENDINGS else ".csv"
    stem = name.name.removesuffix(name.suffix)
    return source.with_name(f"{stem}.predictions{ending}")


def _array(source: Path) -> Any:
    try:
        return np.load(source, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{source}: cannot be read as an array: {error}") from error


def _read_settings(texts: Sequence[str]) -> dict[str, Any]:
    read = dict(map(read_setting, texts))
    for key in read:
        if key.removeprefix("data.") not in _OF_READING or not key.startswith("data."):
            known = listed(f"data.{name}" for name in _OF_READING)
            raise InputError(f"--set {key}: only how the file is read can be set here: {known}")
    return {key.removeprefix("data."): value for key, value in read.items()}


def _beside_answers(rows: pd.DataFrame, answers: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The rows without a column that is called as an answer's is, and what is told of it.

    Who reads `prediction` must get the model's, also where an earlier file of predictions is given.
    """
    taken = [*map(str, rows.columns), *answers]
    others = {name: unique_name(f"{name} (given)", taken) for name in rows if name in answers}
    notes = [
        f"{name!r} is what the model says; the file's own column of that name is {other!r} now"
        for name, other in others.items()
    ]
    return rows.rename(columns=others), notes


def _form(kind: str, given: TextForm | None, is_named: bool) -> TextForm:
    """How a text file is written: as the one that was read, unless its ending says otherwise."""
    if given is None or (is_named and kind == ".tsv"):
        return TextForm(given.encoding if given else PLAIN, TEXT.get(kind, ","))
    return given


def _written(
    kind: str, rows: pd.DataFrame, answer: Answer, form: TextForm
) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a file, the rows and the predictions beside them, and what to note of it."""
    added = answer.frame.apply(lambda column: pd.Series(to_seven_digits(column.to_numpy())))
    if kind in TEXT:
        return _text(rows, added, form)
    joined = pd.concat([rows, added], axis="columns")
    writers: Mapping[str, Callable[[io.BytesIO], None]] = {
        ".parquet": lambda file: joined.to_parquet(file, index=False),
        ".feather": lambda file: joined.to_feather(file),
        ".xlsx": lambda file: joined.map(cell).rename(columns=cell).to_excel(file, index=False),
        **dict.fromkeys(
            LINES,
            lambda file: joined.to_json(
                file, orient="records", lines=True, force_ascii=False, date_format="iso"
            ),
        ),
    }
    file = io.BytesIO()
    try:
        writers[kind](file)
    except ImportError:
        raise InputError(
            "Excel files need a package that is not installed: pip install 'sweep-lr[excel]'; "
            "or name a file with --out predictions.csv"
        ) from None
    except (ValueError, TypeError) as error:  # what the kind of file cannot hold
        raise InputError(
            f"the rows cannot be written to a {kind} file: {' '.join(str(error).split())}; "
            "name another with --out predictions.csv"
        ) from error
    return file.getvalue(), ()


def _text(rows: pd.DataFrame, added: pd.DataFrame, form: TextForm) -> tuple[bytes, tuple[str, ...]]:
    """A text: the rows' cells as they are, what is added as a spreadsheet is to show it."""

    def shown(value: Any) -> Any:
        if isinstance(value, float):
            return f"{value:.7g}".replace(".", form.decimal)
        return cell(value)

    joined = pd.concat([rows, added.map(shown).rename(columns=cell)], axis="columns")
    text = joined.to_csv(
        index=False, sep=form.separator, quoting=csv.QUOTE_MINIMAL, lineterminator="\n"
    )
    try:
        return text.encode(form.encoding), ()
    except UnicodeEncodeError as lacks:
        letter = text[lacks.start]
        told = f"written in {PLAIN}, for {form.encoding}, which was read, has no {letter!r}"
        return text.encode(PLAIN), (told,)
