"""Colours that everybody can tell apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from sweep.report.palette import ACCENT, GOOD_TO_BAD, NEUTRAL, SECOND, looks
from sweep.schedules.schedule import SHAPES


def linear(colour: str) -> np.ndarray:
    """Linear RGB, from sRGB (IEC 61966-2-1)."""
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrasts(colour: str) -> Iterator[float]:
    for page in ("#ffffff", "#16181c"):
        high, low = sorted(map(luminance, (colour, page)), reverse=True)
        yield (high + 0.05) / (low + 0.05)


def test_stands_out_from_the_light_and_the_dark_page() -> None:
    colours = {look.colour for look in looks([*SHAPES, "mine", "yours"]).values()}
    colours |= {ACCENT, NEUTRAL, SECOND, *(colour for _, colour in GOOD_TO_BAD)}
    assert {c for c in colours if min(contrasts(c)) < 3.0} == set()


def test_schedulers_that_share_a_colour_differ_in_dash_and_marker() -> None:
    found = looks([*SHAPES, "mine"])
    assert set(found) == {*SHAPES, "mine"}
    assert len({(look.colour, look.dash) for look in found.values()}) == len(found)
    assert len({(look.colour, look.symbol) for look in found.values()}) == len(found)


def test_colour_blind_readers_tell_the_default_schedulers_apart() -> None:
    # Machado, Oliveira and Fernandes 2009, severity 1.0
    views = {
        "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    }
    names = ["step", "exponential", "linear", "cosine", "onecycle", "wsd", "constant"]
    found = looks(names)
    for view in views.values():
        seen = {n: np.array(view) @ linear(found[n].colour) for n in names}
        for one, other in itertools.combinations(names, 2):
            distance = np.abs(
                np.cbrt(np.clip(seen[one], 0, 1)) - np.cbrt(np.clip(seen[other], 0, 1))
            ).max()
            assert distance > 0.03, (one, other)
