"""Which rows are on which side: at random, by time, by group, and as a column says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from homes import error, load, raw_targets, write

from sweep.base.errors import DataError
from sweep.data.load import load_dataset
from sweep.data.sources import give
from sweep.study.sections import DataConfig, SplitConfig
from sweep.study.settings import StudyConfig

ROWS = 60


def sales(**columns: Any) -> pd.DataFrame:
    """Prices that number the rows, in the order of time, after a shuffle."""
    places = np.arange(ROWS)
    frame = pd.DataFrame({"area": places % 7, "price": 100.0 + places, **columns})
    return frame.sample(frac=1, random_state=1)


def sides(folder: Path, **split: Any) -> list[list[int]]:
    """Which rows are trained on, for validation and tested, by their prices."""
    data = load(folder, split=split)
    ends = np.cumsum([len(data.y_train), len(data.y_validation)])
    return [sorted(part.round().astype(int) - 100) for part in np.split(raw_targets(data), ends)]


TIMES = {
    "days first": pd.date_range("2024-01-25", periods=ROWS).strftime("%d.%m.%Y"),
    "minutes": pd.date_range("2024-01-31", periods=ROWS, freq="7min").strftime("%Y-%m-%d %H:%M"),
    "seconds": pd.date_range("2024-01-31", periods=ROWS, freq="s").strftime("%m/%d/%Y %I:%M:%S %p"),
    "epochs": np.arange(ROWS) * 60 + 1_511_848_894,
    "whole days": pd.date_range("2023-12-20", periods=ROWS).strftime("%Y%m%d").astype(int),
    "texts": [f"{number}" for number in np.arange(ROWS) / 2],
    # The clock falls back by an hour in the middle, and the moments go on.
    "zones": [
        stamp.isoformat()
        for stamp in pd.date_range("2024-10-27", periods=ROWS, freq="5min", tz="Europe/Berlin")
    ],
}


@pytest.mark.parametrize("kind", TIMES)
def test_last_rows_are_tested_and_those_before_them_are_for_validation(
    tmp_path: Path, kind: str
) -> None:
    write(tmp_path, sales(when=TIMES[kind]))
    train, validation, test = sides(tmp_path, by="when")
    assert (train, validation, test) == (
        [*range(42)], [*range(42, 54)], [*range(54, 60)],
    )  # fmt: skip
    data = load(tmp_path, split={"by": "when"})
    assert data.features == ("area",)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_moments_of_timestamps(tmp_path: Path, zone: str | None) -> None:
    stamps = pd.date_range("2024-10-27", periods=ROWS, freq="5min", tz=zone)
    sales(when=stamps).to_parquet(tmp_path / "homes.parquet")
    data = load(tmp_path, source="homes.parquet", split={"by": "when"})
    assert sorted(raw_targets(data)[-6:].round().astype(int)) == [*range(154, 160)]
    assert "for validation from 2024-10-27 0" in data.split


def test_borders_are_told_and_equal_times_stay_together(tmp_path: Path) -> None:
    write(tmp_path, sales(day=pd.date_range("2024-03-01", periods=6).repeat(10).astype(str)))
    train, validation, test = sides(tmp_path, by="day")
    assert (len(train), len(validation), len(test)) == (40, 10, 10)
    assert load(tmp_path, split={"by": "day"}).split == (
        "by time, of 'day': to train on from 2024-03-01 to 2024-03-04, for validation from "
        "2024-03-05 to 2024-03-05, for the test from 2024-03-06 to 2024-03-06; rows of the same "
        "time are on the same side; 'day' itself is no feature; data.dates = true learns from its "
        "month, weekday and hour, too"
    )


def test_time_is_a_feature_where_it_is_asked_for(tmp_path: Path) -> None:
    days = pd.date_range("2024-03-01", periods=ROWS).astype(str)
    write(tmp_path, sales(day=days, year=np.arange(ROWS) // 10))
    dated = load(tmp_path, split={"by": "day"}, dates=True)
    assert dated.features == ("area", "day.month", "day.weekday", "year")
    assert "no feature" not in dated.split
    named = load(tmp_path, split={"by": "year"}, features=["area", "year"])
    assert named.features == ("area", "year")
    assert load(tmp_path, split={"by": "year"}, drop=["day"]).features == ("area",)


def test_rows_without_a_time_are_left_out_and_told(tmp_path: Path) -> None:
    when = pd.Series(np.arange(ROWS), dtype="Int64").where(np.arange(ROWS) != 50)
    write(tmp_path, sales(when=when))
    data = load(tmp_path, split={"by": "when"})
    assert len(raw_targets(data)) == ROWS - 1
    assert "1 of 60 rows left out: no 'when'" in data.notes


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (
            ["soon", *map(str, range(1, ROWS))],
            "data.split.by = 'when': data row {row} is 'soon', no date or number to sort by; mend "
            "it, or name in data.missing what stands for nothing",
        ),
        (
            ["01/02/2024", "02/02/2024", "03/02/2024"] * 20,
            "dates such as '01/02/2024' do not show whether days or months come first; say it "
            'with data.dates = "day-first" or "month-first"',
        ),
        ([1, 2] * 30, "2 different times in 60 rows; each side needs one of its own"),
        (["10:30"] * ROWS, "data row 1 is '10:30', no date or number to sort by"),
    ],
)
def test_what_is_no_time(tmp_path: Path, when: list[Any], said: str) -> None:
    write(tmp_path, sales(when=when))
    row = 1 + sales().index.tolist().index(0)  # the file's, which has been shuffled
    assert said.replace("{row}", f"{row}") in error(tmp_path, split={"by": "when"})


@pytest.mark.parametrize("seed", range(3))
def test_all_rows_of_a_group_are_on_the_same_side(tmp_path: Path, seed: int) -> None:
    users = [f"user {number**2 // 40}" for number in range(ROWS)]  # of 1 to 6 rows
    write(tmp_path, sales(user=users))
    data = load(tmp_path, seed=seed, split={"group": "user"})
    parts = [
        {users[int(price) - 100] for price in data.to_target_units(y).round()}
        for y in (data.y_train, data.y_validation, data.y_test)
    ]
    assert sum(map(len, parts)) == len(set(users)) == len(set.union(*parts))
    assert len(data.y_validation) == pytest.approx(12, abs=3)
    assert len(data.y_test) == pytest.approx(6, abs=3)
    assert data.features == ("area",)  # too many texts for categories, but they are no feature
    counts = [len(part) for part in parts]
    assert data.split.startswith(
        f"by group, of 'user': {counts[0]} groups to train on, {counts[1]} for validation, "
        f"{counts[2]} for the test"
    )


def test_groups_of_the_test_stay_when_the_share_of_validation_changes(tmp_path: Path) -> None:
    write(tmp_path, sales(user=np.arange(ROWS) % 15))
    tested = [
        sorted(load(tmp_path, split={"group": "user"}, validation=share).y_test.shape)
        for share in (0.2, 0.4)
    ]
    assert tested[0] == tested[1]


def test_a_group_of_most_rows_is_trained_on(tmp_path: Path) -> None:
    write(tmp_path, sales(shop=["large"] * 50 + ["b", "c", "d", "e", "f"] * 2))
    for seed in range(5):
        assert len(load(tmp_path, seed=seed, split={"group": "shop"}).y_train) >= 50


def test_too_few_groups(tmp_path: Path) -> None:
    write(tmp_path, sales(shop=["a", "b"] * 30))
    assert error(tmp_path, split={"group": "shop"}) == (
        "homes.csv: data.split.group = 'shop': 2 groups in 60 rows; each side needs one of its own "
        "(data.test = 0 needs none for the test): give a finer column, or leave data.split out for "
        "a split at random"
    )
    data = load(tmp_path, split={"group": "shop"}, test=0.0)
    assert (len(data.y_train), len(data.y_validation), len(data.y_test)) == (30, 30, 0)


def test_a_column_says_which_row_is_which(tmp_path: Path) -> None:
    parts = ["Train", "validation", " TEST"] * 20
    write(tmp_path, sales(part=parts))
    train, validation, test = sides(tmp_path, column="part")
    assert (train, validation, test) == tuple([*range(at, ROWS, 3)] for at in range(3))
    data = load(tmp_path, split={"column": "part"})
    assert data.features == ("area",)
    assert data.split == "as 'part' says of each row; 'part' itself is no feature"
    assert error(tmp_path, split={"column": "part"}, features=["area", "part"]).endswith(
        "data.features = 'part': it says how rows are split"
    )


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("tests", "is 'tests'; expected train, validation or test; did you mean 'test'?"),
        (None, "is empty; expected train, validation or test"),
        ("7", "is '7'; expected train, validation or test"),
    ],
)
def test_other_words_than_the_three(tmp_path: Path, word: str | None, told: str) -> None:
    frame = sales(part=["train", "validation", "test"] * 20).reset_index(drop=True)
    frame.loc[4, "part"] = word
    write(tmp_path, frame)
    assert error(tmp_path, split={"column": "part"}) == (
        f"homes.csv: data.split.column = 'part': data row 5 {told}"
    )


def test_a_column_without_rows_for_validation(tmp_path: Path) -> None:
    write(tmp_path, sales(part=["train", "test"] * 30))
    assert error(tmp_path, split={"column": "part"}).startswith("homes.csv: too few rows: 30 to")


def test_columns_that_cannot_be_split_by(tmp_path: Path) -> None:
    write(tmp_path, sales())
    assert "data.split.by = 'dat': no such column" in error(tmp_path, split={"by": "dat"})
    assert error(tmp_path, split={"group": "price"}).endswith("'price': it is the target")


@pytest.mark.parametrize("split", [{}, {"by": "a", "group": "b"}, {"every": "a"}])
def test_one_way_to_split(split: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"give one of by, group and column|every"):
        SplitConfig(**split)


def test_shares_beside_a_column_that_says_it() -> None:
    with pytest.raises(ValueError, match="leave out validation and test"):
        DataConfig(split=SplitConfig(column="part"), test=0.3)


def test_arrays_bring_their_own_split() -> None:
    pair = np.zeros((20, 2, 2), np.float32), np.arange(20.0)
    with pytest.raises(DataError, match=r"return \(x, y, x_validation, y_validation, x_test"):
        load_dataset(DataConfig(source=give(pair), split=SplitConfig(group="a")), seed=0)


class TestEventLogs:
    """A row of the pivot is one user."""

    def log(self) -> pd.DataFrame:
        generator, users = np.random.default_rng(0), np.repeat(np.arange(30), 20)
        return pd.DataFrame(
            {
                "user": users,
                "what": generator.choice(["see", "buy", "keep"], len(users)),
                "joined": 2000 + users,
                "time": np.arange(len(users)),
            }
        )

    def split(self, folder: Path, **split: str) -> Any:
        pivot = {"index": "user", "columns": "what"}
        return load(folder, source="log.csv", target="buy", pivot=pivot, split=split)

    def test_what_is_the_same_in_all_events_of_a_user(self, tmp_path: Path) -> None:
        write(tmp_path, self.log(), "log.csv")
        data = self.split(tmp_path, by="joined")
        assert "from 2000 to 2020, for validation from 2021 to 2026" in data.split
        assert data.features == ("keep", "see")
        assert "21 groups to train on, 6 for validation" in self.split(tmp_path, group="user").split

    def test_what_differs_from_event_to_event(self, tmp_path: Path) -> None:
        write(tmp_path, self.log(), "log.csv")
        with pytest.raises(DataError) as raised:
            self.split(tmp_path, by="time")
        assert str(raised.value) == (
            "log.csv: data.split = 'time': a row of the pivot counts all events of one 'user', "
            "and those of '0' have 20 values of it; split by a column that is the same in all "
            "events of one 'user', or leave data.split out: then each is on one side, at random"
        )


def test_the_same_rows_may_go_on_whatever_says_the_split() -> None:
    plain = StudyConfig()
    split = plain.model_copy(
        update={"data": plain.data.model_copy(update={"split": SplitConfig(by="date")})}
    )
    assert plain.comparable() == split.comparable()
    assert StudyConfig().comparable().keys() == plain.comparable().keys()
    assert not [key for key in plain.comparable() if "split" in key]
