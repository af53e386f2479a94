"""Medians, scales and categories, learnt from the training rows by scikit-learn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sweep.data.columns import MISSING
from sweep.data.dates import Order, Part
from sweep.data.fitted.columns import CategoryColumn, NumberColumn, TablePreparation

MAX_CATEGORIES = 20
MIN_CATEGORY_SHARE = 0.01


@dataclass(frozen=True)
class Source:
    """Where a prepared column comes from.

    Args:
        column: The table's column.
        part: Of a date: which number of it; empty else.
        order: How its dates are read.
    """

    column: str
    part: Part | Literal[""] = ""
    order: Order | None = None


def fitted(
    train: pd.DataFrame,
    numbers: Sequence[str],
    categories: Sequence[str],
    sources: Mapping[str, Source],
    *,
    scale: bool,
    logs: Collection[str] = (),
    fixed: Collection[str] = (),
    columns: Sequence[str] = (),
    constants: Mapping[str, str] | None = None,
) -> TablePreparation:
    """Learn what the preparation of columns needs.

    Args:
        train: The training rows: columns of float64, or of texts.
        numbers: Which of them are numbers.
        categories: Which of them are texts.
        sources: Where each of the numbers comes from.
        scale: Whether numbers are standardised.
        logs: Those that are logarithms.
        fixed: Those with the same value in all rows.
        columns: The table's columns.
        constants: The one value of columns that did not vary.
    """
    of_numbers = []
    if numbers:
        values = train[list(numbers)].to_numpy(np.float64)
        imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(values)
        medians, means, scales = imputer.statistics_, np.zeros(len(numbers)), np.ones(len(numbers))
        if scale:
            scaler = StandardScaler().fit(imputer.transform(values))
            means, scales = scaler.mean_, scaler.scale_
        for place, name in enumerate(numbers):
            known = values[~np.isnan(values[:, place]), place]
            of_numbers.append(
                NumberColumn(
                    name=name,
                    column=sources[name].column,
                    part=sources[name].part,
                    order=sources[name].order,
                    log1p=name in logs,
                    median=float(medians[place]),
                    mean=float(means[place]),
                    scale=float(scales[place]),
                    least=float(known.min()) if len(known) else None,
                    greatest=float(known.max()) if len(known) else None,
                    missing=float(1 - len(known) / len(values)),
                    fixed=name in fixed,
                )
            )
    of_texts = []
    if categories:
        encoder = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=MIN_CATEGORY_SHARE,
            max_categories=MAX_CATEGORIES,
        ).fit(train[list(categories)])
        for name, found, rare in zip(
            categories, encoder.categories_, encoder.infrequent_categories_, strict=True
        ):
            lumped = [] if rare is None else [str(text) for text in rare]
            of_texts.append(
                CategoryColumn(
                    column=name,
                    categories=[str(text) for text in found if str(text) not in {*lumped}],
                    rare=lumped,
                    missing=float((train[name] == MISSING).mean()),
                    fixed=name in fixed,
                )
            )
    learnt_from = {*(number.column for number in of_numbers), *categories}
    others = [name for name in columns if name not in learnt_from]
    return TablePreparation(
        numbers=of_numbers, categories=of_texts, others=others, constants={**(constants or {})}
    )
