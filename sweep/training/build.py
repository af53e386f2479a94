"""From a study's data and settings to an engine that is ready to train."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

from sweep.base.errors import InputError, ModelError, ScheduleError
from sweep.data.dataset import Dataset
from sweep.schedules.checks import impossible_step
from sweep.schedules.schedule import Schedule
from sweep.study.sections import ModelConfig
from sweep.study.training.optimizer import BatchSize
from sweep.training.contract import (
    Context,
    Engine,
    EngineName,
    LoopSettings,
    TrainingData,
    TrainingSettings,
)
from sweep.training.criterion import Criterion
from sweep.training.examine.ids import check_ids
from sweep.training.examine.inputs import input_notes
from sweep.training.examine.pairs import pair_notes
from sweep.training.examine.unregistered import check_registered
from sweep.training.generators import seeded
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.lanes.grouped import GroupedEngine
from sweep.training.lanes.survey import survey
from sweep.training.models import (
    CHECKED_ROWS,
    build_model,
    check_model,
    copied,
    lacks,
    predict,
    set_products_of,
)
from sweep.training.own_functions.augmentation import Augmentation
from sweep.training.own_loop.engine import LoopEngine
from sweep.training.own_loop.loading import load_loop
from sweep.training.sequential import SequentialEngine
from sweep.training.specs import LaneKind
from sweep.training.workers.devices import named_devices

_SCORED_ROWS = 1024
"""Validation rows that a metric of the user's own is tried on."""


def resolve_device(name: str) -> torch.device:
    """A device by name, of several the first; `auto` is a CUDA device if there is one, or the CPU.

    Raises:
        InputError: There is no such device here.
    """
    if name == "auto" and torch.cuda.is_available():
        name = "cuda"
    (first, *_) = named_devices(name, torch.cuda.device_count() if name != "auto" else 0)
    return torch.device("cpu" if first == "auto" else first)


def training_data(data: Dataset, device: torch.device) -> TrainingData:
    """The training and validation rows on the device."""
    return TrainingData(
        x_train=torch.from_numpy(data.x_train).to(device),
        y_train=torch.from_numpy(data.y_train).to(device),
        x_validation=torch.from_numpy(data.x_validation).to(device),
        y_validation=torch.from_numpy(data.y_validation).to(device),
        target_scale=data.target_scale,
        target_mean=data.target_mean,
        constant=data.constant,
        classes=len(data.classes),
    )


def checked_model(
    data: Dataset,
    model: ModelConfig,
    folders: tuple[Path, ...],
    settings: TrainingSettings,
    kinds: Sequence[LaneKind] = (),
) -> tuple[TrainingData, Criterion, Callable[[int], nn.Module], nn.Module]:
    """The rows, what is minimised, how a model is built from a seed, and a first one.

    A trial step has then shown that it can be trained.

    Args:
        data: The prepared data.
        model: The model's settings.
        folders: Where the user's own modules are.
        settings: What all trials share.
        kinds: The optimizers and batch sizes that trials may have, where they are searched.

    Raises:
        ModelError: The model cannot be built, called or trained.
        InputError: The device is not there, or a function of the user's own fails.
    """
    tensors = training_data(data, resolve_device(settings.device))
    row = tuple(tensors.x_train.shape[1:])
    criterion = Criterion.of(settings, tensors)

    def build(seed: int) -> nn.Module:
        return build_model(model, row, seed, folders, criterion.count)

    first = build(0).to(tensors.x_train.device)
    sizes = dict.fromkeys(kind.batch_size for kind in kinds) or [None]
    check_training(first, tensors, settings, criterion, sizes)
    return tensors, criterion, build, first


def build_engine(
    data: Dataset,
    model: ModelConfig,
    folders: tuple[Path, ...],
    settings: TrainingSettings,
    engine: EngineName = "auto",
    lanes: int | None = None,
    compiling: Context = nullcontext,
    kinds: Sequence[LaneKind] = (),
    most: int | None = None,
    measured: bool = True,
) -> Engine:
    """An engine for the study's model, once a trial step has shown that it can be trained.

    Args:
        data: The prepared data.
        model: The model's settings.
        folders: Where the user's own modules are.
        settings: What all trials share.
        engine: Which one; `auto` is the vectorised one if the model can be stacked, else the
            sequential one, whose `notes` then say why.
        lanes: How many trials the vectorised one trains at once; by default what suits it.
        compiling: In which torch's compilers are called.
        kinds: The optimizers and batch sizes that trials may have, where they are searched.
        most: The most trials that it will be given at once, if that is known.
        measured: Whether the lanes that suit a GPU are found by measuring its speed.

    Raises:
        ModelError: The model cannot be built, called or trained.
        InputError: The device is not there, or the model cannot be trained by the engine.
    """
    set_products_of(settings.precision)
    tensors, criterion, build, first = checked_model(data, model, folders, settings, kinds)
    notes = [*filter(None, [lacks(settings.precision, tensors.x_train.device)])]
    if lanes and engine == "sequential":
        notes.append(f"lanes = {lanes} does nothing with the sequential engine")
    notes += input_notes(first, tensors.x_train, tensors.constant, criterion.outputs)
    notes += pair_notes(first, tensors, criterion)
    known = None
    if engine != "sequential":
        known = survey(build, tensors.x_train, tensors.y_train, criterion)
        if known.reason and engine == "vectorized":
            raise InputError(f"the vectorized engine cannot train this model: {known.reason}")
        if known.reason:
            notes = [*notes, f"trials are trained one by one, since {known.reason}"]

    def build_for(size: BatchSize | None) -> Engine:
        own = settings.with_batches_of(size)
        if known is None or known.reason:
            return SequentialEngine(tensors, build, own)
        return VectorizedEngine(
            *(tensors, build, own),
            lanes=lanes,
            known=known,
            compiling=compiling,
            most=most,
            measured=measured,
        )

    built: Engine
    if len(kinds) > 1:
        built = GroupedEngine(lambda kind: build_for(kind.batch_size), kinds[0])
    else:
        built = build_for(None)
    built.notes += notes
    return built


def build_loop_engine(settings: LoopSettings, folders: tuple[Path, ...]) -> Engine:
    """An engine for a training loop of the user's own.

    Args:
        settings: What all trials share.
        folders: Where the user's own modules are.

    Raises:
        InputError: The loop cannot be imported or called, or the device is not there.
    """
    device = resolve_device(settings.device)
    return LoopEngine(load_loop(settings, folders, device), settings)


def check_training(
    model: nn.Module,
    data: TrainingData,
    settings: TrainingSettings,
    criterion: Criterion,
    sizes: Iterable[BatchSize | None] = (None,),
) -> None:
    """Try all that trials will do with a model, and with functions of the user's own.

    Args:
        model: The model, on the device of the data.
        data: The rows.
        settings: What all trials share.
        criterion: What they are trained by.
        sizes: Their batch sizes; None for that of the settings.

    Raises:
        ModelError: The model cannot be called or trained.
        InputError: The metric or the augmentation of the user's own fails.
    """
    if augment := Augmentation.of(settings):
        augment.check(data.x_train[:CHECKED_ROWS])
    check_ids(copied(model, type(model).__name__), (data.x_train, data.x_validation))
    check_model(model, data.x_train, data.y_train, criterion, data.constant)
    check_registered(copied(model, type(model).__name__), data.x_train[:CHECKED_ROWS])
    for size in sizes:
        check_last_batch(model, data, settings.with_batches_of(size))
    probe = copied(model, type(model).__name__).eval()
    with seeded(0, data.x_train.device), torch.no_grad():
        every = -(-len(data.y_validation) // _SCORED_ROWS)  # rows may be sorted by their class
        x, y = data.x_validation[::every], data.y_validation[::every]
        criterion.check_metric(predict(probe, x, criterion.outputs), y)


def check_last_batch(model: nn.Module, data: TrainingData, settings: TrainingSettings) -> None:
    """A layer may object to the few rows that the last batch of an epoch has.

    Raises:
        ModelError: One does, such as batch norm to a single row.
    """
    rows = len(data.x_train)
    last = rows % (settings.batch_size or rows) or min(settings.batch_size or rows, rows)
    criterion = Criterion.of(settings, data)
    try:
        check_model(model, data.x_train[:last], data.y_train[:last], criterion)
    except ModelError as problem:
        raise ModelError(
            f"{problem} (the last batch of an epoch has {last} of the {rows} training rows; "
            "change optimizer.batch_size if that is too few)"
        ) from None


def check_schedule(schedule: Schedule, total_steps: int) -> None:
    """Try a schedule of the user's own over the study's horizon.

    Raises:
        ScheduleError: Its factory cannot be imported or called, or gives rates that no step can
            be taken with.
    """
    rates = schedule.rates(total_steps)
    wrong = impossible_step(rates)
    if wrong is not None:
        raise ScheduleError(
            f"{schedule.factory}: gives the rate {rates[wrong]:g} at step {wrong}; expected "
            "a finite rate of at least 0"
        )
