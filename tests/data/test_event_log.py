"""Tables that are events, with and without a header, and tables that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweep.base.errors import DataError
from sweep.data.behaviour_log import behaviour_log
from sweep.data.examine.event_log import EventLog, event_log_in
from sweep.data.load import load_dataset
from sweep.data.sources import GIVEN, give
from sweep.runs.before.template import write_study_file
from sweep.study.file import load_study

EVENTS, USERS = 600, 40


def log(**columns: Any) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "user_id": generator.integers(0, USERS, EVENTS) + 90_000,
            "item_id": generator.integers(0, 500, EVENTS) + 5_000,
            "behavior_type": generator.choice(["pv", "cart", "fav", "buy"], EVENTS),
            "time": 1_511_848_894 + np.arange(EVENTS),
            **columns,
        }
    )


@pytest.mark.parametrize(
    ("who", "what"),
    [
        ("用户ID", "行为类型"),
        ("user_id", "behavior_type"),
        ("customer", "event_name"),
        ("Session ID", "Action"),
    ],
)
def test_by_what_its_columns_are_called(who: str, what: str) -> None:
    renamed = log().rename(columns={"user_id": who, "behavior_type": what})
    assert event_log_in(renamed) == EventLog(who, what, ("buy", "cart", "fav", "pv"))


def test_codes_are_what_a_pivot_calls_its_columns() -> None:
    found = event_log_in(behaviour_log(30))
    assert found == EventLog("user_id", "behavior_type", ("1", "2", "3", "4"))
    missing = log(behavior_type=[np.nan, 1.0, 2.0] * 200)
    assert event_log_in(missing) == EventLog("user_id", "behavior_type", ("1", "2"))


@pytest.mark.parametrize(
    "frame",
    [
        log().rename(columns={"user_id": "area"}),
        log().rename(columns={"behavior_type": "colour"}),
        log(user_id=np.arange(EVENTS)),  # a row a user
        log(behavior_type=np.arange(EVENTS) % 300),  # no codes
        pd.DataFrame({"1": np.arange(30), "2": np.arange(30) % 3, "3": 0.5}),
        pd.DataFrame({"area": [1.0, 2.0], "price": [1.0, 2.0]}),
    ],
)
def test_other_tables_are_none(frame: pd.DataFrame) -> None:
    assert event_log_in(frame) is None


class TestInit:
    @pytest.fixture(autouse=True)
    def files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        log().to_csv("log.csv", index=False)
        log().to_csv("bare.csv", index=False, header=False)

    def written(self, table: str, target: str | None) -> tuple[Any, list[str]]:
        told: list[str] = []
        path = write_study_file(Path(table), target, Path("study.toml"), True, note=told.append)
        return load_study(path), told

    @pytest.mark.parametrize("target", ["buy", "pv"])
    @pytest.mark.parametrize("table", ["log.csv", "bare.csv"])
    def test_columns_and_pivot_are_written(self, table: str, target: str) -> None:
        config, told = self.written(table, target)
        index, columns = config.data.pivot.index, config.data.pivot.columns
        named = ["user", "item", "behaviour", "time"]
        if table == "log.csv":
            assert (index, columns) == ("user_id", "behavior_type")
        else:
            assert (config.data.columns, index, columns) == (named, "user", "behaviour")
        assert told[0].startswith(f"an event log: pivot counts the events of each {index!r} by")
        data = load_dataset(config.data, 0, (Path.cwd(),))
        counts = pd.crosstab(log().user_id, log().behavior_type)
        parts = [data.y_train, data.y_validation, data.y_test]
        found = np.concatenate([data.to_target_units(part) for part in parts])
        assert sorted(found.round()) == sorted(counts[target])

    @pytest.mark.parametrize("target", [None, "bought"])
    @pytest.mark.parametrize("table", ["log.csv", "bare.csv"])
    def test_a_target_that_is_no_code(self, table: str, target: str | None) -> None:
        with pytest.raises(DataError) as raised:
            self.written(table, target)
        text = str(raised.value)
        assert "to learn how often, give as target one of its codes (buy, cart, fav, pv)" in text
        assert text.endswith("`sweep init TABLE --target CODE` writes that")

    def test_a_target_that_is_a_column_is_learnt_from_the_events(self) -> None:
        config, _ = self.written("log.csv", "item_id")
        assert config.data.pivot is None


def _asked_for(frame: pd.DataFrame, target: str) -> str:
    config = load_study(None, {"data.source": GIVEN, "data.target": target}, {}).data
    give(frame)
    with pytest.raises(DataError) as raised:
        load_dataset(config, 0)
    return str(raised.value)


def test_a_code_as_the_target_is_answered_with_the_pivot_that_counts_it() -> None:
    """Whichever command asks, not `sweep init` alone."""
    text = _asked_for(log(), "buy")
    assert 'pivot = {index = "user_id", columns = "behavior_type"}; `sweep init TABLE' in text


def test_so_it_is_where_the_columns_are_called_as_nobody_expects() -> None:
    events = log().rename(columns={"user_id": "who", "behavior_type": "what"})
    text = _asked_for(events[["who", "what"]], "buy")
    assert "'buy' is a value of 'what'" in text
    assert 'pivot = {index = "who", columns = "what"} under [data]' in text


def test_another_column_that_is_not_there_is_no_event() -> None:
    assert "pivot" not in _asked_for(pd.DataFrame({"a": range(50), "price": range(50)}), "prise")
