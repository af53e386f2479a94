"""A study's settings as a whole: what a study file says, with types and defaults."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import (
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from sweep.study.baselines.settings import BaselineConfig
from sweep.study.fields.values import COMMAND, DURATION, seconds, several, words
from sweep.study.metric import NAME_OR_REFERENCE, Metric
from sweep.study.registries.pruners import PRUNERS, usual_share
from sweep.study.registries.sources import BEHAVIOUR_COUNTS
from sweep.study.sections import (
    ConfirmConfig,
    CustomConfig,
    DataConfig,
    ModelConfig,
    Objective,
    PrunerConfig,
    SamplerConfig,
    Section,
    SpaceConfig,
)
from sweep.study.space import Space
from sweep.study.tracking import TrackConfig
from sweep.study.training.cluster import ClusterConfig
from sweep.study.training.optimizer import OptimizerConfig
from sweep.study.training.settings import TrainingConfig, defaults_in, metric_of_table

_MANY_TRIALS = 200
"""From so many on, our own sampler finds better schedules than TPE, and costs much less."""

_FREE = {
    *("name", "trials", "budget", "timeout", "workers", "engine", "lanes", "device", "storage"),
    *("sampler", "pruner", "confirm", "threads", "warm_start", "deterministic"),
    *("working_folder", "gpus_per_trial", "keep", "baseline", "cluster", "track"),
}
"""Settings of a study that may change between two runs of it."""

_TABLE = {"data", "model", "optimizer", "training"}
"""What a study has no use for where the training is the user's own code."""

_SEEN_IN_ROWS = (
    *("source", "encoding", "separator", "decimal", "thousands", "missing"),
    *("numbers", "categories", "dates", "constant", "split"),
)
"""Settings of the data that need not stay, as long as the rows that come of them do."""

_OWN_CODE = {
    *("loop", "command", "working_folder", "gpus_per_trial", "keep"),
    *("metric", "direction", "horizon", "evaluate_every", "threads"),
}
"""What a study has no use for where it is not."""


class StudyConfig(Section):
    """One study's settings, checked.

    Args:
        name: The study's name in its storage; the study file's name by default.
        epochs: Passes over the training rows in each trial.
        trials: How many trials the study has in all, earlier runs included.
        budget: In the place of `trials`: what the search and the confirmation may cost in all, in
            whole trainings, earlier runs included. How many trials that is follows from it.
        seed: What the split, the weights, the order of rows and the sampler derive from.
        objective: `best`, the lowest validation MSE over the epochs, `final`, the last one, or
            `averaged`, the lowest one of the averaged weights.
        trial_seeds: `fresh` gives each trial its own weights and order of rows, so that a long
            search does not fit its schedules to one seed's luck; `shared` trains all from the same;
            `auto` is `shared` where the training loop is your own and in a fair study, else
            `fresh`.
        fair: Whether every scheduler gets the same number of trials (or one less), with a model of
            its own, instead of the more the better it does: the mode for comparing schedulers.
        timeout: Seconds that a run may take, also `10m` or `2h`: the search draws no trial in the
            last sixth of them, which is for the confirmation (by its `share`). Nothing is begun
            that is not expected to end in time, by what has been measured; what is in training when
            the time is up ends with its epoch, and is trained again when the study is run again.
        workers: Worker processes; by default one a core, or one a GPU.
        deterministic: Whether workers wait for each other after every epoch, so that what is
            decided, and when, does not depend on how fast each of them is.
        engine: `vectorized` trains many trials at once, `sequential` one after the other; `auto`
            is the first where the model allows it.
        lanes: Trials that one worker trains at once; by default what suits model and machine.
        device: `auto`, `cpu`, `cuda` for all GPUs, or some, `cuda:1`, `cuda:0,2`; by default all
            GPUs if there are any.
        storage: An Optuna storage URL or a journal's path; a journal in the results folder by
            default.
        loop: `module:function` or `file.py:function`, a training loop of your own; the data, the
            model and the optimizer are then its own.
        command: A command of your own that trains a trial, as a list of words or in one text: a
            script that asks for `sweep.current_trial()`; the data, the model and the optimizer are
            then its own.
        working_folder: Where the command is run, from the study file's folder on; that one by
            default.
        gpus_per_trial: GPUs that each trial of a command sees as its own; by default one, or, of a
            given number of workers, its share of them.
        keep: Whether the folders of all trials of a command stay, not the winner's alone.
        metric: What the loop yields, or the command reports; of a table the loss, `r2`, `accuracy`
            or a `module:function` of predictions and targets.
        direction: Whether less or more of it is better.
        horizon: Optimizer steps of a trial, for training of your own that is counted in steps;
            `epochs` are then its evaluations.
        evaluate_every: Steps between two evaluations of such training.
        threads: Torch threads of a worker with a loop, OMP_NUM_THREADS of a command; the cores are
            shared out by default.
        warm_start: Another study, by name or results folder, whose best trials are the first here.
        data: Where the table comes from, and how it is prepared and split.
        model: What is trained.
        optimizer: What it is trained with.
        training: What it is trained by.
        space: What is searched.
        sampler: How the next trial's parameters are chosen; one of the names, or a table.
        pruner: When an unpromising trial is stopped; one of the names, or a table.
        confirm: How the best schedules are trained again on fresh seeds; false for not at all.
        custom: Schedules of your own, by their names.
        cluster: Where workers are, if not on this machine alone; an address, or a table.
        track: Trackers that are sent each trial as it ends.
        baseline: Schedules to compare with, such as your present one: `[[baseline]]` tables, or one
            or several texts, as `--baseline` takes them.
    """

    name: Annotated[str | None, Field(min_length=1)] = None
    epochs: int = Field(30, ge=1)
    trials: int = Field(100, ge=1)
    budget: float | None = Field(None, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    objective: Objective = "best"
    trial_seeds: Literal["auto", "fresh", "shared"] = "auto"
    fair: bool = False
    timeout: Annotated[
        float | None, BeforeValidator(seconds), Field(gt=0), WithJsonSchema(DURATION)
    ] = None
    workers: int | None = Field(None, ge=1, le=256)
    deterministic: bool = False
    engine: Literal["auto", "vectorized", "sequential"] = "auto"
    lanes: int | None = Field(None, ge=1)
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+(,\d+)*)?)$")
    storage: str | None = None
    loop: str | None = None
    command: Annotated[
        list[str] | None,
        BeforeValidator(words),
        Field(min_length=1),
        WithJsonSchema(COMMAND),
    ] = None
    working_folder: str | None = None
    gpus_per_trial: int | None = Field(None, ge=1)
    keep: bool = False
    metric: str = Field("val_mse", pattern=NAME_OR_REFERENCE)
    direction: Literal["minimize", "maximize"] = "minimize"
    horizon: int | None = Field(None, ge=1)
    evaluate_every: int | None = Field(None, ge=1)
    threads: int | None = Field(None, ge=1)
    warm_start: Annotated[str | None, Field(min_length=1)] = None
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    space: SpaceConfig = SpaceConfig()
    sampler: SamplerConfig = SamplerConfig()
    pruner: PrunerConfig = PrunerConfig()
    confirm: ConfirmConfig = ConfirmConfig()
    custom: dict[str, CustomConfig] = Field({})
    cluster: ClusterConfig = ClusterConfig()
    track: TrackConfig = TrackConfig()
    baseline: Annotated[list[BaselineConfig], BeforeValidator(several)] = Field([])

    @model_validator(mode="before")
    @classmethod
    def _choose_model(cls, values: Any) -> Any:
        """The model of a study that names none is the one that suits its table."""
        if not isinstance(values, dict) or values.get("loop") or values.get("command"):
            return values
        model, data = values.get("model", {}), values.get("data", {})
        if not isinstance(model, dict) or "name" in model:
            return values
        source, pivot = (
            (data.get("source", BEHAVIOUR_COUNTS), data.get("pivot"))
            if isinstance(data, dict)
            else (getattr(data, "source", None), getattr(data, "pivot", None))
        )
        counts = source == BEHAVIOUR_COUNTS or pivot is not None
        return {**values, "model": {"name": "order-pre" if counts else "mlp", **model}}

    @model_validator(mode="before")
    @classmethod
    def _count_evaluations(cls, values: Any) -> Any:
        """A loop that is counted in steps has as many epochs as evaluations."""
        if not isinstance(values, dict):
            return values
        horizon, every = values.get("horizon"), values.get("evaluate_every")
        if type(horizon) is int and type(every) is int and horizon >= 1 and every >= 1:
            return {"epochs": -(-horizon // every), **values}
        return values

    @model_validator(mode="after")
    def _expect_trials(self) -> StudyConfig:
        return self.expecting_trials()

    def expecting_trials(self) -> StudyConfig:
        """The same; where there is a budget, `trials` is about how many come of it, for plans."""
        if self.budget is not None:
            epochs = self.budget - self.confirm_trainings
            self.__dict__["trials"] = max(1, round(epochs / (self.usual_share or 1.0)))
        return self

    @property
    def own_code(self) -> str | None:
        """What trains in the place of a model on a table: the loop or the command, as text."""
        return self.loop or (shlex.join(self.command) if self.command else None)

    @property
    def own_functions(self) -> list[str]:
        """What trains, and is in files of the user's own: `module:name` each.

        A source of the data is not among them: trials are compared by its rows.
        """
        named = [custom.factory for custom in self.custom.values()]
        if self.own_code is None:
            named += [self.model.name, self.training.loss, self.metric, self.data.augment or ""]
        return [*([self.loop] if self.loop else []), *(name for name in named if ":" in name)]

    @property
    def measure(self) -> Metric:
        """What trials are compared by."""
        if self.own_code is None:
            given = "metric" in self.model_fields_set
            more = self.direction == "maximize"
            return metric_of_table(self.training.loss, self.metric if given else None, more)
        return Metric(self.metric, self.direction == "maximize")

    @property
    def has_r2(self) -> bool:
        """Whether a trial has an R² beside its value: that is the MSE of a model on a table."""
        return self.own_code is None and self.measure.is_mse

    @property
    def sampling(self) -> SamplerConfig:
        """The sampler that is used: `auto` is `tpe` for few trials, and `family` for more.

        A fair study needs `family`. `benchmarks/samplers.py` is where the number comes from.
        """
        if self.sampler.name != "auto":
            return self.sampler
        name = "family" if self.fair or self.trials >= _MANY_TRIALS else "tpe"
        return self.sampler.model_copy(update={"name": name})

    @property
    def pruning(self) -> PrunerConfig:
        """The pruner that is used: `auto` is `thorough` in a fair study, else it has auditions.

        The first comparison of `auto` stops more of some schedulers than of others. Where trials
        are too short for auditions, or its epochs of comparison are given, it is `halving`.
        """
        if self.pruner.name != "auto" or self.audition_epochs:
            return self.pruner
        return self.pruner.model_copy(update={"name": "thorough" if self.fair else "halving"})

    @property
    def audition_epochs(self) -> int:
        """The horizon, in epochs, over which a trial is trained first; 0 if it has no audition."""
        if self.fair or self.pruner.arguments:
            return 0
        epochs = PRUNERS[self.pruner.name].audition(self.epochs)
        if self.budget is not None and self.budget * self.epochs < epochs + self.epochs:
            return 0
        return epochs

    @property
    def usual_share(self) -> float | None:
        """About how much of its trials' epochs the search trains; None if that is not known."""
        pruning = self.pruning
        return usual_share(pruning.name, pruning.arguments, self.epochs, self.audition_epochs)

    @property
    def confirm_trainings(self) -> int:
        """Whole trainings of the budget that are kept for the confirmation.

        0 if they would be too few. Then all is spent on the search.
        """
        if self.budget is None or not self.confirm.enabled:
            return 0
        part = round(self.confirm.share * self.budget)
        return part if part >= self.fewest_confirm_trainings else 0

    @property
    def fewest_confirm_trainings(self) -> int:
        """Whole trainings without which nothing is confirmed.

        Two candidates, in a fair study one of each scheduler, and every schedule to compare with
        have two seeds at least.
        """
        candidates = len(self.space.scheduler) if self.fair else 2
        return 2 * (candidates + len(self.baseline))

    @property
    def shares_seed(self) -> bool:
        """Whether all trials have the study's seed.

        In `auto`, those of a user's own code have: if it draws its validation rows with the seed,
        trials of different seeds could not be compared. Those of a fair study have, too: of each
        scheduler one trial alone is confirmed, and it should not be the luckiest.
        """
        if self.trial_seeds == "auto":
            return self.fair or self.own_code is not None
        return self.trial_seeds == "shared"

    @property
    def search_timeout(self) -> float | None:
        """Seconds after which the search starts no trial; the rest is for the confirmation."""
        if self.timeout is None or not self.confirm.enabled:
            return self.timeout
        if self.budget is not None and not self.confirm_trainings:
            return self.timeout
        return self.timeout / (1 + self.confirm.share)

    @property
    def search_space(self) -> Space:
        """The space that trials are drawn from; problems in it are ValueErrors."""
        if self.own_code is not None:
            return self.space.space(self.custom, (), {})
        return self.space.space(self.custom, self.optimizer.names, self.optimizer.searched)

    def comparable(self) -> dict[str, Any]:
        """The settings that must stay as they are for two trials to be compared, flat."""
        left_out = {*_FREE, "space", *self._of_no_use}
        kept = dict(_flatten(self.model_dump(mode="json", exclude=left_out)))
        kept["pruner.signal"] = self.pruner.signal  # pruners compare what trials have reported
        kept["trial_seeds"] = "shared" if self.shares_seed else "fresh"
        kept |= {"metric": self.measure.name} if "metric" in kept else {}  # r2 is val_r2
        if kept.get("data.scale", True) is None:
            kept["data.scale"] = True
        if kept.get("data.augment", "") is None:
            del kept["data.augment"]
        # A file may move; rows are compared by their fingerprint.
        seen = {f"data.{name}" for name in _SEEN_IN_ROWS}
        kept = {k: v for k, v in kept.items() if ".".join(k.split(".")[:2]) not in seen}
        space = {f"space.{n}": text for n, text in self.search_space.to_dict().items()}
        if self.own_code is None:  # what is searched of the optimizer stands in its section
            space = {n: t for n, t in space.items() if not n.startswith("space.params.")}
        return kept | space

    @property
    def _of_no_use(self) -> set[str]:
        """Settings that mean nothing in this study."""
        if self.own_code is None:
            written = {"metric", "direction"}
            return _OWN_CODE - written | defaults_in(self.training, self.measure, self.metric)
        return _TABLE | {name for name in ("loop", "command") if getattr(self, name) is None}

    def to_toml(self) -> str:
        """The settings as a study file."""
        return tomlkit.dumps(self._written())

    def to_flat(self) -> dict[str, Any]:
        """The settings that a study file of them has, by dotted key."""
        return dict(_flatten(self._written()))

    def _written(self) -> dict[str, Any]:
        """The tables of a study file."""
        values: dict[str, Any] = self.model_dump(
            mode="json", exclude_none=True, exclude=self._of_no_use
        )
        for table in (values["space"], *values["baseline"]):
            table |= table.pop("own")
        if rates := values["space"].pop("rates"):
            values["space"]["lr"] = rates
        values["space"] |= {"params": params} if (params := values["space"].pop("params")) else {}
        for name in ("baseline", "track"):
            if not values[name]:
                del values[name]
        if self.budget is not None:
            del values["trials"]
        return values


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
