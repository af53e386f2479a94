"""What a loop of the user's own has told to keep, so that a killed trial goes on in its middle."""

from __future__ import annotations

import io
import json
import pickle
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from sweep.base.errors import TrainingError
from sweep.base.files import write_whole
from sweep.study.metric import MSE
from sweep.training.contract import EpochResult, TrialSpec

_SHARE = 0.1
"""The greatest share of the time that is spent on writing."""

_KEYS = {
    field.name: MSE.named(field.name) for field in fields(EpochResult) if field.name != "advice"
}
"""What a file calls an epoch's fields: `val_mse`, whatever the metric is.

What is wrong with the steps is found again in the next epoch.
"""

_OPTIONAL = ("metrics", "steps")


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

    A file is only ever read as data (`weights_only`), so that one from elsewhere can run nothing;
    a state that would need more to be read again is refused when it is to be kept.

    Args:
        folder: It is made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = time.monotonic()

    def load(self, spec: TrialSpec) -> Checkpoint | None:
        """What was kept of a trial; None if there is nothing, or not of the same trial.

        Raises:
            TrainingError: The file is damaged, or holds more than data.
        """
        path = self._path(spec)
        if not path.is_file():
            return None
        try:
            saved = torch.load(path, weights_only=True, map_location="cpu")
            if saved["trial"] != _identity(spec):
                return None
            return Checkpoint(saved["state"], [_result(f, spec) for f in saved["results"]])
        except Exception as error:  # whatever torch's reader makes of other bytes
            if isinstance(error, pickle.UnpicklingError) and (unsafe := _unsafe_types(path)):
                reason = f"it holds {unsafe}, which would run code"
            else:
                reason = type(error).__name__
            raise TrainingError(f"{path} is damaged or not a checkpoint ({reason})") from error

    def save(self, spec: TrialSpec, checkpoint: Checkpoint) -> None:
        """Keep a trial's state, unless too much time has gone into writing lately.

        Raises:
            TrainingError: The state is no plain data, so that it could not be read again.
            OSError: It cannot be written.
        """
        started = time.monotonic()
        if started < self._next:
            return
        content: Mapping[str, Any] = {
            "trial": _identity(spec),
            "state": checkpoint.state,
            "results": [_to_file(result) for result in checkpoint.results],
        }
        data = plain_data(content)
        self._folder.mkdir(exist_ok=True)
        write_whole(self._path(spec), data)
        ended = time.monotonic()
        self._next = ended + (ended - started) / _SHARE

    def drop(self, spec: TrialSpec) -> None:
        """A trial is over."""
        self._path(spec).unlink(missing_ok=True)

    def _path(self, spec: TrialSpec) -> Path:
        """Numbers alone would not do: runs of a confirmation are counted from 0 too."""
        return self._folder / f"{spec.number}-{zlib.crc32(_identity(spec).encode()):08x}.pt"


def plain_data(content: Mapping[str, Any]) -> bytes:
    """What `torch.load(weights_only=True)` reads, with a state that a loop has yielded.

    Raises:
        TrainingError: It is no plain data, so that it could not be read again.
    """
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True, map_location="cpu")
    except (pickle.PicklingError, pickle.UnpicklingError, AttributeError, TypeError) as error:
        types = _unsafe_types(buffer) or str(error)
        raise TrainingError(
            f"the loop yielded a state that cannot be kept, for it holds {types}; yield "
            "tensors, numbers, texts, and dicts and lists of them (state_dict() of models, "
            "optimizers and schedules)"
        ) from None
    return buffer.getvalue()


def _to_file(result: EpochResult) -> dict[str, Any]:
    """An epoch as it stands in a file; what was advised with it has been told."""
    kept = {key: getattr(result, name) for name, key in _KEYS.items() if name not in _OPTIONAL}
    optional = {"metrics": dict(result.metrics), "steps": result.steps}
    return kept | {name: value for name, value in optional.items() if value}


def _result(kept: Any, spec: TrialSpec) -> EpochResult:
    """An epoch of a checkpoint.

    Raises:
        TypeError: It is not of the trial, or its values are no numbers.
    """
    names = {key: name for name, key in _KEYS.items()}
    result = EpochResult(**{names[key]: value for key, value in kept.items()})
    for name, value in {**kept, "metrics": None, **result.metrics}.items():
        if value is not None and type(value) not in (int, float):
            raise TypeError(f"{name} is a {type(value).__name__}")
    if result.number != spec.number:
        raise TypeError("an epoch of another trial")
    return result


def _unsafe_types(saved: Path | io.BytesIO) -> str:
    """The types in a checkpoint that are more than data; empty if none can be named."""
    if isinstance(saved, io.BytesIO):
        saved.seek(0)
    try:
        names: list[str] = torch.serialization.get_unsafe_globals_in_checkpoint(saved)
    except Exception:  # not a whole checkpoint
        return ""
    return ", ".join(sorted(name.removeprefix("builtins.") for name in names))


def _identity(spec: TrialSpec) -> str:
    further = [part for part in (dict(spec.params), spec.epochs) if part]
    return json.dumps([spec.number, spec.seed, spec.schedule.to_dict(), *further])
