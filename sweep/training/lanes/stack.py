"""What a vectorised engine holds of its trials: rows of stacked tensors, and their next epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from sweep.schedules.schedule import Schedule
from sweep.training.averaging import average_decays
from sweep.training.contract import TrialSpec
from sweep.training.lanes.optimizers import StepNumbers, new_states, step_numbers
from sweep.training.lanes.stacked_model import Constants, StackedModel
from sweep.training.randomness import dropout_keys, row_order


class LaneRates:
    """The learning rates of one trial, an epoch at a time.

    Args:
        schedule: Of the trial.
        epochs: Of a trial.
        steps: Optimizer steps in an epoch.
    """

    def __init__(self, schedule: Schedule, epochs: int, steps: int) -> None:
        self._steps = steps
        self._table: NDArray[np.float64] | None = None
        self._scheduler: LRScheduler | None = None
        if schedule.shape is not None and schedule.shape.per_epoch:
            self._optimizer = torch.optim.SGD([torch.zeros(1)], lr=schedule.lr)
            self._scheduler = schedule.attach(self._optimizer, total_steps=epochs * steps)
        else:
            self._table = schedule.rates(epochs * steps)

    def epoch(self, epoch: int) -> NDArray[np.float64]:
        """The rates of an epoch's steps, (steps,); to be asked once for each epoch, from 0."""
        if self._table is not None:
            steps = np.arange(epoch * self._steps, (epoch + 1) * self._steps)
            return self._table[np.minimum(steps, len(self._table) - 1)]
        assert self._scheduler is not None
        rates = np.empty(self._steps)
        for step in range(self._steps):
            rates[step] = self._optimizer.param_groups[0]["lr"]
            self._scheduler.step()
        return rates

    def report(self, value: float) -> None:
        """Tell the schedule how the epoch ended."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(value)


@dataclass
class Lane:
    """A trial in training.

    Args:
        spec: What was asked for.
        rates: Its schedule.
        slot: Its row in the stack.
        epoch: Epochs trained.
        best_loss: The best of the metric so far, so that less is better, of the curve that the
            objective looks at.
    """

    spec: TrialSpec
    rates: LaneRates
    slot: int
    epoch: int = 0
    best_loss: float = math.inf


@dataclass(frozen=True)
class LaneTensors:
    """What training changes of some lanes, or reads; a lane is a row.

    Args:
        parameters: (lanes, width) float32.
        averages: The running averages of the parameters, (lanes, width) float32.
        states: Of the optimizer, each (lanes, width) float32.
        constants: Frozen parameters, and buffers, which some layers change; each (lanes, ...).
    """

    parameters: Tensor
    averages: Tensor
    states: list[Tensor]
    constants: Constants

    def rows(self, lanes: slice) -> LaneTensors:
        """Views of some lanes."""
        return LaneTensors(
            self.parameters[lanes],
            self.averages[lanes],
            [state[lanes] for state in self.states],
            {name: tensor[lanes] for name, tensor in self.constants.items()},
        )

    def all(self) -> list[Tensor]:
        """All of them."""
        return [self.parameters, self.averages, *self.states, *self.constants.values()]


class LaneStack:
    """Weights, averages and optimizer states of all lanes; lane i of n is row i, none is empty.

    Args:
        stacked: The model's structure.
        optimizer: Its name.
        capacity: Rows to begin with; more are made when they are needed.
        device: Where they are.
        changing: The buffers that training changes, by name.

    Attributes:
        tensors: All rows, those too that no lane has; others take their place when there are more.
    """

    def __init__(
        self,
        stacked: StackedModel,
        optimizer: str,
        capacity: int,
        device: torch.device,
        changing: Sequence[str] = (),
    ) -> None:
        self.optimizer = optimizer
        self._stacked = stacked
        self._count = 0
        parameters = torch.zeros(capacity, stacked.width, device=device)
        states = new_states(optimizer, capacity, stacked.width, device)
        self.tensors = LaneTensors(parameters, torch.zeros_like(parameters), states, {})
        self._best = torch.zeros_like(parameters)
        self._changing = changing
        self._best_constants: Constants = {}

    def __len__(self) -> int:
        return self._count

    def add(self, model: nn.Module) -> int:
        """Put a fresh model into the next row, whose index is returned."""
        slot, rows = self._count, len(self._best)
        tensors, constants = self.tensors, self._stacked.constants(model)
        if not tensors.constants:
            for name, constant in constants.items():
                shape = rows, *constant.shape
                zeros = torch.zeros(shape, dtype=constant.dtype, device=self._best.device)
                tensors.constants[name] = zeros
            self._best_constants = {n: tensors.constants[n].clone() for n in self._changing}
        if slot == rows:
            tensors = self.tensors = LaneTensors(
                _doubled(tensors.parameters),
                _doubled(tensors.averages),
                [_doubled(state) for state in tensors.states],
                {n: _doubled(t) for n, t in tensors.constants.items()},
            )
            self._best = _doubled(self._best)
            self._best_constants = {n: _doubled(t) for n, t in self._best_constants.items()}
        tensors.parameters[slot] = tensors.averages[slot] = self._stacked.flat(model)
        for state in tensors.states:
            state[slot] = 0
        for name, constant in constants.items():
            tensors.constants[name][slot] = constant
        self._count += 1
        return slot

    def remove(self, slot: int) -> None:
        """Drop a row; the last one takes its place."""
        self._count -= 1
        last = self._count
        if slot == last:
            return
        for tensor in [*self.tensors.all(), self._best, *self._best_constants.values()]:
            tensor[slot] = tensor[last]

    def keep_best(self, slots: Sequence[int], averaged: bool) -> None:
        """Keep the weights of some lanes, or their averages, with the buffers that they have."""
        index = torch.tensor(slots, dtype=torch.long, device=self._best.device)
        weights = self.tensors.averages if averaged else self.tensors.parameters
        self._best[index] = weights[index]
        for name, best in self._best_constants.items():
            best[index] = self.tensors.constants[name][index]

    def state_dict(self, slot: int, best: bool) -> dict[str, Tensor]:
        """A lane's weights as its model's `state_dict` would give them."""
        flat = (self._best if best else self.tensors.parameters)[slot]
        constants = self.tensors.constants | (self._best_constants if best else {})
        return self._stacked.state_dict(flat, {n: tensor[slot] for n, tensor in constants.items()})


def _doubled(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, torch.zeros_like(tensor)])


@dataclass(frozen=True)
class EpochPlan:
    """What some lanes go through in their next epochs.

    Lanes of the same seed at the same epoch have the same rows and masks, which are therefore
    kept once: as a course.

    Args:
        lanes: Their rows in the stack.
        course: Which course each lane takes, (lanes,) int64.
        starts: Of each course, the seed of its trials and their first step, from 0.
        orders: Row indices, (courses, rows); int64, or int32 on the device.
        keys: Of the dropout calls, (steps, courses, calls) int32.
        rates: (steps, lanes) float64.
        numbers: Of the optimizer.
        gains: What share of the weights the averages take in, (steps, lanes) float32.
    """

    lanes: slice
    course: NDArray[np.int64]
    starts: tuple[tuple[int, int], ...]
    orders: Tensor
    keys: NDArray[np.int32]
    rates: NDArray[np.float64]
    numbers: StepNumbers
    gains: NDArray[np.float32]

    def parts(self, most: int) -> Iterator[EpochPlan]:
        """The same for so many lanes at most, one part after the other."""
        for first in range(0, len(self.course), most):
            own = slice(first, first + most)
            start, end = self.lanes.start + first, min(self.lanes.start + own.stop, self.lanes.stop)
            yield replace(
                self,
                lanes=slice(start, end),
                course=self.course[own],
                rates=self.rates[:, own],
                numbers=self.numbers.of(own),
                gains=self.gains[:, own],
            )


class OrdersAhead:
    """The orders in which epochs visit the training rows, made before they are needed.

    Args:
        rows: How many training rows there are.
        device: Where the orders are wanted.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        self._rows = rows
        self._device = device
        self._made: dict[tuple[int, int], Tensor] = {}

    def of(self, seed: int, epoch: int) -> Tensor:
        """The order of an epoch, from 0, of trials of a seed: (rows,) int32, on the device."""
        if (seed, epoch) not in self._made:
            return row_order(seed, epoch + 1, self._rows).to(self._device, torch.int32)
        return self._made[seed, epoch]

    def prepare(self, lanes: Sequence[Lane]) -> None:
        """Make those of the epoch after the lanes' next one, and have them on their way."""
        wanted = {(lane.spec.seed, lane.epoch + 1) for lane in lanes}
        on_gpu = self._device.type == "cuda"
        orders = torch.empty(len(wanted), self._rows, dtype=torch.int32, pin_memory=on_gpu)
        for order, (seed, epoch) in zip(orders, wanted, strict=True):
            order.copy_(row_order(seed, epoch + 1, self._rows))
        self._made |= zip(wanted, orders.to(self._device, non_blocking=True), strict=True)

    def keep(self, lanes: Iterable[Lane]) -> None:
        """Let go of all but those of the lanes' next epochs."""
        kept = {(lane.spec.seed, lane.epoch) for lane in lanes}
        self._made = {key: order for key, order in self._made.items() if key in kept}


def plan_epoch(
    lanes: Sequence[Lane],
    rows: int,
    dropout_calls: int,
    steps: int,
    ahead: OrdersAhead | None = None,
) -> EpochPlan:
    """The next epoch of lanes that are neighbours in the stack.

    Args:
        lanes: In the order of their slots.
        rows: Training rows.
        dropout_calls: In a step.
        steps: In an epoch.
        ahead: Has orders of rows; they are made now if left out.
    """
    courses: dict[tuple[int, int], int] = {}
    course = [courses.setdefault((lane.spec.seed, lane.epoch), len(courses)) for lane in lanes]
    orders = [
        ahead.of(seed, epoch) if ahead else row_order(seed, epoch + 1, rows)
        for seed, epoch in courses
    ]
    seeds, epochs = zip(*courses, strict=True)
    keys = dropout_keys(seeds, [epoch * steps for epoch in epochs], steps, dropout_calls)
    rates = np.stack([lane.rates.epoch(lane.epoch) for lane in lanes], axis=1)  # (steps, lanes)
    first_steps = [lane.epoch * steps for lane in lanes]
    return EpochPlan(
        lanes=slice(lanes[0].slot, lanes[-1].slot + 1),
        course=np.array(course, dtype=np.int64),
        starts=tuple((seed, epoch * steps) for seed, epoch in courses),
        orders=torch.stack(orders),
        keys=keys,
        rates=rates,
        numbers=step_numbers([lane.spec.optimizer for lane in lanes], rates, first_steps),
        gains=(1 - average_decays(first_steps, steps)).astype(np.float32),
    )


def shared_or_each(tensor: Tensor, course: Any) -> Tensor:
    """A tensor over courses as one for all lanes, or one for each.

    Args:
        tensor: (courses, ...).
        course: Of each lane, (lanes,) int64.

    Returns:
        (...) if there is one course only, else (lanes, ...).
    """
    return tensor[0] if len(tensor) == 1 else tensor[course]
