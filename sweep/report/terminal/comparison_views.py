"""A comparison of studies for the terminal, and as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweep.base.csv_cells import cells
from sweep.base.wording import aligned, counted, duration, number
from sweep.report.comparison.entry import Entry
from sweep.report.comparison.studies import Comparison
from sweep.report.terminal.curves import draw
from sweep.report.terminal.fitting import Column, FittingTable
from sweep.report.trials.facts import Best
from sweep.report.writers import escaped, table
from sweep.study.space import rate_in_words

_WIDEST_CHART = 100
_MOST_CURVES = 4
"""As many as there are colours."""


def comparison_report(found: Comparison, width: int = 80) -> Group:
    """Which settings differ, the winners in a table, and what differs beyond noise between them.

    The winners' learning curves are drawn over each other.

    Args:
        found: The studies.
        width: Of the terminal, in characters.
    """
    parts: list[RenderableType] = [settings_table(found), Text(), study_table(found), Text()]
    for chart in learning_curves(found, min(width, _WIDEST_CHART)):
        parts += [chart, Text()]
    parts.append(_listed("Differences", found.sentences))
    if found.notes:
        parts += [Text(), _listed("To mind", found.notes)]
    return Group(*parts)


def _listed(title: str, sentences: Sequence[str]) -> Group:
    lines = Table.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        lines.add_row("-", Text(sentence))
    return Group(Text(title, style="bold"), lines)


def settings_table(found: Comparison) -> RenderableType:
    """A row for each setting that is not the same in all studies; a sentence where none is."""
    if not found.settings:
        return Text(f"{found.same_settings[0].upper()}{found.same_settings[1:]}.")
    return FittingTable("Settings that differ", _settings(found), "", highlight_first=False)


def _settings(found: Comparison) -> tuple[Column, ...]:
    """None has a rank: a study that is left out would seem not to differ."""
    values = zip(*(setting.texts for setting in found.settings), strict=True)
    return (
        Column("setting", [setting.title for setting in found.settings], justify="left"),
        *(
            Column(entry.name, list(texts), justify="left")
            for entry, texts in zip(found.entries, values, strict=True)
        ),
    )


def study_table(found: Comparison) -> FittingTable:
    """A row a study, in the order they were asked for."""
    columns = _columns(found)
    title, elsewhere = f"{len(found.entries)} studies", "--format csv has everything"
    return FittingTable(title, columns, elsewhere, highlight_first=False)


def _columns(found: Comparison) -> tuple[Column, ...]:
    entries = found.entries
    bests = [entry.summary.best for entry in entries]
    schedules = [best.schedule if best else None for best in bests]
    counts = [entry.summary.counts for entry in entries]
    units = [entry.unit for entry in entries]
    one_metric = len({entry.metric for entry in entries}) == 1
    tests = [entry.summary.test for entry in entries]
    return (
        Column("study", [entry.name for entry in entries], justify="left"),
        Column("scheduler", [s.scheduler if s else number(None) for s in schedules], 0, "left"),
        Column(
            entries[0].metric.short if one_metric else "value",
            [aligned(entry.value) for entry in entries],
        ),
        Column("95 %", [_margin(entry) for entry in entries], 1),
        Column("from", [_origin(entry) for entry in entries], 0, "left"),
        *([] if one_metric else [Column("metric", [e.metric.name for e in entries], 0, "left")]),
        Column("in", units, 1 if len(set(units)) > 1 else 9, "left"),
        Column("test MSE", [aligned(test.mse if test else None) for test in tests], 2),
        Column("lr", [_rate(best) for best in bests], 3, "left"),
        Column("decay", [number(s.decay if s else None) for s in schedules], 4, "left"),
        Column("trials", [_trials(count.endings.ended, count.asked) for count in counts], 5),
        Column("epochs", [f"{entry.summary.epochs_trained:,}" for entry in entries], 7),
        Column("worker time", [duration(entry.summary.worker_secs) for entry in entries], 6),
    )


def _rate(best: Best | None) -> str:
    return rate_in_words(best.schedule, best.params) if best else number(None)


def _margin(entry: Entry) -> str:
    return (entry.interval and entry.interval.plus_minus) or number(None)


def _origin(entry: Entry) -> str:
    """Where a study's value is from."""
    if entry.summary.best is None:
        return number(None)
    return counted(len(entry.values), "fresh seed") if entry.values else "the search"


def _trials(ended: int, asked: int) -> str:
    return str(ended) if ended >= asked else f"{ended} of {asked}"


def learning_curves(found: Comparison, width: int) -> list[Text]:
    """The winners' curves over each other, a chart for each metric and unit.

    The best is drawn through; of more studies than there are colours, the best are shown.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in sorted(found.entries, key=lambda entry: entry.loss):
        if entry.curve:
            groups.setdefault((entry.metric.name, entry.unit), []).append(entry)
    return [_curves(entries, width) for entries in groups.values()]


def _curves(entries: Sequence[Entry], width: int) -> Text:
    shown = entries[:_MOST_CURVES]
    longest = max(len(entry.curve) for entry in shown)
    # Every series spans the whole width, so a shorter one is filled up with nothing.
    series = {e.name: [*e.curve, *[math.nan] * (longest - len(e.curve))] for e in shown}
    values = sorted(v for curve in series.values() for v in curve if v > 0 and math.isfinite(v))
    log = bool(values) and values[-1] > 5 * values[len(values) // 2]
    whose = f"of {shown[0].name}'s winner" if len(shown) == 1 else "of the winners"
    if len(shown) < len(entries):
        whose = f"of the {len(shown)} best winners"
    title = f"{shown[0].metric.short} {whose} in the search{' (log scale)' if log else ''}"
    return draw(series, width=width, height=10, title=title, x_label="epoch", log=log)


def to_json(found: Comparison) -> str:
    """Everything, in full precision; what is not a finite number is null."""
    return json.dumps(found.to_dict(), indent=2, allow_nan=False)


def to_csv(found: Comparison) -> str:
    """A row a study, in full precision, in the order they were asked for.

    Behind the columns that are always there, one for each setting that is not the same in all:
    `settings.space.lr`.
    """
    rows = [
        entry.row() | {f"settings.{s.key}": s.cells[place] for s in found.settings}
        for place, entry in enumerate(found.entries)
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(cells, rows))
    return text.getvalue()


def to_markdown(found: Comparison) -> str:
    """The table and the sentences in GitHub's Markdown."""
    columns = [column for column in _columns(found) if column.rank == 0 or not column.empty]
    rows = list(zip(*(column.cells for column in columns), strict=True))
    settings = f"{found.same_settings}." if found.same_settings else _settings_rows(found)
    parts = [
        f"# {escaped(', '.join(entry.name for entry in found.entries))}",
        f"## Settings that differ\n\n{settings}",
        "## Studies",
        table([column.header for column in columns], rows),
        "## Differences",
        "\n".join(f"- {escaped(sentence)}" for sentence in found.sentences),
    ]
    if found.notes:
        parts += ["## To mind", "\n".join(f"- {escaped(note)}" for note in found.notes)]
    return "\n\n".join(parts) + "\n"


def _settings_rows(found: Comparison) -> str:
    columns = _settings(found)
    rows = list(zip(*(column.cells for column in columns), strict=True))
    return table([column.header for column in columns], rows, are_words=True)
