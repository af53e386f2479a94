"""Small sweeps of `diabetes`, run from this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna

from sweep.data.dataset import Dataset
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.search.status import Status
from sweep.search.trials import Trial
from sweep.study.file import load_study
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig

MODELS = '''
import os
import torch
from torch import nn

class Raises(nn.Module):
    """Raises in the second epoch."""
    def __init__(self, features):
        super().__init__()
        self.layer = nn.Linear(features, 1)
        self.steps = 0
    def forward(self, x):
        self.steps += self.training
        if self.steps > 3:
            raise RuntimeError("out of patience")
        return self.layer(x)

class Dies(Raises):
    """Takes its whole process along."""
    def forward(self, x):
        self.steps += self.training
        if self.steps > 3:
            os._exit(7)
        return self.layer(x)

class Wide(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.layer = nn.Linear(features, 2)
    def forward(self, x):
        return self.layer(x)
'''


class Notes(Listener):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.last: Status | None = None
        self.asked = 0

    def on_start(self, location: Location, config: StudyConfig, data: Dataset | None) -> None:
        self.asked = config.trials

    def on_note(self, text: str) -> None:
        self.notes.append(text)

    def on_finished(self, trial: Trial, status: Status) -> None:
        self.last = status


def sweep(
    folder: Path, listener: Listener | None = None, fresh: bool = False, **overrides: Any
) -> tuple[optuna.Study, StudyConfig, Location]:
    """Run a small study; keyword `optimizer__name` stands for the key `optimizer.name`.

    What is None is left out.
    """
    settings: dict[str, Any] = {
        "data.source": "diabetes",
        "model.name": "linear",
        "epochs": 3,
        "trials": 4,
        "workers": 2,
        "space.lr": "1e-3:0.1:log",
        "confirm.enabled": False,
    }
    settings |= {key.replace("__", "."): value for key, value in overrides.items()}
    (folder / "models.py").write_text(MODELS)
    location = Location("small", folder / "small.toml", folder / "small")
    config = load_study(None, {k: v for k, v in settings.items() if v is not None})
    return run_sweep(location, config, listener or Listener(), fresh), config, location


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]
