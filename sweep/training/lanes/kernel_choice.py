"""What does an engine's work: the fastest trainer that a model, a device and a machine allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch

from sweep.base.errors import TrainingError
from sweep.schedules.schedule import Schedule
from sweep.training.contract import (
    Context,
    ModelBuilder,
    OptimizerSettings,
    TrainingData,
    TrainingSettings,
    TrialSpec,
)
from sweep.training.criterion import Criterion
from sweep.training.lanes.captured import CapturedTrainer, CudaGraphs, run_again
from sweep.training.lanes.compiled import CompilingTrainer
from sweep.training.lanes.eager import EagerTrainer, LaneTrainer
from sweep.training.lanes.native.chain import chain_of
from sweep.training.lanes.native.layers import (
    Convolution,
    Embedding,
    Layer,
    Linear,
    fewest_rows,
    flattened,
)
from sweep.training.lanes.native.passes import Passes
from sweep.training.lanes.native.trainer import (
    GREATEST_TABLE,
    GREATEST_WIDTH,
    MOST_FLOATS,
    MOST_TOGETHER,
    NativeTrainer,
)
from sweep.training.lanes.stack import Lane, LaneRates, LaneStack, plan_epoch
from sweep.training.lanes.stacked_model import StackedModel
from sweep.training.lanes.survey import Survey
from sweep.training.models import CHECKED_ROWS

Kernel = Literal["eager", "compiled", "native", "captured"]


def choose_trainer(
    data: TrainingData,
    settings: TrainingSettings,
    build_model: ModelBuilder,
    stacked: StackedModel,
    known: Survey,
    kernel: Literal["auto"] | Kernel,
    note: Callable[[str], None],
    compiling: Context,
) -> tuple[LaneTrainer, Kernel]:
    """A trainer, and what it is called.

    Args:
        data: The rows.
        settings: What all trials share.
        build_model: Builds the model.
        stacked: The model's structure.
        known: What a survey of the model has shown.
        kernel: Which one; `auto` for the fastest that is possible.
        note: Told why a faster one is not possible, if that can be helped.
        compiling: In which torch's compilers are called.

    Raises:
        TrainingError: The one that was asked for is not possible.
    """
    given = (data, settings, stacked, known.floats_per_row)
    if kernel == "eager":
        return EagerTrainer(*given), "eager"
    device = data.x_train.device
    if kernel == "captured" or (kernel == "auto" and device.type == "cuda"):
        graphs = CudaGraphs(device) if device.type == "cuda" else run_again
        return CapturedTrainer(*given, graphs, note), "captured"
    compiled = CompilingTrainer(*given, note, compiling, kernel == "compiled")
    if kernel == "compiled":
        return compiled, "compiled"
    layers = None
    x, criterion = data.x_train, stacked.criterion
    plain = bool(criterion.loss.c_row) and not settings.augment
    plain = plain and settings.precision != "bf16"
    if device.type == "cpu" and plain and _is_of_rows(data, criterion):
        layers = chain_of(build_model(0), x.shape[1:], criterion.count)
        batch = min(settings.batch_size or len(x), len(x))
        if layers is not None and not (
            _is_small(layers, x.shape[1:], batch)
            and _has_rows(layers, len(x), batch)
            and _takes(layers[0], data)
        ):
            layers = None
    try:
        if layers is None:
            raise TrainingError(
                "the model is no plain chain of layers of at most "
                f"{GREATEST_WIDTH} numbers, with a known loss, on a CPU"
            )
        native = NativeTrainer(data, settings, layers, criterion)
        with native.first_use():
            _check_native(data, settings, build_model, stacked, layers, known)
    except TrainingError as error:
        if kernel == "native":
            raise
        if layers is not None:
            note(f"training is slower than it could be: {error}")
        return compiled, "eager"
    if native.note:
        note(native.note)
    return native, "native"


def _is_of_rows(data: TrainingData, criterion: Criterion) -> bool:
    """Whether a row has one prediction, or one axis of them."""
    return data.y_train.dim() <= (1 if criterion.loss.is_of_classes else 2)


def _takes(first: Layer, data: TrainingData) -> bool:
    """Whether the inputs are what the first layer is for; torch tells of ids that are too great."""
    for x in (data.x_train, data.x_validation):
        if not isinstance(first, Embedding):
            if x.dtype != torch.float32:
                return False
        elif x.dtype != torch.int64 or x.min() < 0 or x.max() >= first.ids:
            return False
    return True


def _has_rows(layers: list[Layer], rows: int, batch: int) -> bool:
    """Whether no batch, nor one of the comparison, has too few rows, of which torch tells."""
    fewest = fewest_rows(layers)
    return fewest == 1 or (rows >= 2 * fewest and (rows % batch or batch) >= fewest)


def _is_small(layers: list[Layer], shape: torch.Size, batch: int) -> bool:
    """Whether a program is faster than torch's products, which gain from large ones."""
    products = [each for each in flattened(layers) if isinstance(each, Linear | Convolution)]
    is_narrow = max(each.outputs for each in products) <= GREATEST_WIDTH
    tables = [each.ids * each.width for each in layers if isinstance(each, Embedding)]
    if max(tables, default=0) > GREATEST_TABLE:
        return False
    passes = Passes(layers, shape, batch)
    together = passes.block * passes.activations
    return is_narrow and passes.activations <= MOST_FLOATS and together <= MOST_TOGETHER


def _check_native(
    data: TrainingData,
    settings: TrainingSettings,
    build_model: ModelBuilder,
    stacked: StackedModel,
    layers: list[Layer],
    known: Survey,
) -> None:
    """Compare a short epoch with torch's: compilers differ, and so do processors.

    Raises:
        TrainingError: The results differ.
    """
    every = len(data.x_train)
    greatest = min(settings.batch_size or every, every)
    rows = min(3 * CHECKED_ROWS, every)
    batch = min(2 * rows // 3 or 1, greatest)
    if 0 < rows % batch < fewest_rows(layers):
        rows -= rows % batch
    few = TrainingData(
        data.x_train[:rows],
        data.y_train[:rows],
        data.x_validation[:rows],
        data.y_validation[:rows],
        1.0,
        classes=data.classes,
    )
    short = replace(settings, epochs=1, batch_size=batch)
    spec = TrialSpec(0, 0, Schedule("constant", 1e-3), OptimizerSettings())
    outcomes = []
    for trainer in (
        NativeTrainer(few, short, layers, stacked.criterion, greatest),
        EagerTrainer(few, short, stacked, known.floats_per_row),
    ):
        stack = LaneStack(stacked, "sgd", 1, few.x_train.device)
        slot = stack.add(build_model(spec.seed))
        steps = short.steps_per_epoch(rows)
        one = Lane(spec, LaneRates(spec.schedule, 1, steps), slot)
        plan = plan_epoch([one], rows, known.dropout_calls, steps)
        lane = stack.tensors
        before = lane.parameters.clone()
        sums = [*trainer.train(stack, plan), *trainer.validate(stack, plan.lanes, averaged=False)]
        changes = (lane.parameters - before, lane.averages - before)
        statistics = [tensor.double() for tensor in lane.constants.values()]
        outcomes.append((*changes, *statistics, torch.stack([s.double() for s in sums])))
    rounding = 2 * torch.finfo(before.dtype).eps * before.abs().max().item()
    for ours, torchs in zip(*outcomes, strict=True):
        atol = 1e-3 * torchs.abs().max().item() + rounding
        if not torch.allclose(ours, torchs, rtol=1e-3, atol=atol):
            raise TrainingError("the compiled program's results differ from torch's")
