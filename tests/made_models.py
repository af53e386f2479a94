"""Models that nothing has trained, in a study's files: enough to predict with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.confirm.best_files import write_predictions
from sweep.data.load import load_dataset
from sweep.study.file import load_study
from sweep.training.models import build_model
from sweep.training.saved.contents import ModelContents
from sweep.training.saved.model import save_weights
from sweep.training.workers.messages import WorkerSetup
from sweep.training.workers.worker import predict_test

ROWS = 150


def table() -> pd.DataFrame:
    """Numbers, categories (rare ones too), dates, gaps, and a text column of numbers."""
    draw = np.random.default_rng(0)
    days = pd.date_range("2020-01-01", periods=ROWS, freq="97h")
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "area": draw.normal(100, 20, ROWS).round(1),
            "rooms": draw.integers(1, 9, ROWS),
            "city": draw.choice(["Bern", "Chur", "True", "007"], ROWS),
            "street": [f"{'ab'[r % 2]}{r if r % 5 == 0 else ''}" for r in range(ROWS)],
            "day": days.strftime("%d.%m.%Y %H:%M"),
            "always": 3,
        }
    )
    frame.loc[::9, "area"] = np.nan
    frame.loc[::11, "city"] = np.nan
    frame["price"] = (frame["rooms"] * 1.1 + frame["area"].fillna(99) / 7).round(1)
    frame["kind"] = np.where(
        frame["rooms"] > 4, "large", np.where(frame["area"] > 90, "=mid", "small")
    )
    return frame


def model_of(folder: Path, **settings: Any) -> Path:
    """A study's `best_model.pt` and `predictions.csv`, of a model that nothing has trained."""
    config = load_study(None, {key.replace("__", "."): value for key, value in settings.items()})
    data = load_dataset(config.data, config.seed, (folder,), config.training.loss)
    setup = WorkerSetup.of(config, data, (folder,))
    outputs = len(data.classes) if len(data.classes) > 1 else data.y_train[:1].size
    count = 1 if config.training.loss == "binary_cross_entropy" else outputs
    model = build_model(config.model, data.x_train.shape[1:], 3, (folder,), count)
    about = {**ModelContents.of(7, config, data).model_dump(), config.measure.name: 0.5}
    path = folder / "best_model.pt"
    save_weights(path, model.state_dict(), about)
    found = predict_test(path, setup)
    assert found is not None
    assert len(found.values) == len(data.y_test) > 0
    write_predictions(folder, data, found)
    return path
