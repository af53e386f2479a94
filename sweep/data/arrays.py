"""Arrays of any shape from the user's own function, in the place of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.base.errors import DataError
from sweep.base.wording import counted, listed, percent, verb
from sweep.data.dataset import Dataset, HeldOutRows, fingerprint
from sweep.data.examine.table_warnings import few_rows
from sweep.data.fitted.arrays import ArrayPreparation
from sweep.data.splitting import AT_RANDOM, split_rows

if TYPE_CHECKING:
    from sweep.study.registries.losses import Loss
    from sweep.study.sections import DataConfig

Values = npt.NDArray[Any]

PARTS = ("training", "validation", "test")
OF_TABLES = ("features", "drop", "pivot", "numbers", "categories", "dates", "constant", "log1p")
"""Settings of columns, which arrays have none of."""

_TOLD_CLASSES = 20
_MOST_CLASSES = 1_000_000
"""A model has an output for each."""


_RENUMBERED = "np.unique(y, return_inverse=True)[1]"


@dataclass(frozen=True)
class Arrays:
    """Inputs and targets as they were returned.

    Args:
        place: What an error message calls them.
        x: Of all rows; or of training and validation rows, and maybe the test's. Each
            (rows, ...).
        y: Likewise.
    """

    place: str
    x: tuple[Values, ...]
    y: tuple[Values, ...]


def as_array(values: Any) -> Values:
    """A NumPy array of an array, a list or a tensor on any device; its type stays.

    Raises:
        ValueError: It has no shape, such as a list of lists of several lengths.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if "bfloat16" in str(values.dtype) else values).numpy()
    return np.asarray(values)


def is_a_table(x: Any, y: Any) -> bool:
    """Whether a pair is one of columns, which are prepared, and not of arrays as they are.

    Whole numbers in two axes are ids, such as of tokens.
    """
    if hasattr(x, "columns"):
        return np.ndim(y) == 1 or np.shape(y)[1:] == (1,)
    inputs, targets = as_array(x), as_array(y)
    is_ids = inputs.ndim == 2 and inputs.dtype.kind in "iu"
    return inputs.ndim <= 2 and not is_ids and targets.shape[1:] in ((), (1,))


def arrays_of(place: str, result: Sequence[Any], config: DataConfig) -> Arrays:
    """What `(x, y)`, `(x, y, x_validation, y_validation)` or six of these hold.

    Raises:
        DataError: They are no arrays, do not go together, or the settings want columns.
    """
    split = len(result) > 2
    default = type(config).model_fields
    shares = ("validation", "test") if split else ()
    if config.split is not None:
        raise DataError(
            f"data.split does not fit data.source = {place!r}: it has no columns; return (x, y, "
            "x_validation, y_validation, x_test, y_test), split as you want it"
        )
    for key in (*OF_TABLES, *shares):
        if getattr(config, key) != default[key].default:
            reason = "it brings its own split" if key in shares else "it has no columns"
            raise DataError(f"data.{key} does not fit data.source = {place!r}: {reason}")
    try:
        values = [as_array(part) for part in result]
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{place!r} did not return arrays or tensors: {error}") from error
    x, y = tuple(values[::2]), tuple(values[1::2])
    if not split:
        _check_pair(place, "", x[0], y[0])
        return Arrays(place, x, y)
    for kind, inputs, targets in zip(PARTS, x, y, strict=False):
        _check_pair(place, f" for {kind}", inputs, targets)
        for name, part, first in (("x", inputs, x[0]), ("y", targets, y[0])):
            if part.shape[1:] != first.shape[1:] or part.dtype.kind != first.dtype.kind:
                raise DataError(
                    f"{place!r} returned {name} of shape {part.shape} and type {part.dtype} for "
                    f"{kind}, but of shape {first.shape} and type {first.dtype} for training; "
                    "all but the number of rows must be the same"
                )
    return Arrays(place, x, y)


def _check_pair(place: str, of: str, x: Values, y: Values) -> None:
    """Refuse what cannot be rows of inputs and their targets."""
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y) or 0 in x.shape or 0 in y.shape:
        raise DataError(
            f"{place!r} returned x of shape {x.shape} and y of shape {y.shape}{of}; expected "
            "(rows, ...) and (rows, ...), with as many rows"
        )
    for name, values in (("x", x), ("y", y)):
        if values.dtype.kind not in "fiub":
            number = ": number the classes 0, 1, 2 ..." if name == "y" else ""
            raise DataError(
                f"{place!r} returned {name} of type {values.dtype}{of}; expected real numbers"
                f"{number}, or a DataFrame, whose columns may be texts"
            )


def dataset_of(arrays: Arrays, config: DataConfig, seed: int, loss: Loss) -> Dataset:
    """Arrays as a model learns from them: in their own shapes, scaled only where it is asked for.

    Args:
        arrays: As they were returned.
        config: The study's data settings.
        seed: What the split derives from, where there is none.
        loss: What is to be minimised.

    Raises:
        DataError: A value is not finite, or no target of the loss.
    """
    place, notes, target = arrays.place, list[str](), config.target or "y"
    x = [array_inputs(part, place) for part in arrays.x]
    y = given = [part.reshape(len(part)) if part.shape[1:] == (1,) else part for part in arrays.y]
    classes: tuple[str, ...] = ()
    if loss.is_of_classes or (loss.is_own and y[0].dtype.kind in "iub"):
        y, classes = _classes(y, place, loss)
        notes += _of_their_numbers(y, classes, target)
    else:
        if y[0].dtype.kind in "iu" and len(np.unique(y[0])) <= _TOLD_CLASSES:
            notes.append(
                f"{target} is learnt as numbers; if its whole numbers are classes, give --loss "
                "cross_entropy"
            )
        y = [_single(part, "y", place) for part in y]
    told = AT_RANDOM if len(x) == 1 else f"as {place} returned them"
    truth, rows = given[-1], np.arange(len(x[2]) if len(x) > 2 else 0)
    if len(x) == 1:
        split = split_rows(place, len(x[0]), config, seed)
        parts = split.train, split.validation, split.test
        x, y = [x[0][rows] for rows in parts], [y[0][rows] for rows in parts]
        rows = parts[2]
    x += [part[:0] for part in x[:1] * (3 - len(x))]
    y += [part[:0] for part in y[:1] * (3 - len(y))]
    if min(len(y[0]), len(y[1])) < 2:
        raise DataError(
            f"{place}: training and validation need at least 2 rows, and have {len(y[0])} and "
            f"{len(y[1])}: return more"
        )
    if y[0].min() == y[0].max():
        only = y[0].flat[0]
        raise DataError(
            f"{place}: y is {classes[int(only)] if classes else f'{only:g}'} in all training rows; "
            "there is nothing to learn: return another y, or more rows"
        )
    mean, scale = 0.0, 1.0
    is_real = x[0].dtype.kind == "f"
    learnt = ArrayPreparation.of(x[0], bool(config.scale))
    x = [learnt.scaled(part) for part in x]
    if config.scale:
        if not classes:
            mean, scale = (float(f(y[0], dtype=np.float64)) for f in (np.mean, np.std))
            y = _standardised(y, mean, scale)
    elif config.scale is None and (is_real or not classes):
        what = "x and y are" if is_real and not classes else "x is" if is_real else "y is"
        notes.append(f"{what} learnt from unscaled; data.scale = true standardises")
    if not is_real:
        notes.append(f"x stays {x[0].dtype}; for numbers to compute with, return floats")
    if classes:
        notes += [_shares(y[0], classes, target), *_unseen(y, classes, target)]
    return Dataset(
        x_train=x[0],
        x_validation=x[1],
        x_test=x[2],
        y_train=y[0],
        y_validation=y[1],
        y_test=y[2],
        target_mean=mean,
        target_scale=scale,
        features=(),
        split=told,
        target=target,
        unit=target,
        notes=tuple(notes),
        warnings=tuple(few_rows(len(y[1]))),
        classes=classes,
        fingerprint=fingerprint(*x, *y),
        held_out=HeldOutRows("row", rows + 1, _as_named(y[2], classes) if classes else truth[rows]),
        preparation=learnt,
    )


def array_inputs(values: Values, place: str) -> Values:
    """Inputs as torch takes them: float32, or whole numbers and booleans as they are."""
    if values.dtype.kind == "f":
        return _single(values, "x", place)
    if values.dtype.kind == "u" and values.dtype.itemsize > 1:  # which torch can hardly use
        if values.max() > np.iinfo(np.int64).max:
            raise DataError(
                f"{place}: x holds whole numbers beyond those of 64 bits; return floats"
            )
        return values.astype(np.int64)
    return np.ascontiguousarray(values)


def _single(values: Values, name: str, place: str) -> Values:
    """As float32.

    Raises:
        DataError: A value is missing, infinite, or too large for it.
    """
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(values, dtype=np.float32)
    finite = np.isfinite(narrow)
    if finite.all():
        return narrow
    at = tuple(int(i) for i in np.argwhere(~finite)[0])
    told = ", ".join(map(str, at))
    value = values[at]
    what = f"is {value}" if not np.isfinite(value) else f"is {value:g}, too large for 32 bits"
    raise DataError(
        f"{place}: {name}[{told}] {what}, as {counted(int((~finite).sum()), 'value')} in all; "
        "a model learns from finite numbers alone"
    )


def _classes(y: list[Values], place: str, loss: Loss) -> tuple[list[Values], tuple[str, ...]]:
    """Targets as the loss takes them, and what the classes are called: their numbers.

    Of one class a row, it takes 0, 1, 2 ... for those that occur. Where a row has several, such as
    ids of tokens, or the loss is the user's own, a number may mean something there: all stay.
    """
    wanted = f"with the loss {loss.name}, y holds classes: whole numbers"
    whole = []
    for part in y:
        if part.dtype.kind == "f" and not (_single(part, "y", place) % 1 == 0).all():
            raise DataError(
                f"{place}: {wanted}, but here it is of type {part.dtype}, not whole; for numbers, "
                "give another loss, such as --loss mse"
            )
        whole.append(part.astype(np.int64))
    ids = np.unique(np.concatenate([part.ravel() for part in whole]))
    if loss.is_own or whole[0].ndim > 1:
        least, most = int(ids[0]), int(ids[-1])
        if least < 0:
            raise DataError(f"{place}: {wanted}, but the least is {least}: number them from 0")
        if most >= _MOST_CLASSES:
            raise DataError(
                f"{place}: {wanted}, and the model has an output for each, but the greatest is "
                f"{most:,}; number those that occur: {_RENUMBERED}"
            )
        ids = np.arange(max(most + 1, 2))
    elif len(ids) >= _MOST_CLASSES:
        raise DataError(
            f"{place}: y has {len(ids):,} different values, and with the loss {loss.name} the "
            "model has an output for each; for numbers, give another loss, such as --loss mse"
        )
    if len(ids) > loss.most_classes == 2:
        raise DataError(
            f"{place}: the loss {loss.name} is of two classes, but y has {len(ids)}: "
            f"{listed(map(str, ids))}; give --loss cross_entropy"
        )
    kind = np.int64 if loss.whole_targets or loss.is_own else np.float32
    return [np.searchsorted(ids, part).astype(kind) for part in whole], tuple(map(str, ids))


def _of_their_numbers(y: list[Values], classes: tuple[str, ...], target: str) -> list[str]:
    """What to say where the numbers of the classes are not 0, 1, 2 ... without gaps."""
    if int(classes[0]) != 0 or int(classes[-1]) != len(classes) - 1:
        return [
            f"{target}: to the loss and the model its classes {listed(classes)} are "
            f"{listed(map(str, range(len(classes))))}; results have their own numbers"
        ]
    used = len(np.unique(np.concatenate([part.ravel() for part in y])))
    if used == len(classes):
        return []
    return [
        f"{target}: {used} of the numbers from 0 to {classes[-1]} occur, and the model has an "
        f"output for each of {len(classes):,}; if the others mean nothing, number those that "
        f"occur: {_RENUMBERED}"
    ]


def _shares(y: Values, classes: tuple[str, ...], target: str) -> str:
    counts = np.bincount(y.ravel().astype(np.int64), minlength=len(classes))
    text = f"{target}: {len(classes)} classes"
    if len(classes) > _TOLD_CLASSES:
        return f"{text}, {int((counts > 0).sum())} of them in the training rows"
    told = (f"{n} ({percent(c / y.size)})" for n, c in zip(classes, counts, strict=True))
    return f"{text}, with their shares of the training rows: {listed(told, _TOLD_CLASSES)}"


def _as_named(y: Values, classes: tuple[str, ...]) -> Values:
    """Classes by their names."""
    named: Values = np.array(classes, dtype=object)[y.astype(np.int64)]
    return named


def _unseen(y: list[Values], classes: tuple[str, ...], target: str) -> list[str]:
    """What to say of classes that no model can have learnt; their rows stay."""
    strange = np.setdiff1d(np.concatenate([part.ravel() for part in y[1:]]), y[0])
    if not len(strange):
        return []
    named = listed(classes[int(each)] for each in strange)
    return [
        f"{target}: {named} {verb(len(strange), 'is', 'are')} in no training row, but in "
        "validation or test rows, which stay"
    ]


def _standardised(parts: list[Values], mean: Any, spread: Any) -> list[Values]:
    """Less the mean, divided by the standard deviation, where there is one."""
    by = np.where(spread > 0, spread, 1.0)
    return [((part - mean) / by).astype(np.float32) for part in parts]
