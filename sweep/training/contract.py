"""The contract of everything that trains trials."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sweep.base.errors import SweepError
from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric
from sweep.study.registries.losses import called
from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.study.sections import Objective
from sweep.study.settings import StudyConfig
from sweep.study.space import Value
from sweep.study.training.optimizer import BatchSize
from sweep.study.training.settings import Precision
from sweep.training.own_functions.loading import raised_in
from sweep.training.own_loop.by_value import pickled

if TYPE_CHECKING:  # a coordinator imports this module, and has no need of torch
    from torch import Tensor, nn

VALIDATION_CHUNK = 65_536
"""Rows predicted at once in validation, so that memory stays bounded."""

_TRACEBACK_CHARACTERS = 8_000
"""The end of a longer traceback tells what is wrong."""


@dataclass(frozen=True, init=False)
class OptimizerSettings:
    """An optimizer without its rate: its name, and arguments of torch's class.

    Raises:
        ValueError: It has no such argument, or arguments do not go together.
    """

    name: str
    _arguments: tuple[tuple[str, Any], ...]

    def __init__(self, name: str = "sgd", **arguments: Any) -> None:
        object.__setattr__(self, "name", name)
        complete = OPTIMIZERS[name].arguments(arguments)
        object.__setattr__(self, "_arguments", tuple(complete.items()))

    @property
    def arguments(self) -> dict[str, Any]:
        """All of them; those that were not given are torch's defaults."""
        return dict(self._arguments)


@dataclass(frozen=True)
class TrialSpec:
    """Everything that a trial's course depends on, beside the study's data and settings.

    Args:
        number: The trial's number in its study.
        seed: What its weights, order of rows and dropout masks derive from.
        schedule: The course of its learning rate.
        optimizer: What takes its steps.
        params: Numbers and words of the user's own that are searched beside the schedule, by name.
        name: What its folder is called, where it is no trial of the search; else it is the number.
        epochs: Its horizon in epochs, the whole schedule's; the study's if left out.
        batch_size: Rows a step of its own; `full` for all of them, the study's if left out.
    """

    number: int
    seed: int
    schedule: Schedule
    optimizer: OptimizerSettings
    params: Mapping[str, Value] = field(default_factory=dict)
    name: str = ""
    epochs: int | None = None
    batch_size: BatchSize | None = None


@dataclass(frozen=True)
class EpochResult:
    """One trial's epoch.

    Args:
        number: The trial's.
        epoch: From 1.
        value: The study's metric after the epoch: the validation MSE, in squared target units,
            unless another one was asked for. From a loop of the user's own, as it was yielded.
        averaged: The same of the averaged weights (training/averaging.py), with the model's own
            buffers. This, and what follows but the number of seconds, is None where a loop of the
            user's own does not tell.
        training: Mean loss over the epoch's rows as they were trained on (dropout on, weights
            in motion), of the MSE in squared target units.
        lr_first: The rate that the epoch's first step was taken with.
        lr_last: The rate that its last step was taken with.
        grad_norm: Mean over the epoch's steps of the gradient's L2 norm before clipping; the
            gradient is that of the loss on the standardised target.
        seconds: Wall time of the epoch, validation included.
        total_steps: Optimizer steps of the whole trial, as a loop of the user's own told `attach`.
        metrics: What is told beside these, by name: the accuracy where targets are classes, and
            whatever a loop of the user's own tells.
        steps: Optimizer steps that were taken in the epoch, where they can be seen in code of the
            user's own.
        advice: What is wrong with the steps and rates of a loop of the user's own, as far as can
            be seen by this epoch, a sentence each.
    """

    number: int
    epoch: int
    value: float
    averaged: float | None
    training: float | None
    lr_first: float
    lr_last: float
    grad_norm: float | None
    seconds: float
    total_steps: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    steps: int | None = None
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrialEnd:
    """One trial has ended before its last epoch, as the user's own code wanted; it has left.

    Args:
        number: The trial's.
        epoch: The last one that was told, from 1; 0 if none was.
        ending: What has become of it: training that stops early, of itself, has completed.
        reason: Why it was pruned or diverged; empty for a completed one.
    """

    number: int
    epoch: int
    ending: Literal["completed", "pruned", "diverged"]
    reason: str = ""


@dataclass(frozen=True)
class TrialError:
    """One trial raised; it has left the engine.

    Args:
        number: The trial's.
        epoch: The epoch it was in, from 1.
        error: The exception's type and text.
        traceback: From where the sweep called the user's code, as Python prints it.
    """

    number: int
    epoch: int
    error: str
    traceback: str = field(default="", compare=False)

    @classmethod
    def of(cls, number: int, epoch: int, error: Exception, text: str = "") -> TrialError:
        """That of an exception that is being handled; `text` is told in the place of its own.

        What this package says in a sentence has no traceback of its own files beside it.
        """
        trace = error.__traceback__
        own = str(Path(__file__).parents[1])
        while trace and trace.tb_next and trace.tb_frame.f_code.co_filename.startswith(own):
            trace = trace.tb_next
        is_own = trace is not None and trace.tb_frame.f_code.co_filename.startswith(own)
        is_told = is_own and isinstance(error, SweepError)
        lines = [] if is_told else traceback.format_exception(type(error), error, trace)
        named = f"{whose}: " if (whose := raised_in(error)) else ""
        told = text or f"{named}{type(error).__name__}: {error}"
        return cls(number, epoch, told, "".join(lines)[-_TRACEBACK_CHARACTERS:])


@dataclass(frozen=True)
class TrainingSettings:
    """What all trials of a study share.

    Args:
        epochs: Passes over the training rows.
        batch_size: Rows a step; None for all of them.
        clip: The gradient's greatest L2 norm; None for no clipping.
        objective: Which weights are a trial's product: those of the `best` or the `final` epoch,
            or the `averaged` ones of the epoch in which they are best.
        device: A torch device.
        loss: What is minimised, by its name in the registry, or `module:function`.
        metric: What trials are compared by: `val_` and the name of a loss or a score; None for the
            loss.
        precision: Of a model's matrix products and convolutions.
        scored_by: The function of the user's own that the metric is, `module:function`; empty if it
            is built in, or the loss.
        augment: A function of the user's own that batches go through in training, likewise.
        folders: Where functions of the user's own are looked for, in this order.
    """

    epochs: int
    batch_size: int | None = 64
    clip: float | None = None
    objective: Objective = "best"
    device: str = "cpu"
    loss: str = "mse"
    metric: Metric | None = None
    precision: Precision = "highest"
    scored_by: str = ""
    augment: str = ""
    folders: tuple[Path, ...] = ()

    @property
    def measure(self) -> Metric:
        """What trials are compared by."""
        return self.metric or Metric(f"val_{called(self.loss)}")

    @classmethod
    def of(cls, config: StudyConfig, folders: tuple[Path, ...] = ()) -> TrainingSettings:
        """Those of a study, with the first of its batch sizes; its own functions in `folders`."""
        settings = cls(
            epochs=config.epochs,
            clip=config.optimizer.clip,
            objective=config.objective,
            device=config.device,
            loss=config.training.loss,
            metric=config.measure,
            precision=config.training.precision,
            scored_by=config.metric if ":" in config.metric else "",
            augment=config.data.augment or "",
            folders=folders,
        )
        return settings.with_batches_of(config.optimizer.batch_sizes[0])

    def with_batches_of(self, size: BatchSize | None) -> TrainingSettings:
        """The same for trials whose steps have so many rows, if that is given."""
        if size is None:
            return self
        return replace(self, batch_size=None if size == "full" else size)

    def over(self, epochs: int | None) -> TrainingSettings:
        """The same for a trial of another horizon in epochs, if one is given."""
        return self if epochs is None else replace(self, epochs=epochs)

    def steps_per_epoch(self, rows: int) -> int:
        """Optimizer steps in one pass over `rows` training rows; the last may be smaller."""
        return -(-rows // (self.batch_size or rows))

    def horizon(self, rows: int) -> int:
        """Optimizer steps of a whole trial."""
        return self.epochs * self.steps_per_epoch(rows)


def steps_over(epochs: int, horizon: int | None, every: int | None, whole: int) -> int | None:
    """The horizon in optimizer steps of a trial that is shorter than the study's.

    Args:
        epochs: The trial's: its evaluations, where training is counted in steps.
        horizon: Optimizer steps of a whole trial; None where they are not counted.
        every: Those between two evaluations, where the study says them.
        whole: Epochs of a whole trial.
    """
    if horizon is None:
        return None
    return min(horizon, epochs * every if every else math.ceil(horizon * epochs / whole))


@dataclass(frozen=True)
class LoopSettings:
    """What all trials of a study share where the training loop is the user's own.

    Args:
        reference: `module:function`, or `path/to/file.py:function`.
        metric: What the loop yields.
        epochs: How often it yields.
        horizon: Optimizer steps of a trial, for a loop that is counted in steps.
        evaluate_every: Steps between two evaluations of such a loop.
        device: A torch device.
        threads: Of torch, for one loop.
        wants_averaged: Whether trials are compared by the metric of averaged weights if the loop
            yields it.
        checkpoints: A folder for the states that it yields.
        folders: Where the folders of trials are made, for a loop that takes its `trial`.
        logs: The folder of what it prints, by worker.
        params: The names of what is searched beside the schedule.
        code: The loop itself, pickled, where workers cannot import it.
    """

    reference: str
    metric: Metric
    epochs: int
    horizon: int | None = None
    evaluate_every: int | None = None
    device: str = "cpu"
    threads: int = 1
    wants_averaged: bool = False
    checkpoints: Path | None = None
    folders: Path | None = None
    logs: Path | None = None
    params: tuple[str, ...] = ()
    code: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, config: StudyConfig) -> LoopSettings:
        """Those of a study; threads and the folder are still to be given.

        Raises:
            InputError: The loop is in no file, and cannot be handed to workers.
        """
        return cls(
            reference=str(config.loop),
            code=pickled(str(config.loop)),
            metric=config.measure,
            epochs=config.epochs,
            horizon=config.horizon,
            evaluate_every=config.evaluate_every,
            device=config.device,
            wants_averaged=config.pruner.signal == "averaged",
            params=tuple(config.space.params),
        )

    def over(self, epochs: int | None) -> LoopSettings:
        """The same for a trial of another horizon in epochs, if one is given."""
        if epochs is None:
            return self
        horizon = steps_over(epochs, self.horizon, self.evaluate_every, self.epochs)
        return replace(self, epochs=epochs, horizon=horizon)


@dataclass(frozen=True)
class TrainingData:
    """Training and validation rows on their device, targets standardised unless they are classes.

    Args:
        x_train: (rows, features) float32; of arrays any shape (rows, ...), also of whole numbers.
        y_train: (rows,) float32; int64 for a loss whose targets are whole numbers. Of arrays
            (rows, ...).
        x_validation: As x_train.
        y_validation: As y_train.
        target_scale: Target units in one standardised unit.
        target_mean: Target units that a standardised 0 stands for.
        constant: Columns of the table that are not in x for having one value.
        classes: How many classes the target has; 0 if it is a number.
    """

    x_train: Tensor
    y_train: Tensor
    x_validation: Tensor
    y_validation: Tensor
    target_scale: float
    target_mean: float = 0.0
    constant: tuple[str, ...] = ()
    classes: int = 0


ModelBuilder = Callable[[int], "nn.Module"]
"""Builds the study's model with the initial weights of a seed."""


Context = Callable[[], AbstractContextManager[None]]
"""What is to be done before and after something; `nullcontext` if nothing is."""

EngineName = Literal["auto", "vectorized", "sequential"]
"""What a user chooses from; `auto` is the vectorised one where a model allows it."""


TrialNews = EpochResult | TrialEnd | TrialError
"""What an engine has to say of a trial."""


class Engine(Protocol):
    """Trains trials side by side, one epoch at a time; each has its own horizon.

    Attributes:
        lanes: How many trials it trains best at once.
        description: What it is called and how it works, in half a sentence.
        notes: What a user should read about its choices, a sentence each.
    """

    lanes: int
    description: str
    notes: list[str]

    def add(self, spec: TrialSpec) -> None:
        """Take a trial in; it starts with the next epoch."""

    def expect(self, epochs: int) -> None:
        """Say how many epochs of single trials are still to come, to weigh preparations by."""

    def remove(self, number: int) -> None:
        """Let a trial go, finished or not."""

    def train_epoch(self) -> list[TrialNews]:
        """Train every trial for one epoch of its own; the order is that of `add`."""

    def weights(self, number: int) -> dict[str, Tensor]:
        """The product of a trial that is still here: the weights that the objective asks for."""
