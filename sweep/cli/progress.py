"""What a run shows while it trains: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from sweep.base.wording import counted, duration
from sweep.cli.display import retraining, stopped, sweep_display
from sweep.data.dataset import Dataset
from sweep.data.splitting import AT_RANDOM
from sweep.runs.listener import Listener
from sweep.search.budget import counted_trainings, trainings
from sweep.search.status import Status
from sweep.search.trials import Ending, Trial
from sweep.study.locations import Location
from sweep.study.registries.entry import alternatives
from sweep.study.settings import StudyConfig
from sweep.study.space import Dimension, in_words

_PLAIN_EVERY_SECS = 5.0


def _trained(config: StudyConfig) -> str:
    """How long a trial is, and what it trains."""
    if config.horizon:
        return f"{counted(config.horizon, 'step')}, {config.own_code}"
    epochs = counted(config.epochs, "epoch")
    if config.own_code:
        return f"{epochs}, {config.own_code}"
    return f"{epochs}, {config.model.name} with {alternatives(config.optimizer.names)}"


def _table(data: Dataset) -> str:
    """The rows, in a line."""
    rows = " / ".join(str(len(y)) for y in (data.y_train, data.y_validation, data.y_test))
    return f"  {rows} rows to train / validate / test on, {data.inputs}, target {data.target}"


def _searched(dimensions: Mapping[str, Dimension]) -> str:
    """What is searched of some parameters, in a line."""
    return ", ".join(f"{name} {in_words(dimension)}" for name, dimension in dimensions.items())


class Progress(Listener):
    """Writes what happens to a console, a line for each thing worth one.

    Args:
        console: Of rich: `rich.console.Console()` is the terminal, or the file given to it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._config: StudyConfig | None = None
        self._said = time.monotonic()
        self._retraining = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        """Leave the console as it was."""

    def on_start(self, location: Location, config: StudyConfig, data: Dataset | None) -> None:
        """Say what is trained on what, and what became of the table."""
        self._config = config
        schedulers, space = ", ".join(config.space.scheduler), config.search_space
        shared = space.shared
        rates = {f"lr of {name}": each for name, each in space.rates.items()}
        beside = {**{name: shared[name] for name in space.params}, **rates}
        lines = [
            *([_table(data)] if data else [f"  {config.direction} {config.metric}"]),
            *([f"  split {data.split}"] if data and data.split != AT_RANDOM else []),
            f"  {schedulers}",
            f"  {_searched({name: shared[name] for name in ('lr', 'decay', 'warmup')})}",
            *([f"  {_searched(beside)}"] if beside else []),
        ]
        trials = f": {counted(config.trials, 'trial')} of {_trained(config)}"
        if config.budget is not None:
            whole = counted_trainings(config.budget)
            about = "at most" if config.sampling.name == "grid" else "about"
            trials = f": {whole}, {about} {counted(config.trials, 'trial')}, of {_trained(config)}"
        self._console.print(Text.assemble((location.name, "bold"), trials), soft_wrap=False)
        for line in lines:
            self._console.print(Text(line), soft_wrap=False)
        for note in data.notes if data else ():
            self.on_note(note)
        for warning in data.warnings if data else ():
            self._console.print(Text.assemble("  ", ("warning:", "yellow"), " ", warning))

    def on_note(self, text: str) -> None:
        """Say it."""
        self._console.print(Text.assemble("  ", ("note:", "dim"), " ", text))

    def on_finished(self, trial: Trial, status: Status) -> None:
        """Say each new best, each failure, and now and then how far the sweep is."""
        is_best = status.best is not None and status.best.number == trial.number
        quiet_for = time.monotonic() - self._said
        has_budget = self._config is not None and self._config.budget is not None
        last = status.endings.ended >= status.total and not has_budget
        failed = trial.ending == Ending.FAILED
        if not (is_best or failed or last or quiet_for > _PLAIN_EVERY_SECS):
            return
        self._said = time.monotonic()
        line = f"[{self._how_far(status)}] "
        if is_best:
            line += f"best so far: {self._describe(trial)}"
        elif failed:
            line += f"trial {trial.number} failed: {trial.reason}"
        else:
            best = "none yet" if status.best is None else f"{status.best.value:.4g}"
            line += f"{stopped(status)}, best {best}"
            if status.remaining_secs is not None and not last:
                line += f", {duration(status.remaining_secs)} left"
        self._console.print(Text(line))

    def on_retraining(self, what: str, epochs: int, most: int) -> None:
        """Say once what is trained again."""
        if what != self._retraining:
            self._retraining = what
            self._console.print(Text(what), soft_wrap=False)

    def _how_far(self, status: Status) -> str:
        """Of the budget, or of the trials."""
        config = self._config
        if config is None or config.budget is None:
            return f"{status.endings.ended}/{status.total}"
        spent = trainings(status.spent.total / config.epochs)
        ended = counted(status.endings.ended, "trial")
        return f"{spent}/{trainings(config.budget)} trainings, {ended}"

    def _describe(self, trial: Trial) -> str:
        assert self._config is not None
        value = f"{self._config.measure.short} {trial.value:.4g}"
        return f"{value} by trial {trial.number}, {trial.suggestion.describe()}"


class LiveProgress(Progress):
    """The same on a terminal: notes scroll by above a display that is kept current."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._status: Status | None = None
        self._retrained: tuple[str, int, int] | None = None
        self._live = Live(
            console=console, refresh_per_second=5, transient=True, get_renderable=self._draw
        )

    def __exit__(self, *ended: object) -> None:
        """Take the display away."""
        self._live.stop()

    def on_start(self, location: Location, config: StudyConfig, data: Dataset | None) -> None:
        """Say what is trained on what, then start the display."""
        super().on_start(location, config, data)
        self._live.start()

    def on_finished(self, trial: Trial, status: Status) -> None:
        """Say failures; the display shows the rest."""
        if trial.ending == Ending.FAILED:
            super().on_finished(trial, status)
        self.on_tick(status)

    def on_tick(self, status: Status) -> None:
        """Draw this from now on."""
        self._status = status

    def on_retraining(self, what: str, epochs: int, most: int) -> None:
        """Show how far it is."""
        self._live.start()  # an audit has no search before it
        self._retrained = what, epochs, most

    def _draw(self) -> RenderableType:
        """What is shown now; asked for five times a second, however often things happen."""
        width, height = self._console.size
        if self._retrained:
            return retraining(*self._retrained, width)
        if self._status is None or self._config is None:
            return Text("starting workers ...")
        return sweep_display(self._status, self._config, width, height)
