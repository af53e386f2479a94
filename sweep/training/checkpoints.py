"""What a loop of the user's own has told to keep, so that a killed trial goes on in its middle."""

from __future__ import annotations

import io
import json
import pickle
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sweep.files import write_whole
from sweep.training.engine import EpochResult, TrialSpec

_SHARE = 0.1
"""The greatest share of the time that is spent on writing."""


@dataclass(frozen=True)
class Checkpoint:
    """A trial at the end of an epoch.

    Args:
        state: What the loop yielded beside its metric.
        results: Its epochs so far.
    """

    state: Any
    results: list[EpochResult]


class Checkpoints:
    """A folder with a file for each trial in flight.

    Args:
        folder: It is made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = time.monotonic()

    def load(self, spec: TrialSpec) -> Checkpoint | None:
        """What was kept of a trial; None if there is nothing, or not of the same trial."""
        path = self._path(spec)
        if not path.is_file():
            return None
        try:
            saved = torch.load(path, weights_only=True, map_location="cpu")
        except pickle.UnpicklingError:  # the loop's own objects, from its own folder
            saved = torch.load(path, weights_only=False, map_location="cpu")
        if saved["trial"] != _identity(spec):
            return None
        return Checkpoint(saved["state"], [EpochResult(**fields) for fields in saved["results"]])

    def save(self, spec: TrialSpec, checkpoint: Checkpoint) -> None:
        """Keep a trial's state, unless too much time has gone into writing lately.

        Raises:
            OSError: It cannot be written.
        """
        started = time.monotonic()
        if started < self._next:
            return
        content: Mapping[str, Any] = {
            "trial": _identity(spec),
            "state": checkpoint.state,
            "results": [asdict(result) for result in checkpoint.results],
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        self._folder.mkdir(exist_ok=True)
        write_whole(self._path(spec), buffer.getvalue())
        ended = time.monotonic()
        self._next = ended + (ended - started) / _SHARE

    def drop(self, spec: TrialSpec) -> None:
        """A trial is over."""
        self._path(spec).unlink(missing_ok=True)

    def _path(self, spec: TrialSpec) -> Path:
        """Numbers alone would not do: runs of a confirmation are counted from 0 too."""
        return self._folder / f"{spec.number}-{zlib.crc32(_identity(spec).encode()):08x}.pt"


def _identity(spec: TrialSpec) -> str:
    return json.dumps([spec.number, spec.seed, spec.schedule.to_dict()])
