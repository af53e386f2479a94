"""The source of a schedule that can be pasted elsewhere.

It holds the source of what `Schedule.attach` calls (warmup.py, formulas.py), so that both do the
same.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Mapping
from importlib import resources
from keyword import iskeyword
from pathlib import Path
from typing import Any

from sweep.base.text import one_line
from sweep.schedules.shapes import SHAPES

_CUSTOM = "main = factory(optimizer, steps, decay=DECAY, **PARAMS)\n"

_OF_MATH = ("cos", "hypot", "pi", "sqrt")
"""What formulas.py has from numpy, for arrays; one number needs no more than math."""

_CONSTANTS = {
    "lr": "peak rate of the first parameter group",
    "decay": "final rate / peak rate",
    "warmup": "share of the steps spent in linear warm-up",
}

_SOURCE = '''\
"""Learning-rate schedule: {description}.

Use it in a training loop:

    scheduler = build_scheduler(optimizer, total_steps=epochs * len(loader))
    for epoch in range(epochs):
        for inputs, targets in loader:
            ...
            optimizer.step()
            scheduler.step()  # after every optimizer step
{metric}"""

{imports}

{constants}


{helpers}


def build_scheduler(optimizer: Optimizer, total_steps: int) -> lr_scheduler.LRScheduler:
    """The schedule over `total_steps` optimizer steps; the optimizer's own rate is replaced."""
{body}'''

_METRIC = "        scheduler.step(validation_error)  # and once an epoch; ignored during warm-up\n"


def schedule_source(fields: Mapping[str, Any], description: str) -> str:
    """Python source that defines `build_scheduler(optimizer, total_steps)` for one schedule.

    Args:
        fields: The schedule's fields as in its JSON form.
        description: The schedule in one line.

    Returns:
        Source that needs nothing but torch and, for a custom schedule, the module of its factory.
    """
    kind = "custom" if "factory" in fields else fields["scheduler"]
    constants = _constants(fields, kind)
    body = _body(kind, "WARMUP" in constants)
    always = ("set_rates", "set_peaks")
    sources = "\n\n\n".join(
        source
        for name, source in _helpers().items()
        if name in always or re.search(rf"\b{name}\(", body)
    )
    return _SOURCE.format(
        description=one_line(description).replace("\\", "/").replace('"', "'"),
        metric=_METRIC if kind == "plateau" else "",
        imports=_imports(sources + body, fields.get("factory")),
        constants="\n".join(constants.values()),
        helpers=sources,
        body=textwrap.indent(body, "    "),
    )


def _helpers() -> dict[str, str]:
    """The source of what an export may need, by name, without importing torch."""
    found: dict[str, str] = {}
    for module in ("formulas.py", "warmup.py"):
        text = resources.files(__package__).joinpath(module).read_text(encoding="utf-8")
        parts = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        lines = text.splitlines()
        found |= {p.name: "\n".join(lines[p.lineno - 1 : p.end_lineno]) for p in parts}
    return found


def _constants(fields: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Lines that set the schedule's numbers, by their name in capitals."""
    values = {name: fields[name] for name in _CONSTANTS}
    if kind == "constant":
        del values["decay"]
    if not fields["warmup"]:
        del values["warmup"]
    values |= {"params": fields["params"]} if kind == "custom" else fields["params"]
    notes = {name: f"  # {note}" for name, note in _CONSTANTS.items()}
    return {
        name.upper(): f"{name.upper()} = {_literal(value)}{notes.get(name, '')}"
        for name, value in values.items()
    }


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}": {_literal(item)}' for key, item in value.items()) + "}"
    if isinstance(value, str) and value.isprintable():
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _body(kind: str, warm: bool) -> str:
    """The lines of `build_scheduler`."""
    main = SHAPES[kind].code if kind in SHAPES else _CUSTOM
    ending = _ending(kind, warm)
    assign = "peaks = " if "peaks" in main + ending else ""
    split = "steps = total_steps\n"
    if warm:
        split = (
            "warmup_steps = min(round(WARMUP * total_steps), total_steps - 1)\n"
            "steps = total_steps - warmup_steps\n"
        )
    if "steps" not in main:
        split = split.rpartition("steps = ")[0]
    return f"{assign}set_peaks(optimizer, LR)\n{split}{main}{ending}"


def _ending(kind: str, warm: bool) -> str:
    """The lines that return the schedule."""
    warmup_steps = "warmup_steps" if warm else "0"
    if kind == "plateau":
        return f"return WarmupPlateauLR(optimizer, {warmup_steps}, FACTOR, PATIENCE, floors)\n"
    if kind == "custom" and warm:
        return "return WarmupLR(optimizer, main, warmup_steps) if warmup_steps else main\n"
    if not warm and kind != "cosine_restarts":
        return "return main\n"
    hold_steps = ", hold_steps" if kind == "cosine_restarts" else ""
    return (
        f"start = {SHAPES[kind].start}  # the first rate / peak rate\n"
        f"return after_warmup(optimizer, main, peaks, {warmup_steps}, start{hold_steps})\n"
    )


def _imports(code: str, factory: str | None) -> str:
    lines = ["import math"] if "math." in code else []
    used = [name for name in _OF_MATH if re.search(rf"(?<!\.)\b{name}\b", code)]
    lines += [f"from math import {', '.join(used)}"] if used else []
    lines += ["from typing import Any"] if "Any]" in code else []
    lines += [""] if lines else []
    lines += ["import torch", "from torch.optim import Optimizer, lr_scheduler"]
    if factory:
        module, _, function = factory.rpartition(":")
        name = Path(module).stem if module.endswith(".py") else module
        if all(part.isidentifier() and not iskeyword(part) for part in name.split(".")):
            lines += ["", f"from {name} import {function} as factory"]
        else:
            lines.insert(0, "import importlib")
            lines += ["", f"factory = importlib.import_module({name!r}).{function}"]
    return "\n".join(lines)
