"""One colour, marker and dash for each scheduler, the same in every figure.

The colours have a contrast of at least 3:1 both on white and on the dark page (WCAG 2.2, 1.4.11).
That leaves room for few that colour-blind readers can tell apart, so schedulers that share a
colour differ in dash and marker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEUTRAL = "#80868f"
"""For what belongs to no scheduler, and for the constant rate that all are compared with."""
ACCENT = "#276cba"
SECOND = "#de771a"
GOOD_TO_BAD = ((0.0, "#d9660a"), (0.5, "#a08768"), (1.0, "#6c87ab"))
"""From the lowest validation MSE to the highest; orange to blue, which everyone can tell apart."""

_HUES = {
    "blue": "#276cba",
    "orange": "#de771a",
    "green": "#0ba76d",
    "violet": "#8b3fe0",
    "red": "#c8243c",
    "pink": "#e055c0",
}
_LINES = (("solid", "circle"), ("dash", "square"), ("dashdot", "diamond"))
_BUILT_IN = {
    "step": ("blue", 0),
    "exponential": ("orange", 0),
    "linear": ("green", 0),
    "cosine": ("violet", 0),
    "onecycle": ("red", 0),
    "wsd": ("pink", 0),
    "multistep": ("blue", 1),
    "plateau": ("orange", 1),
    "polynomial": ("green", 1),
    "cosine_restarts": ("violet", 1),
    "cyclic": ("red", 1),
    "inverse_sqrt": ("pink", 1),
    "rex": ("green", 2),
}
_FREE = tuple((hue, 2) for hue in ("blue", "orange", "violet", "red", "pink"))


@dataclass(frozen=True)
class Look:
    """How a scheduler is drawn.

    Args:
        colour: `#rrggbb`.
        dash: Plotly's name of the line's dash.
        symbol: Plotly's name of the marker.
    """

    colour: str
    dash: str
    symbol: str


def looks(schedulers: Sequence[str]) -> dict[str, Look]:
    """How each scheduler of a study is drawn; a built-in one looks the same in every study.

    Args:
        schedulers: Their names in the order of the study's settings, custom ones among them.
    """
    found = {"constant": Look(NEUTRAL, "dot", "circle")}
    custom = [name for name in schedulers if name not in _BUILT_IN and name != "constant"]
    free = {name: _FREE[index % len(_FREE)] for index, name in enumerate(custom)}
    for name in dict.fromkeys(schedulers):
        if name != "constant":
            hue, line = {**_BUILT_IN, **free}[name]
            found[name] = Look(_HUES[hue], *_LINES[line])
    return found
