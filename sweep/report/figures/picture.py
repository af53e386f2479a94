"""A figure together with what it says in words and in numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import plotly.graph_objects as go

from sweep.base.languages.sentences import _
from sweep.report.findings import Findings
from sweep.report.palette import ACCENT, NEUTRAL

INK, GRID = "#1d2127", "#dfe3e8"
"""Of the light page; the report's script puts the dark page's in their place."""
_FONT = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'PingFang SC', "
    "'Hiragino Sans GB', 'Microsoft YaHei', 'Noto Sans CJK SC', 'Source Han Sans SC', sans-serif"
)

_AXIS = {
    "gridcolor": GRID,
    "linecolor": NEUTRAL,
    "zerolinecolor": GRID,
    "automargin": True,
    "ticks": "outside",
    "tickcolor": GRID,
    "title": {"standoff": 8},
}


@dataclass(frozen=True)
class Table:
    """The numbers behind a figure.

    Args:
        header: A name for each column.
        rows: Texts, as many a row as there are columns.
        more: What is left out, and where it is; empty if nothing is.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    more: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure for the report, and for a file.

    Args:
        name: Of its file and its place in the page: lower-case letters, digits and dashes.
        title: What it shows.
        figure: Plotly's. Its texts are Plotly's markup: what comes from a user is escaped.
        description: What it shows, in sentences with the facts, for those who cannot see it.
        table: Its numbers, where they say more than the description.
        section: Of the page that shows it, by its id there; empty for what a page leaves out.
        small: Whether it stands beside others.
        heading: Above it where it does; the title where it is empty.
    """

    name: str
    title: str
    figure: go.Figure
    description: str
    table: Table | None = None
    section: str = ""
    small: bool = False
    heading: str = ""

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.figure.layout.height)


@dataclass(frozen=True)
class Figure:
    """One of a report's figures, or several of a kind.

    Args:
        section: Of the page that shows it, by its id in `page/template.html`.
        draw: Yields its pictures: none for a study that has too few trials for it.
        small: Whether its pictures stand beside each other.
    """

    section: str
    draw: Callable[[Findings], Iterable[Picture]]
    small: bool = False

    def pictures(self, findings: Findings) -> Iterator[Picture]:
        """What it has to show of a study."""
        for picture in self.draw(findings):
            yield replace(picture, section=self.section, small=self.small)


def styled(figure: go.Figure, *, height: int, legend: bool = False, **layout: Any) -> go.Figure:
    """The figure in the report's style: clear background, thin grid, nothing that distracts.

    Args:
        figure: Drawn in place.
        height: In pixels.
        legend: Whether to name the traces, above the drawing.
        layout: More of Plotly's layout.
    """
    figure.layout.template = None  # not to be copied and checked: it is large
    own = figure.layout.to_plotly_json()
    style = {
        "title": None,
        "height": height,
        "autosize": True,
        "margin": {"l": 64, "r": 16, "t": 16, "b": 52},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 13, "color": INK},
        "hoverlabel": {"align": "left", "font": {"family": _FONT, "size": 13}, "namelength": -1},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": NEUTRAL, "activecolor": ACCENT},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
    figure.layout = _merged(_merged(own, style), layout)  # updates one by one take far longer
    figure.layout.template = None
    for which in ("x", "y"):
        _give_room(figure, which)
    return figure


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The first with what the second has, which goes before; dictionaries within them likewise."""
    merged = dict(one)
    for key, value in other.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            value = _merged(before, value)
        merged[key] = value
    return merged


def _give_room(figure: go.Figure, which: Literal["x", "y"]) -> None:
    """A range around the one number on an axis: Plotly's own is 1 to both sides of it."""
    axis = figure.layout[f"{which}axis"]
    if axis.range or axis.type in ("log", "category") or axis.rangemode or axis.autorange:
        return
    drawn = [
        value for trace in figure.data for value in (() if trace[which] is None else trace[which])
    ]
    places = {value for value in drawn if value is not None}
    if len(places) == 1 and all(trace.type == "scatter" for trace in figure.data):
        (place,) = places
        if not isinstance(place, str) and math.isfinite(place):
            half = abs(float(place)) / 2 or 0.5
            axis.range = [float(place) - half, float(place) + half]


def log_axis(title: str, log: bool) -> dict[str, Any]:
    """An axis with its title; powers of ten are written out where it is logarithmic."""
    if not log:
        return {"title": {"text": title}}
    text = _("{title}, log scale", title=title)
    return {"title": {"text": text}, "type": "log", "dtick": "D2"}
