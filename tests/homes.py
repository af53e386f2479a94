"""A small table of homes, as a file and as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweep.base.errors import DataError
from sweep.data.dataset import Dataset
from sweep.data.load import load_dataset
from sweep.study.sections import DataConfig


def table(rows: int = 20) -> pd.DataFrame:
    """A small table of two features and a price."""
    places = np.arange(rows)
    return pd.DataFrame(
        {"area": 10.0 + places, "rooms": 1 + places % 4, "price": 100.0 + 3 * places % 7}
    )


def write(folder: Path, frame: pd.DataFrame, name: str = "homes.csv") -> None:
    frame.to_csv(folder / name, index=False)


def load(folder: Path, seed: int = 0, **settings: Any) -> Dataset:
    settings = {"source": "homes.csv", "target": "price"} | settings
    return load_dataset(DataConfig(**settings), seed, (folder,))


def error(folder: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as raised:
        load(folder, **settings)
    return str(raised.value)


def raw_targets(data: Dataset) -> np.ndarray[Any, Any]:
    """The targets of all rows in their own unit."""
    parts = [data.y_train, data.y_validation, data.y_test]
    values: np.ndarray[Any, Any] = np.concatenate(parts) * data.target_scale + data.target_mean
    return values
