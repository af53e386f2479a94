"""What the coordinator and its workers say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sweep.data.dataset import Array, Dataset
from sweep.schedules.schedule import Schedule
from sweep.study.sections import ModelConfig
from sweep.study.settings import StudyConfig
from sweep.training.contract import EngineName, LoopSettings, TrainingSettings, TrialNews, TrialSpec
from sweep.training.own_command.settings import CommandSettings
from sweep.training.specs import LaneKind, lane_kinds
from sweep.training.workers.devices import device_of

ANSWER_SECS = 0.1
"""A worker that has trained so long answers, however many epochs it was told to train."""

ANSWER_SECS_AFAR = 0.4
"""The same of a worker on a cluster, which waits some 15 ms for what it is to do next."""

IN_TRAINING_SHARE = 0.25
"""Of a study's trials: those in training at once at most, since no sampler has learnt from them."""

NOMINAL_STEPS = 1000
"""The horizon that a schedule is tried over where only a training loop knows the real one."""


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs to build its engine.

    Args:
        data: The prepared data; None for training code of the user's own.
        model: The model's settings.
        folders: Where the user's own modules are.
        settings: What all trials share.
        engine: Which one it builds.
        lanes: How many trials the vectorised engine trains at once; by default what suits it.
        trials: How many the study has, if that is known: a share of them is in training at once.
        custom: One schedule of each of the user's own factories, to be tried first.
        loop: A training loop of the user's own, in the place of data, model and settings.
        command: A command of the user's own, in their place.
        deterministic: Whether what workers do must not depend on timing.
        audition: The horizon of trials' auditions in epochs; 0 if they have none.
        kinds: The optimizers and batch sizes that trials may have.
        devices: That of each worker, by its index; those of all if left out.
        answer_secs: Of training after which a worker answers.
    """

    data: Dataset | None
    model: ModelConfig
    folders: tuple[Path, ...]
    settings: TrainingSettings
    engine: EngineName = "auto"
    lanes: int | None = None
    trials: int | None = None
    custom: tuple[Schedule, ...] = ()
    loop: LoopSettings | None = None
    command: CommandSettings | None = None
    deterministic: bool = False
    audition: int = 0
    kinds: tuple[LaneKind, ...] = ()
    devices: tuple[str, ...] = ()
    answer_secs: float = ANSWER_SECS

    @classmethod
    def of(
        cls, config: StudyConfig, data: Dataset | None, folders: tuple[Path, ...]
    ) -> WorkerSetup:
        """That of a study; what a loop or a command is given of the machine is still to be told."""
        return cls(
            data=data,
            model=config.model,
            folders=folders,
            settings=TrainingSettings.of(config, folders),
            engine=config.engine,
            lanes=config.lanes,
            trials=config.trials,
            custom=config.search_space.custom_schedules(),
            loop=LoopSettings.of(config) if config.loop else None,
            deterministic=config.deterministic,
            audition=config.audition_epochs,
            kinds=lane_kinds(config),
        )

    def log_of(self, worker: int) -> Path | None:
        """Where a worker's prints go; None for where the command's errors go."""
        if self.loop is None or self.loop.logs is None:
            return None
        return self.loop.logs / f"worker-{worker}.txt"

    def on_device_of(self, worker: int) -> WorkerSetup:
        """The same for one of the workers, by its index."""
        if not self.devices:
            return self
        device = device_of(worker, self.devices)
        loop = self.loop and replace(self.loop, device=device)
        return replace(self, settings=replace(self.settings, device=device), loop=loop)

    @property
    def most_lanes(self) -> int | None:
        """More trials than that a worker will not be given at once; None if that is not known."""
        return None if self.trials is None else max(1, int(self.trials * IN_TRAINING_SHARE))

    @property
    def horizons(self) -> tuple[int, ...]:
        """Optimizer steps of a trial, for each batch size that it may have.

        A nominal number where only the user's own code knows it.
        """
        if self.data:
            return self._horizons(self.data, None)
        own = self.loop or self.command
        return (own.horizon if own and own.horizon else NOMINAL_STEPS,)

    @property
    def audition_horizons(self) -> tuple[int, ...]:
        """The same of an audition; none where there are none, or nobody knows them yet."""
        if not self.audition:
            return ()
        if self.data:
            return self._horizons(self.data, self.audition)
        own = self.loop or self.command
        steps = own.over(self.audition).horizon if own else None
        return () if steps is None else (steps,)

    def _horizons(self, data: Dataset, epochs: int | None) -> tuple[int, ...]:
        settings = self.settings.over(epochs)
        each = [settings.with_batches_of(kind.batch_size) for kind in self.kinds] or [settings]
        return tuple(dict.fromkeys(one.horizon(len(data.x_train)) for one in each))


@dataclass(frozen=True)
class Save:
    """Write a trial's weights to a file that `torch.load(weights_only=True)` reads.

    Args:
        number: The trial's; it must still be with the worker.
        path: The file.
        about: What else the file says, beside `state_dict`.
    """

    number: int
    path: Path
    about: Mapping[str, Any]


@dataclass
class Orders:
    """What a worker does next: saves, then removals, then additions; then it trains.

    Args:
        save: Weights to write.
        remove: Trials to let go.
        add: Trials to take in.
        epochs: How many to train before it answers; fewer if they take longer than `answer_secs`.
        expect: Epochs of single trials that are still to come, for preparations that must pay; 0
            if there are to be none.
        predict: A model that was saved, to predict the test rows with.
    """

    save: list[Save] = field(default_factory=list)
    remove: list[int] = field(default_factory=list)
    add: list[TrialSpec] = field(default_factory=list)
    epochs: int = 1
    expect: int = 0
    predict: Path | None = None

    @property
    def given(self) -> bool:
        """Whether there is anything to do but to train on."""
        return bool(self.save or self.remove or self.add)


@dataclass(frozen=True)
class Answer:
    """What a worker sends once when it is ready, and after each of its orders.

    Args:
        lanes: How many trials it trains best at once.
        results: Of the epochs that it was told to train, in their order.
        notes: What a user should read about its engine, a sentence each, once.
        prediction: Where it was asked for.
        engine: Its engine's description.
    """

    lanes: int
    results: list[TrialNews]
    notes: list[str]
    prediction: Prediction | None = None
    engine: str = ""


@dataclass(frozen=True)
class Prediction:
    """What a saved model says of the test rows.

    Args:
        trial: Whose weights they are.
        value: What that trial came to in the search; None if it was stopped early.
        values: Standardised, (rows,); of classes their probabilities, (rows, classes).
        scores: What the criterion sums over rows, as means in their own units, by name.
    """

    trial: int
    value: float | None
    values: Array
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Compiling:
    """A worker begins to compile, or has done so; it answers later.

    Args:
        begins: Which of the two.
    """

    begins: bool


@dataclass(frozen=True)
class Died:
    """A worker's process has ended without being asked to.

    Args:
        reason: Its exit code or signal, in words; a sentence where it was ended.
        compiling: Whether it was ended, since a compiler that it had called had hung.
        lost: Whether its machine has gone, or what was to watch it there.
    """

    reason: str
    compiling: bool = False
    lost: bool = False
