"""The sections of a study file, with their types and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from sweep.base.errors import did_you_mean
from sweep.study.space import Range

Objective = Literal["best", "final", "averaged"]
"""Which validation MSE is a trial's value, and which weights its product: those of the best epoch,
of the final one, or the averaged ones of the epoch in which they are best."""

BEHAVIOUR_COUNTS = "behaviour-log"
DATA_SOURCES = (BEHAVIOUR_COUNTS, "diabetes")
MODELS = ("order-pre", "mlp", "linear")
OPTIMIZERS = ("sgd", "adam", "adamw")
SAMPLERS = ("auto", "family", "tpe", "random", "grid", "qmc", "cmaes", "gp")
PRUNERS = (
    "auto", "thorough", "fast",
    "median", "percentile", "asha", "hyperband", "patient", "threshold", "none",
)  # fmt: skip


def _known(names: tuple[str, ...], kind: str, also: str = "") -> BeforeValidator:
    """A check that a word is one of `names`."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value in names:
            return value
        listed = ", ".join(names)
        raise ValueError(f"unknown {kind}{did_you_mean(str(value), names)} ({listed}{also})")

    return BeforeValidator(check)


def _model_name(value: Any) -> Any:
    """Check that a word is a built-in model or a reference to the user's own."""
    if isinstance(value, str) and (value in MODELS or ":" in value):
        return value
    near = did_you_mean(str(value), MODELS)
    raise ValueError(f"unknown model{near} ({', '.join(MODELS)}, or 'module:Class')")


def _encoding(value: str | None) -> str | None:
    """Check that a word is an encoding of texts that Python knows."""
    try:
        if value is not None:
            b"a".decode(value, errors="replace")
    except LookupError:
        known = ("utf-8", "utf-16", "gb18030", "cp1252", "latin-1", "shift_jis", "big5", "cp1251")
        raise ValueError(
            f"unknown encoding{did_you_mean(value or '', known)} ({', '.join(known)}, "
            "or another that Python knows)"
        ) from None
    return value


def _separator(value: str | None) -> str | None:
    """Read a word for a separator as the sign that it stands for."""
    value = {"tab": "\t", "\\t": "\t", "blanks": " ", "blank": " "}.get(value or "", value)
    if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n'):
        raise ValueError('expected one sign, such as ";", or "tab", or "blanks" for one or more')
    return value


def _texts(value: Any) -> Any:
    """Read one text or number as a list of it, and numbers in a list as they are written."""
    values = value if isinstance(value, list | tuple) or value is None else [value]
    if values is None or any(isinstance(text, bool) for text in values):
        return values
    return [str(text) if isinstance(text, int | float) else text for text in values]


SearchRange = Annotated[
    Range,
    BeforeValidator(Range.parse),
    PlainSerializer(lambda r: r.low if r.fixed else str(r), return_type=float | str),
]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )


class PivotConfig(Section):
    """An event log becomes a table of counts: a row per `index`, a column per code."""

    index: str
    columns: str


class DataConfig(Section):
    """Where the table comes from, what is learnt from it, and how it is prepared and split."""

    source: str = BEHAVIOUR_COUNTS
    target: str | None = None
    features: list[str] | None = None
    drop: list[str] = []
    columns: list[str] | None = None
    encoding: Annotated[str | None, AfterValidator(_encoding)] = None
    separator: Annotated[str | None, AfterValidator(_separator)] = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal[".", ",", " ", "'", ""] | None = None
    missing: Annotated[list[str] | None, BeforeValidator(_texts)] = None
    pivot: PivotConfig | None = None
    numbers: list[str] = []
    categories: list[str] = []
    dates: bool | Literal["day-first", "month-first"] = False
    constant: Literal["drop", "keep"] = "drop"
    log1p: bool | list[str] = False
    scale: bool = True
    users: int = Field(2000, ge=10, le=20_000)
    validation: float = Field(0.2, gt=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _read_target(cls, values: Any) -> Any:
        if isinstance(values, dict) and type(values.get("target")) is int:
            return {**values, "target": str(values["target"])}
        return values

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.validation + self.test >= 1:
            raise ValueError(
                "validation and test together must leave rows to train on: "
                f"{self.validation:g} + {self.test:g} is not below 1"
            )
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        return self


class ModelConfig(Section):
    """A built-in model or `module:Class`, and what it is built with.

    A study that names none has `mlp`, or `order-pre` if it counts behaviours: the generated log, or
    a table with a pivot.
    """

    name: Annotated[str, BeforeValidator(_model_name)] = "order-pre"
    hidden: list[Annotated[int, Field(ge=1)]] = [64, 64]
    dropout: float = Field(0.0, ge=0, lt=1)
    args: dict[str, Any] = {}


_Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Section):
    """The optimizer, but its rate: that is the schedule's."""

    name: Annotated[str, _known(OPTIMIZERS, "optimizer")] = "sgd"
    momentum: float = Field(0.0, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float | None = Field(None, ge=0)
    betas: Annotated[tuple[_Beta, _Beta], Field(strict=False)] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    batch_size: Annotated[int, Field(ge=1)] | Literal["full"] = 64
    clip: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> OptimizerConfig:
        if self.name != "sgd" and (self.momentum or self.nesterov):
            raise ValueError(f"momentum and nesterov belong to sgd, but name is {self.name!r}")
        return self


class CustomConfig(Section):
    """A schedule of the user's own: a factory, and ranges for its parameters."""

    factory: str
    params: dict[str, SearchRange] = {}


def _read_own(values: Any) -> Any:
    """Gather `step.drops` and nested `step = {drops = ...}` under the key `own`."""
    if not isinstance(values, dict):
        return values
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and key != "own":
            own |= {f"{key}.{param}": ends for param, ends in value.items()}
        elif "." in key:
            own[key] = value
        else:
            rest[key] = value
    return {**rest, "own": own | rest.get("own", {})} if own else rest


class SpaceConfig(Section):
    """What is searched; a single value fixes a parameter."""

    scheduler: Annotated[
        list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v), Field(min_length=1)
    ] = ["constant", "step", "exponential", "linear", "cosine", "onecycle", "wsd"]
    lr: SearchRange = Range(1e-3, 1.0, log=True)
    decay: SearchRange = Range(1e-4, 1.0, log=True)
    warmup: SearchRange = Range(0.0, 0.2)
    momentum: SearchRange | None = None
    weight_decay: SearchRange | None = None
    own: dict[str, Any] = {}

    _gather = model_validator(mode="before")(_read_own)


class _Named(Section):
    """A sampler or a pruner: its name, and arguments of Optuna's class."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _read_word(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def arguments(self) -> dict[str, Any]:
        """What the study file says beside the name."""
        return dict(self.model_extra or {})


class SamplerConfig(_Named):
    """How the next trial's parameters are chosen."""

    name: Annotated[str, _known(SAMPLERS, "sampler")] = "auto"


class PrunerConfig(_Named):
    """When an unpromising trial is stopped.

    `signal` is the validation MSE that it is judged by: of the averaged weights, which tells early
    what annealing will make of a schedule, or of the raw ones.
    """

    name: Annotated[str, _known(PRUNERS, "pruner")] = "auto"
    signal: Literal["averaged", "raw"] = "averaged"


_SEEDS_EACH = 8


class ConfirmConfig(Section):
    """Whether and how the best schedules are trained again on fresh seeds.

    Args:
        enabled: Whether they are.
        top: Candidates at most, beside the best constant rate; by default as many as the budget
            allows about _SEEDS_EACH seeds for, 5 to 30. The best of many trials owes more to luck
            than that of a few, so a long search has more candidates.
        seeds: Fresh seeds at most.
        share: Of the epochs that the search would take without pruning: what it may cost. Three
            seeds of the three best and of the best constant rate are trained whatever that is.
    """

    enabled: bool = True
    top: int | None = Field(None, ge=1)
    seeds: int = Field(20, ge=2)
    share: float = Field(0.2, gt=0)

    def most_candidates(self, runs: int) -> int:
        """Candidates at most where so many trainings may be done."""
        return self.top or min(max(runs // _SEEDS_EACH, 5), 30)

    @model_validator(mode="before")
    @classmethod
    def _read_switch(cls, value: Any) -> Any:
        return {"enabled": value} if isinstance(value, bool) else value
