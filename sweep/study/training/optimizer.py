"""The optimizer of a model on a table, and the rows of its steps: one of each, or several to try.

What a study searches of them is what `[space.params]` is for training code of the user's own: a
dimension beside the schedule, by the name `optimizer` or `batch_size`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from sweep.base.wording import verb
from sweep.study.named import check_known, with_settings_of
from sweep.study.registries.entry import owners, settings_of, together
from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.study.sections import Section
from sweep.study.space import Choice, Value

BatchSize = int | Literal["full"]
"""Rows of an optimizer step; `full` for all of them."""

_BatchSize = Annotated[int, Field(ge=1)] | Literal["full"]

SEARCHED = ("optimizer", "batch_size")
"""What they are called in a study's space, in its results and in a schedule to compare with."""

_NAME = {"type": "string", "enum": [*OPTIMIZERS]}
_SIZE = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "const": "full"}]}


def _or_several(one: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})


def _plain_if_one(value: Any) -> Any:
    """A list of one as that one.

    Raises:
        ValueError: It is empty, or something stands there twice.
    """
    if not isinstance(value, list | tuple):
        return value
    if not value or len(set(map(repr, value))) < len(value):
        raise ValueError("expected a list in which nothing stands twice")
    return value[0] if len(value) == 1 else [*value]


def _names(value: Any) -> Any:
    """Check that a word, or each of a list, is an optimizer."""
    value = _plain_if_one(value)
    for name in value if isinstance(value, list) else [value]:
        check_known(name, OPTIMIZERS, "optimizer")
    return value


def _sizes(value: Any) -> Any:
    """Numbers of a list ascend, and all rows are the most; what they are is checked after."""
    value = _plain_if_one(value)
    if isinstance(value, list) and all(type(size) is int or size == "full" for size in value):
        return sorted(value, key=lambda size: (size == "full", 0 if size == "full" else size))
    return value


_Settings = with_settings_of(OPTIMIZERS, Section)


class OptimizerConfig(_Settings):  # type: ignore[valid-type, misc]
    """The optimizer, but its rate: that is the schedule's. Several of a list are searched.

    Args:
        name: torch's class, with torch's defaults; of a list, each trial has one.
        batch_size: Rows of an optimizer step; of a list, each trial has one.
        clip: The greatest L2 norm of the gradient; no limit by default.
    """

    name: Annotated[str | list[str], BeforeValidator(_names), _or_several(_NAME)] = "sgd"
    batch_size: Annotated[
        _BatchSize | list[_BatchSize], BeforeValidator(_sizes), _or_several(_SIZE)
    ] = 64
    clip: float | None = Field(None, gt=0)

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are searched; one if none is."""
        return (self.name,) if isinstance(self.name, str) else tuple(self.name)

    @property
    def batch_sizes(self) -> tuple[BatchSize, ...]:
        """Those that are searched; one if none is."""
        return tuple(self.batch_size) if isinstance(self.batch_size, list) else (self.batch_size,)

    @property
    def searched(self) -> dict[str, Choice]:
        """What a trial has one of several of, by SEARCHED."""
        several = dict(zip(SEARCHED, (self.names, self.batch_sizes), strict=True))
        return {name: Choice(tuple(each)) for name, each in several.items() if len(each) > 1}

    @property
    def each(self) -> list[dict[str, Value]]:
        """Every combination of what is searched, by SEARCHED; one that is empty if nothing is."""
        options = [choice.options for choice in self.searched.values()]
        return [dict(zip(self.searched, one, strict=True)) for one in itertools.product(*options)]

    def of(self, params: Mapping[str, Value]) -> OptimizerConfig:
        """The one that a trial has.

        Args:
            params: What is searched beside the trial's schedule; where it lacks one of SEARCHED,
                the first stands for it.
        """
        name, size = params.get("optimizer", self.names[0]), self.batch_sizes[0]
        update = {"name": name, "batch_size": params.get("batch_size", size)}
        own = settings_of([OPTIMIZERS[str(name)]])
        foreign = [item for item in settings_of(OPTIMIZERS.values()).items() if item[0] not in own]
        update |= {key: setting.default for key, setting in foreign}
        found: OptimizerConfig = self.model_copy(update=update)
        return found

    @property
    def arguments(self) -> dict[str, Any]:
        """The settings that the first of these has; what is None is torch's default."""
        return {s.name: getattr(self, s.name) for s in OPTIMIZERS[self.names[0]].settings}

    @model_serializer(mode="wrap")
    def _write_down(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what only other optimizers have and is not set: later ones change nothing."""
        own = settings_of([OPTIMIZERS[name] for name in self.names]).keys()
        known = settings_of(OPTIMIZERS.values()).keys() - own
        written: dict[str, Any] = write(self)
        return {k: v for k, v in written.items() if not (k in known and v is None)}

    @model_validator(mode="after")
    def _check(self) -> OptimizerConfig:
        own = settings_of([OPTIMIZERS[name] for name in self.names])
        refused = {
            setting.name: together(owners(OPTIMIZERS, setting.name))
            for setting in settings_of(OPTIMIZERS.values()).values()
            if setting.refused and setting.name not in own
        }
        for name, whose in refused.items():
            if getattr(self, name):
                theirs = [other for other, also in refused.items() if also == whose]
                belong = verb(len(theirs), "belongs", "belong")
                named = repr(self.name) if isinstance(self.name, str) else ", ".join(self.names)
                raise ValueError(f"{together(theirs)} {belong} to {whose}, but name is {named}")
        return self
