"""What a person would warn of who looked at a table: where it is told, and where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from homes import write

from sweep.data.load import load_dataset
from sweep.data.sources import give
from sweep.study.sections import DataConfig

ROWS = 600


def normal(seed: int = 0, rows: int = ROWS) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=rows)


def plain(**columns: Any) -> pd.DataFrame:
    """Two features and a target with noise, of which there is nothing to say."""
    frame = pd.DataFrame({"a": normal(1), "b": normal(2)})
    return frame.assign(y=frame.a + frame.b + 0.5 * normal(3)).assign(**columns)


def warnings(folder: Path, frame: pd.DataFrame, loss: str = "mse", **settings: Any) -> list[str]:
    write(folder, frame)
    config = DataConfig(**{"source": "homes.csv", "target": "y"} | settings)
    return [*load_dataset(config, 0, (folder,), loss).warnings]


def test_of_a_plain_table_nothing_is_said(tmp_path: Path) -> None:
    assert warnings(tmp_path, plain(kind=np.arange(ROWS) % 5, word=["x", "y", "z"] * 200)) == []


class TestLeaks:
    @pytest.mark.parametrize("form", ["copy", "exp", "noisy", "negative", "partly missing"])
    def test_the_target_in_another_form(self, tmp_path: Path, form: str) -> None:
        y = plain().y
        leak = {
            "copy": y,
            "exp": np.exp(y / 3).round(4),
            "noisy": y + 0.05 * normal(9),
            "negative": 7 - 2 * y,
            "partly missing": y.where(normal(8) > -1),
        }[form]
        (told,) = warnings(tmp_path, plain(leak=leak))
        assert told.startswith("column 'leak' (R² ")
        assert told.endswith(
            " on validation rows) alone predicts 'y': if not known at the time of a prediction, "
            'leave it out with drop = ["leak"] under [data]'
        )

    @pytest.mark.parametrize("form", ["logarithm", "negative logarithm", "ranks"])
    def test_a_skewed_target_in_another_form(self, tmp_path: Path, form: str) -> None:
        z = normal(4)
        leak = {"logarithm": z, "negative logarithm": -z, "ranks": pd.Series(z).rank()}[form]
        told = warnings(tmp_path, plain(leak=leak, y=np.exp(4 * z)))
        assert told[0].startswith("column 'leak' (rank correlation ")
        assert 'leave it out with drop = ["leak"]' in told[0]

    def test_an_order_that_is_the_same_by_its_many_equal_values_is_none(
        self, tmp_path: Path
    ) -> None:
        some = np.arange(ROWS) % 9 == 0
        frame = plain(bought=some, y=np.where(some, np.exp(normal(4)), 0))
        assert not [text for text in warnings(tmp_path, frame) if "alone predict" in text]

    def test_a_table_that_is_sorted_by_its_target(self, tmp_path: Path) -> None:
        frame = plain().sort_values("y").reset_index(drop=True)
        (told,) = warnings(tmp_path, frame.assign(leak=2 * frame.y))
        assert 'leave it out with drop = ["leak"]' in told

    def test_categories_that_name_the_target(self, tmp_path: Path) -> None:
        level = np.arange(ROWS) % 7
        frame = plain(word=[f"level {each}" for each in level], y=level * 3.5 + 0.01 * normal(5))
        assert warnings(tmp_path, frame)[0].startswith("column 'word' (R² ")

    @pytest.mark.parametrize("kind", ["number", "word"])
    def test_classes(self, tmp_path: Path, kind: str) -> None:
        codes = np.random.default_rng(0).integers(0, 3, ROWS)
        words = [f"because of {code}" for code in codes]
        leak = codes * 10 + normal(4) if kind == "number" else words
        frame = plain(leak=leak, y=[f"class {code}" for code in codes])
        (told,) = warnings(tmp_path, frame, "cross_entropy")
        assert told.startswith("column 'leak' (right in ")

    def test_a_good_feature_is_none(self, tmp_path: Path) -> None:
        assert warnings(tmp_path, plain(good=plain().y + 0.3 * normal(7))) == []
        rare = ["no"] * 594 + ["yes"] * 6  # whatever guesses "no" is right in 99 %
        assert warnings(tmp_path, plain(y=rare, flag=np.arange(ROWS) % 2), "cross_entropy") == []

    def test_far_values_that_two_columns_share_are_none(self, tmp_path: Path) -> None:
        far = np.where(np.arange(ROWS) % 50 == 0, 1e4, 0)
        told = warnings(tmp_path, plain(big=far + normal(4), y=far + normal(5)))
        assert not [text for text in told if "alone predict" in text]

    def test_the_only_feature_is_none(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": normal(), "y": 3 * normal()})
        assert warnings(tmp_path, frame) == []


class TestDuplicates:
    def test_rows_that_are_there_twice(self, tmp_path: Path) -> None:
        frame = plain()
        frame = pd.concat([frame, frame.head(100)])
        (told,) = warnings(tmp_path, frame)
        assert " of 210 validation and test rows are training rows, too, target included" in told

    def test_the_same_features_with_another_target_are_none(self, tmp_path: Path) -> None:
        frame = plain()
        again = frame.head(100).assign(y=normal(6, 100))
        assert warnings(tmp_path, pd.concat([frame, again])) == []

    def test_rows_of_few_values_are_the_same_by_chance(self, tmp_path: Path) -> None:
        generator = np.random.default_rng(0)
        words = pd.DataFrame({name: generator.choice(list("abc"), ROWS) for name in "pqr"})
        frame = words.assign(y=generator.choice(["no", "yes"], ROWS))
        assert warnings(tmp_path, frame, "cross_entropy") == []
        rates = np.exp(generator.normal(1, 1.2, (ROWS, 1)))  # users who do little do little of all
        counts = generator.poisson(rates * [3, 0.1, 0.05, 0.5])
        told = warnings(tmp_path, pd.DataFrame(counts, columns=["see", "keep", "cart", "y"]))
        assert not [text for text in told if "validation and test rows are" in text]

    def test_one_side_has_all_of_a_group(self, tmp_path: Path) -> None:
        frame = plain(user=np.arange(ROWS) % 50)
        frame = pd.concat([frame, frame.head(100)])
        assert warnings(tmp_path, frame, split={"group": "user"}) == []


class TestTimeOrder:
    def walk(self, **columns: Any) -> pd.DataFrame:
        days = pd.date_range("2020-01-01", periods=ROWS).astype(str)
        return plain(day=days, y=np.cumsum(normal(4))).assign(**columns)

    def test_a_target_that_depends_on_the_one_before(self, tmp_path: Path) -> None:
        (told,) = warnings(tmp_path, self.walk())
        assert told.startswith("rows are in the order of 'day', and 'y' is near that of the time")
        assert told.endswith("; --split by=day takes the last ones")
        assert len(warnings(tmp_path, self.walk().iloc[::-1])) == 1
        assert warnings(tmp_path, self.walk(), split={"by": "day"}) == []

    def test_several_rows_of_a_time_are_taken_together(self, tmp_path: Path) -> None:
        days = pd.date_range("2020-01-01", periods=100).astype(str).repeat(6)
        shop = np.tile(np.arange(6.0) * 10, 100)
        y = np.cumsum(normal(4, 100)).repeat(6) + shop
        assert len(warnings(tmp_path, self.walk(day=days, y=y))) == 1

    def test_numbers_that_are_called_a_time(self, tmp_path: Path) -> None:
        frame = self.walk().drop(columns="day")
        told = warnings(tmp_path, frame.assign(unix_time=np.arange(ROWS) * 60))
        assert "--split by=unix_time" in told[0]
        for name in ("epoch_s", "datum"):
            told = warnings(tmp_path, frame.assign(**{name: np.arange(ROWS)}))
            assert len(told) == 1 and f"--split by={name} takes" in told[0]

    def test_numbers_that_rise_with_the_rows_as_a_time_does(self, tmp_path: Path) -> None:
        for step in (60, -60):
            frame = self.walk(place=np.arange(ROWS) * step).drop(columns="day")
            (told,) = warnings(tmp_path, frame)
            assert told.startswith("column 'place' (R² ")
            assert told.endswith("; --split by=place takes the last ones")
            (told,) = warnings(tmp_path, frame.sample(frac=1, random_state=0))
            assert 'leave it out with drop = ["place"]' in told

    def test_rows_in_any_order(self, tmp_path: Path) -> None:
        (told,) = warnings(tmp_path, self.walk().sample(frac=1, random_state=0))
        assert told.startswith("'day' is a time, and 'y' is near that of the time before (corr")
        assert told.endswith("; --split by=day takes the last ones")

    def test_dates_alone_are_none(self, tmp_path: Path) -> None:
        assert warnings(tmp_path, self.walk(y=normal(4))) == []
        built = self.walk().sample(frac=1, random_state=0)  # as a day of birth, which tells much
        years = pd.to_datetime(built["day"]).dt.day_of_year / 365
        assert warnings(tmp_path, built.assign(y=3 * years + normal(4))) == []


class TestTargets:
    def test_strongly_skewed(self, tmp_path: Path) -> None:
        frame = plain(y=np.exp(3 + 1.3 * normal(4)))
        (told,) = warnings(tmp_path, frame)
        assert told.startswith("'y' is positive and strongly skewed (skewness ")
        assert 'log1p = ["y"] under [data] learns the logarithm' in told
        assert warnings(tmp_path, frame, log1p=["y"]) == []
        assert warnings(tmp_path, frame, loss="mae") == []

    @pytest.mark.parametrize("kind", ["exponential", "a mistake", "negative", "small"])
    def test_not_skewed_enough_or_not_by_its_nature(self, tmp_path: Path, kind: str) -> None:
        y = {
            "exponential": np.random.default_rng(0).exponential(30, ROWS),
            "a mistake": np.where(np.arange(ROWS) == 5, 1e6, 100 + normal(4)),
            "negative": np.exp(1.3 * normal(4)) - 1,
            "small": 1e-4 * np.exp(1.3 * normal(4)),
        }[kind]
        assert warnings(tmp_path, plain(y=y)) == []

    def test_few_whole_numbers(self, tmp_path: Path) -> None:
        frame = plain(y=np.random.default_rng(0).integers(0, 3, ROWS))
        assert warnings(tmp_path, frame) == [
            "'y' is learnt as a number, and has only 3 values, all whole (0, 1, 2): if these are "
            "classes, give --loss cross_entropy"
        ]
        assert warnings(tmp_path, frame, "cross_entropy") == []

    def test_counts_are_no_classes(self, tmp_path: Path) -> None:
        counts = np.random.default_rng(0).poisson(1.2, ROWS)
        assert warnings(tmp_path, plain(y=counts)) == []


def test_few_validation_rows(tmp_path: Path) -> None:
    frame = plain().head(200)
    (told,) = warnings(tmp_path, frame)
    assert told == (
        "only 40 validation rows to choose schedules by, fewer than 50: a difference between them "
        "may be chance; give more rows, or a larger data.validation"
    )
    assert warnings(tmp_path, frame, validation=0.25) == []
    pair = np.zeros((20, 2, 2), np.float32), np.arange(20.0)
    assert load_dataset(DataConfig(source=give(pair)), seed=0).warnings[0].startswith("only 4 ")


@pytest.mark.parametrize(("source", "loss"), [("diabetes", "mse"), ("behaviour-log", "mse")])
def test_built_in_tables_have_none(source: str, loss: str) -> None:
    assert load_dataset(DataConfig(source=source), seed=0, loss=loss).warnings == ()
