"""A schedule to compare with, as a study file or a flag gives it."""

from __future__ import annotations

import ast
from typing import Annotated, Any

from pydantic import Field, model_validator

from sweep.study.sections import Section

_EXPECTED = (
    "expected a scheduler and its numbers, such as 'step, lr=0.05, decay=0.01, drops=2' or "
    "'torch: StepLR(step_size=30, gamma=0.1), lr=0.05'"
)


class BaselineConfig(Section):
    """A schedule that you train with at present, or would: the report compares with it.

    It is trained before all others, never pruned, and always confirmed. It need not lie in the
    space.

    Args:
        name: What the report calls it.
        scheduler: One of ours, whose own parameters stand beside: `drops = 2`.
        torch: Or torch's, as your script makes it: `StepLR(step_size=30, gamma=0.1)`.
        steps_per_epoch: The numbers of torch's are epochs, in which it is stepped once; say here
            how many optimizer steps an epoch of yours has if they are steps.
        lr: The peak rate; of torch's, the optimizer's rate.
        decay: Final rate / peak rate.
        warmup: Share of the steps in which the rate rises to its peak.
        momentum: As the optimizer's section says by default.
        weight_decay: As the optimizer's section says by default.
        own: The scheduler's own parameters, and those of `[space.params]`; `optimizer` and
            `batch_size` where they are searched, by default the first of each.
    """

    name: Annotated[str | None, Field(min_length=1)] = None
    scheduler: str | None = None
    torch: str | None = None
    steps_per_epoch: int | None = Field(None, ge=1)
    lr: float | None = None
    decay: float | None = None
    warmup: float | None = None
    momentum: float | None = Field(None, ge=0, lt=1)
    weight_decay: float | None = Field(None, ge=0)
    own: dict[str, Any] = Field({})

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        """Read a text, and gather what only the scheduler knows under the key `own`."""
        if isinstance(value, str):
            value = _fields(value)
        if not isinstance(value, dict):
            return value
        known = {key: item for key, item in value.items() if key in cls.model_fields}
        own = {key: item for key, item in value.items() if key not in known}
        return {**known, "own": known.get("own", {}) | own} if own else known


def _fields(text: str) -> dict[str, Any]:
    """What a text says, by key; nothing in it is evaluated."""
    marked = text.strip().partition("torch:")
    body = marked[2] if marked[1] and not marked[0] else text
    try:
        call = ast.parse(f"_({body.strip()})", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(_EXPECTED) from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or len(call.args) != 1:
        raise ValueError(_EXPECTED)
    (scheduler,) = call.args
    if isinstance(scheduler, ast.Call):
        fields: dict[str, Any] = {"torch": ast.unparse(scheduler)}
    elif isinstance(scheduler, ast.Name):
        fields = {"scheduler": scheduler.id}
    else:
        raise ValueError(_EXPECTED)
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in fields:
            raise ValueError(_EXPECTED)
        fields[keyword.arg] = _value(keyword.arg, keyword.value)
    return fields


def _value(name: str, node: ast.expr) -> Any:
    """A number, or a word with or without its quotes."""
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"{name}={ast.unparse(node)} is neither a number nor a word") from None
