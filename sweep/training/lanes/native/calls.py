"""Functions of a program that call a kernel with constant sizes, one for all places that do."""

from __future__ import annotations

import re

_CALL = re.compile(r"(?P<before>if \(training\) )?(?P<kernel>\w+)\((?P<arguments>.*)\);")
_BETWEEN = re.compile(r", (?![^(){}]*[)}])")
"""Commas between arguments, but not those inside of one."""


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

    def call(self, statement: str) -> str:
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
