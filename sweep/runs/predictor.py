"""The best model of a study, and what it says of new rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.base.errors import DataError, InputError
from sweep.base.user_code import is_reference
from sweep.base.wording import listed, number
from sweep.confirm.best_files import doubt_about
from sweep.data.arrays import array_inputs, as_array
from sweep.data.fitted.answers import TargetForm
from sweep.data.fitted.arrays import ArrayPreparation
from sweep.data.fitted.columns import TablePreparation, unique_name
from sweep.data.fitted.new_rows import new_rows
from sweep.data.fitted.new_table import NewTable, new_table_of, read_new_table
from sweep.data.fitted.unseen import FAR, Unseen, unseen_of_rows
from sweep.data.load import as_float32
from sweep.data.reading.number_convention import AsInTraining
from sweep.study.file import load_study as load_settings
from sweep.study.locations import SAVED_STUDY, locate_results
from sweep.study.results_folder import BEST, BEST_MODEL
from sweep.training.saved.contents import ModelContents
from sweep.training.saved.model import ModelFile, SavedModel

UNSEEN = "unseen"
ARRAY = ".npy"


@dataclass(frozen=True)
class Answer:
    """What a model says of rows.

    Args:
        frame: A row for each of them: `prediction`, of classes `p(class)`, and `unseen`.
        unseen: What they have and no training row had, a sentence each.
        notes: What else was decided, a sentence each.
    """

    frame: pd.DataFrame
    unseen: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Predictor:
    """The best model of a study, with all that it takes to predict new rows.

    `load_predictor` makes one of a study, or of its `best_model.pt` alone.

    Attributes:
        file: The model's file.
    """

    file: ModelFile
    _model: SavedModel

    @property
    def target(self) -> str:
        """The column that is predicted."""
        return self.contents.target

    @property
    def classes(self) -> tuple[str, ...]:
        """What the target's classes are called; empty if it is a number."""
        return tuple(self.contents.classes)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a table must have; none where the model learnt from arrays."""
        learnt = self.contents.preparation
        return tuple(learnt.needed) if isinstance(learnt, TablePreparation) else ()

    @property
    def contents(self) -> ModelContents:
        """What the file holds beside the weights."""
        return self.file.contents

    def predict(self, rows: pd.DataFrame | str | Path | Any) -> pd.DataFrame:
        """Predict rows that have the columns of the training table; the target may lack.

        Args:
            rows: A DataFrame, or the path of any file that `sweep` reads; of an event log the
                events. Where the model learnt from arrays: an array or a tensor, (rows, ...).

        Returns:
            A row for each, by the DataFrame's own index; of an event log by what is counted, such
            as users. `prediction` is in the target's own unit, or the likeliest class, beside the
            probability of each, `p(class)`. `unseen` says what no training row had (new
            categories, values far outside, values that are missing more often), where the answer
            is a guess; it is empty elsewhere. What was decided on the way is in `attrs["notes"]`.

        Raises:
            InputError: A column is missing or holds something else, or the array has another shape.
        """
        if isinstance(self.contents.preparation, ArrayPreparation):
            answer, index = self.answer_arrays(rows, "x"), None
        elif isinstance(rows, str | Path):
            table = self.read(Path(rows))
            answer, index = self.answer(table), _index(table)
        elif isinstance(rows, pd.DataFrame):
            table = new_table_of(rows, self.contents.data_config)
            answer, index = self.answer(table), _index(table) if table.key else rows.index
        else:
            raise InputError(
                f"predict: rows are of type {type(rows).__name__}; expected a DataFrame with the "
                f"columns of the training table, or the path of a file"
            )
        frame = answer.frame if index is None else answer.frame.set_index(index)
        frame.attrs["notes"] = [*answer.notes, *answer.unseen]
        return frame

    def read(self, path: Path, settings: dict[str, Any] | None = None) -> NewTable:
        """Read a file of new rows as the training table was read.

        Args:
            path: The file.
            settings: Of `[data]`, what is to be otherwise with this file.

        Raises:
            InputError: It cannot be read, or the model did not learn from a table.
        """
        learnt = self.contents.preparation
        if isinstance(learnt, ArrayPreparation):
            raise InputError(
                f"{path}: the model learnt from arrays {self.contents.row}, not from a table; give "
                "an array in a .npy file (numpy.save), or in Python: "
                "sweep.load_predictor(study).predict(x)"
            )
        if path.suffix.lower() == ARRAY:
            raise InputError(
                f"{path}: the model learnt from a table, not from arrays; give a table with the "
                f"columns {listed(map(repr, self.columns))}"
            )
        own = settings or {}
        read = self.contents.data_config
        config = type(read).model_validate({**read.model_dump(exclude_defaults=True), **own})
        return read_new_table(path, config, self._training(learnt), tuple(own))

    def _training(self, learnt: TablePreparation) -> AsInTraining:
        """How the training table was written."""
        kinds = learnt.needed
        numbers, texts = (
            {name for name, kind in kinds.items() if kind == wanted}
            for wanted in ("number", "category")
        )
        if not self.classes:
            numbers.add(self.target)
        return AsInTraining(learnt.decimal, numbers, texts)

    def answer(self, table: NewTable) -> Answer:
        """What the model says of a table's rows.

        Raises:
            InputError: A column is missing or holds something else.
        """
        learnt = self.contents.preparation
        assert isinstance(learnt, TablePreparation)
        rows = new_rows(table, learnt, self.target)
        x = as_float32(learnt.matrix(rows.frame), learnt.names, table.place)
        return self._answer(x, rows.unseen, (*table.notes, *rows.notes))

    def answer_arrays(self, given: Any, place: str) -> Answer:
        """What the model says of an array, (rows, ...).

        Raises:
            InputError: It is none, or has another shape or type than in training.
        """
        learnt = self.contents.preparation
        assert isinstance(learnt, ArrayPreparation)
        row = f"(rows, {', '.join(map(str, learnt.shape))})"
        try:
            values = as_array(given)
        except (ValueError, TypeError, RuntimeError) as error:
            raise DataError(f"{place}: is no array: {error}") from error
        if (
            values.dtype.kind not in "fiub"
            or [*values.shape[1:]] != learnt.shape
            or not len(values)
        ):
            raise DataError(
                f"{place}: is of shape {values.shape} and type {values.dtype}; the model learnt "
                f"from {row} of {learnt.dtype}"
            )
        if values.dtype.kind == "f" and not learnt.dtype.startswith("float"):
            raise DataError(
                f"{place}: is of type {values.dtype}, and the model learnt from {learnt.dtype}: "
                "give whole numbers, such as x.astype(int)"
            )
        x = array_inputs(values, place).astype(learnt.dtype)
        return self._answer(learnt.scaled(x), tuple(_unseen_values(learnt, x)), ())

    def _answer(self, x: Any, unseen: tuple[Unseen, ...], notes: tuple[str, ...]) -> Answer:
        found = self._model.predicted(self._model.outputs(x))
        columns = self._form.columns(found)
        index = pd.RangeIndex(len(x))
        told = unseen_of_rows(unseen, index)
        frame = pd.DataFrame({**columns, unique_name(UNSEEN, [*columns]): told}, index=index)
        wrong = ~np.isfinite(found.reshape(len(found), -1)).all(axis=1)
        if wrong.any():
            notes = (*notes, f"{int(wrong.sum())} of {len(x)} predictions are not finite")
        if doubt := doubt_about(self.file.path.parent):
            notes = (*notes, doubt)
        return Answer(frame, tuple(each.sentence for each in unseen), notes)

    @cached_property
    def _form(self) -> TargetForm:
        contents = self.contents
        return TargetForm(
            contents.target_mean,
            contents.target_scale,
            contents.unit != contents.target,
            self.classes,
            tuple(contents.target_shape),
        )


def load_predictor(study: str | Path | None = None, *, trust: bool = False) -> Predictor:
    """The best model of a study, ready to predict.

    Args:
        study: A study's name or results folder, or its `best_model.pt` alone; the study that was
            run last if left out.
        trust: Whether code that the model names (`model = "net.py:Net"`) may be run; it is looked
            for beside the file, in the folder above and in the working folder.

    Raises:
        InputError: There is no model there, or its training was code of the user's own; or the
            model is a class of the user's own, and not trusted.
    """
    path = model_path(study)
    file = ModelFile.read(path)
    name = file.contents.model_settings.name
    if not trust and (is_reference(name) or ":" in name):
        raise InputError(
            f"{path}: its model is {name!r}, whose module would be run; if it is yours, say so: "
            "--trust, or in Python load_predictor(..., trust=True)"
        )
    beside = path.resolve().parent
    folders = tuple(dict.fromkeys((beside, beside.parent, Path.cwd())))
    return Predictor(file, file.load(folders))


def model_path(study: str | Path | None) -> Path:
    """The file of a study's best model.

    Raises:
        InputError: There is none.
    """
    if study is not None and Path(study).suffix == ".pt" and Path(study).is_file():
        return Path(study)
    folder = locate_results(None if study is None else str(study))
    config, path = load_settings(folder / SAVED_STUDY), folder / BEST_MODEL
    if config.loop:
        raise InputError(
            f"{folder}: its models are the training loop's own, so predict with that code; the "
            f'state that the best one yielded is torch.load("{path}", weights_only=True)["state"]'
        )
    if config.own_code:
        raise InputError(
            f"{folder}: its models are the command's own, so predict with that code; what the best "
            f"trial wrote into its folder is in {folder / BEST}"
        )
    if not path.is_file():
        raise InputError(f"{path}: no best model yet; run the study to its end: sweep run {folder}")
    return path


def _index(table: NewTable) -> pd.Index[Any] | None:
    return pd.Index(table.given[table.key]) if table.key else None


def _unseen_values(learnt: ArrayPreparation, x: Any) -> Sequence[Unseen]:
    """What is to be said of values that are far outside of those of the training rows."""
    most = FAR * (learnt.greatest - learnt.least) if learnt.dtype.startswith("float") else 0
    flat = x.reshape(len(x), -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    rows = pd.Series((low < learnt.least - most) | (high > learnt.greatest + most))
    if not rows.any():
        return []
    ends = f"{number(learnt.least)} to {number(learnt.greatest)}"
    texts = [
        f"x from {number(float(a))} to {number(float(b))}" for a, b in zip(low, high, strict=True)
    ]
    return [
        Unseen(
            f"values are outside of those of the training rows ({ends}) in {int(rows.sum())} of "
            f"{len(rows)} rows: {number(float(low.min()))} to {number(float(high.max()))}",
            rows,
            pd.Series(texts)[rows],
        )
    ]
