"""Figures as PNG or SVG files, without a browser.

matplotlib draws them from the very traces that Plotly shows. Plotly's own export (kaleido) starts
a Chromium, which a machine that trains models seldom has; matplotlib needs nothing but its wheel
and writes both formats.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sweep.base.errors import InputError
from sweep.base.files import write_whole
from sweep.report.figures.picture import GRID, INK, Picture
from sweep.report.palette import NEUTRAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _DPI = 760, 100
_DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 2.5)),
    "dot": (0, (1, 1.8)),
    "dashdot": (0, (6, 2, 1.5, 2)),
    "longdash": (0, (9, 3)),
    "longdashdot": (0, (9, 2, 1.5, 2)),
}
_MARKERS = {
    "circle": "o",
    "circle-open": "o",
    "square": "s",
    "diamond": "D",
    "x-thin": "x",
    "triangle-down-open": "v",
    "line-ns-open": "|",
}
_DARK = 0.6
"""The share of a map's scale from which on white is read better on it."""

_HATCHES = {"": "", "/": "///", "x": "xxx", ".": "..."}


def write_pictures(
    pictures: Mapping[str, Picture], folder: Path, format: Literal["svg", "png"]
) -> list[Path]:
    """Write each picture as a file of its own, in the light page's colours.

    Args:
        pictures: By their names, which become the files' names.
        folder: Made if it is not there.
        format: `svg` or `png`.

    Returns:
        The files.

    Raises:
        InputError: `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--figures {folder}: this is a file; give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, picture in pictures.items():
        path = folder / f"{name}.{format}"
        write_whole(path, rendered(picture, format))
        paths.append(path)
    return paths


def rendered(picture: Picture, format: Literal["svg", "png"]) -> bytes:
    """A picture as the content of a file; the same picture always gives the same bytes."""
    import io

    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = _WIDTH / 2 if picture.small else _WIDTH
    style: Any = {
        "text.parse_math": False,  # a dollar in a name starts no formula
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.edgecolor": NEUTRAL,
        "svg.hashsalt": "sweep",
        "svg.fonttype": "none",
        "hatch.linewidth": 0.6,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width / _DPI, picture.height / _DPI), dpi=_DPI)
        figure.set_layout_engine("constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        _draw(axes, picture)
        axes.set_title(_text(picture.title), fontsize=10, loc="left", wrap=True)
        content = io.BytesIO()
        metadata = {"Date": None, "Description": picture.description} if format == "svg" else {}
        scale = _DPI if format == "svg" else 2 * _DPI
        figure.savefig(
            content, format=format, dpi=scale, metadata=metadata or None, facecolor="white"
        )
    return content.getvalue()


def _draw(axes: Axes, picture: Picture) -> None:
    layout, traces = picture.figure.layout, picture.figure.data
    places, columns = (_categories(traces, which, layout) for which in ("y", "x"))
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    reached: dict[Any, float] = {}
    for trace in traces:
        if trace.type == "bar":
            _bar(axes, trace, places, reached)
        elif trace.type == "heatmap":
            _heatmap(axes, trace)
        else:
            _scatter(axes, trace, columns, places)
    for shape in layout.shapes:
        axes.axvline(shape.x0, color=NEUTRAL, linewidth=1.2, linestyle=_DASHES["dash"])
    _scale(axes, "x", layout.xaxis)
    _scale(axes, "y", layout.yaxis)
    if places:
        axes.set_yticks(list(places.values()), [_text(name) for name in places])
        if layout.yaxis.autorange == "reversed":
            axes.set_ylim(len(places) - 0.4, -0.6)
    if columns:
        axes.set_xticks(list(columns.values()), [_text(name) for name in columns])
        axes.set_xlim(-0.6, len(columns) - 0.4)
    if layout.showlegend:
        _legend(axes, str(layout.legend.traceorder or ""))


def _categories(traces: Sequence[Any], which: str, layout: Any) -> dict[str, int]:
    """The places of the words on the axis `x` or `y`, in their order; none on a numeric one."""
    drawn = [word for trace in traces for word in (() if trace[which] is None else trace[which])]
    words = [*(layout[f"{which}axis"].categoryarray or ()), *drawn]
    return {w: i for i, w in enumerate(dict.fromkeys(w for w in words if isinstance(w, str)))}


def _numbers(values: Any, places: Mapping[str, int]) -> Any:
    listed = [] if values is None else list(values)
    return np.array(
        [places[v] if isinstance(v, str) else np.nan if v is None else v for v in listed]
    )


def _scatter(axes: Axes, trace: Any, columns: Mapping[str, int], places: Mapping[str, int]) -> None:
    x, y = _numbers(trace.x, columns), _numbers(trace.y, places)
    mode, label = trace.mode or "lines", _label(trace)
    if "lines" in mode:
        steps = "steps-post" if trace.line.shape == "hv" else "default"
        axes.plot(
            x,
            y,
            color=trace.line.color,
            linewidth=0.75 * (trace.line.width or 2),
            linestyle=_DASHES[trace.line.dash or "solid"],
            drawstyle=steps,
            label=label,
        )
    if "markers" in mode and trace.marker.color is not None:
        _markers(axes, trace, x, y, None if "lines" in mode else label)
    if trace.error_x.array is not None:
        axes.errorbar(
            x, y, xerr=list(trace.error_x.array), color=trace.error_x.color, capsize=3, fmt="none"
        )


def _markers(axes: Axes, trace: Any, x: Any, y: Any, label: str | None) -> None:
    marker = trace.marker
    symbols = marker.symbol
    many = isinstance(symbols, list | tuple | np.ndarray)
    colours = marker.color
    values = not isinstance(colours, str) and marker.colorscale is not None
    for symbol in dict.fromkeys(symbols) if many else (symbols or "circle",):
        mine = np.array([s == symbol for s in symbols]) if many else np.ones(len(x), dtype=bool)
        chosen = colours if isinstance(colours, str) else np.asarray(colours)[mine]
        filled = symbol in ("circle", "square", "diamond")
        look: dict[str, Any] = {"marker": _MARKERS[symbol], "s": (0.72 * (marker.size or 6)) ** 2}
        if values:
            look |= {"c": chosen, "cmap": _map(marker.colorscale), "vmin": marker.cmin}
            look |= {"vmax": marker.cmax, "edgecolors": NEUTRAL}
        elif filled or _MARKERS[symbol] in "x|":
            look["c"] = [chosen] if isinstance(chosen, str) else list(chosen)
        else:
            look |= {"facecolors": "none", "edgecolors": chosen}
        alpha = marker.opacity if isinstance(marker.opacity, float | int) else None
        width = marker.line.width or (0.9 if not filled else 0.4)
        drawn = axes.scatter(x[mine], y[mine], alpha=alpha, linewidths=width, label=label, **look)
        if values:
            bar = axes.figure.colorbar(drawn, ax=axes, extend="max", pad=0.02)
            bar.ax.tick_params(labelsize=7)
            bar.outline.set_visible(False)
        label = None


def _map(scale: Sequence[Sequence[Any]]) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("mse", [(float(at), c) for at, c in scale])


def _bar(axes: Axes, trace: Any, places: Mapping[str, int], reached: dict[Any, float]) -> None:
    """A bar chart; lying bars at the same place are stacked."""
    pattern = _HATCHES[trace.marker.pattern.shape or ""]
    look = {"color": trace.marker.color, "hatch": pattern, "label": _label(trace)}
    if trace.orientation != "h":
        axes.bar(
            np.asarray(trace.x, dtype=float),
            np.asarray(trace.y, dtype=float),
            width=trace.width,
            edgecolor=NEUTRAL,
            linewidth=0.4,
            **look,
        )
        return
    at = _numbers(trace.y, places)
    lengths = np.asarray(trace.x, dtype=float)
    lefts = np.array([reached.get(place, 0.0) for place in at])
    bars = axes.barh(at, lengths, left=lefts, height=0.68, edgecolor="white", linewidth=0.3, **look)
    if trace.text is not None:
        axes.bar_label(bars, labels=[_text(str(t)) for t in trace.text], padding=3)
    for place, length in zip(at, lengths, strict=True):
        reached[place] = reached.get(place, 0.0) + length


def _heatmap(axes: Axes, trace: Any) -> None:
    """Cells with their texts, at whole numbers."""
    shares = np.asarray(trace.z, dtype=float)
    axes.grid(False)
    axes.imshow(
        shares, cmap=_map(trace.colorscale), vmin=trace.zmin, vmax=trace.zmax, aspect="auto"
    )
    for row, texts in enumerate(trace.text):
        for column, text in enumerate(texts):
            colour = "white" if shares[row, column] > _DARK else INK
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)


def _scale(axes: Axes, which: Literal["x", "y"], layout: Any) -> None:
    """The axis's title, scale, range and ticks."""
    log = layout.type == "log"
    set_scale = axes.set_xscale if which == "x" else axes.set_yscale
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    set_label = axes.set_xlabel if which == "x" else axes.set_ylabel
    axis = axes.xaxis if which == "x" else axes.yaxis
    if log:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        set_scale("log")
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
        if layout.dtick == "D2":
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    if layout.range is not None:
        low, high = (10.0**end if log else float(end) for end in layout.range)
        set_limits(low, high)
    elif layout.rangemode == "tozero":
        axes.set_ylim(bottom=0)
    if layout.tickvals is not None:
        axis.set_ticks(list(layout.tickvals), [_text(name) for name in layout.ticktext])
    if layout.tickformat == ".0%":
        from matplotlib.ticker import PercentFormatter

        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    set_label(_text(layout.title.text or ""))


def _legend(axes: Axes, order: str) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if "reversed" in order:
        handles, labels = handles[::-1], labels[::-1]
    if handles:
        axes.legend(handles, labels, frameon=False, fontsize=8, loc="best", ncols=2)


def _label(trace: Any) -> str | None:
    return None if trace.showlegend is False or not trace.name else _text(trace.name)


def _text(text: str) -> str:
    """Plotly's markup as plain text."""
    return html.unescape(re.sub(r"</?(b|i)>|<br>", "", text))
