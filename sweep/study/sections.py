"""The sections of a study file, with their types and defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from sweep.schedules.schedule import SHAPES
from sweep.study.fields.dimensions import (
    Numbers,
    NumbersOrWords,
    Rates,
    own_dimensions,
    rates_of,
)
from sweep.study.fields.values import (
    COLUMN_NAME,
    TEXT_OR_TEXTS,
    column_name,
    known_encoding,
    one_separator,
    texts,
)
from sweep.study.named import check_known, known, one_of, with_settings_of
from sweep.study.registries.models import MODELS
from sweep.study.registries.pruners import PRUNERS
from sweep.study.registries.samplers import SAMPLERS
from sweep.study.registries.sources import BEHAVIOUR_COUNTS, SOURCES
from sweep.study.space import SHARED, Choice, Dimension, Range, Space

Objective = Literal["best", "final", "averaged"]
"""Which validation MSE is a trial's value, and which weights its product: those of the best epoch,
of the final one, or the averaged ones of the epoch in which they are best."""

Question = Literal["best", "final"]
"""What a training came to at its best epoch, which is what one has who keeps the weights of that
one (checkpointing), and after its last one: what one has when training ends."""

QUESTIONS: dict[Question, str] = {"best": "at the best epoch", "final": "after the last epoch"}


def deciding(objective: Objective) -> Question:
    """The question that an objective asks; of averaged weights, it is that of their best epoch."""
    return "final" if objective == "final" else "best"


def other(question: Question) -> Question:
    """The one that is not asked."""
    return "best" if question == "final" else "final"


ColumnName = Annotated[str | None, BeforeValidator(column_name), WithJsonSchema(COLUMN_NAME)]


def _model_name(value: Any) -> Any:
    """Check that a word is a built-in model or a reference to the user's own."""
    if not (isinstance(value, str) and ":" in value):
        check_known(value, MODELS, "model", also="'module:Class'")
    return value


class Section(BaseModel):
    """A table of a study file; its reference and schema describe each key as `Args` does here."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
    )


class PivotConfig(Section):
    """An event log becomes a table of counts: a row per `index`, a column per code.

    Args:
        index: The column of what is counted for, such as users.
        columns: The column of codes, such as behaviours.
    """

    index: str
    columns: str


class SplitConfig(Section):
    """How rows are split, if not at random, by one of these.

    Args:
        by: The column of time: the last rows are tested, those before them are for validation.
        group: The column of groups, such as users: all rows of one are on the same side.
        column: The column that says `train`, `validation` or `test` of each row.
    """

    by: ColumnName = None
    group: ColumnName = None
    column: ColumnName = None

    @model_validator(mode="after")
    def _check(self) -> SplitConfig:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError('give one of by, group and column: split = {by = "date"}')
        return self

    @property
    def name(self) -> str:
        """The column that rows are split by."""
        return self.by or self.group or self.column or ""


class DataConfig(Section):
    """Where the table comes from, what is learnt from it, and how it is prepared and split.

    Args:
        source: The generated shopping log, scikit-learn's diabetes set or digits, a table's file
            (relative to the study file), or `module:function`, which returns a DataFrame, or arrays
            of any shape: (x, y), or (x, y, x_validation, y_validation).
        target: The column to predict; of a pivot, one of its codes.
        features: The columns to learn from; all others by default.
        drop: Columns to leave out.
        columns: Names for a file without a header.
        encoding: How a text file is read; this and the next four are found out by default.
        separator: What stands between cells; also `tab`, and `blanks` for one or more.
        decimal: The mark before decimals.
        thousands: The mark between groups of three digits.
        missing: What stands for nothing, beside empty cells: `["?", "-999"]`.
        pivot: Makes a table of counts of an event log.
        numbers: Text columns to take as numbers, with what is none missing.
        categories: Columns to take as categories, such as postcodes.
        dates: Whether year, month, weekday and hour of dates are features; dates are left out
            otherwise. The order of day and month settles 03/04/2020.
        constant: Whether columns of one value are left out; `keep` is for a model that counts on
            the columns' positions.
        log1p: Whether the logarithm of 1 + value is learnt, of all numbers or of these columns; if
            of the target, the MSE is in log units.
        scale: Whether numbers and the target are standardised; by default those of a table.
        augment: `module:function`, from a batch of x and a seed to a batch of the same shape, for
            training alone.
        users: Users in the generated shopping log.
        validation: Share of the rows that schedules are chosen by.
        test: Share of the rows that is looked at once, at the end.
        split: How rows are split; at random by default.
    """

    source: Annotated[str, one_of(SOURCES, also={"type": "string"})] = BEHAVIOUR_COUNTS
    target: ColumnName = None
    features: list[str] | None = None
    drop: list[str] = []
    columns: list[str] | None = None
    encoding: Annotated[str | None, AfterValidator(known_encoding)] = None
    separator: Annotated[str | None, AfterValidator(one_separator)] = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal[".", ",", " ", "'", ""] | None = None
    missing: Annotated[list[str] | None, BeforeValidator(texts), WithJsonSchema(TEXT_OR_TEXTS)] = (
        None
    )
    pivot: PivotConfig | None = None
    numbers: list[str] = []
    categories: list[str] = []
    dates: bool | Literal["day-first", "month-first"] = False
    constant: Literal["drop", "keep"] = "drop"
    log1p: bool | list[str] = False
    scale: bool | None = None
    augment: str | None = None
    users: int = Field(2000, ge=10, le=20_000)
    validation: float = Field(0.2, gt=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)
    split: SplitConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.validation + self.test >= 1:
            raise ValueError(
                "validation and test together must leave rows to train on: "
                f"{self.validation:g} + {self.test:g} is not below 1"
            )
        if self.split and self.split.column and (self.validation, self.test) != (0.2, 0.1):
            raise ValueError("split.column says it of each row: leave out validation and test")
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        return self


_Model = with_settings_of(MODELS, Section)


class ModelConfig(_Model):  # type: ignore[valid-type, misc]
    """A built-in model or `module:Class`, and what it is built with.

    A study that names none has `mlp`, or `order-pre` if it counts behaviours: the generated log, or
    a table with a pivot.

    Args:
        name: A built-in model, or an `nn.Module` of your own by `module:Class`; `order-pre` is the
            default for counts of behaviours alone.
        args: What your own class is constructed with, beside the number of features.
    """

    name: Annotated[
        str,
        BeforeValidator(_model_name),
        one_of(MODELS, also={"type": "string", "pattern": ":"}),
    ] = "order-pre"
    args: dict[str, Any] = Field({})


class CustomConfig(Section):
    """A schedule of your own; `[custom.mine]` makes the name `mine` known to `space.scheduler`.

    Args:
        factory: `module:function`, called as `function(optimizer, total_steps, *, decay, **params)`
            for a torch scheduler.
        params: Ranges for its parameters: `{teeth = "2:6"}`.
    """

    factory: str
    params: dict[str, Numbers] = {}


_SCHEDULER = {"anyOf": [{"type": "string", "enum": [*SHAPES]}, {"type": "string"}]}


def _read_own(values: Any) -> Any:
    """Gather `step.drops` and nested `step = {drops = ...}` under the key `own`.

    So are the rates of each optimizer, under `rates`; what all of them span is `lr`.
    """
    if not isinstance(values, dict):
        return values
    each = {k.partition(".")[2]: v for k, v in values.items() if k.startswith("lr.")}
    if isinstance(values.get("lr"), dict) or each:
        each = {**values["lr"], **each} if isinstance(values.get("lr"), dict) else each
        kept = {key: value for key, value in values.items() if not key.startswith("lr.")}
        values = {**kept, "lr": each, "rates": each}
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and key not in ("own", "params", "lr", "rates"):
            own |= {f"{key}.{param}": ends for param, ends in value.items()}
        elif "." in key:
            own[key] = value
        else:
            rest[key] = value
    return {**rest, "own": own | rest.get("own", {})} if own else rest


class SpaceConfig(Section):
    """What is searched: a range, a list of values, or a single one, which fixes a parameter.

    Args:
        scheduler: The schedules to try, a list or one.
        lr: The peak rate; where several optimizers are searched, also one of each:
            `{sgd = "1e-3:1:log", adamw = "1e-5:1e-2:log"}`.
        decay: Final rate / peak rate.
        warmup: Share of the steps in which the rate rises to its peak.
        momentum: Where the optimizer has one; as its section says by default.
        weight_decay: As the optimizer's section says by default.
        params: Parameters of your own, which a loop or a command is given by these names: ranges
            (of whole numbers where both ends are: `"2:8"`), lists, numbers or words.
        own: The schedulers' own parameters, by `<scheduler>.<parameter>`.
        rates: The peak rates by optimizer, where `lr` says them so.
    """

    scheduler: Annotated[
        list[str],
        BeforeValidator(lambda v: [v] if isinstance(v, str) else v),
        Field(min_length=1),
        WithJsonSchema({"anyOf": [_SCHEDULER, {"type": "array", "items": _SCHEDULER}]}),
    ] = ["constant", "step", "exponential", "linear", "cosine", "onecycle", "wsd"]
    lr: Rates = Range(1e-3, 1.0, log=True)
    decay: Numbers = Range(1e-4, 1.0, log=True)
    warmup: Numbers = Range(0.0, 0.2)
    momentum: Numbers | None = None
    weight_decay: Numbers | None = None
    params: dict[str, NumbersOrWords] = {}
    own: dict[str, Any] = {}
    rates: dict[str, Any] = {}

    _gather = model_validator(mode="before")(_read_own)

    def space(
        self,
        custom: Mapping[str, CustomConfig],
        optimizers: Sequence[str],
        of_optimizer: Mapping[str, Choice],
    ) -> Space:
        """The search space that this describes; what is wrong with it is a ValueError.

        Args:
            custom: The schedules of the user's own.
            optimizers: That a trial may have; none where its own code builds it.
            of_optimizer: What else is searched of them, and is no key of this section.
        """
        custom_params = {name: each.params for name, each in custom.items()}
        given: dict[str, Dimension | None] = {name: getattr(self, name) for name in SHARED}
        each = rates_of(self.rates)
        rates = {name: each[name] for name in optimizers if name in each}
        if len(optimizers) == 1:
            given |= {"lr": rates.pop(optimizers[0], self.lr)}
        shared = {name: dimension for name, dimension in given.items() if dimension is not None}
        return Space(
            schedulers=tuple(self.scheduler),
            shared={**of_optimizer, **shared, **self.params},
            own=own_dimensions(self.scheduler, custom_params, self.own),
            factories={n: c.factory for n, c in custom.items() if n in self.scheduler},
            params=(*of_optimizer, *self.params),
            optimizers=tuple(optimizers),
            rates=rates,
        )


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
    """How the next trial's parameters are chosen; further keys are arguments of Optuna's class.

    Args:
        name: `auto` is `tpe` for fewer than 200 trials, and `family` for more and where `fair` is
            true. `grid` takes `points = 3`, values of each parameter.
    """

    name: Annotated[str, known(SAMPLERS, "sampler"), one_of(SAMPLERS)] = "auto"


class PrunerConfig(_Named):
    """When an unpromising trial is stopped; further keys are arguments of Optuna's class.

    Args:
        name: `auto` first trains a trial's whole schedule over an eighth of the epochs, its
            audition, and goes on with the best third. Without auditions, `halving` prunes less,
            `thorough` least; these and `fast` take `rungs = [2, 10]`, the epochs in which trials
            are compared, and `keep = 0.5`, the share that goes on.
        signal: The validation MSE that a trial is judged by: of the averaged weights, which tells
            early what annealing will make of a schedule, or of the raw ones.
    """

    name: Annotated[str, known(PRUNERS, "pruner"), one_of(PRUNERS)] = "auto"
    signal: Literal["averaged", "raw"] = "averaged"


_SEEDS_EACH = 8


class ConfirmConfig(Section):
    """Whether and how the best schedules are trained again on fresh seeds.

    Args:
        enabled: Whether they are.
        top: Candidates at most, beside the best constant rate; by default as many as the budget
            allows about 8 seeds for, 5 to 30. The best of many trials owes more to luck
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
