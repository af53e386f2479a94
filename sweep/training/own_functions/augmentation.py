"""Batches as they are trained on, changed by a function of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sweep.base.errors import InputError, TrainingError
from sweep.training.generators import seeded
from sweep.training.own_functions.loading import load_function
from sweep.training.randomness import augmentation_seed

if TYPE_CHECKING:
    from sweep.training.contract import TrainingSettings


class Augmentation:
    """Batches as they are trained on, from batches of the training rows.

    Args:
        reference: The user's function: from a batch of x and a seed to a batch like it.
        folders: Where it is looked for.

    Raises:
        InputError: It cannot be imported, or is no function.
    """

    def __init__(self, reference: str, folders: tuple[Path, ...]) -> None:
        self._function = load_function("data.augment", reference, folders)
        self._named = self._function.named

    @classmethod
    def of(cls, settings: TrainingSettings) -> Augmentation | None:
        """That of a study, if it has one."""
        return cls(settings.augment, settings.folders) if settings.augment else None

    @torch.no_grad()
    def __call__(self, x: Tensor, seed: int, step: int) -> Tensor:
        """The batch of a trial's step, with no part of it shared with `x`.

        The global generators of Python, NumPy and torch are seeded inside, too, and as they were
        after it.

        Args:
            x: (rows, ...), which the function may change.
            seed: The trial's.
            step: Of the trial, from 0.

        Raises:
            TrainingError: What it returns is not like x.
        """
        drawn = augmentation_seed(seed, step)
        with seeded(drawn, x.device):
            made = self._function(x, drawn)
        if not isinstance(made, Tensor):
            kind = type(made).__name__
            raise TrainingError(f"{self._named}: returned an object of type {kind}, not a tensor")
        if made.shape != x.shape or made.dtype != x.dtype or made.device != x.device:
            raise TrainingError(
                f"{self._named}: returned {_like(made)} for a batch of {_like(x)}; it must stay "
                "like that"
            )
        return made

    def check(self, x: Tensor) -> None:
        """Try it on a few rows.

        Raises:
            InputError: It raises, returns something else than a finite batch like x, or draws
                otherwise than by its seed, so that a trial would not be the same a second time.
        """
        try:
            first, second = self(x.clone(), 0, 0), self(x.clone(), 0, 0)
        except TrainingError as error:
            raise InputError(str(error)) from None
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise InputError(f"{self._named}: failed on a batch of {_like(x)}: {text}") from error
        if not first.isfinite().all():
            raise InputError(
                f"{self._named}: returned values that are not finite for a batch of {_like(x)}; a "
                "model learns from finite numbers alone"
            )
        if not torch.equal(first, second):
            raise InputError(
                f"{self._named}: gives something else for the same batch and seed; draw with "
                "torch.Generator().manual_seed(seed), or np.random.default_rng(seed)"
            )


def _like(x: Tensor) -> str:
    return f"shape {tuple(x.shape)} and type {x.dtype} on {x.device}"
