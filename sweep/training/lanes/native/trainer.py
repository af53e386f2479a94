"""Lanes of a chain of layers trained by a C program made for this chain, on a CPU.

The program keeps a lane's weights and a block of its activations in the cache for a whole epoch,
which torch's separate operations cannot. It needs a C compiler; what is compiled is kept on disk.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.training.contract import TrainingData, TrainingSettings
from sweep.training.criterion import Criterion
from sweep.training.lanes.native.compiler import library
from sweep.training.lanes.native.layers import BatchNorm, Layer, flattened, products
from sweep.training.lanes.native.program_cache import first_use
from sweep.training.lanes.native.source import program_source
from sweep.training.lanes.optimizers import StepNumbers
from sweep.training.lanes.stack import EpochPlan, LaneStack, LaneTensors

GREATEST_WIDTH = 256
"""Wider layers are trained as fast by torch's matrix products."""

GREATEST_TABLE = 2**20
"""Numbers of an embedding; a step of a greater one waits for memory, whatever takes it."""

MOST_FLOATS = 2**18
"""Numbers that a row may have on its way; with more, a few rows are in no cache."""

MOST_TOGETHER = 2**24
"""Numbers that a batch may have on its way where it is kept whole, for batch norm: 128 MiB."""


def _numbers(
    optimizer: str, numbers: StepNumbers, gains: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The numbers of each step and lane in the program's order, (steps, lanes, numbers)."""
    none = np.zeros(gains.shape[1], dtype=np.float32)
    own = [numbers.own.get(name, none) for name in OPTIMIZERS[optimizer].numbers]
    every = [np.broadcast_to(f, gains.shape) for f in (gains, numbers.decay, *own)]
    return np.stack(every, axis=-1)


class NativeTrainer:
    """Trains lanes one after the other, each for a whole epoch.

    Args:
        data: The rows, on the CPU.
        settings: What all trials share.
        layers: The model.
        criterion: What it is trained by, whose loss can be written in C.
        batch: Rows of the greatest batch that the program is made for; by default of the settings.

    Attributes:
        products: Multiplications of weights in the forward pass of a row.

    Raises:
        TrainingError: The program cannot be compiled.
    """

    def __init__(
        self,
        data: TrainingData,
        settings: TrainingSettings,
        layers: Sequence[Layer],
        criterion: Criterion,
        batch: int | None = None,
    ) -> None:
        self._x_train, self._y_train, self._x_validation = (
            each.float().contiguous() for each in (data.x_train, data.y_train, data.x_validation)
        )
        self._y_validation = data.y_validation
        self._criterion = criterion
        self.products = products(layers)
        self._batch_size = min(settings.batch_size or len(data.x_train), len(data.x_train))
        self._clip = settings.clip or 0.0
        shape, batch = data.x_train.shape[1:], batch or self._batch_size
        self._program = library(program_source(layers, shape, criterion.loss, batch))
        self._norms = [each.path for each in flattened(layers) if isinstance(each, BatchNorm)]
        self._library = self._program.functions
        self._library.memory.restype = ctypes.c_longlong
        count = self._library.memory()
        self._memory = torch.zeros(count, dtype=torch.uint8)  # at a multiple of 64, as torch does

    @property
    def note(self) -> str:
        """What a user should know of the program; empty if nothing."""
        return self._program.note

    def first_use(self) -> contextlib.AbstractContextManager[None]:
        """In which the program is tried: if this process dies of it, it is made again."""
        path = self._program.path
        return first_use(path) if path else contextlib.nullcontext()

    def group(self) -> int:
        """How many lanes it takes at once at most."""
        return 1 << 30

    def train(self, stack: LaneStack, plan: EpochPlan) -> tuple[Tensor, Tensor]:
        """Train lanes for an epoch."""
        lanes = stack.tensors.rows(plan.lanes)
        weights, states = lanes.parameters, lanes.states
        losses, norms = torch.empty(2, len(weights))
        statistics = torch.cat(self._statistics(lanes), dim=1)
        numbers = _numbers(stack.optimizer, plan.numbers, plan.gains)
        integers = [
            *self._x_train.shape[:1],
            self._batch_size,
            plan.keys.shape[2],
            len(plan.orders),
        ]
        self._library.train(
            *_pointers(self._memory),
            ctypes.c_longlong(len(weights)),
            *[ctypes.c_longlong(integer) for integer in integers],
            ctypes.c_int([*OPTIMIZERS].index(stack.optimizer)),
            ctypes.c_float(self._clip),
            *_pointers(self._x_train, self._y_train, plan.course, plan.orders, plan.keys),
            *_pointers(weights, lanes.averages),
            (ctypes.c_void_p * len(states))(*[state.data_ptr() for state in states]),
            ctypes.c_longlong(weights.shape[1]),
            *_pointers(statistics),
            ctypes.c_longlong(statistics.shape[1]),
            ctypes.c_longlong(numbers.shape[2]),
            *_pointers(numbers, losses, norms),
        )
        own = self._statistics(lanes)
        parts = torch.split(statistics, [each.shape[1] for each in own], dim=1)
        for each, new in zip(own, parts, strict=True):
            each.copy_(new)
        for path in self._norms:
            lanes.constants[f"{path}.num_batches_tracked"] += len(plan.gains)
        return losses, norms

    def _statistics(self, lanes: LaneTensors) -> list[Tensor]:
        """The running statistics in the program's order, each (lanes, features)."""
        names = ("running_mean", "running_var")
        own = [lanes.constants[f"{path}.{name}"] for path in self._norms for name in names]
        return own or [torch.empty(len(lanes.parameters), 0)]

    def forget(self) -> None:
        """Nothing is kept."""

    @torch.no_grad()
    def validate(self, stack: LaneStack, lanes: slice, averaged: bool) -> Tensor:
        """The sums over the validation rows that the criterion wants, (sums, lanes)."""
        tensors = stack.tensors.rows(lanes)
        weights = tensors.averages if averaged else tensors.parameters
        rows, row = len(self._x_validation), self._criterion.outputs or ()
        predictions = torch.empty(len(weights), rows, *row)
        statistics = torch.cat(self._statistics(tensors), dim=1)
        self._library.predict(
            *_pointers(self._memory),
            ctypes.c_longlong(len(weights)),
            ctypes.c_longlong(rows),
            *_pointers(self._x_validation, weights),
            ctypes.c_longlong(weights.shape[1]),
            *_pointers(statistics),
            ctypes.c_longlong(statistics.shape[1]),
            *_pointers(predictions),
        )
        each = [torch.stack(self._criterion.sums(own, self._y_validation)) for own in predictions]
        return torch.stack(each, dim=1)


def _pointers(*arrays: Tensor | NDArray[np.generic]) -> list[ctypes.c_void_p]:
    """Addresses, for the length of a call that the arrays outlive."""
    for array in arrays:
        contiguous = (
            array.is_contiguous() if isinstance(array, Tensor) else array.flags.c_contiguous
        )
        assert contiguous, "the program reads and writes whole arrays"
    return [
        ctypes.c_void_p(array.data_ptr() if isinstance(array, Tensor) else array.ctypes.data)
        for array in arrays
    ]
