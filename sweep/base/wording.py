"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sweep.base.languages.sentences import _, translation

MISSING = "-"


def number(value: float | None) -> str:
    """Four significant digits: `0.001234`, `12.3`, `12346`; a dash for None, NaN or infinity."""
    if value is None or not math.isfinite(value):
        return MISSING
    if 1000 <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:.4g}"


def aligned(value: float | None) -> str:
    """As `number`, but with trailing zeros kept, so that a column's points line up."""
    plain = number(value)
    if value is None or plain == MISSING or "e" in plain or abs(value) >= 1000:
        return plain
    return f"{value:#.4g}".rstrip(".")


def percent(share: float) -> str:
    """A share of 1 in percent: two significant digits below ten percent, else whole."""
    shown = 100 * share
    return f"{shown:.0f} %" if abs(shown) >= 9.95 or shown == 0 else f"{shown:.2g} %"


def duration(seconds: float) -> str:
    """`8.2 s`, `4 min 10 s` or `3 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def column_name(name: str) -> str:
    """A column's name in a sentence; one that reads as a number, such as a code, is quoted."""
    return repr(name) if name.isdecimal() else name


def counted(count: int, noun: str) -> str:
    """`1 trial`, `1,200 trials`."""
    return amount(f"{count:,}", noun)


def amount(shown: str, noun: str) -> str:
    """As `counted`, of a number as it is shown; `{count} trial` is the key of a translation."""
    if translated := translation(f"{{count}} {noun}"):
        return translated.format(count=shown)
    return f"{shown} {noun}{'' if shown == '1' else 's'}"


def verb(count: int, of_one: str, of_several: str) -> str:
    """What goes with a number of things: `has` of one, `have` of any other number."""
    return of_one if count == 1 else of_several


def listed(words: Iterable[str], limit: int = 20) -> str:
    """The words with commas between them; those beyond the limit are counted."""
    words = list(words)
    more = [_("and {count} more", count=len(words) - limit)] if len(words) > limit else []
    return _(", ").join([*words[:limit], *more])


def toml_list(names: Iterable[str]) -> str:
    """Names as TOML has a list of them."""
    import tomlkit  # a script that only wants its schedule may not have it

    return tomlkit.item(list(names)).as_string()
