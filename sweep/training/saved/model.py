"""A model's file: written, and read as a model that predicts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from sweep.base.errors import InputError, ModelError, SweepError
from sweep.base.files import write_whole
from sweep.study.registries.losses import loss_of
from sweep.training.contract import VALIDATION_CHUNK
from sweep.training.criterion import Criterion
from sweep.training.models import build_model, predict
from sweep.training.saved.contents import ModelContents

_AGAIN = "running the study again writes it anew"


def save_weights(path: Path, weights: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write `{"state_dict": weights, **about}` for `torch.load(path, weights_only=True)`."""
    buffer = io.BytesIO()
    on_cpu = {name: value.cpu() for name, value in weights.items()}
    torch.save({"state_dict": on_cpu, **about}, buffer)
    write_whole(path, buffer.getvalue())


@dataclass(frozen=True)
class ModelFile:
    """A file of `save_weights`, checked.

    Args:
        path: The file.
        contents: What makes a model of its weights, and inputs for it.
        saved: All that the file holds.
    """

    path: Path
    contents: ModelContents
    saved: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> ModelFile:
        """Read a file; nothing of it is run.

        Raises:
            InputError: It is no model's file, or of a version that kept too little in it.
        """
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:
            raise InputError(
                f"{path}: cannot be read as a model's file: {type(error).__name__}; {_AGAIN}"
            ) from error
        if not isinstance(saved, dict) or not isinstance(saved.get("state_dict"), dict):
            raise InputError(f"{path}: holds no model of a study's")
        if "preparation" not in saved:
            raise InputError(
                f"{path}: does not say how the table was prepared, as it was written by an "
                f"earlier version of sweep; {_AGAIN}"
            )
        known = {name: saved[name] for name in ModelContents.model_fields if name in saved}
        try:
            return cls(path, ModelContents.model_validate(known), saved)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(f"{path}: {place}: {first['msg']}; {_AGAIN}") from None

    def load(self, folders: tuple[Path, ...] = ()) -> SavedModel:
        """Its model, which is built by code of the user's own where it names a module.

        Args:
            folders: Where that module is looked for.

        Raises:
            ModelError: The model cannot be built, or the weights are another one's.
        """
        contents = self.contents
        loss = loss_of(contents.loss, of_classes=bool(contents.classes))
        outputs = loss.outputs(len(contents.classes))
        shape = (*contents.target_shape, outputs) if outputs > 1 else (*contents.target_shape,)
        free = loss.is_own and not loss.is_of_classes  # which may take predictions of any shape
        count = outputs if outputs > 1 else contents.targets_of_row
        criterion = Criterion(loss, loss.name, None if free else shape, count=count)
        config = contents.model_settings
        model = build_model(config, contents.row, 0, folders, count)
        try:
            model.load_state_dict(self.saved["state_dict"])
        except (RuntimeError, KeyError, TypeError) as error:
            raise ModelError(
                f"{self.path}: its weights do not fit the model {config.name!r} as it is now: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        return SavedModel(model.eval(), criterion)


@dataclass(frozen=True)
class SavedModel:
    """A model with the weights that it was saved with.

    Args:
        module: In evaluation mode, on the CPU.
        criterion: What it was trained by.
    """

    module: nn.Module
    criterion: Criterion

    def outputs(self, x: npt.NDArray[Any]) -> Tensor:
        """What the model has for rows, (rows, *outputs).

        Args:
            x: Its input, (rows, ...), of the type that it was trained with.

        Raises:
            ModelError: It fails, or has another shape than in training.
        """
        with torch.no_grad():
            chunks = torch.split(torch.from_numpy(np.ascontiguousarray(x)), VALIDATION_CHUNK)
            try:
                return torch.cat(
                    [predict(self.module, part, self.criterion.outputs) for part in chunks]
                )
            except SweepError:
                raise
            except Exception as error:
                raise ModelError(
                    f"model {type(self.module).__name__!r}: its forward pass failed on new rows of "
                    f"shape {tuple(x.shape)}: {type(error).__name__}: {error}"
                ) from error

    def predicted(self, outputs: Tensor) -> npt.NDArray[np.float32]:
        """These as a user wants to see them: of classes their probabilities, (rows, classes)."""
        values: npt.NDArray[np.float32] = self.criterion.predicted(outputs).numpy()
        return values
