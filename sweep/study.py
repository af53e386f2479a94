"""The study file: load, validate and override."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from sweep.errors import ScheduleError, StudyFileError, did_you_mean
from sweep.imports import is_reference
from sweep.schedules import SHAPES, Schedule
from sweep.space import Choice, Dimension, Range, Space, default_own_dimensions

DATA_SOURCES = ("behaviour-log", "diabetes")
MODELS = ("order-pre", "mlp", "linear")
OPTIMIZERS = ("sgd", "adam", "adamw")
SAMPLERS = ("tpe", "random", "grid", "qmc", "cmaes", "gp")
PRUNERS = (
    "auto", "median", "percentile", "asha", "hyperband", "patient", "threshold", "none",
)  # fmt: skip


def _known(names: tuple[str, ...], kind: str, also: str = "") -> BeforeValidator:
    """A check that a word is one of `names`."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value in names:
            return value
        listed = ", ".join(names)
        raise ValueError(f"unknown {kind}{did_you_mean(str(value), names)} ({listed}{also})")

    return BeforeValidator(check)


def _seconds(value: Any) -> Any:
    """Read 90, "90s", "10m" or "2h" as seconds."""
    units = {"s": 1, "m": 60, "h": 3600}
    if isinstance(value, str) and value[-1:] in units:
        try:
            return float(value[:-1]) * units[value[-1]]
        except ValueError:
            raise ValueError("expected seconds, or a number with s, m or h: '10m'") from None
    return value


SearchRange = Annotated[
    Range,
    BeforeValidator(Range.parse),
    PlainSerializer(lambda r: r.low if r.fixed else str(r), return_type=float | str),
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class PivotConfig(_Section):
    """An event log becomes a table of counts: a row per `index`, a column per code."""

    index: str
    columns: str


class DataConfig(_Section):
    """Where the table comes from, what is learnt from it, and how it is prepared and split."""

    source: str = "behaviour-log"
    target: str | None = None
    features: list[str] | None = None
    drop: list[str] = []
    columns: list[str] | None = None
    pivot: PivotConfig | None = None
    log1p: bool | list[str] = False
    scale: bool = True
    users: int = Field(2000, ge=10)
    validation: float = Field(0.2, gt=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _read_target(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("target"), int):
            return {**values, "target": str(values["target"])}
        return values

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.validation + self.test >= 1:
            raise ValueError(
                "validation and test together must leave rows to train on: "
                f"{self.validation:g} + {self.test:g} is not below 1"
            )
        return self


class ModelConfig(_Section):
    """A built-in model or `module:Class`, and what it is built with."""

    name: str = "order-pre"
    hidden: list[Annotated[int, Field(ge=1)]] = [64, 64]
    dropout: float = Field(0.0, ge=0, lt=1)
    args: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.name not in MODELS and ":" not in self.name:
            near = did_you_mean(self.name, MODELS)
            raise ValueError(
                f"name: unknown model {self.name!r}{near} ({', '.join(MODELS)}, or 'module:Class')"
            )
        return self


class OptimizerConfig(_Section):
    """The optimizer, but its rate: that is the schedule's."""

    name: Annotated[str, _known(OPTIMIZERS, "optimizer")] = "sgd"
    momentum: float = Field(0.0, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float | None = Field(None, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    batch_size: Annotated[int, Field(ge=1)] | Literal["full"] = 64
    clip: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> OptimizerConfig:
        if self.name != "sgd" and (self.momentum or self.nesterov):
            raise ValueError(f"momentum and nesterov belong to sgd, but name is {self.name!r}")
        return self


class CustomConfig(_Section):
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


class SpaceConfig(_Section):
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


class _Named(_Section):
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

    name: Annotated[str, _known(SAMPLERS, "sampler")] = "tpe"


class PrunerConfig(_Named):
    """When an unpromising trial is stopped."""

    name: Annotated[str, _known(PRUNERS, "pruner")] = "auto"


class StudyConfig(_Section):
    """One study's settings, checked.

    Args:
        epochs: Passes over the training rows in each trial.
        trials: How many trials the study has in all, earlier runs included.
        seed: What the split, the weights, the order of rows and the sampler derive from.
        objective: `best`, the lowest validation MSE over the epochs, or `final`, the last one.
        trial_seeds: `shared` trains all trials from the same weights and order of rows;
            `fresh` gives each its own.
        timeout: Seconds after which no further trial is started; running ones end as usual.
        workers: Worker processes; None for one a core.
        device: `auto`, `cpu`, `cuda` or `cuda:<i>`.
        storage: An Optuna storage URL or a journal's path; None for a journal in the results
            folder.
    """

    epochs: int = Field(30, ge=1)
    trials: int = Field(100, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    objective: Literal["best", "final"] = "best"
    trial_seeds: Literal["shared", "fresh"] = "shared"
    timeout: Annotated[float | None, BeforeValidator(_seconds), Field(gt=0)] = None
    workers: int | None = Field(None, ge=1, le=256)
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    storage: str | None = None
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    space: SpaceConfig = SpaceConfig()
    sampler: SamplerConfig = SamplerConfig()
    pruner: PrunerConfig = PrunerConfig()
    custom: dict[str, CustomConfig] = {}

    @property
    def search_space(self) -> Space:
        """The space that trials are drawn from."""
        return _build_space(self)

    def comparable(self) -> dict[str, Any]:
        """The settings that must stay as they are for two trials to be compared, flat."""
        kept = self.model_dump(
            mode="json",
            exclude={"trials", "timeout", "workers", "device", "storage", "sampler", "space"},
        )
        return dict(_flatten(kept)) | {
            f"space.{name}": text for name, text in self.search_space.to_dict().items()
        }

    def to_toml(self) -> str:
        """The settings as a study file."""
        values = self.model_dump(mode="json", exclude_none=True)
        values["space"] |= values["space"].pop("own")
        return tomlkit.dumps(values)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _build_space(config: StudyConfig) -> Space:
    """The search space of a study; problems in it are ValueErrors that start with the key."""
    space = config.space
    own: dict[str, Dimension] = {}
    for name in space.scheduler:
        own |= default_own_dimensions(name)
        if name in config.custom:
            own |= {f"{name}.{p}": r for p, r in config.custom[name].params.items()}
    for name, value in space.own.items():
        default = own.get(name)
        if isinstance(default, Choice):
            own[name] = Choice.parse(value, default.options)
        elif default is not None:
            own[name] = Range.parse(value, default.integer)
    shared = {"lr": space.lr, "decay": space.decay, "warmup": space.warmup}
    if space.momentum is not None:
        shared["momentum"] = space.momentum
    if space.weight_decay is not None:
        shared["weight_decay"] = space.weight_decay
    return Space(
        schedulers=tuple(space.scheduler),
        shared=shared,
        own=own,
        factories={n: c.factory for n, c in config.custom.items() if n in space.scheduler},
    )


def _space_problems(config: StudyConfig) -> Iterator[tuple[str, Any, str]]:
    """What pydantic cannot see: names and ranges that only make sense together."""
    space = config.space
    names = (*SHAPES, *config.custom)
    for name in space.scheduler:
        if name not in names:
            near = did_you_mean(name, names)
            yield "space.scheduler", name, f"unknown scheduler{near} ({', '.join(names)})"
        elif space.scheduler.count(name) > 1:
            yield "space.scheduler", name, "named more than once"
    for name, custom in config.custom.items():
        if name in SHAPES:
            yield f"custom.{name}", name, "a built-in scheduler has this name; choose another"
        if not is_reference(custom.factory) and ".py:" not in custom.factory:
            yield f"custom.{name}.factory", custom.factory, "expected 'module:function'"
    if space.momentum and config.optimizer.name != "sgd":
        optimizer = config.optimizer.name
        yield "space.momentum", str(space.momentum), f"{optimizer} has no momentum; sgd has"
    for key, limit in (("momentum", 1.0), ("weight_decay", float("inf"))):
        bounds: Range | None = getattr(space, key)
        if bounds and not (bounds.low >= 0 and bounds.high < limit):
            yield f"space.{key}", str(bounds), f"must be at least 0 and below {limit:g}"
    known = [name for name in space.scheduler if name in names]
    own_names = {name for s in known for name in default_own_dimensions(s)}
    own_names |= {f"{n}.{p}" for n, c in config.custom.items() for p in c.params}
    for name, value in space.own.items():
        if name not in own_names:
            offered = f" ({', '.join(sorted(own_names))})" if own_names else ""
            near = did_you_mean(name, own_names)
            yield f"space.{name}", value, f"no scheduler of this study has it{near}{offered}"
    yield from _range_problems(config, known, own_names)


def _range_problems(
    config: StudyConfig, schedulers: list[str], own_names: set[str]
) -> Iterator[tuple[str, Any, str]]:
    """Both ends of every range must make a schedule."""
    space = config.space
    for key, fields in (("lr", {}), ("decay", {"lr": 1.0}), ("warmup", {"lr": 1.0})):
        bounds: Range = getattr(space, key)
        for end in (bounds.low, bounds.high):
            try:
                Schedule("linear", **{**fields, key: end})
            except ScheduleError as problem:
                yield f"space.{key}", str(bounds), str(problem)
                break
    for name, value in space.own.items():
        scheduler, _, param = name.partition(".")
        if name not in own_names:
            continue
        try:
            trial_space = config.model_copy(
                update={"space": space.model_copy(update={"own": {name: value}})}
            ).search_space
            for end in trial_space.own[name].points(2):
                if scheduler in SHAPES:
                    Schedule(scheduler, lr=1.0, params={param: end})
        except (ScheduleError, ValueError, TypeError) as problem:
            yield f"space.{name}", value, str(problem)


def load_study(path: Path | None, overrides: Mapping[str, Any] | None = None) -> StudyConfig:
    """Read a study file, put the overrides in its place, and check the whole.

    Args:
        path: A TOML file, or None for the defaults alone.
        overrides: Values by dotted key (`optimizer.batch_size`), as the command line gave them.

    Raises:
        StudyFileError: All problems together: file or flag, key, value, what was expected.
    """
    overrides = overrides or {}
    values = _read_toml(path) if path else {}
    for key, value in overrides.items():
        _put(values, key, value)
    place = str(path) if path else "study"
    problems: list[str] = []
    try:
        config = StudyConfig.model_validate(values)
    except ValidationError as error:
        problems = [_explain(detail, overrides) for detail in error.errors()]
        raise StudyFileError(_listed(place, dict.fromkeys(problems))) from None
    for key, value, text in _space_problems(config):
        problems.append(_problem(key, value, text, overrides))
    if problems:
        raise StudyFileError(_listed(place, dict.fromkeys(problems)))
    return config


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise StudyFileError(f"{path}: not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"{path}: cannot be read: {error}") from None


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; what a word stood for (`sampler = "tpe"`) is replaced."""
    *sections, last = key.split(".", 1) if key.startswith("space.") else key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            inner = values[section] = {}
        values = inner
    values[last] = value


def _listed(place: str, problems: Mapping[str, Any]) -> str:
    lines = list(problems)
    if len(lines) == 1:
        return f"{place}: {lines[0]}"
    return "\n".join([f"{place}: {len(lines)} problems", *(f"  {line}" for line in lines)])


def _problem(key: str, value: Any, text: str, overrides: Mapping[str, Any]) -> str:
    shown = "" if value is None or isinstance(value, dict) else f" = {value!r}"
    if key in overrides:
        flag = "--" + key.rpartition(".")[2].replace("_", "-")
        flag = {"--name": f"--{key.partition('.')[0]}", "--source": "--data"}.get(flag, flag)
        return f"{flag}{shown.replace(' = ', ' ')}: {text}"
    return f"{key}{shown}: {text}"


_TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "too_short": "at least one entry",
}


def _explain(detail: ErrorDetails, overrides: Mapping[str, Any]) -> str:
    """One of pydantic's errors in our words."""
    location = [str(part) for part in detail["loc"]]
    if location[:2] == ["optimizer", "batch_size"]:
        location, expected = location[:2], 'a whole number of at least 1, or "full"'
        return _problem(".".join(location), detail["input"], f"expected {expected}", overrides)
    location = [part for part in location if not part.startswith(("list[", "function-", "bool"))]
    key = ".".join(location)
    kind = detail["type"]
    if kind == "extra_forbidden":
        near = did_you_mean(location[-1], _keys_beside(location))
        return _problem(key, None, f"unknown key{near}", overrides)
    if kind == "missing":
        return _problem(key, None, "missing", overrides)
    if kind in _TYPES:
        return _problem(key, detail["input"], f"expected {_TYPES[kind]}", overrides)
    text = detail["msg"].removeprefix("Value error, ")
    text = text.removeprefix("Input should be ")
    if kind != "value_error":
        text = f"must be {text}" if kind.startswith(("greater", "less")) else f"expected {text}"
    if kind == "string_pattern_mismatch":
        text = "expected auto, cpu, cuda or cuda:<number>"
    return _problem(key, detail["input"], text, overrides)


def _keys_beside(location: list[str]) -> list[str]:
    """The keys that the section of a wrong key knows."""
    model: type[BaseModel] = StudyConfig
    for part in location[:-1]:
        found = model.model_fields.get(part)
        if found is None or not isinstance(found.default, BaseModel):
            break
        model = type(found.default)
    return [name for name in model.model_fields if name != "own"]
