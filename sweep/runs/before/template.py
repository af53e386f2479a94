"""A commented study file for a table, to start from."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from sweep.base.errors import DataError, InputError
from sweep.base.files import write_whole
from sweep.base.text import one_line
from sweep.base.wording import toml_list
from sweep.data.arrays import Arrays
from sweep.data.examine.event_log import EventLog, event_log_in
from sweep.data.load import load_dataset
from sweep.data.preparation import UnusableColumns
from sweep.data.sources import read_source
from sweep.search.strategies.problems import search_problems
from sweep.study.file import load_study
from sweep.study.registries.entry import alternatives, owners
from sweep.study.registries.models import MODELS
from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.study.registries.pruners import PRUNERS
from sweep.study.registries.samplers import SAMPLERS
from sweep.study.sections import DataConfig

_COMMENT_AT = 30
"""The column in which comments begin."""

_TEMPLATE = """\
# {rows} rows; columns: {columns}
{notes}epochs = 30                   # passes over the training rows in each trial
trials = 100                  # in all; running the study again continues up to this number
# budget = 30                 # or: whole trainings that all may cost, confirmation included
seed = 0
objective = "best"            # lowest validation MSE over the epochs; or "final", "averaged"

[data]
{source}
target = {target}
# features = [...]            # only these columns; all others are used if left out
{drop}
# log1p = true                # for heavy-tailed counts and prices; MSE is then in log units
validation = 0.2              # share of the rows that schedules are chosen by
test = 0.1                    # share that is looked at once, at the end
# split = {{by = "date"}}       # not at random: by time, or {{group = "user"}}, {{column = "part"}}

[model]
{model}
hidden = [64, 64]

[optimizer]
{optimizer}
{momentum}
batch_size = 64               # or "full"

[space]
scheduler = ["constant", "step", "exponential", "linear", "cosine", "onecycle", "wsd"]
lr = "1e-4:1:log"             # peak rate
decay = "1e-4:1:log"          # final rate / peak rate
warmup = "0:0.2"              # share of the steps
# weight_decay = "1e-6:1e-2:log"

[sampler]
{sampler}

[pruner]
{pruner}
"""


def write_study_file(
    table: Path,
    target: str | None,
    out: Path | None,
    force: bool,
    drop: Sequence[str] = (),
    note: Callable[[str], None] = lambda text: None,
    settings: Mapping[str, Any] | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write a study file for a table after a look at it.

    Columns that cannot be learnt from are in its `drop`, each with the reason beside it. Of an
    event log whose target is one of its codes, it has the pivot and, without a header, the columns.

    Args:
        table: A CSV or Parquet file.
        target: The column to predict.
        out: The study file; `studies/<name>.toml` if None.
        force: Whether to write over a file.
        drop: Columns to leave out in any case.
        note: Told what became of the table, a sentence at a time.
        settings: Other settings by dotted key, such as `data.encoding`: they are heeded when the
            table is read, and stand in the study file.
        warn: Told what a person would warn of who looked at the table, likewise.

    Returns:
        The study file's path.

    Raises:
        DataError: The table cannot be read or learnt from; without a target, the text lists
            the columns.
        InputError: The study file is there already, or a setting is not valid.
    """
    path = out or Path("studies") / f"{table.name.partition('.')[0]}.toml"
    if path.exists() and not force:
        raise InputError(
            f"{path}: there already; write over it with --force, or name another --out"
        )
    settings = settings or {}
    named = {"data.source": str(table), "data.target": target, "data.drop": list(drop)}
    overrides = {**settings, **{key: value for key, value in named.items() if value}}
    study = load_study(None, overrides, {key: f"--set {key}" for key in settings}, search_problems)
    config = study.data
    drop = config.drop
    reasons: dict[str, str] = {}
    try:
        data = load_dataset(config, study.seed, (Path.cwd(),), study.training.loss)
    except UnusableColumns as unusable:
        reasons = unusable.reasons
        config = config.model_copy(update={"drop": [*drop, *reasons]})
        data = load_dataset(config, study.seed, (Path.cwd(),), study.training.loss)
    except DataError:
        log = _event_log(config)
        if log is None:
            raise
        note(log.told)
        return write_study_file(
            table, target, out, force, drop, note, {**settings, **log.settings}, warn
        )
    left_out = dict.fromkeys(drop, "") | reasons
    for name, reason in reasons.items():
        note(f"column {name!r} left out: it {reason}")
    for text in data.notes:
        note(text)
    for text in data.warnings:
        warn(text)
    told = (*data.notes, *(f"warning: {text}" for text in data.warnings))
    rows = sum(len(y) for y in (data.y_train, data.y_validation, data.y_test))
    content = _TEMPLATE.format(
        rows=rows,
        columns=_one_line(", ".join((*data.features, data.target))),
        source=_commented(f"source = {_toml(_source(table, path))}", "relative to this file"),
        target=_toml(data.target),
        notes="".join(f"# {_one_line(text, 400)}\n" for text in told),
        drop=_drop_lines(left_out),
        model=_commented(
            'name = "mlp"', f'or {_quoted(MODELS, "mlp")}, "module:Class" for your own nn.Module'
        ),
        optimizer=_commented('name = "sgd"', f"or {_quoted(OPTIMIZERS, 'sgd')}"),
        momentum=_commented(
            "momentum = 0.9", f"{alternatives(owners(OPTIMIZERS, 'momentum'))} alone has it"
        ),
        sampler=_commented('name = "auto"', f"or {_others(SAMPLERS, 'auto')}"),
        pruner=_commented('name = "auto"', f"or {_others(PRUNERS, 'auto')}"),
    )
    written = [key for key in settings if key not in named]
    content = _with_settings(content, {key: settings[key] for key in written})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    return path


def _event_log(config: DataConfig) -> EventLog | None:
    """The event log that a table is, where its target is one of the log's codes; else None."""
    if config.pivot is not None or config.columns is not None:
        return None
    read = read_source(config, (Path.cwd(),))
    log = None if isinstance(read, Arrays) else event_log_in(read.frame)
    return log if log is not None and config.target in log.codes else None


def _with_settings(content: str, settings: Mapping[str, Any]) -> str:
    """A study file with other values, in their places and with the comments that stand there."""
    document = tomlkit.parse(content)
    for key, value in settings.items():
        *sections, last = key.split(".", 1) if key.startswith("space.") else key.split(".")
        table: Any = document
        for section in sections:
            table = table.setdefault(section, tomlkit.table())
        if isinstance(value, str) and isinstance(table.get(last), dict):
            table, last = table[last], "name"  # sampler = "tpe" is its name
        table[last] = item = _item(value)
        if item.trivia.comment:  # that of the value before
            written = f"{last} = {item.as_string()}"
            item.trivia.comment_ws = " " * max(_COMMENT_AT - len(written), 1)
    if "budget" in settings and "trials" not in settings:
        del document["trials"]  # the template's own
    optimizer: Any = document["optimizer"]
    named = optimizer["name"] if isinstance(optimizer["name"], list) else [optimizer["name"]]
    has_momentum = bool({*named} & {*owners(OPTIMIZERS, "momentum")})
    if not has_momentum and "optimizer.momentum" not in settings:
        del optimizer["momentum"]  # the template's own
    return tomlkit.dumps(document)


def _item(value: Any) -> Any:
    """A value as TOML has it; a table in the line of its key."""
    if not isinstance(value, dict):
        return tomlkit.item(value)
    inline = tomlkit.inline_table()
    inline.update(value)
    return inline


def _others(names: Iterable[str], but: str) -> str:
    return ", ".join(name for name in names if name != but)


def _quoted(names: Iterable[str], but: str) -> str:
    return _others([f'"{name}"' for name in names], f'"{but}"')


def _commented(setting: str, comment: str) -> str:
    return f"{setting.ljust(_COMMENT_AT - 1)} # {comment}"


def _drop_lines(reasons: Mapping[str, str]) -> str:
    """The setting `drop`, with the reason beside each column that has one."""
    if not reasons:
        return _commented("# drop = [...]", "not these")
    lines = []
    for name, reason in reasons.items():
        line = f"    {toml_list([name])[1:-1]},"
        lines.append(_commented(line, _one_line(reason, 400)) if reason else line)
    return "\n".join(["drop = [", *lines, "]"])


def put_lr_range(study_file: Path, bounds: str, comment: str) -> None:
    """Write the range of `lr` in a study file that `write_study_file` has written."""
    text = study_file.read_text(encoding="utf-8")
    line = _commented(f'lr = "{bounds}"', comment)
    write_whole(study_file, re.sub(r"^lr = .*$", lambda _: line, text, flags=re.MULTILINE))


def _source(table: Path, study_file: Path) -> str:
    """The table's path, from the study file if it is in or below the working folder."""
    if table.resolve().is_relative_to(Path.cwd()):
        return os.path.relpath(table.resolve(), study_file.parent.resolve())
    return str(table.resolve())


def _toml(text: str) -> str:
    """A text as TOML writes it."""
    return tomlkit.item(text).as_string()


def _one_line(text: str, limit: int = 200) -> str:
    text = one_line(" ".join(text.split()))
    return text if len(text) <= limit else f"{text[:limit]} ..."
