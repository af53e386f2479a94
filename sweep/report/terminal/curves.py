"""Curves drawn with characters: braille for charts, blocks for sparklines.

plotext is not used: version 6 keeps one figure for the whole process, needs a compiled library,
and cannot put its axis labels on round numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from sweep.base.languages.sentences import _
from sweep.base.wording import MISSING
from sweep.schedules.schedule import Schedule

Floats = NDArray[np.float64]

_BLOCKS = "▁▂▃▄▅▆▇█"
_BRAILLE = 0x2800
_DOTS = ((0x40, 0x80), (0x04, 0x20), (0x02, 0x10), (0x01, 0x08))
"""Bits of a braille character by row from the bottom and column."""
_STYLES = ("cyan", "yellow", "magenta", "green")
_DOTTED_EVERY = 2


def sparkline(values: Sequence[float] | Floats, width: int) -> str:
    """Values as blocks between 0 and their greatest; `width` characters, spaces where not finite.

    Args:
        values: Not negative; sampled at `width` evenly spaced positions.
        width: In characters.
    """
    if not len(values):
        return " " * width
    positions = np.linspace(0, len(values) - 1, width).round().astype(int)
    sampled = np.asarray(values, dtype=float)[positions]
    finite = sampled[np.isfinite(sampled)]
    top = finite.max() if len(finite) and finite.max() > 0 else 1.0
    return "".join(
        _BLOCKS[min(int(v / top * len(_BLOCKS)), len(_BLOCKS) - 1)] if math.isfinite(v) else " "
        for v in sampled
    )


def draw(
    series: Mapping[str, Sequence[float] | Floats],
    *,
    width: int,
    height: int,
    title: str,
    x_label: str,
    x_range: tuple[float, float] | None = None,
    log: bool = False,
    from_zero: bool = False,
) -> Text:
    """A chart of one or more series; the first is drawn through, the others are dotted.

    Args:
        series: Evenly spaced values by name; values that are not finite (on a logarithmic axis:
            not positive) are left out.
        width: Of the whole, in characters.
        height: Of the drawing area, in characters.
        title: Above it; series are named beside it if there are several.
        x_label: Below it.
        x_range: What the first and the last value stand at; their places from 1 if not given.
        log: Whether the vertical axis is logarithmic.
        from_zero: Whether a linear vertical axis starts at 0.

    Returns:
        As many lines as `height`, and three; or a single one if there is nothing to draw.
    """
    scale = _log10 if log else _linear
    scaled = {name: scale(np.asarray(values, dtype=float)) for name, values in series.items()}
    shown = {name: values for name, values in scaled.items() if np.isfinite(values).any()}
    if not shown:
        return Text(f"{title}: {MISSING}")
    low, high, ticks = _axis(np.concatenate(list(shown.values())), height, log, from_zero)
    margin = max(map(len, ticks.values()))
    columns = max(width - margin - 2, 10)
    canvas = _Canvas(columns, height)
    for index, name in reversed(list(enumerate(shown))):
        canvas.plot((shown[name] - low) / (high - low), index)
    longest = max(map(len, series.values()))
    lines = [_title(title, list(shown)), *canvas.lines()]
    labels = {_row(value, low, high, height): label for value, label in ticks.items()}
    chart = Text("\n").join(
        line if row == 0 else _with_axis(line, labels.get(height - row, ""), margin)
        for row, line in enumerate(lines)
    )
    chart.append(f"\n{' ' * margin} └{'─' * columns}\n", style="dim")
    chart.append(_x_axis(x_range or (1, longest), x_label, columns, margin + 2))
    return chart


def draw_rates(
    schedule: Schedule,
    total_steps: int,
    *,
    width: int,
    height: int = 8,
    x_label: str = "step",
    x_range: tuple[float, float] | None = None,
) -> Text:
    """The rate of each step of a schedule, on the axis that shows its course best.

    Args:
        schedule: Any but `plateau`, which has no rates before it is trained.
        total_steps: The horizon.
        width: In characters.
        height: Of the drawing area.
        x_label: Below it.
        x_range: What the first and the last step are called; 1 and `total_steps` if not given.

    Raises:
        ScheduleError: It has no rates, or a custom factory fails.
    """
    return draw_rate_curve(
        schedule.rates(total_steps), width=width, height=height, x_label=x_label, x_range=x_range
    )


def draw_rate_curve(
    rates: Sequence[float] | Floats,
    *,
    width: int,
    height: int = 8,
    x_label: str,
    x_range: tuple[float, float] | None = None,
) -> Text:
    """Rates, on a linear axis from 0, or on a logarithmic one where that would hide their course.

    It would if more than half of them were in the lowest twentieth.
    """
    values = np.asarray(rates, dtype=float)
    values = values[np.isfinite(values)]
    log = bool(len(values)) and bool(np.median(values) < 0.05 * values.max())
    log = log and bool(values.min() > 0)
    title = _("learning rate (log scale)") if log else _("learning rate")
    return draw(
        {"rate": rates},
        width=width,
        height=height,
        title=title,
        x_label=x_label,
        x_range=x_range,
        log=log,
        from_zero=True,
    )


class _Canvas:
    """Characters of 2 x 4 dots each."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.dots = np.zeros((rows, columns), dtype=int)
        self.owner = np.zeros((rows, columns), dtype=int)

    def plot(self, values: Floats, index: int) -> None:
        """Draw values from 0 (bottom) to 1 (top), joined; every series after the first is dotted.

        Values that are not finite leave a gap.
        """
        across = 2 * self.columns
        at = np.linspace(0, len(values) - 1, across)
        heights = np.interp(at, np.arange(len(values)), values) * (4 * self.rows - 1)
        last: int | None = None
        for x, y in enumerate(heights):
            if not math.isfinite(y):
                last = None
                continue
            here = round(float(y))
            start = here if last is None or index else last + (here > last) - (here < last)
            last = here
            if index and x % _DOTTED_EVERY:
                continue
            for dot in range(min(start, here), max(start, here) + 1):
                self._set(x, dot, index)

    def lines(self) -> list[Text]:
        """The rows from the top."""
        drawn = []
        for row in reversed(range(self.rows)):
            line = Text()
            for bits, owner in zip(self.dots[row], self.owner[row], strict=True):
                line.append(chr(_BRAILLE + bits) if bits else " ", style=_STYLES[owner % 4])
            drawn.append(line)
        return drawn

    def _set(self, x: int, y: int, index: int) -> None:
        row, column = y // 4, x // 2
        self.dots[row, column] |= _DOTS[y % 4][x % 2]
        self.owner[row, column] = index


def _linear(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _log10(values: Floats) -> Floats:
    valid = np.isfinite(values) & (values > 0)
    return np.log10(np.where(valid, values, np.nan))


def _axis(
    values: Floats, height: int, log: bool, from_zero: bool
) -> tuple[float, float, dict[float, str]]:
    """The axis's ends and its ticks, all on the axis's own scale, with their labels."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if from_zero and not log:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-300):
        room = 0.5 if log else abs(high) / 2 or 0.5
        low, high = low - room, high + room
    candidates = (
        _log_ticks(low, high) if log else _round_ticks(low, high, max(2, round(0.6 * height)))
    )
    ticks = {value: label for value, label in candidates.items() if low <= value <= high}
    return low, high, ticks or {low: _label(10**low if log else low)}


def _round_ticks(low: float, high: float, most: int) -> dict[float, str]:
    """At most about `most` multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    plain = 1e-5 < step and abs(high) < 1e7
    write: Callable[[float], str] = (lambda v: f"{v:.{digits}f}") if plain else _label
    return {max(low, min(i * step, high)): write(i * step) for i in range(first, last + 1)}


def _log_ticks(low: float, high: float) -> dict[float, str]:
    """Powers of ten; with 2 and 5 times them where the axis spans few."""
    factors = (1,) if high - low > 2 else (1, 2, 5)
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [factor * 10.0**power for power in powers for factor in factors]
    return {math.log10(value): _label(value) for value in values}


def _label(value: float) -> str:
    return f"{value:.3g}"


def _row(value: float, low: float, high: float, height: int) -> int:
    """The row, from the bottom, that a value falls into."""
    return min(int((value - low) / (high - low) * (4 * height - 1) / 4 + 0.125), height - 1)


def _with_axis(line: Text, label: str, margin: int) -> Text:
    axis = Text(f"{label:>{margin}} {'┤' if label else '│'}", style="dim")
    return axis.append_text(line)


def _title(title: str, names: list[str]) -> Text:
    line = Text(title, style="bold")
    if len(names) > 1:
        for index, name in enumerate(names):
            line.append("   ").append(
                "┈┈" if index else "──", style=f"not bold {_STYLES[index % 4]}"
            )
            line.append(f" {name}", style="not bold")
    return line


def _x_axis(ends: tuple[float, float], name: str, columns: int, margin: int) -> Text:
    """The first and the last place on the axis, and between them what they count."""
    first, last = (f"{end:g}" for end in ends)
    between = Text(name)
    between.align("center", max(columns - len(first) - len(last), cell_len(name)))
    return Text(f"{' ' * margin}{first}{between.plain}{last}", style="dim")
