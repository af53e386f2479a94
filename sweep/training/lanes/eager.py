"""Lanes trained by torch's own operations, for any model that can be stacked."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from sweep.training.contract import VALIDATION_CHUNK, TrainingData, TrainingSettings
from sweep.training.lanes.optimizers import LaneOptimizer
from sweep.training.lanes.stack import EpochPlan, LaneStack, shared_or_each
from sweep.training.lanes.stacked_model import Constants, StackedModel
from sweep.training.own_functions.augmentation import Augmentation

_ACTIVATION_FLOATS = 64 * 2**20
"""Numbers that a step or a chunk of validation may hold for all lanes together: 256 MiB."""


class LaneTrainer(Protocol):
    """Trains and validates the lanes of a stack."""

    def group(self) -> int:
        """How many lanes it takes at once at most."""

    def train(self, stack: LaneStack, plan: EpochPlan) -> tuple[Tensor, Tensor]:
        """Train lanes for an epoch.

        Returns:
            The sums of the losses of all rows and of the gradients' norms of all steps, both
            (lanes,).
        """

    def validate(self, stack: LaneStack, lanes: slice, averaged: bool) -> Tensor:
        """Predict the validation rows.

        Args:
            stack: What the engine holds.
            lanes: Which of its rows.
            averaged: Whether with the averages of the weights.

        Returns:
            The sums over rows that the criterion wants, (sums, lanes).
        """

    def forget(self) -> None:
        """Let go of memory that is not needed to go on."""


class EagerTrainer:
    """`vmap` of the forward pass; autograd and the optimizer outside of it, on flat weights.

    Args:
        data: The rows.
        settings: What all trials share.
        stacked: The model's structure.
        floats_per_row: Numbers that a row's forward pass leaves for the backward pass.
    """

    def __init__(
        self,
        data: TrainingData,
        settings: TrainingSettings,
        stacked: StackedModel,
        floats_per_row: int,
    ) -> None:
        self._data = data
        self._stacked = stacked
        self._clip = settings.clip
        self._augment = Augmentation.of(settings)
        self._floats_per_row = floats_per_row
        self._chunk_floats = _ACTIVATION_FLOATS // 16  # of a chunk of validation: stays in a cache
        self._batch_size = min(settings.batch_size or len(data.x_train), len(data.x_train))

    def group(self) -> int:
        """How many lanes it takes at once at most."""
        return max(1, _ACTIVATION_FLOATS // (self._batch_size * self._floats_per_row))

    def train(self, stack: LaneStack, plan: EpochPlan) -> tuple[Tensor, Tensor]:
        """Train lanes for an epoch."""
        device = self._data.x_train.device
        lanes = stack.tensors.rows(plan.lanes)
        parameters = lanes.parameters
        optimizer = LaneOptimizer(stack.optimizer, plan.numbers, lanes.states, device)
        course = torch.from_numpy(plan.course).to(device)
        orders = plan.orders.to(device)
        keys = torch.from_numpy(plan.keys).to(device)  # (steps, courses, calls)
        gains = torch.from_numpy(plan.gains).to(device).unsqueeze(-1)  # (steps, lanes, 1)
        loss_sums = torch.zeros(len(parameters), device=device)
        norms = torch.zeros(len(parameters), device=device)
        with self._stacked.mode(training=True):
            for step, batch in enumerate(torch.split(orders, self._batch_size, dim=1)):
                rows = shared_or_each(batch, course)  # (batch,) or (lanes, batch)
                if self._augment is None:
                    x = self._data.x_train[rows]
                else:
                    x = shared_or_each(self._augmented(batch, plan, step), course)
                losses, gradients = self._gradients(
                    parameters,
                    lanes.constants,
                    x,
                    self._data.y_train[rows],
                    shared_or_each(keys[step], course),
                    shared=len(batch) == 1,
                )
                norm, gradients = self._clipped(gradients)
                optimizer.step(step, parameters, gradients)
                lanes.averages.lerp_(parameters, gains[step])
                loss_sums += losses * batch.shape[1]
                norms += norm
        return loss_sums, norms

    def forget(self) -> None:
        """Nothing is kept."""

    def _augmented(self, batch: Tensor, plan: EpochPlan, step: int) -> Tensor:
        """The batch of each course, (courses, batch, ...), from its rows, (courses, batch)."""
        assert self._augment is not None
        return torch.stack(
            [
                self._augment(self._data.x_train[rows], seed, first + step)
                for rows, (seed, first) in zip(batch, plan.starts, strict=True)
            ]
        )

    def _gradients(
        self,
        parameters: Tensor,
        constants: Constants,
        x: Tensor,
        y: Tensor,
        keys: Tensor,
        *,
        shared: bool,
    ) -> tuple[Tensor, Tensor]:
        """Losses, (lanes,), and their gradients, (lanes, width); arguments as `losses` has them."""
        flat = parameters.detach().requires_grad_()
        losses = self._stacked.losses(flat, constants, x, y, keys, shared=shared)
        (gradients,) = torch.autograd.grad(losses.sum(), flat)
        return losses.detach(), gradients

    def _clipped(self, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """The norms of gradients, (lanes,), and the gradients clipped, (lanes, width)."""
        norm = torch.linalg.vector_norm(gradients, dim=1)
        if self._clip is not None:
            share = self._clip / (norm + 1e-6)
            gradients = gradients * share.clamp(max=1).unsqueeze(1)
        return norm, gradients

    def validate(self, stack: LaneStack, lanes: slice, averaged: bool) -> Tensor:
        """The sums over the validation rows that the criterion wants, (sums, lanes)."""
        tensors = stack.tensors.rows(lanes)
        weights = tensors.averages if averaged else tensors.parameters
        return self._validation_sums(weights, tensors.constants)

    @torch.no_grad()
    def _validation_sums(self, weights: Tensor, constants: Constants) -> Tensor:
        if self._stacked.criterion.is_of_all_rows:
            return self._sums_of_all_rows(weights, constants)
        rows = self._rows_at_once(len(weights))
        sums = torch.zeros((), device=weights.device)
        with self._stacked.mode(training=False):
            for x, y in zip(
                torch.split(self._data.x_validation, rows),
                torch.split(self._data.y_validation, rows),
                strict=True,
            ):
                sums = sums + self._stacked.sums(weights, constants, x, y)
        return sums

    def _rows_at_once(self, lanes: int) -> int:
        """Validation rows that are predicted at once by so many lanes."""
        chunk = self._chunk_floats // (lanes * self._floats_per_row)
        return min(max(chunk, 1), VALIDATION_CHUNK)

    def _sums_of_all_rows(self, weights: Tensor, constants: Constants) -> Tensor:
        """The same, where the criterion is to see all rows at once, of one lane at a time."""
        x, y = self._data.x_validation, self._data.y_validation
        group = max(1, _ACTIVATION_FLOATS // (len(x) * self._floats_per_row))
        sums: list[Tensor] = []
        for first in range(0, len(weights), group):
            few = slice(first, first + group)
            mine = weights[few]
            own = {name: tensor[few] for name, tensor in constants.items()}
            with self._stacked.mode(training=False):
                chunks = [
                    self._stacked.predictions(mine, own, part)
                    for part in torch.split(x, self._rows_at_once(len(mine)))
                ]
            for predictions in torch.cat(chunks, dim=1):  # of each lane, (rows, *outputs)
                sums.append(torch.stack(self._stacked.criterion.sums(predictions, y)))
        return torch.stack(sums, dim=1)
