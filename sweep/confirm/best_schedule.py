"""`best_schedule.json`: what is known of a study's winner, and its schedule as Python.

The file is sent from one to another, so it is believed in nothing: it is checked whole whenever it
is read, here and nowhere else, and nothing that it names is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from sweep.base.errors import InputError, ScheduleError
from sweep.base.files import write_whole
from sweep.base.languages.sentences import _
from sweep.base.text import comment, one_line
from sweep.base.wording import counted, number
from sweep.confirm.verdict import Confirmation
from sweep.schedules.schedule import Schedule
from sweep.study.metric import MSE, NAME, Metric
from sweep.study.results_folder import BEST_CODE, BEST_SCHEDULE
from sweep.study.sections import Objective, Question
from sweep.study.space import described
from sweep.study.training.optimizer import OptimizerConfig

_MOST_STEPS = 10**9
_CONSTANT = "best_constant_"
_OF_METRIC = "of the metric: "
_METRIC, _VALUE, _BEST_CONSTANT, _VALUES = (
    f"{_OF_METRIC}{what}" for what in ("name", "value", "best constant", "values")
)
"""Keys that no metric can have as its name."""

_METRIC_NAME = re.compile(NAME)


@dataclass(frozen=True)
class HeldOutScore:
    """How the best model does on rows that nothing else has looked at.

    Args:
        rows: How many.
        mse: In the unit of the validation MSE; None if the target is a class.
        r2: Against the mean of these rows; None if they are all the same.
        others: The loss where it is not the MSE, and the accuracy of classes, by name.
    """

    rows: int
    mse: float | None
    r2: float | None
    others: Mapping[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """With the number of rows: `MSE 2.1, R² 0.4 on 44 rows`."""
        return _("{numbers} on {rows}", numbers=self.numbers, rows=counted(self.rows, "row"))

    @property
    def numbers(self) -> str:
        """All of them: `MSE 2.1, R² 0.4`, or `cross_entropy 0.21, accuracy 0.93`."""
        told = [f"{name} {number(value)}" for name, value in self.others.items()]
        told += [f"MSE {number(self.mse)}", f"R² {number(self.r2)}"] if self.mse is not None else []
        return _(", ").join(told)

    def to_dict(self) -> dict[str, Any]:
        """What a file holds of it."""
        numbers = {} if self.mse is None else {"mse": self.mse, "r2": self.r2}
        return {
            "rows": self.rows,
            **numbers,
            **({"others": {**self.others}} if self.others else {}),
        }


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
    )


def _read_schedule(value: Any) -> Schedule:
    if not isinstance(value, Mapping):
        raise ValueError("expected a schedule")
    try:
        return Schedule.from_dict(value)
    except ScheduleError as problem:
        raise ValueError(str(problem)) from None


def _name(value: str) -> str:
    if not value.isidentifier():
        raise ValueError(f"{value!r} is no parameter's name")
    return value


_Schedule = Annotated[Schedule, BeforeValidator(_read_schedule)]
_Params = dict[Annotated[str, AfterValidator(_name)], bool | int | float | str]
_Number = Annotated[int, Field(ge=0)]
_Count = Annotated[int, Field(ge=1)]
_Steps = Annotated[int, Field(ge=1, le=_MOST_STEPS)]


class _Interval(_Part):
    mean: float | None
    low: float | None
    high: float | None
    count: _Count


class _Candidate(_Part):
    trial: _Number
    schedule: _Schedule
    params: _Params = {}
    values: Annotated[list[float | None], Field(min_length=1, alias=_VALUES)]
    other_values: list[float | None] = []
    mean: _Interval
    means: dict[Question, _Interval | None] = {}
    mean_rank: float
    dropped_out: bool
    lead_of_winner: _Interval | None
    baseline: str = ""


class _Confirmation(_Part):
    seeds: list[_Number]
    raced: bool
    seeds_are_alike: bool = False
    leads_are_shares: bool = True
    decides: Question = "best"
    verdict: str
    by_other_question: str = ""
    against_constant: str
    against_runner_up: str
    candidates: Annotated[list[_Candidate], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> _Confirmation:
        most = len(self.candidates[0].values)
        for candidate in self.candidates:
            finite = None not in candidate.values
            if len(candidate.values) > (most if finite else len(self.seeds)):
                raise ValueError(f"trial {candidate.trial} has more values than seeds")
            if candidate.other_values and len(candidate.other_values) != len(candidate.values):
                raise ValueError(f"trial {candidate.trial} has values without other_values")
        return self


class _TorchClass(_Part):
    class_: Annotated[str, Field(alias="class")]
    args: dict[str, float | int | str | bool | list[float | int] | None]
    warmup_steps: _Number
    hold_steps: _Number


class _Score(_Part):
    rows: _Count
    mse: float | None = None
    r2: float | None = None
    others: dict[str, float] = {}


class BestSchedule(_Part):
    """The winner of a study, as `best_schedule.json` describes it.

    Attributes:
        schedule: The schedule.
        params: The parameters of the user's own that the winner was trained with, by name.
        study: The study's name.
        trial: The winner's number.
        value: What it came to; None if it was stopped early in the search.
        val_r2: The same as R², where there is one.
        unit: Of the MSE.
        best_epoch: The epoch that counts, from 1.
        objective: Which epoch counts.
        epochs: Of a whole trial.
        steps_per_epoch: Optimizer steps; None where they are not known.
        total_steps: The horizon in optimizer steps; None where it is not known.
        loop: The training loop, if it is the user's own.
        command: The command, if that is.
        optimizer: Else the optimizer.
        torch: The torch class that the schedule becomes.
        best_constant: What the best constant rate came to.
        best_of_search: The number of the trial that was best before the confirmation.
        test: How the winner's weights do on the test rows.
        not_confirmed: What there was no time to confirm, in a sentence; empty if for all.
        discarded: Whether its trial has been discarded since, so that it is no winner any more.
        metric_name: What is compared, `val_mse` or a loop's own metric. It stands in the file's
            keys, in the place of `value` and in `best_constant_<metric>`.
    """

    schedule: _Schedule
    params: _Params = {}
    study: str = ""
    trial: _Number | None = None
    value: float | None = Field(None, alias=_VALUE)
    val_r2: float | None = None
    unit: str = ""
    best_epoch: _Count | None = None
    objective: Objective = "best"
    epochs: _Count | None = None
    steps_per_epoch: _Steps | None = None
    total_steps: _Steps | None = None
    loop: str | None = None
    command: str | None = None
    optimizer: OptimizerConfig | None = None
    torch: _TorchClass | None = None
    best_constant: float | None = Field(None, alias=_BEST_CONSTANT)
    best_of_search: _Number | None = None
    confirmation: _Confirmation | None = None
    test: _Score | None = None
    not_confirmed: str = ""
    discarded: bool = False
    metric_name: str = Field(MSE.name, alias=_METRIC)
    _fields: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> BestSchedule:
        """From what the file holds.

        Raises:
            InputError: A key is unknown, or a value is not of its type or out of its range; the
                text lists them all.
        """
        try:
            found = cls.model_validate(_without_metric(fields))
        except ValidationError as error:
            problems = dict.fromkeys(map(_problem, error.errors()))
            raise InputError(one_line("; ".join(problems))) from None
        found._fields.update(fields)
        return found

    @classmethod
    def read(cls, folder: Path) -> BestSchedule | None:
        """Read the file of a results folder; None if there is none.

        Raises:
            InputError: It cannot be read, or is not valid.
        """
        path = folder / BEST_SCHEDULE
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(fields, dict):
                raise InputError(f"expected an object, but got a {type(fields).__name__}")
            return cls.from_dict(fields)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as problem:
            raise InputError(f"{path}: cannot be read: {problem}") from None
        except InputError as problem:
            raise InputError(f"{path}: {problem}") from None

    def write(self, folder: Path) -> None:
        """Write `best_schedule.json`, and `best_schedule.py` beside it."""
        write_whole(folder / BEST_SCHEDULE, self.to_json())
        write_whole(folder / BEST_CODE, self.to_code())

    def marked(self, discarded: bool) -> BestSchedule:
        """The same, said to be of a trial that is discarded, or that counts."""
        fields = {name: value for name, value in self._fields.items() if name != "discarded"}
        return self.from_dict(fields | ({"discarded": True} if discarded else {}))

    @property
    def doubt(self) -> str:
        """That it is no winner any more, in a sentence; empty if it is."""
        if not self.discarded:
            return ""
        anew = "confirms anew and " if self.confirmation else ""
        return (
            f"trial {self.trial}, which the winner's files are of, has been discarded; running the "
            f"study again {anew}replaces them"
        )

    @classmethod
    def if_valid(cls, folder: Path) -> tuple[BestSchedule | None, str]:
        """As `read`, but a file that is not valid is none; the second text says why."""
        try:
            return cls.read(folder), ""
        except InputError as problem:
            return None, str(problem)

    def to_dict(self) -> dict[str, Any]:
        """What the file holds."""
        return dict(self._fields)

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(self._fields, indent=2, allow_nan=False) + "\n"

    def confirmed(self, metric: Metric) -> Confirmation | None:
        """The confirmation, if there was one, and by this metric."""
        if self.confirmation is None or self.metric_name != metric.name:
            return None
        return Confirmation.from_dict(self._fields["confirmation"], metric, self.objective)

    @property
    def score(self) -> HeldOutScore | None:
        """How the winner's weights do on the test rows."""
        return HeldOutScore(**self.test.model_dump()) if self.test else None

    @property
    def own_code(self) -> str | None:
        """What has trained it in the place of a model on a table."""
        return self.loop or self.command

    def to_code(self) -> str:
        """The schedule as Python that needs torch alone, with where it comes from."""
        metric = Metric(self.metric_name)
        title = f"{metric.title[0].upper()}{metric.title[1:]}" if metric.is_mse else metric.name
        reached = title if self.value is None else f"{title} {self.value:.6g}"
        if self.confirmation:
            mean = self.confirmation.candidates[0].mean
            value = float("nan") if mean.mean is None else mean.mean
            reached = f"Mean {metric.title} {value:.6g} over {counted(mean.count, 'fresh seed')}"
        weights = " of averaged weights" if self.objective == "averaged" else ""
        optimizer = self.optimizer.names[0] if self.optimizer else "an optimizer"
        trainer = self.own_code or optimizer
        description = described(self.schedule, self.params)
        lines = [f"Study {self.study}, trial {self.trial}: {description}"]
        if self.total_steps and self.epochs:
            per_epoch = f" of {self.total_steps / self.epochs:g} steps:"
            ending = [f"total_steps = {self.total_steps}"]
        else:
            per_epoch, ending = "", []
        ending += [f"params = {self.params!r}"] if self.params else []
        epochs = counted(self.epochs or 0, "epoch")
        lines += [f"{reached}{weights} with {trainer} over {epochs}{per_epoch}"]
        doubt = [f"Mind: {self.doubt}"] if self.doubt else []
        return "".join(f"{comment(line)}\n" for line in (*doubt, *lines, *ending)) + (
            f"\n{self.schedule.to_code()}"
        )


def _problem(detail: ErrorDetails) -> str:
    key = ".".join(str(part).removeprefix(_OF_METRIC) for part in detail["loc"])
    return f"{key}: {detail['msg'].removeprefix('Value error, ')}"


def _without_metric(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The file's fields with names that do not depend on the study's metric."""
    plain = dict(fields)
    name = next(
        (key.removeprefix(_CONSTANT) for key in plain if key.startswith(_CONSTANT)), MSE.name
    )
    if not _METRIC_NAME.fullmatch(name):
        raise InputError(f"{name!r} is no metric's name")
    renamed = {name: _VALUE, f"{_CONSTANT}{name}": _BEST_CONSTANT}
    for key, plain_key in renamed.items():
        if key in plain:
            plain[plain_key] = plain.pop(key)
    confirmation = plain.get("confirmation")
    if isinstance(confirmation, dict) and isinstance(confirmation.get("candidates"), list):
        candidates = [
            {_VALUES if key == name else key: value for key, value in candidate.items()}
            if isinstance(candidate, dict)
            else candidate
            for candidate in confirmation["candidates"]
        ]
        plain["confirmation"] = {**confirmation, "candidates": candidates}
    return {**plain, _METRIC: name}
