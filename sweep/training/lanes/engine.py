"""Many trials trained as lanes of one stacked model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sweep.base.errors import TrainingError
from sweep.base.wording import counted
from sweep.training.contract import (
    Context,
    EpochResult,
    ModelBuilder,
    TrainingData,
    TrainingSettings,
    TrialError,
    TrialNews,
    TrialSpec,
)
from sweep.training.criterion import Criterion, Told
from sweep.training.lanes.compiled import CompilingTrainer
from sweep.training.lanes.kernel_choice import Kernel, choose_trainer
from sweep.training.lanes.lane_count import default_lanes, measured_lanes
from sweep.training.lanes.native.trainer import NativeTrainer
from sweep.training.lanes.stack import (
    EpochPlan,
    Lane,
    LaneRates,
    LaneStack,
    OrdersAhead,
    plan_epoch,
)
from sweep.training.lanes.stacked_model import StackedModel
from sweep.training.lanes.survey import Survey, survey

_KERNELS: dict[Kernel, str] = {
    "native": "by a C program made for the model",
    "eager": "by stacked torch operations, which may be compiled once that pays",
    "compiled": "by stacked torch operations, compiled",
    "captured": "by stacked torch operations, a step of which is recorded and replayed",
}


class VectorizedEngine:
    """Trains its trials together, each by its own schedule and from its own epoch on.

    Args:
        data: The rows.
        build_model: Builds the model, with the initial weights of a seed.
        settings: What all trials share.
        lanes: How many trials it asks for; by default what suits model, batch and processor.
        known: What a survey of the model has shown, if there has been one.
        kernel: What does the work: `eager` torch operations or `compiled` ones for any model, a
            `native` program for a chain of layers on a CPU; by default the native one if it is
            possible, else eager ones that are compiled when that pays.
        compiling: In which torch's compilers are called.
        most: The most trials that it will be given at once, if that is known.
        measured: Whether the lanes that suit a GPU are found by measuring its speed.

    Raises:
        TrainingError: The model cannot be stacked, or the kernel that was asked for is impossible.
    """

    def __init__(
        self,
        data: TrainingData,
        build_model: ModelBuilder,
        settings: TrainingSettings,
        *,
        lanes: int | None = None,
        known: Survey | None = None,
        kernel: Literal["auto"] | Kernel = "auto",
        compiling: Context = nullcontext,
        most: int | None = None,
        measured: bool = True,
    ) -> None:
        self._criterion = Criterion.of(settings, data)
        known = known or survey(build_model, data.x_train, data.y_train, self._criterion)
        if known.reason:
            raise TrainingError(f"the model cannot be trained as lanes: {known.reason}")
        self.notes: list[str] = []
        self._data = data
        self._build_model = build_model
        self._settings = settings
        self._steps = settings.steps_per_epoch(len(data.x_train))
        self._dropout_calls = known.dropout_calls
        self._changing = known.changing
        self._stacked = StackedModel(
            build_model(0).to(data.x_train.device),
            self._criterion,
            settings.precision,
            known.folded,
        )
        self._trainer, self.kernel = choose_trainer(
            data, settings, build_model, self._stacked, known, kernel, self.notes.append, compiling
        )
        if not lanes and measured and self.kernel == "captured" and data.x_train.is_cuda:
            lanes = measured_lanes(data, settings, build_model, self._stacked, known, most)
        products = self._trainer.products if isinstance(self._trainer, NativeTrainer) else 0
        self.lanes = lanes or default_lanes(data, settings, known, self.kernel, products)
        self.description = f"vectorized: many trials at once, {_KERNELS[self.kernel]}"
        self._stack: LaneStack | None = None
        self._lanes: dict[int, Lane] = {}
        self._group = 1 << 30  # lanes that memory suffices for
        captured = self.kernel == "captured"
        self._ahead = OrdersAhead(len(data.x_train), data.x_train.device) if captured else None

    def add(self, spec: TrialSpec) -> None:
        """Take a trial in; it starts with the next epoch."""
        device = self._data.x_train.device
        rates = LaneRates(spec.schedule, spec.epochs or self._settings.epochs, self._steps)
        name = spec.optimizer.name
        if self._stack is None or (not len(self._stack) and name != self._stack.optimizer):
            self._stack = LaneStack(self._stacked, name, self.lanes, device, self._changing)
        if name != self._stack.optimizer:
            raise TrainingError(
                f"all lanes must have the same optimizer, but got {name!r} beside "
                f"{self._stack.optimizer!r}"
            )
        slot = self._stack.add(self._build_model(spec.seed))
        self._lanes[spec.number] = Lane(spec, rates, slot)

    def expect(self, epochs: int) -> None:
        """Say how many epochs of single trials are still to be trained, to decide on compiling."""
        if isinstance(self._trainer, CompilingTrainer):
            self._trainer.expect(epochs)

    def remove(self, number: int) -> None:
        """Let a trial go, finished or not."""
        gone = self._lanes.pop(number, None)
        if gone is None or self._stack is None:
            return
        self._stack.remove(gone.slot)
        for lane in self._lanes.values():
            if lane.slot == len(self._stack):
                lane.slot = gone.slot

    def weights(self, number: int) -> dict[str, Tensor]:
        """The product of a trial that is still here: the weights that the objective asks for."""
        assert self._stack is not None
        lane = self._lanes[number]
        best = self._settings.objective != "final" and lane.best_loss < float("inf")
        return self._stack.state_dict(lane.slot, best)

    def train_epoch(self) -> list[TrialNews]:
        """Train every trial for one epoch of its own; the order is that of `add`."""
        in_stack = sorted(self._lanes.values(), key=lambda lane: lane.slot)
        group = min(self._trainer.group(), self._group)
        results: dict[int, TrialNews] = {}
        for first in range(0, len(in_stack), group):
            lanes = in_stack[first : first + group]
            try:
                answers: Sequence[TrialNews] = self._train(lanes)
            except Exception as error:
                answers = [TrialError.of(lane.spec.number, lane.epoch + 1, error) for lane in lanes]
            results |= {answer.number: answer for answer in answers}
        if self._ahead:
            self._ahead.keep(in_stack)
        ordered = [results[number] for number in self._lanes]
        for answer in ordered:
            if isinstance(answer, TrialError):
                self.remove(answer.number)
        return ordered

    def _train(self, lanes: list[Lane]) -> list[EpochResult]:
        """Train neighbours in the stack for an epoch."""
        assert self._stack is not None
        started = time.perf_counter()
        rows = len(self._data.x_train)
        plan = plan_epoch(lanes, rows, self._dropout_calls, self._steps, self._ahead)
        sums = self._sums(plan)
        if self._ahead:
            self._ahead.prepare(lanes)  # while a GPU is at work
        training, grad_norm, *means = sums.cpu().numpy()
        training *= self._criterion.training_scale / rows
        scales = self._criterion.scales
        for mean, scale in zip(means, 2 * scales, strict=True):
            mean /= len(self._data.y_validation)
            mean *= scale  # as the sequential engine rounds
        grad_norm /= self._steps
        raw = [self._criterion.told(own) for own in np.stack(means[: len(scales)], 1).tolist()]
        averaged = [self._criterion.told(own) for own in np.stack(means[len(scales) :], 1).tolist()]
        self._end_epoch(lanes, [told.loss for told in raw])
        self._keep_best(lanes, averaged if self._settings.objective == "averaged" else raw)
        seconds = (time.perf_counter() - started) / len(lanes)
        return [
            EpochResult(
                number=lane.spec.number,
                epoch=lane.epoch,
                value=raw[i].value,
                averaged=averaged[i].value,
                training=float(training[i]),
                lr_first=float(plan.rates[0, i]),
                lr_last=float(plan.rates[-1, i]),
                grad_norm=float(grad_norm[i]),
                seconds=seconds,
                metrics=raw[i].beside(averaged[i], self._settings.objective),
            )
            for i, lane in enumerate(lanes)
        ]

    def _sums(self, plan: EpochPlan) -> Tensor:
        """Train an epoch, and validate; what comes of it, (2 + 2 * sums, lanes) float64.

        Those are the losses of all rows, the gradients' norms of all steps, and what the criterion
        sums over validation rows with the weights and with their averages. Where memory does not
        suffice, there are half as many lanes at once from then on, and none has lost anything.
        """
        assert self._stack is not None
        if len(plan.course) > self._group:
            return torch.cat([self._sums(part) for part in plan.parts(self._group)], dim=1)
        changed = self._stack.tensors.rows(plan.lanes).all()
        before = [tensor.clone() for tensor in changed]
        try:
            loss_sums, norms = self._trainer.train(self._stack, plan)
            validated = (own for half in self._validate(plan.lanes) for own in half)
            return torch.stack([each.double() for each in (loss_sums, norms, *validated)])
        except torch.OutOfMemoryError:
            if len(plan.course) == 1:
                raise
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)
        del before
        self._group = 1 << ((len(plan.course) - 1).bit_length() - 1)
        self._trainer.forget()
        if self._data.x_train.is_cuda:
            torch.cuda.empty_cache()
        self.notes.append(
            f"memory did not suffice for {len(plan.course)} trials at once: there are "
            f"{counted(self._group, 'trial')} from now on"
        )
        return self._sums(plan)

    def _validate(self, lanes: slice) -> tuple[Tensor, Tensor]:
        """The sums over validation rows of weights and of their averages, both (sums, lanes)."""
        assert self._stack is not None
        raw = self._trainer.validate(self._stack, lanes, averaged=False)
        if self._steps == 1:  # the averages are the weights
            return raw, raw
        return raw, self._trainer.validate(self._stack, lanes, averaged=True)

    def _end_epoch(self, lanes: list[Lane], losses: list[float]) -> None:
        """Count the epoch, and tell the schedules."""
        for lane, loss in zip(lanes, losses, strict=True):
            lane.epoch += 1
            lane.rates.report(loss)

    def _keep_best(self, lanes: list[Lane], told: list[Told]) -> None:
        """Keep what the objective asks for of lanes whose metric is their best so far."""
        assert self._stack is not None
        improved: list[int] = []
        for lane, each in zip(lanes, told, strict=True):
            loss = self._settings.measure.loss(each.value)
            if loss < lane.best_loss:
                lane.best_loss = loss
                improved.append(lane.slot)
        if improved:
            self._stack.keep_best(improved, self._settings.objective == "averaged")
