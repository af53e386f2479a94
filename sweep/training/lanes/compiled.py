"""Lanes trained by torch's own operations, which are compiled into one where that pays."""

from __future__ import annotations

import os
import tempfile
import time
import timeit
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from sweep.training.contract import Context, TrainingData, TrainingSettings
from sweep.training.lanes.eager import EagerTrainer
from sweep.training.lanes.native.program_cache import made_cache_folder
from sweep.training.lanes.stack import EpochPlan, LaneStack
from sweep.training.lanes.stacked_model import Constants, StackedModel

_PAYS_SECS = 90.0
"""Compiling takes 10 to 30 s and halves the time of what is left, so less is not worth it."""


class CompilingTrainer(EagerTrainer):
    """Begins with single operations; compiles the step for its shapes once that pays.

    Other shapes, of the last batch and of the last lanes, go on with single operations, and so do
    all where the compiled step turns out to be no faster.

    Args:
        data: The rows.
        settings: What all trials share.
        stacked: The model's structure.
        floats_per_row: Numbers that a row's forward pass leaves for the backward pass.
        note: Told when compiling fails.
        compiling: In which torch's compilers are called.
        at_once: Compile with the first step, whatever it costs.
    """

    def __init__(
        self,
        data: TrainingData,
        settings: TrainingSettings,
        stacked: StackedModel,
        floats_per_row: int,
        note: Callable[[str], None],
        compiling: Context = nullcontext,
        at_once: bool = False,
    ) -> None:
        super().__init__(data, settings, stacked, floats_per_row)
        self._note = note
        self._compiling = compiling
        self._wanted = self._at_once = at_once
        self._tried = False
        self._expected = 0
        self._step: Callable[..., tuple[Tensor, Tensor]] | None = None
        self._shapes: tuple[torch.Size, int] | None = None  # of the lanes; rows

    def expect(self, epochs: int) -> None:
        """Say how many epochs of single lanes are still to be trained."""
        self._expected = epochs

    def train(self, stack: LaneStack, plan: EpochPlan) -> tuple[Tensor, Tensor]:
        """Train lanes for an epoch."""
        started = time.perf_counter()
        sums = super().train(stack, plan)
        lanes = len(plan.course)
        self._expected -= lanes
        if not self._tried:
            epoch_secs = (time.perf_counter() - started) / lanes
            self._wanted = self._wanted or epoch_secs * self._expected > _PAYS_SECS
        return sums

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
        rows = len(x) if shared else x.shape[1]
        wanted = self._wanted and not self._tried
        if not wanted and (self._step is None or self._shapes != (parameters.shape, rows)):
            return super()._gradients(parameters, constants, x, y, keys, shared=shared)
        each = _each(len(parameters), x, y, keys) if shared else (x, y, keys)
        if wanted:
            return self._compile(parameters, constants, *each)
        assert self._step is not None
        return self._step(parameters, constants, *each)

    def _compile(
        self, parameters: Tensor, constants: Constants, x: Tensor, y: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compile for these shapes, and compare; the gradients of these values."""
        self._tried = True
        _keep_to_ourselves()
        copies = {name: tensor.clone() for name, tensor in constants.items()}
        expected = super()._gradients(parameters, constants, x, y, keys, shared=False)
        step = torch.compile(self._whole_step, dynamic=False, fullgraph=True)
        try:
            with self._compiling(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                losses, gradients = step(parameters, copies, x, y, keys)
        except Exception as error:  # of any of torch's compilers, or of the system's
            first_line = str(error).strip().split("\n")[0][:200]
            self._note(f"training goes on uncompiled: {type(error).__name__}: {first_line}")
            return expected
        # lanes that diverge may do so differently
        scale = expected[1].abs().amax(1, keepdim=True)
        off = (gradients - expected[1]).abs()
        close = (off <= 1e-4 * expected[1].abs() + 1e-5 * scale).all(1)
        close &= torch.isclose(losses.reshape(-1), expected[0].reshape(-1), rtol=1e-4)
        for name, tensor in constants.items():
            own = torch.isclose(copies[name].double(), tensor.double(), rtol=1e-4, atol=1e-5)
            close &= own.reshape(len(own), -1).all(1)
        if not close[expected[1].isfinite().all(1)].all():
            self._note("training goes on uncompiled: compiled results differ")
        elif self._at_once or self._pays(step, parameters, copies, x, y, keys):
            self._step, self._shapes = step, (parameters.shape, x.shape[1])
        return expected

    def _pays(self, step: Callable[..., object], *values: Any) -> bool:
        """Whether the compiled step takes less time than single operations.

        Args:
            step: The compiled one.
            values: What it is called with; constants among them may be changed.
        """
        single = partial(super()._gradients, shared=False)
        secs = [min(timeit.repeat(partial(each, *values), number=1)) for each in (step, single)]
        return secs[0] < secs[1]

    def _whole_step(
        self, parameters: Tensor, constants: Constants, x: Tensor, y: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Losses and gradients; all arguments have an axis of lanes."""
        mapped = vmap(grad_and_value(self._stacked.loss))
        gradients, losses = mapped(parameters, constants, x, y, keys)
        return losses, gradients


def _keep_to_ourselves() -> None:
    """Have torch's compilers keep what they make where this user alone can write.

    Their own default is a folder of a predictable name in the system's temporary folder.
    """
    if "TORCHINDUCTOR_CACHE_DIR" in os.environ:
        return
    try:
        folder, reason = made_cache_folder()
    except (OSError, RuntimeError) as problem:
        folder, reason = Path(), str(problem)
    kept = tempfile.mkdtemp(prefix="sweep-") if reason else str(folder / "torch")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = kept


def _each(lanes: int, *shared: Tensor) -> tuple[Tensor, ...]:
    """What is the same for all lanes, copied for each, so that one shape is compiled."""
    return tuple(tensor.expand(lanes, *tensor.shape).contiguous() for tensor in shared)
