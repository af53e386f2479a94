"""The data of a study: read, prepared and split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.base.errors import DataError
from sweep.base.wording import listed, percent
from sweep.data.arrays import Arrays, dataset_of
from sweep.data.classes import class_names, known_rows, target_labels
from sweep.data.columns import is_number
from sweep.data.dataset import Array, Dataset, HeldOutRows, Targets, fingerprint
from sweep.data.examine.examined import Examined
from sweep.data.examine.table_warnings import table_warnings
from sweep.data.magnitude import out_of_range
from sweep.data.preparation import Preparation, log1p, target_name, target_values
from sweep.data.sources import Table, read_source
from sweep.data.splitting import Rows, Split, split_rows
from sweep.study.registries.losses import Loss, loss_of
from sweep.study.registries.sources import SOURCES

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig


def load_dataset(
    config: DataConfig, seed: int, folders: tuple[Path, ...] = (), loss: str = "mse"
) -> Dataset:
    """Read the table, split its rows by the seed, and prepare them; arrays stay as they are.

    All that is learnt from the table (medians, scales, categories, classes, and which columns
    vary) is learnt from the training rows alone.

    Args:
        config: The study's data settings.
        seed: What the split derives from. The test rows stay the same when only the share of
            validation rows changes.
        folders: Where relative paths and modules are looked for, in this order: the study
            file's folder, the working folder.
        loss: What is to be minimised: it says whether the target is a number or a class. With a
            function of the user's own, words, booleans and, of arrays, whole numbers are classes.

    Raises:
        DataError: The table cannot be read, or cannot be learnt from as the settings say.
    """
    source = read_source(config, folders)
    if isinstance(source, Arrays):
        return dataset_of(source, config, seed, loss_of(loss))
    return _of_table(source, config, seed, loss)


def _of_table(table: Table, config: DataConfig, seed: int, loss: str) -> Dataset:
    target = target_name(table, config)
    kind = _kind(loss, table.frame[target])
    read = (
        target_labels(table, target, kind) if kind.is_of_classes else target_values(table, target)
    )
    table, y = _known_rows(table, target, read, read)
    by = config.split.name if config.split else None
    if config.split and not config.split.column:
        table, y = _known_rows(table, config.split.name, table.frame[config.split.name], y)
    column = table.frame[by] if by else None
    split = split_rows(table.place, len(y), config, seed, column)
    train, validation, test = split.train, split.validation, split.test
    source, (table, told) = table.frame, _without_split(table, config, split)
    preparation = Preparation(table, target, config)
    logs = _logs(config, target, preparation.numbers)
    preparation.take_logs(name for name in logs if name != target)
    mean, scale, last, notes = 0.0, 1.0, None, [*table.notes]
    classes: tuple[str, ...] = ()
    targets: Targets
    if kind.is_of_classes:
        logs = _without_target(config, logs, target, table.place)
        classes = class_names(y.iloc[train], table.place, kind)
        validation, strange = known_rows(y, classes, validation, "validation")
        test, also = known_rows(y, classes, test, "test")
        notes += filter(None, (strange, also, f"{target}: {_shares(y.iloc[train], classes)}"))
        codes = y.map({name: code for code, name in enumerate(classes)}).fillna(-1)
        targets = codes.to_numpy(np.int64 if kind.whole_targets else np.float32)
    else:
        y = log1p(y, table.place) if target in logs else y
        mean, scale, targets = _standardised(y, train, config, table.place)
        last = None if split.last is None else float(targets[split.last].mean(dtype=np.float64))
    learnt = preparation.fit(train).model_copy(update={"decimal": table.decimal})
    examined = Examined(
        source=source,
        frame=preparation.frame[[*preparation.numbers, *preparation.categories]],
        target=target,
        y=np.asarray(targets if kind.is_of_classes else y, dtype=np.float64),
        split=replace(split, validation=validation, test=test),
        is_of_classes=kind.is_of_classes,
        loss=loss,
        has_log=target in logs,
        is_built_in=config.source in SOURCES,
    )
    inputs = as_float32(learnt.matrix(preparation.frame), learnt.names, table.place)
    return Dataset(
        x_train=inputs[train],
        x_validation=inputs[validation],
        x_test=inputs[test],
        y_train=targets[train],
        y_validation=targets[validation],
        y_test=targets[test],
        target_mean=mean,
        target_scale=scale,
        features=learnt.names,
        split=told,
        last=last,
        warnings=tuple(table_warnings(examined)),
        target=target,
        unit=f"log(1 + {target})" if target in logs else target,
        notes=(*notes, *preparation.notes),
        missing=preparation.missing,
        constant=preparation.constant,
        classes=classes,
        fingerprint=fingerprint(
            *(array[rows] for array in (inputs, targets) for rows in (train, validation, test))
        ),
        held_out=_held_out(table, target, read.loc[table.frame.index], test),
        preparation=learnt,
    )


def _held_out(table: Table, target: str, read: pd.Series[Any], test: Rows) -> HeldOutRows:
    """The test rows, by their names in the table, with their targets as they stand there."""
    given = table.frame[target]
    is_exact = is_number(given) and pd.api.types.infer_dtype(given, skipna=True) != "boolean"
    is_class = read.dtype != np.float64
    targets = (read if is_class or not is_exact else given).iloc[test].to_numpy()
    rows = table.frame.index[test]
    if table.keys is None:
        return HeldOutRows("row", rows.to_numpy() + 1, targets)
    return HeldOutRows(str(table.keys.name), table.keys.loc[rows].to_numpy(), targets)


def _kind(loss: str, column: pd.Series[Any]) -> Loss:
    """The loss; one of the user's own is of classes where the target is no number."""
    is_class = not is_number(column) or pd.api.types.is_bool_dtype(column)
    return loss_of(loss, of_classes=is_class)


def _logs(config: DataConfig, target: str, numbers: list[str]) -> list[str]:
    """The columns that are replaced by their logarithm."""
    if isinstance(config.log1p, list):
        return config.log1p
    return [target, *numbers] if config.log1p else []


def _without_target(config: DataConfig, logs: list[str], target: str, place: str) -> list[str]:
    """The columns that are replaced by their logarithm, where the target is a class."""
    if isinstance(config.log1p, list) and target in config.log1p:
        raise DataError(f"{place}: data.log1p = {target!r}: it is the target, a class")
    return [name for name in logs if name != target]


def _shares(labels: pd.Series[Any], classes: tuple[str, ...]) -> str:
    """How many of the training rows each class has."""
    shares = labels.value_counts(normalize=True)
    told = listed((f"{name} ({percent(float(shares[name]))})" for name in classes), 10)
    return f"{len(classes)} classes, with their shares of the training rows: {told}"


def _standardised(
    y: pd.Series[Any], train: Rows, config: DataConfig, place: str
) -> tuple[float, float, Array]:
    """Mean and standard deviation of the training rows' numbers, and all of them by these."""
    _refuse_constant(y.iloc[train], place)
    scaled = config.scale is not False
    if reason := out_of_range(y, scaled):
        raise DataError(f"{place}: data.target = {y.name!r} {reason}")
    mean = float(y.iloc[train].mean()) if scaled else 0.0
    scale = float(y.iloc[train].std(ddof=0)) if scaled else 1.0
    values = ((y.to_numpy() - mean) / scale)[:, None]  # (rows, 1)
    return mean, scale, as_float32(values, (str(y.name),), place)[:, 0]


def _known_rows(
    table: Table, name: str, column: pd.Series[Any], y: pd.Series[Any]
) -> tuple[Table, pd.Series[Any]]:
    """The rows in which a column, the target or what rows are split by, is not missing."""
    known = column.notna()
    missing = int((~known).sum())
    if missing == len(column):
        key = "data.target" if column is y else "data.split"
        raise DataError(f"{table.place}: {key} = {name!r} is missing in every row")
    if not missing:
        return table, y
    note = f"{missing} of {len(column)} rows left out: no {name!r}"
    return replace(table, frame=table.frame[known], notes=(*table.notes, note)), y[known]


def _without_split(table: Table, config: DataConfig, split: Split) -> tuple[Table, str]:
    """The table without the column that its rows are split by, unless it is a feature, too.

    A side has no value of another side's column, or none but later ones: nothing that is learnt of
    it there would hold here. Of a date, there are months and weekdays.
    """
    if config.split is None:
        return table, split.told
    name = config.split.name
    if name in (config.features or ()) or (split.is_by_dates and config.dates):
        return table, split.told
    told = split.told
    if config.features is None and name not in config.drop:
        keeps = "; name it in data.features to learn from it, too"
        if split.is_by_dates:
            keeps = "; data.dates = true learns from its month, weekday and hour, too"
        told = f"{told}; {name!r} itself is no feature{'' if config.split.column else keeps}"
    return replace(table, frame=table.frame.drop(columns=name)), told


def _refuse_constant(y: pd.Series[Any], place: str) -> None:
    if y.nunique() == 1:
        raise DataError(
            f"{place}: data.target = {y.name!r} is {y.iloc[0]:g} in all {len(y)} training rows; "
            "there is nothing to learn"
        )


def as_float32(values: npt.NDArray[np.float64], names: tuple[str, ...], place: str) -> Array:
    """The columns as float32, which holds values up to 3.4e38."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    wrong = [names[column] for column in np.flatnonzero(~np.isfinite(narrow).all(axis=0))]
    if wrong:
        raise DataError(
            f"{place}: values too large for 32-bit numbers in {listed(map(repr, wrong))}; "
            "divide them by a constant, or take their logarithm with data.log1p"
        )
    return narrow
