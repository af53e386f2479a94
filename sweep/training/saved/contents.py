"""What stands in a model's file beside its weights."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt

from sweep.data.dataset import Dataset
from sweep.data.fitted.arrays import ArrayPreparation
from sweep.data.fitted.columns import FilePart, TablePreparation
from sweep.study.sections import DataConfig, ModelConfig
from sweep.study.settings import StudyConfig

_OF_READING = (
    *("columns", "encoding", "separator", "decimal", "thousands", "missing"),
    *("pivot", "numbers"),
)
"""Settings that say how a table is read, where they were given."""


class ModelContents(FilePart):
    """All but the weights and what the trial came to.

    Attributes:
        trial: The trial's number.
        model: The settings of the model, as a study file has them.
        features: The names of the prepared columns; none of arrays.
        target: The column that is predicted.
        unit: What the model's numbers are of: the target, or `log(1 + target)`.
        target_mean: Added to the model's numbers once they are multiplied.
        target_scale: What they are multiplied by.
        target_shape: What a row's target has: nothing for one number.
        classes: What the classes are called, in the order of the model's numbers.
        loss: What was minimised.
        reading: How a table is read, as a study file has it under `[data]`.
        preparation: From a table's columns, or from arrays, to the model's input.
    """

    trial: NonNegativeInt
    model: dict[str, Any]
    features: list[str]
    target: str
    unit: str
    target_mean: float
    target_scale: float
    target_shape: list[PositiveInt]
    classes: list[str]
    loss: str
    reading: dict[str, Any]
    preparation: Annotated[TablePreparation | ArrayPreparation, Field(discriminator="kind")]

    @classmethod
    def of(cls, trial: int, config: StudyConfig, data: Dataset) -> ModelContents:
        """Those of a trial's model."""
        assert data.preparation is not None
        settings = config.data.model_dump(mode="json", exclude_defaults=True)
        return cls(
            trial=trial,
            model=config.model.model_dump(mode="json"),
            features=list(data.features),
            target=data.target,
            unit=data.unit,
            target_mean=data.target_mean,
            target_scale=data.target_scale,
            target_shape=[*data.y_train.shape[1:]],
            classes=[*data.classes],
            loss=config.training.loss,
            reading={key: settings[key] for key in _OF_READING if key in settings},
            preparation=data.preparation,
        )

    @property
    def model_settings(self) -> ModelConfig:
        """The settings of the model."""
        settings: ModelConfig = ModelConfig.model_validate(self.model)
        return settings

    @property
    def data_config(self) -> DataConfig:
        """How a table is read."""
        return DataConfig.model_validate(self.reading)

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of the model's input for a row."""
        if isinstance(self.preparation, ArrayPreparation):
            return tuple(self.preparation.shape)
        return (len(self.preparation.names),)

    @property
    def targets_of_row(self) -> int:
        """How many numbers the target has for a row."""
        return math.prod(self.target_shape)
