"""Lanes whose training step is recorded once, and replayed for each step of an epoch.

On a GPU a step is some sixty small kernels, so launching them is all the time there is. A recorded
step is launched as one. A replay takes no argument: what differs from step to step is read from
tables on the device, at a step number that the step itself advances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from sweep.training.contract import TrainingData, TrainingSettings
from sweep.training.lanes.eager import EagerTrainer
from sweep.training.lanes.optimizers import Numbers, update
from sweep.training.lanes.stack import EpochPlan, LaneStack, LaneTensors
from sweep.training.lanes.stacked_model import StackedModel

_WARM_UPS = 3
"""Runs before a recording, as torch advises: libraries allocate what they need in them."""

_CHUNK_FLOATS = 2**28
"""Numbers that a chunk of validation may hold for all lanes together on a GPU: 1 GiB."""

_GAINS = "gains"
"""The name of what the averages take in, beside the numbers of an optimizer."""

_Recorded = TypeVar("_Recorded")


class Capture(Protocol):
    """Records what a function does with tensors on the device."""

    def __call__(self, function: Callable[[], None]) -> Callable[[], Any]:
        """What does the same again, with the same tensors; the function may be run before."""


class CudaGraphs:
    """CUDA graphs that share a pool of memory.

    They may be replayed in any order, one at a time: whatever is kept is in tensors that were there
    before the recording.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], None]) -> Callable[[], Any]:
        """A graph's `replay`."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                function()
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            function()
        return graph.replay


def run_again(function: Callable[[], None]) -> Callable[[], Any]:
    """The function itself, as a `Capture` where there are no graphs; it warms up as they do."""
    for _ in range(_WARM_UPS):
        function()
    return function


@dataclass
class _Epoch:
    """What the steps of an epoch read and write, at addresses that stay.

    Args:
        lanes: Rows of the stack.
        whole: Row indices of the batches that are whole, (steps, courses, batch) int32; one course
            for all lanes, or one for each.
        last: Those of the smaller last batch, (courses, rows left) int32.
        keys: Of the dropout calls, (all steps, courses, calls) int32.
        names: Of the numbers that each step is computed with.
        numbers: These, (all steps, names, lanes, 1) float32.
        step: Which of the whole batches is the next one, (1,) int64; a step advances it.
        sums: Of the losses of all rows, and of the gradients' norms of all steps, (2, lanes).
        replays: What takes each of the steps.
    """

    lanes: LaneTensors
    whole: Tensor
    last: Tensor
    keys: Tensor
    names: tuple[str, ...]
    numbers: Tensor
    step: Tensor
    sums: Tensor
    replays: list[Callable[[], Any]] = field(default_factory=list)

    @classmethod
    def like(cls, plan: EpochPlan, batch: int, lanes: LaneTensors, names: Iterable[str]) -> _Epoch:
        """That of plans of the same shape, with nothing in its tables yet."""
        device, count = lanes.parameters.device, len(lanes.parameters)
        steps, courses, calls = plan.keys.shape
        courses = 1 if courses == 1 else count
        whole, left = divmod(plan.orders.shape[1], batch)
        named = tuple(names)

        def table(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int32, device=device)

        return cls(
            lanes=lanes,
            whole=table(whole, courses, batch),
            last=table(courses, left),
            keys=table(steps, courses, calls),
            names=named,
            numbers=torch.zeros(steps, len(named), count, 1, device=device),
            step=torch.zeros(1, dtype=torch.long, device=device),
            sums=torch.zeros(2, count, device=device),
        )

    def fill(self, plan: EpochPlan, tables: Mapping[str, Numbers]) -> None:
        """Begin an epoch; rows that no lane has get a rate of 0."""
        count, steps = len(plan.course), len(plan.keys)
        course = plan.course[: self.keys.shape[1]]  # the first one's is all lanes', if it is shared
        orders = plan.orders
        if not np.array_equal(course, np.arange(len(orders))):
            orders = orders[torch.from_numpy(course).to(orders.device)]
        whole, batch = len(self.whole), self.whole.shape[2]
        batches = orders[:, : whole * batch].view(len(course), whole, batch)
        self.whole[:, : len(course)] = batches.transpose(0, 1)
        self.last[: len(course)] = orders[:, whole * batch :]
        self.keys[:, : len(course)] = torch.from_numpy(plan.keys[:, course])
        numbers = [np.broadcast_to(tables[name], (steps, count)) for name in self.names]
        self.numbers[:, :, :count, 0] = torch.from_numpy(np.stack(numbers, axis=1))
        self.numbers[:, :, count:] = 0
        self.step.zero_()
        self.sums.zero_()

    def changed(self) -> list[Tensor]:
        """What a step changes."""
        return [*self.lanes.all(), self.step, self.sums]


class CapturedTrainer(EagerTrainer):
    """Records the step of a number of lanes, of the last smaller batch, and of a validation.

    What is recorded has a fixed number of rows of the stack, a power of two: those beyond the last
    lane take part with a rate of 0. So lanes come and go, and few sizes are recorded.

    Args:
        data: The rows.
        settings: What all trials share.
        stacked: The model's structure.
        floats_per_row: Numbers that a row's forward pass leaves for the backward pass.
        capture: What records.
        note: Told when recording fails; steps are then launched one operation at a time.
    """

    def __init__(
        self,
        data: TrainingData,
        settings: TrainingSettings,
        stacked: StackedModel,
        floats_per_row: int,
        capture: Capture,
        note: Callable[[str], None],
    ) -> None:
        super().__init__(data, settings, stacked, floats_per_row)
        if data.x_train.is_cuda:  # few chunks, in a share of what is free
            free = torch.cuda.mem_get_info(data.x_train.device)[0]
            self._chunk_floats = min(_CHUNK_FLOATS, free // 64)
        self._capture = capture
        self._note = note
        self._can_record = True
        self._tensors: LaneTensors | None = None  # what the recordings read and write
        self._epochs: dict[tuple[Any, ...], _Epoch] = {}
        self._validations: dict[tuple[int, int, bool], tuple[Tensor, Callable[[], Any]]] = {}

    def group(self) -> int:
        """All lanes that there are: their number suits the memory."""
        return 1 << 30

    def train(self, stack: LaneStack, plan: EpochPlan) -> tuple[Tensor, Tensor]:
        """Train lanes for an epoch; the user's own augmentation is no part of a recording."""
        if self._augment is not None:
            return super().train(stack, plan)
        tables = {**plan.numbers.needed(stack.optimizer), _GAINS: plan.gains}
        rows = self._rows(stack, plan.lanes)
        epoch = self._tried(lambda: self._recorded_epoch(stack, plan, rows, tables))
        if epoch is None:
            return super().train(stack, plan)
        epoch.fill(plan, tables)
        for replay in epoch.replays:
            replay()
        losses, norms = epoch.sums[:, : len(plan.course)]
        return losses, norms

    def validate(self, stack: LaneStack, lanes: slice, averaged: bool) -> Tensor:
        """The sums over the validation rows that the criterion wants, (sums, lanes)."""
        if self._stacked.criterion.is_of_all_rows:
            return super().validate(stack, lanes, averaged)
        rows = self._rows(stack, lanes)
        recorded = self._tried(lambda: self._recorded_validation(stack, rows, averaged))
        if recorded is None:
            return super().validate(stack, lanes, averaged)
        sums, replay = recorded
        replay()
        return sums[:, : lanes.stop - lanes.start]

    def forget(self) -> None:
        """Let go of all recordings, and of the memory that they hold."""
        self._epochs.clear()
        self._validations.clear()

    def _rows(self, stack: LaneStack, lanes: slice) -> slice:
        """The rows of the stack that a recording for some lanes has."""
        if self._tensors is not stack.tensors:
            self.forget()
            self._tensors = stack.tensors
        size = 1 << (lanes.stop - lanes.start - 1).bit_length()
        return slice(lanes.start, min(lanes.start + size, len(stack.tensors.parameters)))

    def _tried(self, record: Callable[[], _Recorded]) -> _Recorded | None:
        """What was recorded; None if that is impossible, which is told once."""
        if not self._can_record:
            return None
        try:
            return record()
        except torch.OutOfMemoryError:
            raise  # fewer lanes may fit
        except Exception as error:  # whatever a model does that a graph does not allow
            first_line = str(error).strip().split("\n")[0][:200]
            self._note(
                "training is slower than it could be, since its step cannot be recorded as a "
                f"CUDA graph: {type(error).__name__}: {first_line}"
            )
            self._can_record = False
            self.forget()
            return None

    def _recorded_epoch(
        self, stack: LaneStack, plan: EpochPlan, rows: slice, tables: Mapping[str, Numbers]
    ) -> _Epoch:
        key = (rows.start, rows.stop, len(plan.orders) == 1, stack.optimizer, *tables)
        if key not in self._epochs:
            lanes = stack.tensors.rows(rows)
            epoch = _Epoch.like(plan, self._batch_size, lanes, tables)
            epoch.fill(plan, tables)
            step = partial(self._take_step, epoch, stack.optimizer)
            epoch.replays = [self._recorded(step, epoch.changed())] * len(epoch.whole)
            if epoch.last.numel():
                last = partial(self._take_last_step, epoch, stack.optimizer)
                epoch.replays.append(self._recorded(last, epoch.changed()))
            self._epochs[key] = epoch
        return self._epochs[key]

    def _recorded_validation(
        self, stack: LaneStack, rows: slice, averaged: bool
    ) -> tuple[Tensor, Callable[[], Any]]:
        key = (rows.start, rows.stop, averaged)
        if key not in self._validations:
            lanes = stack.tensors.rows(rows)
            weights = lanes.averages if averaged else lanes.parameters
            sums = self._validation_sums(weights, lanes.constants)

            def validate() -> None:
                sums.copy_(self._validation_sums(weights, lanes.constants))

            self._validations[key] = sums, self._recorded(validate, [])
        return self._validations[key]

    def _recorded(self, function: Callable[[], None], changed: list[Tensor]) -> Callable[[], Any]:
        """What does the same as a function; the tensors that it changes are as they were."""
        before = [tensor.clone() for tensor in changed]
        try:
            return self._capture(function)
        finally:
            for tensor, value in zip(changed, before, strict=True):
                tensor.copy_(value)

    def _take_step(self, epoch: _Epoch, optimizer: str) -> None:
        """Take the next of an epoch's steps with whole batches."""
        rows, keys, numbers = (
            table.index_select(0, epoch.step).squeeze(0)
            for table in (epoch.whole, epoch.keys, epoch.numbers)
        )
        self._take(epoch, optimizer, rows, keys, numbers)
        epoch.step.add_(1).remainder_(len(epoch.whole))

    def _take_last_step(self, epoch: _Epoch, optimizer: str) -> None:
        """Take an epoch's last step, with the rows that are left."""
        self._take(epoch, optimizer, epoch.last, epoch.keys[-1], epoch.numbers[-1])

    def _take(
        self, epoch: _Epoch, optimizer: str, rows: Tensor, keys: Tensor, numbers: Tensor
    ) -> None:
        lanes = epoch.lanes
        shared, size = len(rows) == 1, rows.shape[1]
        if shared:
            rows, keys = rows.squeeze(0), keys.squeeze(0)
        named = dict(zip(epoch.names, numbers, strict=True))
        with self._stacked.mode(training=True):
            losses, gradients = self._gradients(
                lanes.parameters,
                lanes.constants,
                _chosen(self._data.x_train, rows),
                _chosen(self._data.y_train, rows),
                keys,
                shared=shared,
            )
        norms, gradients = self._clipped(gradients)
        update(optimizer, lanes.parameters, gradients, lanes.states, named)
        lanes.averages.lerp_(lanes.parameters, named[_GAINS])
        epoch.sums[0].add_(losses, alpha=size)
        epoch.sums[1].add_(norms)


def _chosen(table: Tensor, rows: Tensor) -> Tensor:
    """Rows of a table, (*rows.shape, ...), by an operation that takes int32 as it is."""
    return table.index_select(0, rows.flatten()).view(*rows.shape, *table.shape[1:])
