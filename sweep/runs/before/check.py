"""Preflight: what would fail in a study, and what is known of it, before it is run."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from sweep.base.errors import StudyFileError, SweepError
from sweep.base.user_code import load_object, look_in
from sweep.base.wording import counted
from sweep.data.dataset import Dataset
from sweep.data.load import load_dataset
from sweep.runs.before.data_facts import DataFacts
from sweep.runs.before.earlier import earlier, peek
from sweep.runs.before.speed import Forecast, Speed, forecast, measure
from sweep.runs.opening import as_run, passing_setup, steps_of_batch_sizes, worker_setup
from sweep.runs.warm_start import best_of_other
from sweep.schedules.dry_run import step_through
from sweep.search.budget import prospect
from sweep.search.continuation import check_folder
from sweep.search.storage.locks import check_folders, check_not_held
from sweep.search.storage.opening import await_server, closing_study, explained
from sweep.search.storage.urls import storage_url
from sweep.search.strategies.samplers import grid_note, reachable_trials
from sweep.study.baselines.reading import baselines
from sweep.study.locations import SAVED_STUDY, Location
from sweep.study.range_ends import described, ends_of
from sweep.study.registries.entry import alternatives
from sweep.study.registries.models import MODELS
from sweep.study.settings import StudyConfig
from sweep.training.build import resolve_device, training_data
from sweep.training.contract import LoopSettings, TrainingSettings, TrialError
from sweep.training.criterion import Criterion
from sweep.training.examine.anatomy import Anatomy, examine
from sweep.training.examine.gradient_graph import tree_lines
from sweep.training.models import build_model
from sweep.training.own_loop.loading import load_loop
from sweep.training.specs import trial_spec
from sweep.training.workers.devices import Share, share_of
from sweep.training.workers.first_look import first_look
from sweep.training.workers.gpu_count import count_gpus
from sweep.training.workers.opening import open_pool
from sweep.training.workers.pool import Pool
from sweep.training.workers.process_pool import ProcessPool, default_workers

_NOMINAL_STEPS = 10
"""Steps in an epoch, where there is no data to count them by."""


@dataclass(frozen=True)
class ScheduleFacts:
    """A schedule at one end of its ranges, as torch's scheduler steps it.

    Args:
        scheduler: Its name.
        end: Which end.
        schedule: It, in one line.
        torch_class: What it becomes; a custom one's factory.
        first: The first step's rate; None if it failed.
        highest: The highest rate.
        last: The last step's rate; that of the last one that was stepped, in a long trial.
    """

    scheduler: str
    end: str
    schedule: str
    torch_class: str
    first: float | None = None
    highest: float | None = None
    last: float | None = None


@dataclass(frozen=True)
class Check:
    """What a preflight found; what could not be looked at is None or empty.

    Args:
        study: Its name.
        metric: What trials are compared by, as naive predictions name it.
        problems: What would fail, a sentence each; none if all is well.
        data: Of the data.
        anatomy: Of the model.
        steps: Optimizer steps of a trial; the most that one has, where batch sizes are searched.
        schedules: At both ends of their ranges.
        speed: As it was measured.
        forecast: How long the study will take.
        notes: What to know of the search, a sentence each.
    """

    study: str
    metric: str
    problems: tuple[str, ...]
    data: DataFacts | None
    anatomy: Anatomy | None
    steps: int | None
    schedules: tuple[ScheduleFacts, ...]
    speed: Speed | None
    forecast: Forecast | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the graph as the lines of its tree."""
        anatomy = None
        if self.anatomy is not None:
            a = self.anatomy
            anatomy = {
                **vars(a),
                "layers": [vars(layer) for layer in a.layers],
                "gradients": [{**vars(g), "norm": _finite(g.norm)} for g in a.gradients],
                "loss": _finite(a.loss),
                "graph": None if a.graph is None else tree_lines(a.graph),
                "without_gradient": a.without_gradient,
                "zero_gradient": a.zero_gradient,
            }
        return {
            "study": self.study,
            "metric": self.metric,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "data": None if self.data is None else self.data.to_dict(),
            "model": anatomy,
            "steps": self.steps,
            "schedules": [vars(schedule) for schedule in self.schedules],
            "speed": None if self.speed is None else vars(self.speed),
            "forecast": None if self.forecast is None else self.forecast.to_dict(),
        }


def check_study(
    location: Location,
    config: StudyConfig,
    wrong: SweepError | None = None,
    fresh: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Check:
    """Look at a study's data, model, schedules, storage and speed.

    What is wrong ends none of the others, but the speed is measured only if the data, the model
    and the schedules have nothing wrong. Nothing of the study is written: neither its folder nor
    its storage.

    Args:
        location: The study's places.
        config: Its settings.
        wrong: What is wrong with the settings; what they say of that is not looked at.
        fresh: Whether the run will throw the study's earlier trials away first.
        note: Told at once what is waited for.
    """
    with contextlib.redirect_stdout(sys.stderr):  # a user's model may print
        return _Preflight(location, config, wrong, fresh, note).check()


class _Preflight:
    """Goes on after a problem, and keeps it."""

    def __init__(
        self,
        location: Location,
        config: StudyConfig,
        wrong: SweepError | None,
        fresh: bool,
        on_wait: Callable[[str], None],
    ) -> None:
        self._location = location
        self._config = config
        self._fresh = fresh
        self._on_wait = on_wait
        self._notes: list[str] = []
        self._problems: list[str] = [] if wrong is None else [str(wrong)]
        keys = wrong.keys if isinstance(wrong, StudyFileError) else ()
        self._wrong_sections = {key.partition(".")[0] for key in keys}

    def check(self) -> Check:
        """Everything, in the order in which one needs the other."""
        config = self._config
        look_in(self._location.code_folders)
        data = self._data()
        config, no_auditions = as_run(config, data)
        self._config = config
        self._notes += filter(None, [no_auditions])
        settings = TrainingSettings.of(config, self._location.code_folders)
        steps = {} if data is None else steps_of_batch_sizes(config, data)
        if len(steps) > 1:
            each = [f"{counted(count, 'step')} of {size}" for size, count in steps.items()]
            self._notes.append(f"an epoch has {alternatives(each)}, as a trial's batch size is")
        anatomy = self._model(data, settings)
        schedules = self._schedules([*steps.values()] or [_NOMINAL_STEPS])
        can_be_trained = not self._problems
        self._carry_over()
        self._storage(data)
        speed, ahead = None, self._within_reach()
        with self._kept():
            self._notes += filter(None, [self._gpus()])
        if data is not None and can_be_trained:
            with self._kept():
                speed = measure(self._location, ahead, data)
        if config.own_code and not self._problems and not self._wrong_sections:
            with self._kept():
                self._look()
        return Check(
            study=self._location.name,
            metric=config.measure.name.removeprefix("val_"),
            problems=tuple(self._problems),
            data=None if data is None else DataFacts.of(data, config),
            anatomy=anatomy,
            steps=max(steps.values()) * config.epochs if steps else None,
            schedules=schedules,
            speed=speed,
            forecast=None if speed is None else forecast(ahead, speed),
            notes=tuple(self._notes),
        )

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except SweepError as problem:
            self._problems.append(str(problem))

    def _data(self) -> Dataset | None:
        if self._wrong_sections & {"data", "training"} or self._config.own_code:
            return None
        with self._kept():
            config, folders = self._config, self._location.code_folders
            return load_dataset(config.data, config.seed, folders, config.training.loss)
        return None

    def _model(self, data: Dataset | None, settings: TrainingSettings) -> Anatomy | None:
        config, folders = self._config.model, self._location.code_folders
        if self._config.loop:
            with self._kept():
                device = self._device(settings)
                load_loop(LoopSettings.of(self._config), folders, device)
            return None
        if self._config.own_code:
            return None
        if "model" in self._wrong_sections:
            return None
        if data is None:
            if config.name not in MODELS:
                with self._kept():
                    load_object(config.name, folders)
            return None
        with self._kept():
            tensors = training_data(data, self._device(settings))
            outputs, row = Criterion.of(settings, tensors).count, tuple(tensors.x_train.shape[1:])
            model = build_model(config, row, 0, folders, outputs)
            anatomy = examine(model.to(tensors.x_train.device), tensors, settings)
            self._problems += anatomy.problems
            return anatomy
        return None

    def _device(self, settings: TrainingSettings) -> torch.device:
        """Where the model is looked at: on this machine, whatever those of a cluster have."""
        return resolve_device(settings.device if self._config.cluster.is_local else "cpu")

    def _gpus(self) -> str:
        """Which worker of this machine has which GPU, in a sentence; empty where there are none."""
        config = self._config
        if not config.cluster.is_local or self._wrong_sections & {
            "device",
            "workers",
            "command",
            "gpus_per_trial",
            "loop",
        }:
            return ""
        if not config.command:
            return share_of(
                config, config.trials, default_workers(), count_gpus(config.device)
            ).told
        command = worker_setup(self._location, config, None).command
        gpus = command.gpus if command else None
        return Share(len(gpus), tuple(f"cuda:{each}" for each in gpus)).told if gpus else ""

    def _look(self) -> None:
        """Train a trial by the user's own code, as far as is needed to see what it does."""
        config = self._config
        spec = trial_spec(config, 0, config.search_space.constant())
        with passing_setup(self._location, config, None) as setup:

            def opened() -> Pool:
                if config.cluster.is_local:
                    return ProcessPool(setup, 1)
                return open_pool(config, setup, config.trials, self._note)

            found = first_look(opened, spec, config.epochs)
        if isinstance(found.end, TrialError):
            self._problems.append(f"a trial raised: {found.end.traceback or found.end.error}")
        elif found.end and found.end.reason:
            self._notes.append(
                f"a trial at the rate {spec.schedule.lr:.3g} {found.end.ending}: {found.end.reason}"
            )
        self._notes += [text for text in (found.seen, *found.advice, *found.notes) if text]

    def _note(self, text: str) -> None:
        """Keep what is said, once."""
        if text not in self._notes:
            self._notes.append(text)

    def _schedules(self, steps_per_epoch: Sequence[int]) -> tuple[ScheduleFacts, ...]:
        """The facts of the longest trials; problems of all."""
        if self._wrong_sections & {"space", "custom", "epochs"}:
            return ()
        found = []
        for name, end, schedule in ends_of(self._config.search_space):
            shape = schedule.shape
            torch_class = str(schedule.factory) if shape is None else shape.torch_class
            facts = ScheduleFacts(name, end, schedule.describe(), torch_class)
            try:
                for steps in sorted(steps_per_epoch):
                    rates = step_through(schedule, steps, self._config.epochs)
                first, highest, last = float(rates[0]), float(rates.max()), float(rates[-1])
                facts = replace(facts, first=first, highest=highest, last=last)
            except Exception as problem:  # whatever a user's factory raises
                self._problems.append(described(name, end, schedule, problem))
            found.append(facts)
        return tuple(found)

    def _within_reach(self) -> StudyConfig:
        """The settings with no more trials than there can be, and a note if that matters."""
        if self._wrong_sections & {"space", "custom", "sampler", "trials", "budget"}:
            return self._config
        if "baseline" not in self._wrong_sections:
            self._notes += [each.told for each in baselines(self._config) if each.told]
        self._notes += filter(None, (grid_note(self._config), prospect(self._config)))
        trials = min(self._config.trials, reachable_trials(self._config))
        return self._config.model_copy(update={"trials": trials})

    def _carry_over(self) -> None:
        """Whether the other study's trials can be had; a study that goes on needs none."""
        config, location = self._config, self._location
        goes_on = (location.folder / SAVED_STUDY).is_file() and not self._fresh
        if config.warm_start is not None and not goes_on and not self._wrong_sections:
            with self._kept():
                best_of_other(location, config)

    def _storage(self, data: Dataset | None) -> None:
        """Whether the storage can be used, and the trials in it can be compared with new ones."""
        config, location = self._config, self._location
        if "storage" in self._wrong_sections:
            return
        url = storage_url(config.storage, location.folder)
        either = self._fresh or "direction" in self._wrong_sections
        maximize = None if either else config.measure.maximize
        with self._kept(), explained(url):
            await_server(url, self._on_wait)
            check_folder(location)
            check_folders(location.folder, url)
            check_not_held(location.folder, url)
            if self._wrong_sections or (data is None and not config.own_code):
                with closing_study(peek(location, url, maximize, self._fresh)):
                    return
            earlier(location, config, data, url, self._fresh)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
