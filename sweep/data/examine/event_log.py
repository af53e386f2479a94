"""Event logs: tables of what somebody did, of which counts for each user can be learnt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sweep.base.wording import listed, toml_list
from sweep.data.columns import is_date, is_number

_WHO = re.compile(
    r"(?i)(user|customer|client|visitor|member|account|buyer|player|session|device|uid)s?"
    r"([ _-]?(id|no|nr|number|key|code|pseudo_id))?"
    r"|(用户|客户|顾客|会员|买家|访客|玩家|账号|设备)[ _-]?(id|号|编号|标识|代码)?"
)
_WHAT = re.compile(
    r"(?i)((user|event)[ _-]?)?(behaviou?r|event|action|activity|operation|interaction)"
    r"([ _-]?(type|name|kind|code|id))?"
    r"|(用户)?(行为|事件|动作|操作|活动)[ _-]?(类型|名称|类别|种类|代码|编码|id)?"
)
_MOST_CODES, _EVENTS_OF_EACH, _LEAST_USERS = 50, 3, 10
"""Different codes at most; events of a user and of a code on average, and users, at least."""

_EPOCH_SECONDS = (1e9, 3e9)
_OTHER_IDS = ("item", "category")


@dataclass(frozen=True)
class EventLog:
    """How a table of events becomes one of counts.

    Args:
        index: The column of those who did something.
        columns: The column of what they did.
        codes: What there is in that.
        names: Of all columns, where the file has no header; else none.
    """

    index: str
    columns: str
    codes: tuple[str, ...]
    names: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Of a study file, by dotted key."""
        names = {"data.columns": [*self.names]} if self.names else {}
        return {**names, "data.pivot": {"index": self.index, "columns": self.columns}}

    @property
    def told(self) -> str:
        """What it is, in a sentence."""
        header = f"; it has no header, so columns names them {listed(self.names)}"
        return (
            f"an event log: pivot counts the events of each {self.index!r} by {self.columns!r} "
            f"({listed(self.codes)}){header if self.names else ''}"
        )


def event_log_in(frame: pd.DataFrame) -> EventLog | None:
    """The event log that a table is, by the names and values of its columns; else None.

    With a header, a column is called as users or sessions are, another as behaviours or events are.
    Without one, the names are the first event's values: numbers above numbers, and a code that
    occurs below, of all such columns the one of the fewest codes.
    """
    if _has_no_header(frame):
        columns = [(str(name), column) for name, column in frame.items()]
        coded = {name: column.nunique() for name, column in columns if _is_code(column, name)}
        what = min(coded, key=coded.__getitem__, default=None)
        who = next((n for n in frame.columns if n != what and _is_of_users(frame[n])), None)
        if what is None or who is None:
            return None
        names = tuple(_names(frame, who, what))
        by_name = dict(zip(frame.columns, names, strict=True))
        return EventLog(by_name[who], by_name[what], _codes(frame[what], what), names)
    whats = [n for n in frame.columns if _WHAT.fullmatch(n.strip()) and _has_codes(frame[n])]
    whos = [n for n in frame.columns if _WHO.fullmatch(n.strip()) and _is_of_users(frame[n])]
    if not whats or not whos:
        return None
    return EventLog(whos[0], whats[0], _codes(frame[whats[0]]))


def counting_hint(frame: pd.DataFrame, target: str | None) -> str:
    """How a target that is no column may be counted of events; empty if nothing says so."""
    log = event_log_in(frame)
    if log is not None:
        names = f"columns = {toml_list(log.names)} and " if log.names else ""
        code = target if target in log.codes else "CODE"
        return (
            f"\n  it looks like an event log, of what each {log.index!r} did: to learn how often, "
            f"give as target one of its codes ({listed(log.codes)}) and, under [data], {names}"
            f"{_pivot(log.index, log.columns)}; `sweep init TABLE --target {code}` writes that"
        )
    for what in frame.columns:
        if target is not None and _has_codes(frame[what]) and target in _codes(frame[what]):
            whos = [n for n in frame.columns if n != what and _is_of_users(frame[n])]
            who = whos[0] if len(whos) == 1 else "..."
            return (
                f"\n  {target!r} is a value of {what!r}: if a row is what somebody did, "
                f"{_pivot(who, what)} under [data] makes a row of each, with a column of how often "
                f"for each value of {what!r}"
            )
    return ""


def _pivot(index: str, columns: str) -> str:
    """The setting, as a study file has it."""
    who, what = (toml_list([name])[1:-1] for name in (index, columns))
    return f"pivot = {{index = {who}, columns = {what}}}"


def _has_no_header(frame: pd.DataFrame) -> bool:
    """Whether the names of the columns are numbers where their values are."""
    numbers = [name for name in frame.columns if is_number(frame[name])]
    return bool(numbers) and all(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in numbers)


def _has_codes(column: pd.Series[Any]) -> bool:
    different = column.nunique()
    return 2 <= different <= _MOST_CODES and different * _EVENTS_OF_EACH <= len(column)


def _is_code(column: pd.Series[Any], name: str) -> bool:
    """Whether a column without a header holds codes, of which its name is one."""
    return _has_codes(column) and name in _codes(column)


def _is_of_users(column: pd.Series[Any]) -> bool:
    different = column.nunique()
    return different >= _LEAST_USERS and different * _EVENTS_OF_EACH <= len(column)


def _codes(column: pd.Series[Any], first: str | None = None) -> tuple[str, ...]:
    """The codes as a pivot calls its columns; the first event's is in the place of a header."""
    found = column.dropna()
    if is_number(found) and (found % 1 == 0).all():
        found = found.astype("int64")
    return tuple(sorted({*map(str, found.unique()), *([first] if first else [])}))


def _names(frame: pd.DataFrame, who: str, what: str) -> Iterator[str]:
    """Of the columns of a file that has no header."""
    others = iter(_OTHER_IDS)
    for place, name in enumerate(frame.columns, start=1):
        column = frame[name]
        if name in (who, what):
            yield "user" if name == who else "behaviour"
        elif _is_time(column):
            yield "time" if not any(map(_is_time, _before(frame, place))) else f"column{place}"
        else:
            yield next(others, f"column{place}")


def _before(frame: pd.DataFrame, place: int) -> list[pd.Series[Any]]:
    return [frame[name] for name in frame.columns[: place - 1]]


def _is_time(column: pd.Series[Any]) -> bool:
    if is_number(column):
        return bool(column.between(*_EPOCH_SECONDS).all())
    return is_date(column) or bool(column.astype(str).str.match(r"\d{4}-\d\d-\d\d").all())
