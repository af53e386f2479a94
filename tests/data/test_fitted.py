"""The preparation that a model's file keeps, beside scikit-learn's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_models import table
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sweep.data.fitted.columns import TablePreparation
from sweep.data.fitted.fitting import MAX_CATEGORIES, MIN_CATEGORY_SHARE
from sweep.data.preparation import Preparation
from sweep.data.sources import Table
from sweep.study.sections import DataConfig


@pytest.mark.parametrize("scale", [True, False])
def test_prepares_as_scikit_learn_to_the_last_bit(scale: bool) -> None:
    """A study that goes on tells by its rows' bits that they are the same."""
    train = np.random.default_rng(1).permutation(150)[:100]
    config = DataConfig(target="price", drop=["kind"], dates=True, scale=scale)
    preparation = Preparation(Table(table(), "a table"), "price", config)
    learnt = preparation.fit(train)
    ours = learnt.matrix(preparation.frame)
    steps = [SimpleImputer(strategy="median"), *([StandardScaler()] if scale else [])]
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=MIN_CATEGORY_SHARE,
        max_categories=MAX_CATEGORIES,
        sparse_output=False,
    )
    twin = ColumnTransformer(
        [
            ("numbers", make_pipeline(*steps), preparation.numbers),
            ("texts", encoder, preparation.categories),
        ]
    ).fit(preparation.frame.iloc[train])
    theirs = np.asarray(twin.transform(preparation.frame), dtype=np.float64)
    assert ours.tobytes() == theirs.tobytes()
    assert {*preparation.categories} == {"city", "street"}
    assert learnt.categories[1].rare and not learnt.categories[0].rare


def test_is_the_same_from_a_file(tmp_path: Path) -> None:
    config = DataConfig(target="price", drop=["kind"], dates=True, constant="keep")
    preparation = Preparation(Table(table(), "a table"), "price", config)
    learnt = preparation.fit(np.arange(100))
    assert TablePreparation.model_validate(learnt.model_dump()) == learnt
    assert learnt.needed == {
        **dict.fromkeys(("area", "rooms"), "number"),
        "day": "date",
        **dict.fromkeys(("city", "street"), "category"),
    }
    assert learnt.others == ["id", "price", "kind"]
    fixed = [each.column for each in learnt.numbers if each.fixed]
    assert fixed == ["always"]
    new = preparation.frame.drop(columns="always")
    pd.testing.assert_frame_equal(
        pd.DataFrame(learnt.matrix(new)), pd.DataFrame(learnt.matrix(preparation.frame))
    )
