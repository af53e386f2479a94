"""The options that name a study and change its settings: those of `run`, `check`, `lr-range`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sweep.cli.completion import complete_results, complete_scheduler, complete_study, completing
from sweep.cli.options import ClusterOption, StorageOption
from sweep.study.registries.entry import alternatives, owners
from sweep.study.registries.losses import LOSSES, SCORES
from sweep.study.registries.models import MODELS
from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.study.registries.pruners import PRUNERS
from sweep.study.registries.samplers import SAMPLERS
from sweep.study.registries.sources import SOURCES
from sweep.study.registries.trackers import TRACKERS

_MODELS = ", ".join(
    f"{model.name} (for {model.suits})" if model.suits else model.name for model in MODELS.values()
)


@dataclass
class StudyOptions:
    """A study and its settings, in the order of the help; `runs.overrides` reads them by name."""

    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="A study's name, a study file, or a results folder to continue. "
            "The default study if left out.",
            autocompletion=complete_study,
        ),
    ] = None
    scheduler: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A schedule to try; give it several times.",
            autocompletion=complete_scheduler,
            rich_help_panel="Search",
        ),
    ] = None
    lr: Annotated[
        str | None,
        typer.Option(
            metavar="RANGE",
            help="Peak rate: 1e-3:1:log; or of each optimizer: sgd=1e-3:1:log,adamw=1e-5:1e-2:log",
            rich_help_panel="Search",
        ),
    ] = None
    decay: Annotated[
        str | None,
        typer.Option(
            metavar="RANGE", help="Final rate / peak rate: 1e-4:1:log", rich_help_panel="Search"
        ),
    ] = None
    warmup: Annotated[
        str | None,
        typer.Option(
            metavar="RANGE", help="Share of warm-up steps: 0:0.2", rich_help_panel="Search"
        ),
    ] = None
    momentum: Annotated[
        str | None,
        typer.Option(
            metavar="RANGE",
            help=f"Momentum, of {alternatives(owners(OPTIMIZERS, 'momentum'))}: 0:0.95",
            rich_help_panel="Search",
        ),
    ] = None
    weight_decay: Annotated[
        str | None,
        typer.Option(metavar="RANGE", help="Weight decay: 1e-6:1e-2:log", rich_help_panel="Search"),
    ] = None
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES",
            help="A parameter of your own training code: width=64,128 or dropout=0:0.5",
            rich_help_panel="Search",
        ),
    ] = None
    trials: Annotated[
        int | None,
        typer.Option(help="Trials in all, earlier runs included.", rich_help_panel="Search"),
    ] = None
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Instead of trials: whole trainings that search and confirmation may cost.",
            rich_help_panel="Search",
        ),
    ] = None
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="How long the run may take, confirmation included: 90, 10m, 2h.",
            rich_help_panel="Search",
        ),
    ] = None
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{alternatives(SAMPLERS)}.",
            autocompletion=completing(SAMPLERS),
            rich_help_panel="Search",
        ),
    ] = None
    fair: Annotated[
        bool,
        typer.Option(
            "--fair",
            help="The same number of trials for every scheduler, each tuned on its own.",
            rich_help_panel="Search",
        ),
    ] = False
    warm_start: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY",
            help="Begin with the best trials of another study that has been run.",
            autocompletion=complete_results,
            rich_help_panel="Search",
        ),
    ] = None
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCHEDULE",
            help="Your present schedule, to compare with: step,lr=0.05,decay=0.01,drops=2; or "
            "torch's: StepLR(step_size=30, gamma=0.1), lr=0.05. Give it several times.",
            rich_help_panel="Search",
        ),
    ] = None
    pruner: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{alternatives(PRUNERS)}.",
            autocompletion=completing(PRUNERS),
            rich_help_panel="Search",
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            help="What split, weights, order of rows and sampler derive from.",
            rich_help_panel="Search",
        ),
    ] = None
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help=f"{', '.join(SOURCES)}, a CSV, Parquet or other table file, or module:function.",
            rich_help_panel="Training",
        ),
    ] = None
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column to predict.", rich_help_panel="Training"),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            metavar="HOW=COLUMN",
            help="How rows are split, if not at random: by=date (the last ones are tested), "
            "group=user, or column=part (of train, validation and test).",
            rich_help_panel="Training",
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{_MODELS}, or module:Class.",
            autocompletion=completing(MODELS),
            rich_help_panel="Training",
        ),
    ] = None
    optimizer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{alternatives(OPTIMIZERS)}; several, with commas between, are searched.",
            autocompletion=completing(OPTIMIZERS),
            rich_help_panel="Training",
        ),
    ] = None
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{alternatives(LOSSES)}; or your own, module:function.",
            autocompletion=completing(LOSSES),
            rich_help_panel="Training",
        ),
    ] = None
    loop: Annotated[
        str | None,
        typer.Option(
            metavar="FILE:NAME",
            help="Your own training loop, a generator: train.py:train or module:train.",
            rich_help_panel="Training",
        ),
    ] = None
    command: Annotated[
        list[str] | None,
        typer.Option(
            hidden=True, metavar="WORD", help="A word of the command that stands after --."
        ),
    ] = None
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What your loop or command reports, if not val_mse: val_accuracy. With a table: "
            f"what trials are compared by, if not the loss: {alternatives(SCORES)}, a loss, or "
            "your own, module:function.",
            rich_help_panel="Training",
        ),
    ] = None
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="minimize or maximize that metric.",
            rich_help_panel="Training",
        ),
    ] = None
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of each trial.", rich_help_panel="Training")
    ] = None
    batch_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|full",
            help="Rows a step; several, with commas between, are searched.",
            rich_help_panel="Training",
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            help="Worker processes; one a core, or one a GPU, if left out.",
            rich_help_panel="Training",
        ),
    ] = None
    cluster: ClusterOption = None
    gpus_per_trial: Annotated[
        int | None,
        typer.Option(
            help="GPUs that each trial of a command sees; its worker's share if left out.",
            rich_help_panel="Training",
        ),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads of a trial of your own code; the cores are shared out if left out.",
            rich_help_panel="Training",
        ),
    ] = None
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Keep the folders of all trials of a command, not the winner's alone.",
            rich_help_panel="Training",
        ),
    ] = False
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="The same trials whatever the timing: workers wait for each other.",
            rich_help_panel="Training",
        ),
    ] = False
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, vectorized (many trials at once) or sequential.",
            rich_help_panel="Training",
        ),
    ] = None
    lanes: Annotated[
        int | None,
        typer.Option(help="Trials that a worker trains at once.", rich_help_panel="Training"),
    ] = None
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, cpu, cuda (all GPUs) or some: cuda:0,2.",
            rich_help_panel="Training",
        ),
    ] = None
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRACKER=PLACE",
            help="Send each trial to a tracker as it ends: "
            f"{alternatives(f'{each.name}={each.place}' for each in TRACKERS.values())}.",
        ),
    ] = None
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other setting of the study file: --set data.log1p=true",
        ),
    ] = None
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the results go.")] = None
    storage: StorageOption = None
    no_confirm: Annotated[
        bool,
        typer.Option(
            "--no-confirm",
            help="Do not train the best schedules again on fresh seeds.",
            rich_help_panel="Search",
        ),
    ] = False


def takes_a_study(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command StudyOptions before its own options, in the place of its `**given`."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    every = [*inspect.signature(StudyOptions, eval_str=True).parameters.values()]
    every += [p for p in own if p.kind is not p.VAR_KEYWORD]
    command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in every}
    return command
