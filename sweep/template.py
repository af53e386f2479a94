"""A commented study file for a table, to start from."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from sweep.data import load_dataset
from sweep.errors import InputError
from sweep.files import write_whole
from sweep.settings import DataConfig

_COMMENT_AT = 30
"""The column in which comments begin."""

_TEMPLATE = """\
# {rows} rows; columns: {columns}
epochs = 30                   # passes over the training rows in each trial
trials = 100                  # in all; running the study again continues up to this number
seed = 0
objective = "best"            # lowest validation MSE over the epochs; or "final", "averaged"

[data]
source = {source}             # relative to this file
target = {target}
# features = [...]            # only these columns; all others are used if left out
# drop = [...]                # not these
# log1p = true                # for heavy-tailed counts and prices; MSE is then in log units
validation = 0.2              # share of the rows that schedules are chosen by
test = 0.1                    # share that is looked at once, at the end

[model]
name = "mlp"                  # or "linear", "order-pre", "module:Class" for your own nn.Module
hidden = [64, 64]

[optimizer]
name = "sgd"                  # or "adam", "adamw"
momentum = 0.9                # sgd alone has it
batch_size = 64               # or "full"

[space]
scheduler = ["constant", "step", "exponential", "linear", "cosine", "onecycle", "wsd"]
lr = "1e-4:1:log"             # peak rate
decay = "1e-4:1:log"          # final rate / peak rate
warmup = "0:0.2"              # share of the steps
# weight_decay = "1e-6:1e-2:log"

[sampler]
name = "auto"                 # or family, tpe, random, grid, qmc, cmaes, gp

[pruner]
name = "auto"                 # or thorough, fast, median, percentile, asha, hyperband, ..., none
"""


def write_study_file(table: Path, target: str | None, out: Path | None, force: bool) -> Path:
    """Write a study file for a table after a look at it.

    Args:
        table: A CSV or Parquet file.
        target: The column to predict.
        out: The study file; `studies/<name>.toml` if None.
        force: Whether to write over a file.

    Returns:
        The study file's path.

    Raises:
        DataError: The table cannot be read or learnt from; without a target, the text lists
            the columns.
        InputError: The study file is there already.
    """
    path = out or Path("studies") / f"{table.name.partition('.')[0]}.toml"
    if path.exists() and not force:
        raise InputError(
            f"{path}: there already; write over it with --force, or name another --out"
        )
    data = load_dataset(DataConfig(source=str(table), target=target), 0, (Path.cwd(),))
    rows = sum(len(y) for y in (data.y_train, data.y_validation, data.y_test))
    content = _TEMPLATE.format(
        rows=rows,
        columns=_one_line(", ".join((*data.features, data.target))),
        source=json.dumps(_source(table, path), ensure_ascii=False),
        target=json.dumps(data.target, ensure_ascii=False),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    return path


def put_lr_range(study_file: Path, bounds: str, comment: str) -> None:
    """Write the range of `lr` in a study file that `write_study_file` has written."""
    text = study_file.read_text(encoding="utf-8")
    line = f'lr = "{bounds}"'.ljust(_COMMENT_AT) + f"# {comment}"
    write_whole(study_file, re.sub(r"^lr = .*$", lambda _: line, text, flags=re.MULTILINE))


def _source(table: Path, study_file: Path) -> str:
    """The table's path, from the study file if it is in or below the working folder."""
    if table.resolve().is_relative_to(Path.cwd()):
        return os.path.relpath(table.resolve(), study_file.parent.resolve())
    return str(table.resolve())


def _one_line(text: str, limit: int = 200) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[:limit]} ..."
