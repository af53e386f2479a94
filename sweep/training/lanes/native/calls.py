"""Calls of kernels: which rows they are for, and functions with constant sizes that they are of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

_CALL = re.compile(r"(?P<before>if \(training\) )?(?P<kernel>\w+)\((?P<arguments>.*)\);")
_BETWEEN = re.compile(r", (?![^(){}]*[)}])")
"""Commas between arguments, but not those inside of one."""


class Whole(str):
    """A statement about all rows of a batch, of which others do some at a time."""


class Calls:
    """Kernels as functions of their own, which differ in their sizes alone.

    One function for all layers of the same sizes is compiled once and stays in the cache for
    instructions; and a compiler that gives up on some of what it does to functions that are too
    large, as GCC does, leaves no kernel slow.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    @property
    def source(self) -> str:
        """The functions."""
        return "".join(
            f"static __attribute__((noinline)) void {name}{definition}\n"
            for definition, name in self._names.items()
        )

    def over_rows(self, statements: Sequence[str], at_once: bool) -> list[str]:
        """The statements for `every` row, all at once or in loops over parts of the rows."""
        lines: list[str] = []
        for is_whole, some in groupby(statements, lambda each: isinstance(each, Whole)):
            if is_whole or at_once:
                lines.append("{ const int at = 0, rows = every;")
            else:
                lines.append("for (int at = 0; at < every; at += TOGETHER) {")
                lines.append("const int rows = every - at < TOGETHER ? every - at : TOGETHER;")
            lines += [*map(self._call, some), "}"]
        return lines

    def _call(self, statement: str) -> str:
        """The same as a call of such a function.

        Args:
            statement: A call of a kernel. What is in an arena, or changes from call to call, is
                passed on; all else is a constant of the function, but for the number of `rows`.
        """
        found = _CALL.fullmatch(statement)
        assert found, statement
        inside, passed, taken = [], ["rows"], ["int rows"]
        for argument in _BETWEEN.split(found["arguments"]):
            if argument.startswith("l->") or "first" in argument or "keys" in argument:
                kind = "float *restrict " if argument.startswith("l->") else "int "
            elif argument == "training":
                kind = "int "
            else:
                inside.append(argument)
                continue
            inside.append(f"given_{len(passed)}")
            taken.append(f"{kind}given_{len(passed)}")
            passed.append(argument)
        kernel = found["kernel"]
        definition = f"({', '.join(taken)}) {{ {kernel}({', '.join(inside)}); }}"
        name = self._names.setdefault(definition, f"{kernel}_{len(self._names)}")
        return f"{found['before'] or ''}{name}({', '.join(passed)});"
