"""The schedules there are: a list of all, and one in detail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweep.base.errors import ScheduleError
from sweep.base.languages.sentences import _
from sweep.base.wording import counted, number
from sweep.report.terminal.curves import draw_rates, sparkline
from sweep.schedules.schedule import SHAPES, Schedule, Shape, ShapeParam

_SPARK_WIDTH = 16
_SPARK_STEPS = 160
_SPARK_DECAY = 0.05


def schedule_list() -> RenderableType:
    """Every built-in schedule: its name, its course, what it does and its own parameters."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for shape in SHAPES.values():
        table.add_row(Text(shape.name, style="bold"), _course(shape), _about(shape))
    note = Text(
        "Each has a peak rate (lr), a final rate / peak rate (decay) and a share of warm-up steps "
        "(warmup); in brackets are the values of its own parameters that are searched.",
        style="dim",
    )
    return Group(table, "", note)


def schedule_detail(schedule: Schedule, total_steps: int = 1000, width: int = 78) -> RenderableType:
    """One schedule drawn large, its parameters, and the torch class that it becomes.

    Args:
        schedule: Any; one without rates of its own is described instead of drawn.
        total_steps: The horizon that it is drawn for.
        width: Of the drawing, in characters.
    """
    parts: list[RenderableType] = [Text(schedule.describe(), style="bold")]
    if schedule.shape:
        parts.append(Text(schedule.shape.summary))
    parts += [Text(), _drawing(schedule, total_steps, width), Text()]
    if schedule.params:
        parts += [_parameters(schedule), Text()]
    parts.append(
        Text(f"for {counted(total_steps, 'step')}: {torch_call(schedule.torch_spec(total_steps))}")
    )
    return Group(*parts)


def torch_call(spec: Mapping[str, Any]) -> str:
    """`ExponentialLR(gamma=0.9965) after 8 warm-up steps`, from `Schedule.torch_spec`."""
    args = dict(spec["args"])
    formula = args.pop("lr_lambda", None)
    numbers = ", ".join(f"{name}={_argument(value)}" for name, value in args.items())
    call = f"{spec['class']}({numbers})"
    if formula is not None:
        call = _(
            "{name} of lr times {formula}, with {numbers}",
            name=spec["class"],
            formula=formula,
            numbers=numbers,
        )
    before = []
    if warmup := spec["warmup_steps"]:
        before.append(counted(warmup, "warm-up step"))
    if hold := spec["hold_steps"]:
        before.append(_("{steps} at the peak", steps=counted(hold, "step")))
    return _("{call} after {before}", call=call, before=_(" and ").join(before)) if before else call


def _argument(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return repr(value)
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _course(shape: Shape) -> Text:
    if shape.per_epoch:
        return Text("as training goes", style="dim")
    schedule = Schedule(shape.name, lr=1.0, decay=_SPARK_DECAY if shape.uses_decay else 1.0)
    return Text(sparkline(schedule.rates(_SPARK_STEPS), _SPARK_WIDTH), style="cyan")


def _about(shape: Shape) -> Text:
    about = Text(shape.summary)
    params = ", ".join(f"{param.name} [{_searched(param)}]" for param in shape.params)
    made_of = f"{shape.torch_class}; {params}" if params else shape.torch_class
    return about.append(f"\n{made_of}", style="dim")


def _searched(param: ShapeParam) -> str:
    if param.kind == "choice":
        return ", ".join(param.choices)
    return f"{number(param.low)} to {number(param.high)}"


def _drawing(schedule: Schedule, total_steps: int, width: int) -> Text:
    try:
        return draw_rates(schedule, total_steps, width=width, height=10)
    except ScheduleError as reason:
        return Text(f"not drawn: {reason}", style="dim")


def _parameters(schedule: Schedule) -> Table:
    known = {param.name: param for param in schedule.shape.params} if schedule.shape else {}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("parameter", no_wrap=True)
    table.add_column("here", no_wrap=True)
    table.add_column("searched")
    table.add_column("meaning")
    for name, value in schedule.params.items():
        param = known.get(name)
        table.add_row(
            Text(name),
            Text(number(value) if isinstance(value, float) else str(value)),
            Text(_searched(param) if param else ""),
            Text(param.help if param else ""),
        )
    return table
