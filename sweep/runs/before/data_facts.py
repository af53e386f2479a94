"""What a preflight knows of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.data.dataset import Dataset
from sweep.data.examine.naive import NaivePrediction, naive_predictions
from sweep.study.settings import StudyConfig


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data.

    Args:
        source: Where it comes from.
        rows: To train on, for validation, for the test.
        split: How they were split.
        features: The prepared columns; none of arrays.
        inputs: What a row is.
        missing: How many values a column of the table lacks, where it lacks any.
        target: The target's column.
        unit: What an error is measured in.
        mean: Of the training target, in that unit; None if it is a class.
        sd: Of the training target, in that unit; likewise.
        naive: Predictions that need no model.
        notes: What happened to the table on the way.
        warnings: What a person would warn of.
    """

    source: str
    rows: tuple[int, int, int]
    split: str
    features: tuple[str, ...]
    inputs: str
    missing: Mapping[str, int]
    target: str
    unit: str
    mean: float | None
    sd: float | None
    naive: tuple[NaivePrediction, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, data: Dataset, config: StudyConfig) -> DataFacts:
        """From prepared rows."""
        y_train = data.to_target_units(data.y_train)
        return cls(
            source=config.data.source,
            rows=(len(data.y_train), len(data.y_validation), len(data.y_test)),
            split=data.split,
            features=data.features,
            inputs=data.inputs,
            missing=dict(data.missing),
            target=data.target,
            unit=data.unit,
            mean=None if data.classes else float(y_train.mean()),
            sd=None if data.classes else float(y_train.std()),
            naive=naive_predictions(data, config.training.loss),
            notes=data.notes,
            warnings=data.warnings,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; of predictions that need no model, what they come to on validation rows."""
        naive = [{"what": each.what, **each.to_dict()["validation"]} for each in self.naive]
        return {**vars(self), "naive": naive}
