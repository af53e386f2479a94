"""The live display of a sweep: how far it is, how the best value fell, and what is in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweep.base.wording import aligned, counted, duration, number
from sweep.report.terminal.curves import draw
from sweep.search.budget import counted_trainings, trainings
from sweep.search.status import Lane, Status
from sweep.search.trials import Ending, completed
from sweep.study.metric import Metric
from sweep.study.settings import StudyConfig

_WIDE = 96
"""Columns from which the schedulers stand beside the chart."""

_FAMILY_COLUMNS = 34
_LANE = 30
_BAR = 8
_CHART_ROWS = 6
_SMALL_ROWS = 4
_MOST_LANE_ROWS = 6
_SHORT = 22
"""Lines of a terminal below which the display is cut to the most needed."""

_WIDEST = 120


def sweep_display(status: Status, config: StudyConfig, width: int, height: int) -> Group:
    """Where a sweep stands.

    Args:
        status: Of the search.
        config: The study's settings.
        width: Of the terminal, in characters; the display is good from 40 on.
        height: Of the terminal, in lines.
    """
    width = min(width, _WIDEST)
    words = _paragraphs(width, _counts(status, config, width), _best(status, config))
    parts: list[RenderableType] = [_header(status, config, width), words]
    short = height < _SHORT
    if status.course and not short:
        parts.append(Text())
        parts.append(_results(status, config, width))
    if status.lanes and height >= 10:
        rows = min(_MOST_LANE_ROWS, 2 if short else max(2, height - _SHORT + 4))
        parts += [Text(), _lanes(status, config.epochs, width, rows)]
    return Group(*parts)


def _paragraphs(width: int, *texts: Text) -> Table:
    """Texts that are wrapped, which a console for copying from does not do by itself."""
    table = Table.grid()
    table.add_column(width=width)
    for text in texts:
        table.add_row(text)
    return table


def retraining(what: str, epochs: int, most: int, width: int) -> Table:
    """How far a training of trials is that have been trained before."""
    words = f"{what}: {epochs} of {most} epochs"
    room = width - len(words) - 1
    bar = _bar(epochs / most if most else 1.0, min(30, room if room >= _BAR else width))
    if room >= _BAR:
        return _paragraphs(width, Text.assemble(bar, " ", words))
    return _paragraphs(width, bar, Text(words))


def stopped(status: Status) -> str:
    """How many trials ended early, in whatever way; what never happened is left out."""
    counts = vars(replace(status.endings, completed=0))
    named = [f"{count} {name}" for name, count in counts.items() if count or name == Ending.PRUNED]
    return ", ".join(named)


def _header(status: Status, config: StudyConfig, width: int) -> Text:
    left = status.remaining_secs
    words = f" {status.endings.ended}/{counted(status.total, 'trial')}"
    if left is not None:
        words += f", {duration(left)} left"
    share = status.endings.ended / max(status.total, 1)
    if config.budget is not None:
        spent = status.spent.total / config.epochs
        words = f" {trainings(spent)}/{counted_trainings(config.budget)} spent"
        words += f", {duration(left)} left" if left is not None else ""
        share = spent / config.budget
    bar = _bar(share, max(_BAR, min(40, width - len(words))))
    return Text.assemble(bar, (words, "bold"), no_wrap=True, overflow="ellipsis")


def _bar(share: float, columns: int, style: str = "cyan") -> Text:
    """Heavy for what is done, light for the rest: it can be told without colour."""
    done = min(columns, round(share * columns))
    return Text.assemble(("━" * done, style), ("╌" * (columns - done), "dim"))


def _counts(status: Status, config: StudyConfig, width: int) -> Text:
    rate = status.epochs / status.elapsed_secs if status.elapsed_secs > 0 else 0.0
    words = [] if config.budget is None else [f"{counted(status.endings.ended, 'trial')}"]
    words += [f"{status.endings.completed} completed", *stopped(status).split(", ")]
    words += [f"{status.running} running", f"{rate:.1f} epochs/s"]
    return Text(("   " if width >= _WIDE else "  ").join(words))


def _best(status: Status, config: StudyConfig) -> Text:
    if status.best is None:
        return Text.assemble(("best  ", "bold"), ("none completed yet", "dim"))
    description = status.best.suggestion.describe()
    words = f"{config.measure.short} {number(status.best.value)} by trial {status.best.number}"
    return Text.assemble(("best  ", "bold"), (words, "bold green"), (f", {description}", "green"))


def _results(status: Status, config: StudyConfig, width: int) -> RenderableType:
    """The best value's course and what each scheduler came to; side by side where there is room."""
    if width < _WIDE:
        families = _paragraphs(width, _family_line(status, config))
        return Group(_course(status.course, config.measure, width, _SMALL_ROWS), families)
    chart = _course(status.course, config.measure, width - _FAMILY_COLUMNS - 2, _CHART_ROWS)
    side = Table.grid(padding=(0, 2, 0, 0))
    side.add_row(chart, _family_table(status, config))
    return side


def _course(course: Sequence[float], metric: Metric, width: int, rows: int) -> Text:
    """The best value over the completed trials, sampled so that its cost does not grow."""
    count, points = len(course), 4 * width  # more than dots across, so that steps stay steps
    values = [course[point * count // points] for point in range(points)]
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    log = len(positive) == len(values) and max(values) > 3 * min(values)
    title = f"best {metric.title}{' (log scale)' if log else ''}"
    ends = (1.0, float(max(count, 2)))
    chart = draw(
        {"best": values},
        width=width,
        height=rows,
        title=title,
        x_label="completed trials",
        x_range=ends,
        log=log,
    )
    flat = Text(chart.plain, style="cyan", no_wrap=True)  # one span, not one a character
    flat.stylize("bold default", 0, len(title))
    return flat


def _families(status: Status, config: StudyConfig) -> list[tuple[str, float | None, int]]:
    """Name, best value and trials of each scheduler, the best first."""
    families = status.families
    leaders = completed((best for _, best in families.values() if best), config.measure)
    names = [*(best.scheduler for best in leaders), *sorted(families)]
    return [
        (name, best.value if best else None, ended)
        for name in dict.fromkeys(names)
        for ended, best in [families[name]]
    ]


def _family_table(status: Status, config: StudyConfig) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("scheduler", no_wrap=True, max_width=16)
    table.add_column("best", justify="right", no_wrap=True)
    table.add_column("trials", justify="right", no_wrap=True)
    rows = _families(status, config)
    most = _CHART_ROWS + 2
    for place, (name, best, ended) in enumerate(rows[:most]):
        style = "green" if place == 0 and best is not None else ""
        table.add_row(Text(name), aligned(best), str(ended), style=style)
    return table


def _family_line(status: Status, config: StudyConfig) -> Text:
    """The schedulers' best values in a paragraph."""
    rows = _families(status, config)
    line = Text()
    for place, (name, best, _) in enumerate(rows):
        word = f"{name} {aligned(best)}".replace(" ", "\N{NO-BREAK SPACE}")
        style = "green" if place == 0 and best is not None else ""
        line.append(word, style).append("  " if place < len(rows) - 1 else "")
    return line


def _lanes(status: Status, epochs: int, width: int, rows: int) -> Table:
    """The trials in training, as many as there is room for."""
    columns = max(1, width // _LANE)
    room = rows * columns
    lanes = status.lanes
    cells = [_lane(lane, epochs) for lane in lanes[:room]]
    if len(lanes) > room:
        cells[-1] = Text(f"and {len(lanes) - room + 1} more", style="dim")
    grid = Table.grid(padding=(0, 1, 0, 0))
    for _ in range(columns):
        grid.add_column(no_wrap=True, width=_LANE - 1)
    for start in range(0, len(cells), columns):
        grid.add_row(*cells[start : start + columns])
    return grid


def _lane(lane: Lane, epochs: int) -> Text:
    name = lane.scheduler if len(lane.scheduler) <= 11 else f"{lane.scheduler[:10]}…"
    digits, horizon = len(str(epochs)), lane.audition or epochs
    return Text.assemble(
        (f"{lane.number:>4} ", "dim"),
        f"{name:<11} ",
        _bar(lane.epochs / horizon, max(2, _BAR + 2 - 2 * digits)),
        (f" {lane.epochs:>{digits}}/{horizon:<{digits}}", "dim"),
    )
