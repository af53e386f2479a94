"""Numbers as people list them: `3,17,20-25`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sweep.base.errors import InputError

_MOST = 1_000_000


def numbers_in(texts: Iterable[str], name: str) -> list[int]:
    """The numbers that texts list, each once, in ascending order.

    Args:
        texts: Each a number, a range with both ends, or several of these with commas between.
        name: What is listed, for errors: `--without`.

    Raises:
        InputError: A text is none of these.
    """
    found: set[int] = set()
    for part in (part.strip() for text in texts for part in text.split(",")):
        ends = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part)
        if ends is None:
            raise InputError(f"{name} {part!r}: expected numbers of trials, such as 17 or 20-25")
        low, high = int(ends[1]), int(ends[2] or ends[1])
        if low > high:
            raise InputError(f"{name} {part}: the range ends before it begins; write {high}-{low}")
        if high - low >= _MOST:
            raise InputError(f"{name} {part}: that is more than {_MOST:,} numbers")
        found.update(range(low, high + 1))
    return sorted(found)


def as_ranges(numbers: Iterable[int]) -> list[str]:
    """The other way round, three and more in a row as a range: `["3", "17", "20-25"]`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [
        text
        for run in runs
        for text in ([f"{run[0]}-{run[-1]}"] if len(run) > 2 else [*map(str, run)])
    ]
