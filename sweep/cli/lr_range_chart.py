"""What a learning-rate range test found, for the terminal."""

from __future__ import annotations

import math

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from sweep.base.wording import counted, number, percent
from sweep.report.terminal.curves import draw
from sweep.runs.before.lr_range import CLEARLY, LrRange

_WIDEST = 100
_ABOVE = 0.25
"""How far beyond where it began the loss is drawn, as a part of its greatest fall."""


def lr_range_report(found: LrRange, width: int = 80) -> Group:
    """The curve, the bounds and why, and the line to put into the study file."""
    low, high = found.clear
    best = found.best
    moves = "rise" if found.metric.maximize else "fall"
    rule = (
        f"From {number(found.rates[low])} to {number(found.rates[high])} the {found.metric.short} "
        f"{moves}s by at least {percent(CLEARLY)} of its greatest {moves}, from "
        f"{number(found.untrained)} to {number(found.values[best])} at lr "
        f"{number(found.rates[best])}."
    )
    parts: list[RenderableType] = [_chart(found, min(width, _WIDEST)), Text(), Text(rule)]
    if found.steps < found.horizon:
        trial, test = counted(found.horizon, found.counted_in), f"{found.steps:,}"
        shorter = f"A trial has {trial}, the test {test}: the lower bound is lower by that much."
        parts.append(Text(shorter))
    diverged = sum(not math.isfinite(value) for value in found.values)
    if diverged:
        parts.append(Text(f"{diverged} of {len(found.rates)} rates diverged."))
    parts += [Text(f"note: {note}") for note in found.notes]
    return Group(*parts, Text(), Text("[space]"), Text(found.line, style="bold green"))


def _chart(found: LrRange, width: int) -> Text:
    """The metric over the rates; what is within the bounds is drawn through."""
    losses, untrained = np.array(found.losses), found.metric.loss(found.untrained)
    top = untrained + _ABOVE * (untrained - losses.min())
    values = np.where(losses <= top, np.array(found.values), math.nan)
    places = np.arange(len(values))
    low, high = found.clear
    within = np.where((places >= low) & (places <= high), values, math.nan)
    moves = "rises" if found.metric.maximize else "falls"
    return draw(
        {f"{moves} clearly": within, f"all {len(values)} rates": values},
        width=width,
        height=12,
        title=f"{found.metric.title} after {counted(found.epochs, 'epoch')} of {found.optimizer}",
        x_label="constant learning rate (log scale)",
        x_range=(found.rates[0], found.rates[-1]),
    )
