"""What is wrong with a study file, in words that say where and what to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from sweep.base.errors import ScheduleError, did_you_mean
from sweep.base.user_code import is_reference
from sweep.base.wording import counted, listed
from sweep.schedules.checks import check_params, is_factory
from sweep.schedules.other_names import scheduler_here, setting_here
from sweep.schedules.schedule import SHAPES, Schedule
from sweep.study.baselines.reading import baseline_problems
from sweep.study.fields.dimensions import default_own_dimensions, ends, written
from sweep.study.metric import is_usually_maximized, missing_direction
from sweep.study.settings import StudyConfig
from sweep.study.space import Dimension
from sweep.study.training.problems import optimizer_problems, training_problems


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Args:
        key: Dotted, as in the study file.
        value: What stands there; None for a key that should not or does not exist.
        text: What was expected, and the nearest valid name.
    """

    key: str
    value: Any
    text: str

    @property
    def _value(self) -> str:
        if self.value is None or isinstance(self.value, dict):
            return ""
        shown = repr(self.value)
        return shown.lower() if isinstance(self.value, bool) else shown  # as TOML writes it

    @property
    def in_file(self) -> str:
        """In one line, by its key."""
        value = f" = {self._value}" if self._value else ""
        return f"{self.key}{value}: {self.text}"

    def by_flag(self, flags: Mapping[str, str], sections: Mapping[str, str]) -> str | None:
        """In one line, by the flag that is to blame; None if the file is.

        Args:
            flags: The keys that were given on the command line, and how it spells them.
            sections: The tables that are there for such keys alone, and how it spells those.
        """
        around = [key for key in flags if f"{self.key}.".startswith(f"{key}.")]
        if not around:
            return f"{sections[self.key]}: {self.text}" if self.key in sections else None
        nearest = max(around, key=len)
        flag = flags[nearest]
        if nearest != self.key:
            return f"{flag}: {self.in_file}"
        between = "=" if flag.startswith(("--set ", "--param ", "--track ")) else " "
        return f"{flag}{between if self._value else ''}{self._value}: {self.text}"


def space_problems(config: StudyConfig) -> Iterator[Problem]:
    """What pydantic cannot see: names and ranges that only make sense together."""
    yield from _own_code_problems(config)
    yield from (Problem(*found) for found in training_problems(config))
    yield from _param_problems(config)
    space = config.space
    names = (*SHAPES, *config.custom)
    for name in space.scheduler:
        if name not in names:
            near = scheduler_here(name) or f"{did_you_mean(name, names)} ({', '.join(names)})"
            yield Problem("space.scheduler", name, f"unknown scheduler{near}")
        elif space.scheduler.count(name) > 1:
            yield Problem("space.scheduler", name, "named more than once")
    for name, custom in config.custom.items():
        if name in SHAPES:
            yield Problem(
                f"custom.{name}", name, "a built-in scheduler has this name; choose another"
            )
        elif name in ("own", "params"):
            yield Problem(f"custom.{name}", name, "a key of [space] has this name; choose another")
        elif not name.isidentifier():
            text = "a scheduler's name is a word of letters, digits and _"
            yield Problem(f"custom.{name}", name, text)
        if not is_factory(custom.factory):
            yield Problem(f"custom.{name}.factory", custom.factory, "expected 'module:function'")
        for param in custom.params:
            try:
                check_params(name, {param: 0}, None)
            except ScheduleError as problem:
                yield Problem(f"custom.{name}.params.{param}", None, str(problem))
    yield from (Problem(*found) for found in optimizer_problems(config))
    known = [name for name in space.scheduler if name in names]
    own_names = {name for s in known for name in default_own_dimensions(s)}
    own_names |= {f"{n}.{p}" for n, c in config.custom.items() for p in c.params}
    for name, value in space.own.items():
        if name not in own_names:
            offered = f" ({', '.join(sorted(own_names))})" if own_names else ""
            owner, _, param = name.partition(".")
            near = "" if owner in names else scheduler_here(owner)
            near = near + setting_here(param or owner) or did_you_mean(name, own_names)
            if owner in names and owner not in space.scheduler:
                yield Problem(f"space.{name}", value, f"{owner} is not in space.scheduler")
                continue
            yield Problem(
                f"space.{name}", value, f"no scheduler of this study has it{near}{offered}"
            )
    yield from _size_problems(config, len(known))
    yield from _range_problems(config, known, own_names)
    for key, told in baseline_problems(config):
        yield Problem(key, None, told)


def _size_problems(config: StudyConfig, schedulers: int) -> Iterator[Problem]:
    """What is wrong with how long the search is to be."""
    if config.budget is not None and "trials" in config.model_fields_set:
        text = "give trials or budget, not both: how many trials there are follows from the budget"
        yield Problem("budget", config.budget, text)
    elif config.fair and config.trials < schedulers:
        key = "trials" if config.budget is None else "budget"
        text = f"fair needs one for each of {schedulers} schedulers"
        yield Problem(key, getattr(config, key), text)


_OF_A_COMMAND = ("working_folder", "gpus_per_trial", "keep")
_OF_OWN_CODE = ("horizon", "evaluate_every", "threads")


def _not_default(config: StudyConfig, keys: Iterable[str], text: str) -> Iterator[Problem]:
    """That settings which differ from their defaults mean nothing in this study."""
    for key in keys:
        if getattr(config, key) != StudyConfig.model_fields[key].default:
            yield Problem(key, getattr(config, key), text)


def _own_code_problems(config: StudyConfig) -> Iterator[Problem]:
    """What belongs to training code of the user's own, and what does not go with it."""
    given = config.model_fields_set
    if config.command is None:
        text = "belongs to a command of your own; give command = ['python', 'train.py'] too"
        yield from _not_default(config, _OF_A_COMMAND, text)
    if config.own_code is None:
        text = (
            "belongs to training code of your own; give loop = 'module:function' or a command too"
        )
        yield from _not_default(config, _OF_OWN_CODE, text)
        return
    what = "a training loop of your own" if config.loop else "a command of your own"
    if config.loop and config.command:
        yield Problem("command", shlex.join(config.command), "not beside loop: give one of the two")
    elif config.command and config.device != "auto":
        text = "not used: a command chooses its device itself; give that as it takes it, after --"
        yield Problem("device", config.device, text)
    if "direction" not in given and is_usually_maximized(config.metric):
        yield Problem("direction", None, missing_direction(config.metric))
    if ":" in config.metric:
        yield Problem("metric", config.metric, f"{what} tells it: give the name by which it does")
    if config.metric in _KEYS or config.metric in config.space.params:
        text = f"files of results have something else by this name; call it val_{config.metric}"
        yield Problem("metric", config.metric, text)
    if config.loop and not is_reference(config.loop) and ".py:" not in config.loop:
        yield Problem("loop", config.loop, "expected 'module:function', such as 'train.py:train'")
    for key in ("data", "model", "optimizer", "training"):
        if key not in given:
            continue
        text = f"not used: {what} brings its own"
        if key == "optimizer" and (searched := config.optimizer.searched):
            taken = "its argument {}" if config.loop else 'trial.params["{}"]'
            each = [
                f"--param {name}={','.join(map(str, choice.options))} and use {taken.format(name)}"
                for name, choice in searched.items()
            ]
            text += f"; to search there, give {' and '.join(each)}"
        yield Problem(key, None, text)
    for key in ("momentum", "weight_decay"):
        if getattr(config.space, key) is not None:
            taken = f"argument {key}" if config.loop else f'trial.params["{key}"]'
            text = (
                f"not used: {what} builds its optimizer; to search it, use its {taken} there, and "
                f"give --param {key}={written(getattr(config.space, key))}"
            )
            yield Problem(f"space.{key}", str(getattr(config.space, key)), text)
    if config.engine == "vectorized" or config.lanes:
        key = "lanes" if config.lanes else "engine"
        text = f"not used: a worker runs {what.replace('a ', 'one ', 1)} at a time"
        yield Problem(key, getattr(config, key), text)
    if config.objective == "averaged":
        yield Problem("objective", "averaged", f"{what} has 'best' and 'final'")
    if (config.horizon is None) != (config.evaluate_every is None):
        lacking = "evaluate_every" if config.horizon else "horizon"
        yield Problem(lacking, None, "missing: horizon and evaluate_every go together")
    elif config.horizon and config.evaluate_every:
        evaluations = -(-config.horizon // config.evaluate_every)
        if config.epochs != evaluations:
            text = f"follows from horizon and evaluate_every: {counted(evaluations, 'evaluation')}"
            yield Problem("epochs", config.epochs, text)


_GIVEN = ("schedule", "epochs", "seed", "device", "state", "trial", "horizon", "evaluate_every")
"""What a loop of the user's own is given by these names."""
_COLUMNS = (
    *("number", "state", "scheduler", "value", "val_r2", "best_epoch", "training", "epochs_run"),
    *("reason", "lr_final", "seed", "started", "finished", "duration", "completes", "torch"),
    *("trial", "epoch", "key", "averaged", "lr_first", "lr_last", "grad_norm", "seconds"),
    *("best_value", "final_value", "median_value", "audition_value", "baseline"),
)
"""What tables of results call something else, or would without the metric's name."""

_OF_THE_METRIC = {
    *("value", "averaged", "training", "best_value", "final_value", "median_value"),
    "audition_value",
}
_KEYS = {*_COLUMNS, "lr", "decay", "warmup", "momentum", "weight_decay"} - _OF_THE_METRIC | {
    *("study", "metric", "schedule", "params", "unit", "objective", "epochs", "steps_per_epoch"),
    *("total_steps", "optimizer", "loop", "command", "best_of_search", "confirmation", "test"),
    *("not_confirmed", "mean", "mean_rank", "dropped_out", "lead_of_winner", "pruned_at"),
    *("would_have_won", "rates", "untrained", "steps", "horizon", "best_rate", "low", "high"),
    *("means", "other_values", "failed_audition", "discarded"),
}
"""What stands beside a metric's values in tables and JSON, so that it cannot be called so."""


def _param_problems(config: StudyConfig) -> Iterator[Problem]:
    """What is wrong with parameters of the user's own."""
    params = config.space.params
    if params and config.own_code is None:
        text = (
            "belongs to training code of your own (a loop or a command); with a model on a table, "
            "lr, decay, warmup, momentum and weight_decay can be searched, in [space], and in "
            "[optimizer] name and batch_size, as lists"
        )
        near = "".join(map(setting_here, params))
        yield Problem("space.params", None, f"{text}{near}")
    of_schedulers = {
        param.partition(".")[2]: f"space.{param}"
        for name in config.space.scheduler
        for param in default_own_dimensions(name)
    }
    columns = {*_COLUMNS, *map(config.measure.named, _COLUMNS)}
    known = {name: f"space.{name}" for name in ("scheduler", "lr", "decay", "warmup")}
    known |= of_schedulers
    for name in params:
        key = f"space.params.{name}"
        if name in known:
            yield Problem(key, None, f"the schedule's: it is searched as {known[name]}")
        elif name in _GIVEN:
            yield Problem(key, None, f"training code is given its {name} already; choose another")
        elif name in columns:
            yield Problem(key, None, "a column of the results has this name; choose another")
        elif not name.isidentifier() or iskeyword(name):
            yield Problem(key, None, "expected a name as Python has them: letters, digits and _")


def _range_problems(
    config: StudyConfig, schedulers: list[str], own_names: set[str]
) -> Iterator[Problem]:
    """Both ends of every range must make a schedule."""
    space = config.space
    for key in ("lr", "decay", "warmup"):
        dimension: Dimension = getattr(space, key)
        for number in ends(dimension):
            try:
                Schedule.from_dict({"scheduler": "linear", "lr": 1.0, key: number})
            except ScheduleError as problem:
                yield Problem(f"space.{key}", str(dimension), str(problem))
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
            yield Problem(f"space.{name}", value, str(problem))


_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "too_short": "at least one entry",
}

_EXPECTED = {
    "optimizer.batch_size": 'a whole number of at least 1, or "full", or a list of them',
    "optimizer.betas": "two numbers of at least 0 and below 1",
    "data.log1p": "true, false or a list of columns",
    "data.dates": 'true, false, "day-first" or "month-first"',
    "sampler": "a name or a table",
    "pruner": "a name or a table",
}
"""Keys whose values take several forms; pydantic has an error for each of them."""

_PATTERNS = {
    "cluster.address": "expected local, ray, auto, ray://HOST:PORT or HOST:PORT",
    "device": "expected auto, cpu, cuda, cuda:<number> or cuda:<number>,<number>",
    "metric": "expected a letter, then letters, digits and _, in parts that / . - or @ join",
}


def explain(detail: ErrorDetails) -> Problem:
    """One of pydantic's errors in our words."""
    location = key_of(detail)
    key = ".".join(location)
    if key in _EXPECTED:
        inside = any(isinstance(part, int) for part in detail["loc"])  # an entry of a list
        given = None if inside else detail["input"]
        return Problem(key, given, f"expected {_EXPECTED[key]}")
    kind = detail["type"]
    if kind == "extra_forbidden":
        of_schedules = location[0] == "space" or len(location) == 1
        near = setting_here(location[-1]) if of_schedules else ""
        known = _keys_beside(location)
        near = near or did_you_mean(location[-1], known)
        if not near and len(known) <= _FEW_KEYS:
            near = f"; expected {listed(known)}"
        return Problem(key, None, f"unknown key{near}")
    if kind == "missing":
        return Problem(key, None, "missing")
    if kind in _TYPES:
        return Problem(key, detail["input"], f"expected {_TYPES[kind]}")
    text = detail["msg"].removeprefix("Value error, ")
    text = text.removeprefix("Input should be ")
    if kind != "value_error":
        text = f"must be {text}" if kind.startswith(("greater", "less")) else f"expected {text}"
        text = text.replace("greater than or equal to", "at least").replace(
            "less than or equal to", "at most"
        )
    if kind == "string_pattern_mismatch":
        text = _PATTERNS[key]
    return Problem(key, detail["input"], text)


def key_of(detail: ErrorDetails) -> list[str]:
    """The keys that lead to what one of pydantic's errors is about."""
    location = [str(part) for part in detail["loc"]]
    whole = ".".join(location[:2])
    return location[:2] if whole in _EXPECTED else location


_FEW_KEYS = 5
"""So many keys of a section are all named where another one is given."""


def _keys_beside(location: list[str]) -> list[str]:
    """The keys that the section of a wrong key knows."""
    model: type[BaseModel] = StudyConfig
    for part in location[:-1]:
        if part in model.model_fields:
            model = _section_in(model.model_fields[part].annotation) or model
    return [name for name in model.model_fields if name != "own"]


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field is, may be, or holds by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)
