"""A trial, as training code of the user's own is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sweep.schedules.shape import Value

TRIAL = "trial.json"
"""The file that says whose a folder is."""
STATE = "state.pt"
"""What a loop yielded last beside its metric, as a dict: state, trial, epoch, value."""


@dataclass(frozen=True)
class OwnTrial:
    """What training code of the user's own may want to know of the trial that it is for.

    Args:
        number: In the study, from 0.
        seed: What everything random derives from.
        epochs: How often its metric is reported.
        place: Its folder, which need not be there yet.
        params: What is searched beside the schedule, by name.
    """

    number: int
    seed: int
    epochs: int
    place: Path
    params: Mapping[str, Value] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """A folder of its own, for checkpoints and logs; it is made when it is first asked for."""
        self.place.mkdir(parents=True, exist_ok=True)
        about = self.place / TRIAL
        if not about.exists():
            about.write_text(json.dumps({"number": self.number}), encoding="utf-8")
        return self.place
