"""What is trained as a point of a search space, if the space holds it."""

from __future__ import annotations

import math

from sweep.study.space import Choice, Dimension, Space, Suggestion, Value


def fits(dimension: Dimension, value: Value) -> bool:
    """Whether a value is one of a dimension's, whatever its last digits are."""
    if isinstance(dimension, Choice):
        return value in dimension.options
    if isinstance(value, str) or (dimension.integer and value != int(value)):
        return False
    return math.isclose(value, min(max(value, dimension.low), dimension.high), rel_tol=1e-9)


def nearest(dimension: Dimension, value: Value) -> Value:
    """The value that a dimension has nearest to one; of words the first."""
    if isinstance(dimension, Choice):
        return value if value in dimension.options else dimension.options[0]
    return dimension.value(min(max(float(value), dimension.low), dimension.high))


def values_of(suggestion: Suggestion) -> dict[str, Value]:
    """The value of each dimension that a suggestion has, by name."""
    schedule = suggestion.schedule
    optimizer = {"momentum": suggestion.momentum, "weight_decay": suggestion.weight_decay}
    return {
        **{"scheduler": schedule.scheduler, "lr": schedule.lr},
        **{"decay": schedule.decay, "warmup": schedule.warmup},
        **{f"{schedule.scheduler}.{name}": value for name, value in schedule.params.items()},
        **{name: value for name, value in optimizer.items() if value is not None},
        **suggestion.params,
    }


def parameters_of(space: Space, suggestion: Suggestion) -> dict[str, Value] | None:
    """What Optuna would be asked for to draw a suggestion; None if it lies outside."""
    schedule = suggestion.schedule
    name = schedule.scheduler
    if name not in space.schedulers or space.factories.get(name) != schedule.factory:
        return None
    values = values_of(suggestion)
    optimizer = values.get("optimizer")
    ignored = space.ignored_by(name, optimizer)
    drawn: dict[str, Value] = {"scheduler": name}
    for dimension_name, dimension in space.dimensions_of(name, optimizer).items():
        value = values.get(dimension_name)
        if value is None and dimension_name in ignored:
            value = dimension.points(1)[0]
        if value is None or (not fits(dimension, value) and dimension_name not in ignored):
            return None
        drawn[dimension_name] = nearest(dimension, value)
    dimensions = space.dimensions()
    return {n: value for n, value in drawn.items() if not dimensions[n].fixed}
