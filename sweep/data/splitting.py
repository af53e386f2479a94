"""Which rows are trained on, which are for validation and for the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sweep.base.errors import DataError

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig

Rows = npt.NDArray[np.int64]


def split_rows(place: str, rows: int, config: DataConfig, seed: int) -> tuple[Rows, Rows, Rows]:
    """Positions of the rows to train on, for validation and for the test.

    Raises:
        DataError: There are too few.
    """
    test = round(rows * config.test)
    validation = round(rows * config.validation)
    train = rows - test - validation
    if train < 2 or validation < 2 or (config.test and not test):
        raise DataError(
            f"{place}: too few rows: of {rows} with a target, data.validation = "
            f"{config.validation:g} takes {validation} and data.test = {config.test:g} takes "
            f"{test}, which leaves {train} to train on; training and validation need at least 2, "
            "the test 1 unless data.test = 0"
        )
    order = np.random.default_rng(seed).permutation(rows)
    return order[test + validation :], order[test : test + validation], order[:test]
