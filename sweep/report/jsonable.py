"""Facts of a report as JSON has them."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric


def jsonable(value: Any, metric: Metric) -> Any:
    """What JSON can hold, with the metric's name in the place of `value`; not finite is None."""
    if isinstance(value, Schedule):
        return value.to_dict()
    if is_dataclass(value):
        rare = ("params", "beside", "others")
        parts = ((part.name, getattr(value, part.name)) for part in fields(value))
        parts = ((name, part) for name, part in parts if part or name not in rare)
        return _flat({metric.named(name): jsonable(part, metric) for name, part in parts})
    if isinstance(value, dict):
        return {key: jsonable(item, metric) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item, metric) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _flat(named: dict[str, Any]) -> dict[str, Any]:
    """With the numbers of how trials have ended in the place of `endings`."""
    parts = (value if name == "endings" else {name: value} for name, value in named.items())
    return {name: value for part in parts for name, value in part.items()}
