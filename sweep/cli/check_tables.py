"""What a preflight found, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sweep.base.wording import MISSING, counted, duration, number, percent
from sweep.report.terminal.fitting import Column, FittingTable
from sweep.runs.before.check import Check
from sweep.runs.before.data_facts import DataFacts
from sweep.search.budget import counted_trainings
from sweep.training.examine.anatomy import Anatomy
from sweep.training.examine.gradient_graph import tree_lines

_MOST_NAMES = 8

_ELSEWHERE = "--json has everything"


def check_report(check: Check) -> Group:
    """Everything that was found, and at the end whether the study can be run."""
    parts: list[RenderableType] = []
    if check.data:
        parts += [_facts("Data", _data_rows(check.data, check.metric)), Text()]
    if check.anatomy:
        parts += [*_model(check.anatomy), Text()]
    if check.schedules:
        parts += [_schedule_table(check), Text()]
    if check.speed:
        parts += [_facts("Time", _time_rows(check)), Text()]
    if check.notes:
        parts += [_facts("Search", [("note", note) for note in check.notes]), Text()]
    return Group(*parts, *_verdict(check))


def _verdict(check: Check) -> list[RenderableType]:
    if not check.problems:
        ready = Text("all is well", style="bold green")
        return [ready.append(f": {check.study} can be run", style="not bold default")]
    heading = Text(counted(len(check.problems), "problem"), style="bold red")
    lines = [Padding(Text(f"- {problem}"), (0, 0, 0, 2)) for problem in check.problems]
    return [heading, *lines]


def _facts(title: str, rows: list[tuple[str, str]]) -> Group:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in rows:
        grid.add_row(name, Text(text))
    return Group(Text(title, style="bold"), grid)


def _data_rows(data: DataFacts, metric: str) -> list[tuple[str, str]]:
    missing = ", ".join(f"{name} ({count})" for name, count in data.missing.items())
    names = ", ".join(data.features[:_MOST_NAMES])
    more = len(data.features) - _MOST_NAMES
    columns = [
        ("columns", f"{len(data.features)}: {names}{f', and {more} more' if more > 0 else ''}"),
        ("missing values", missing or "none"),
    ]
    if not data.features:
        columns = [("inputs", data.inputs)]
    target = f"{data.target}, a class"
    if data.mean is not None:
        target = f"{data.unit}: mean {number(data.mean)}, sd {number(data.sd)}"
    return [
        ("source", data.source),
        ("rows", "{:,} to train on, {:,} for validation, {:,} for the test".format(*data.rows)),
        ("split", data.split),
        *columns,
        ("target", target),
        *_to_beat(data, metric),
        *(("note" if i == 0 else "", note) for i, note in enumerate(data.notes)),
        *(("warning", warning) for warning in data.warnings),
    ]


def _to_beat(data: DataFacts, metric: str) -> list[tuple[str, str]]:
    """What predictions that need no model come to: by the study's metric, and the usual ones."""
    rows = []
    for each in data.naive:
        names = dict.fromkeys((metric, "accuracy" if data.mean is None else "mse"))
        for name in filter(each.validation.__contains__, names):
            value = each.validation[name]
            told = percent(value) if name == "accuracy" else number(value)
            title = {"mse": "MSE", "r2": "R²"}.get(name, name)
            rows.append((f"{title} to beat", f"{told}, of predicting {each.what}"))
    return rows


def _model(anatomy: Anatomy) -> list[RenderableType]:
    frozen = f", {anatomy.frozen:,} frozen" if anatomy.frozen else ""
    buffers = f", {anatomy.buffers:,} in buffers" if anatomy.buffers else ""
    trainable = counted(anatomy.trainable, "parameter")
    title = f"Model: {anatomy.name}, {trainable} to train{frozen}{buffers}"
    layers = anatomy.layers
    parts: list[RenderableType] = [Text(title, style="bold")]
    if layers:
        parts = [
            FittingTable(
                title,
                (
                    Column("layer", [layer.name for layer in layers], justify="left"),
                    Column("kind", [layer.kind for layer in layers], justify="left"),
                    Column("input", [_shape(layer.inputs) for layer in layers], 2),
                    Column("output", [_shape(layer.outputs) for layer in layers], 1),
                    Column("parameters", [f"{layer.parameters:,}" for layer in layers]),
                ),
                elsewhere=_ELSEWHERE,
                highlight_first=False,
            )
        ]
    if anatomy.graph:
        heading = f"grad_fn: from the loss, {number(anatomy.loss)}, back to the parameters"
        parts += [Text(), Text(heading, style="bold")]
        parts += [Text(line, no_wrap=True, overflow="crop") for line in tree_lines(anatomy.graph)]
    return [*parts, *_gradient_lines(anatomy)]


def _gradient_lines(anatomy: Anatomy) -> list[RenderableType]:
    lines = []
    if anatomy.without_gradient:
        lines.append(f"no gradient reaches {', '.join(anatomy.without_gradient)}")
    elif anatomy.gradients:
        lines.append("a gradient reaches every parameter that is to be trained")
    if anatomy.zero_gradient:
        lines.append(f"the gradient is 0 everywhere in {', '.join(anatomy.zero_gradient)}")
    if frozen := [g.name for g in anatomy.gradients if not g.trainable]:
        lines.append(f"frozen: {', '.join(frozen)}")
    return [Text(line) for line in [*lines, *anatomy.notes]]


def _schedule_table(check: Check) -> FittingTable:
    rows = check.schedules
    steps = f" over {counted(check.steps, 'step')}" if check.steps else ""
    failed = [row.first is None for row in rows]
    states = ["fails" if fails else "ok" for fails in failed]
    return FittingTable(
        f"Schedules at both ends of their ranges{steps}",
        (
            Column("scheduler", [row.scheduler for row in rows], justify="left"),
            Column("end", [row.end.removesuffix(" end") for row in rows], justify="left"),
            Column("first", [number(row.first) for row in rows], 3),
            Column("highest", [number(row.highest) for row in rows], 2),
            Column("last", [number(row.last) for row in rows], 1),
            Column("", states, justify="left"),
            Column("torch", [row.torch_class for row in rows], 4, justify="left"),
        ),
        elsewhere=_ELSEWHERE,
        highlight_first=False,
    )


def _time_rows(check: Check) -> list[tuple[str, str]]:
    speed, ahead = check.speed, check.forecast
    if speed is None:
        return []
    said = check.anatomy.notes if check.anatomy else ()
    notes = [note for note in speed.notes if note not in said]
    lanes = f", {speed.lanes} trials at once in each" if speed.lanes > 1 else ""
    rows = [
        ("engine", speed.engine),
        *(("note" if i == 0 else "", note) for i, note in enumerate(notes)),
        ("workers", f"{speed.workers}{lanes}"),
    ]
    if ahead is None:
        return [*rows, ("speed", "too slow to be measured in seconds")]
    whole = f"{counted(ahead.trials, 'trial')} of {counted(ahead.epochs, 'epoch')}"
    if ahead.budget is not None:
        searched = counted_trainings(ahead.budget - ahead.confirm_trainings)
        search = f"about {duration(ahead.search_secs)}: {searched}, about {whole}"
        if ahead.share is None:
            search += " if none is pruned"
    elif ahead.share is None:
        search = f"up to {duration(ahead.search_secs)}: {whole}; what pruning saves is not counted"
    elif ahead.share == 1:
        search = f"about {duration(ahead.search_secs)}: {whole}, none pruned"
    else:
        search = (
            f"about {duration(ahead.search_secs)}: {whole}, of which pruning usually leaves "
            f"{percent(ahead.share)}; without pruning {duration(ahead.unpruned_secs)}"
        )
    rows += [("speed", f"{number(speed.epochs_per_sec)} epochs a second"), ("search", search)]
    if ahead.confirm_secs:
        of = f": {counted_trainings(ahead.confirm_trainings)}" if ahead.confirm_trainings else ""
        rows.append(("confirmation", f"up to {duration(ahead.confirm_secs)}{of} on fresh seeds"))
    limit = f"; {ahead.time_limit}" if ahead.time_limit else ""
    rows.append(("in all", f"about {duration(ahead.total_secs)}{limit}"))
    return rows


def _shape(shape: tuple[int, ...] | None) -> str:
    return MISSING if shape is None else str(shape)
