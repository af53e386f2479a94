"""Numbers as people list them."""

from __future__ import annotations

import pytest

from sweep.base.errors import InputError
from sweep.base.number_ranges import as_ranges, numbers_in


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["17"], [17]),
        (["20-22", "3,17"], [3, 17, 20, 21, 22]),
        (["4, 4", "3-5"], [3, 4, 5]),
        (["7-7"], [7]),
        ([], []),
    ],
)
def test_numbers_and_ranges(texts: list[str], numbers: list[int]) -> None:
    assert numbers_in(texts, "--without") == numbers
    assert numbers_in(as_ranges(numbers), "--without") == numbers


def test_three_in_a_row_are_a_range() -> None:
    assert as_ranges([25, 3, 4, 20, 21, 22, 23, 24, 9]) == ["3", "4", "9", "20-25"]


@pytest.mark.parametrize("text", ["", "x", "-3", "1.5", "3-", "1,,2", "5-3", "0-999999999", "٣"])
def test_what_lists_no_numbers(text: str) -> None:
    with pytest.raises(InputError, match=r"--without"):
        numbers_in([text], "--without")
