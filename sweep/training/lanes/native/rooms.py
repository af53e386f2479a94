"""Where the numbers of a row are in the memory of a program."""

from __future__ import annotations

from dataclasses import dataclass


def padded(size: int) -> int:
    """The next multiple of 16, to which features are padded."""
    return -(-size // 16) * 16


@dataclass(frozen=True)
class Room:
    """So many numbers of each row of a block; as text, where those of row `at` begin."""

    begin: int
    columns: int

    def __str__(self) -> str:
        return f"{self.begin} * BLOCK + at * {self.columns}"
