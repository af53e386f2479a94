"""All combinations of some values, in an order that is spread from its start on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


def spread_product(axes: Sequence[Sequence[_T]], start: int) -> list[tuple[_T, ...]]:
    """All combinations of the axes' values, in an order that is spread from its start on.

    The digits of a combination's number say its place on each axis. Each place is shifted by the
    digits before it, as in a Latin square: the first combinations have every value of the first
    axis, and of the others too; where the axes have the same prime number p of values, the first
    p * p have every pair of values of the first three (an orthogonal array; Bose and Bush, 1952).

    Args:
        axes: The values of each, one at least.
        start: The number that the list begins with.
    """
    ordered = [_spread_order(axis) for axis in axes]
    sizes = [len(axis) for axis in axes if len(axis) > 1]
    total = math.prod(sizes)
    combinations = []
    for number in range(start, start + total):
        rest, digits, places = number % total, list[int](), list[int]()
        for size in sizes:
            rest, digit = divmod(rest, size)
            earlier = sum(digits) + (len(digits) - 1) * digits[0] if digits else 0
            places.append((digit + earlier) % size)
            digits.append(digit)
        place = iter(places)
        combinations.append(tuple(a[next(place)] if len(a) > 1 else a[0] for a in ordered))
    return combinations


def _spread_order(axis: Sequence[_T]) -> list[_T]:
    """Values from low to high in the order of van der Corput: each in a gap of those before."""
    bits = (len(axis) - 1).bit_length()
    places = sorted(range(len(axis)), key=lambda place: f"{place:0{bits}b}"[::-1])
    return [axis[place] for place in places]
