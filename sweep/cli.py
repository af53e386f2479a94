"""The command line: parse, call one function, render. The only place that prints or exits."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep import __version__
from sweep.errors import InputError, SweepError
from sweep.numbers import counted

if TYPE_CHECKING:
    import optuna
    from rich.console import Console

    from sweep.locations import Location
    from sweep.progress import Progress
    from sweep.report.summary import Summary
    from sweep.settings import StudyConfig

app = typer.Typer(
    name="sweep",
    help=(
        "Find the learning-rate schedule, peak rate and decay that train a PyTorch regression "
        "model to the lowest validation error.\n\n"
        "Start with: [bold]sweep run[/], then [bold]sweep report[/]."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; a SweepError ends it with its text and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # curves and R² on a terminal without Unicode
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        app(args=[a for a in arguments if a != "--debug"], prog_name="sweep")
    except SweepError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if debug or error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}", 1)
    except Exception as error:
        if debug:
            raise
        _fail(f"unexpected {type(error).__name__}: {error}\nsee where with --debug", 1)


def _fail(text: str, exit_code: int) -> None:
    from rich.text import Text

    word = "interrupted" if exit_code == 130 else "error"
    body = text.removeprefix("interrupted; ").removeprefix("interrupted")
    _console(stderr=True).print(Text(f"{word}: ", style="bold red").append(body, style="default"))
    sys.exit(exit_code)


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=True, highlight=False)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sweep {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    pass


def _complete_study(incomplete: str) -> list[str]:
    from sweep.locations import shipped_studies

    names = {*shipped_studies(), *(path.stem for path in Path("studies").glob("*.toml"))}
    return sorted(name for name in names if name.startswith(incomplete))


def _complete_results(incomplete: str) -> list[str]:
    names = (path.parent.name for path in Path("studies").glob("*/study.toml"))
    return sorted(name for name in names if name.startswith(incomplete))


def _complete_scheduler(incomplete: str) -> list[str]:
    from sweep.schedules import SHAPES

    return [name for name in SHAPES if name.startswith(incomplete)]


ResultsArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        help="A study's name or results folder; the study that was run last if left out.",
        autocompletion=_complete_results,
    ),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where the trials are kept, if not where study.toml says: an Optuna storage URL or "
        "the path of a journal.",
    ),
]


@app.command()
def run(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="A study's name, a study file, or a results folder to continue. "
            "The default study if left out.",
            autocompletion=_complete_study,
        ),
    ] = None,
    scheduler: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A schedule to try; give it several times.",
            autocompletion=_complete_scheduler,
            rich_help_panel="Search",
        ),
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(metavar="RANGE", help="Peak rate: 1e-3:1:log", rich_help_panel="Search"),
    ] = None,
    decay: Annotated[
        str | None,
        typer.Option(
            metavar="RANGE", help="Final rate / peak rate: 1e-4:1:log", rich_help_panel="Search"
        ),
    ] = None,
    warmup: Annotated[
        str | None,
        typer.Option(
            metavar="RANGE", help="Share of warm-up steps: 0:0.2", rich_help_panel="Search"
        ),
    ] = None,
    momentum: Annotated[
        str | None,
        typer.Option(metavar="RANGE", help="SGD's momentum: 0:0.95", rich_help_panel="Search"),
    ] = None,
    weight_decay: Annotated[
        str | None,
        typer.Option(metavar="RANGE", help="Weight decay: 1e-6:1e-2:log", rich_help_panel="Search"),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Trials in all, earlier runs included.", rich_help_panel="Search"),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="About how long the run takes, confirmation included: 90, 10m, 2h.",
            rich_help_panel="Search",
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, family, tpe, random, grid, qmc, cmaes or gp.",
            rich_help_panel="Search",
        ),
    ] = None,
    fair: Annotated[
        bool,
        typer.Option(
            "--fair",
            help="The same number of trials for every scheduler, each tuned on its own.",
            rich_help_panel="Search",
        ),
    ] = False,
    warm_start: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY",
            help="Begin with the best trials of another study that has been run.",
            autocompletion=_complete_results,
            rich_help_panel="Search",
        ),
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, thorough, fast, median, percentile, asha, hyperband, patient, threshold or "
            "none.",
            rich_help_panel="Search",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="What split, weights, order of rows and sampler derive from.",
            rich_help_panel="Search",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="behaviour-log, diabetes, a CSV or Parquet file, or module:function.",
            rich_help_panel="Training",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column to predict.", rich_help_panel="Training"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="order-pre, mlp, linear, or module:Class.",
            rich_help_panel="Training",
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="sgd, adam or adamw.", rich_help_panel="Training"),
    ] = None,
    loop: Annotated[
        str | None,
        typer.Option(
            metavar="FILE:NAME",
            help="Your own training loop, a generator: train.py:train or module:train.",
            rich_help_panel="Training",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What your loop yields, if not val_mse: val_accuracy.",
            rich_help_panel="Training",
        ),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="minimize or maximize your loop's metric.",
            rich_help_panel="Training",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of each trial.", rich_help_panel="Training")
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(metavar="N|full", help="Rows a step.", rich_help_panel="Training"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Worker processes; one a core if left out.", rich_help_panel="Training"),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, vectorized (many trials at once) or sequential.",
            rich_help_panel="Training",
        ),
    ] = None,
    lanes: Annotated[
        int | None,
        typer.Option(help="Trials that a worker trains at once.", rich_help_panel="Training"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="auto, cpu, cuda or cuda:<i>.", rich_help_panel="Training"
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other setting of the study file: --set data.log1p=true",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the results go.")
    ] = None,
    storage: StorageOption = None,
    no_confirm: Annotated[
        bool,
        typer.Option(
            "--no-confirm",
            help="Do not train the best schedules again on fresh seeds.",
            rich_help_panel="Search",
        ),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Throw the study's earlier trials away first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors alone.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON, and nothing else.")
    ] = False,
) -> None:
    """Search for the best schedule: train trials, prune, save the best.

    A single value fixes a parameter: --lr 0.05. Running a study again continues it up to its
    total number of trials.

    Examples:

      sweep run

      sweep run diabetes --scheduler cosine --scheduler step --lr 1e-3:1:log --trials 200

      sweep run --data houses.csv --target price

      sweep run --loop train.py:train --metric val_accuracy --direction maximize --epochs 20

      sweep run --epochs 200 --out studies/long --warm-start order_pre
    """
    given = locals()  # the parameters, by name
    from sweep.overrides import configured

    location, config = configured(given)
    _run(location, config, fresh=fresh, yes=yes, quiet=quiet, as_json=as_json)


def _takes_a_study(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the parameters of `run` that name a study and change its settings."""
    of_run = inspect.signature(run, eval_str=True).parameters.values()
    own = inspect.signature(command, eval_str=True).parameters.values()
    every = [p for p in of_run if p.name not in _OF_RUN_ALONE]
    every += [p for p in own if p.kind is not p.VAR_KEYWORD]
    command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in every}
    return command


_OF_RUN_ALONE = ("fresh", "yes", "quiet", "as_json")


@app.command()
@_takes_a_study
def check(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
    **given: Any,
) -> None:
    """Find out in seconds what would fail in an hour, and how long a study will take.

    Looks at the data, passes a few rows through the model and back, steps every schedule at both
    ends of its ranges, and measures the speed. Exit code 2 if anything is wrong.

    Examples:

      sweep check

      sweep check diabetes --model my_model:Net --set optimizer.clip=1
    """
    from sweep.workers import preload

    preload()
    from sweep.check import check_study
    from sweep.overrides import checked
    from sweep.report.check_tables import check_report

    found = check_study(*checked(given))
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        _console().print(check_report(found), soft_wrap=False)
    if found.problems:
        raise typer.Exit(InputError.exit_code)


@app.command("lr-range")
@_takes_a_study
def lr_range(
    *,
    between: Annotated[
        str, typer.Option(metavar="LOW:HIGH", help="The rates to try, whatever --lr says.")
    ] = "1e-6:10",
    rates: Annotated[int, typer.Option(min=4, help="How many rates to try.")] = 36,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
    **given: Any,
) -> None:
    """Find the range of learning rates worth searching: the learning-rate range test.

    Trains the study's model for a few epochs with many constant rates side by side, and suggests
    bounds for lr: from where the loss begins to fall clearly to where it no longer does. Nothing
    is written.

    Examples:

      sweep lr-range

      sweep lr-range diabetes --optimizer adam --momentum 0
    """
    from sweep.lr_range import find_range
    from sweep.overrides import configured
    from sweep.report.lr_range_chart import lr_range_report

    console = _console(stderr=as_json)
    found = find_range(*configured(given), between, rates, _noting(console, as_json))
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        console.print(lr_range_report(found, console.width), soft_wrap=False)


def _noting(console: Console, quiet: bool) -> Callable[[str], None]:
    from sweep.progress import Progress

    return (lambda text: None) if quiet else Progress(console).on_note


def _run(
    location: Location,
    config: StudyConfig,
    *,
    fresh: bool,
    yes: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    from sweep.workers import preload

    preload()
    from sweep.run import run_sweep

    if fresh:
        _confirm_fresh(location, config, yes)
    console = _console(stderr=as_json)
    with _progress(console, quiet or as_json) as progress:
        study = run_sweep(location, config, progress, fresh)
    _save_page(study, config, location.folder)
    if quiet and not as_json:
        return
    summary = _summarise(study, config, location.folder)
    if as_json:
        typer.echo(json.dumps(summary.to_dict(), indent=2))
    else:
        from sweep.report.tables import run_ending

        console.print(run_ending(summary, location.folder, console.width), soft_wrap=False)


def _confirm_fresh(location: Location, config: StudyConfig, yes: bool) -> None:
    from sweep.storage import storage_url, without_password

    place = without_password(storage_url(config.storage, location.folder))
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("--fresh throws trials away: confirm it with --yes")
    typer.confirm(f"Throw away all trials of {location.name!r} in {place}?", abort=True)


def _progress(console: Console, quiet: bool) -> contextlib.AbstractContextManager[Any]:
    from sweep.progress import LiveProgress, Progress
    from sweep.run import Listener

    if quiet:
        return contextlib.nullcontext(Listener())
    moves = console.is_terminal and not console.is_dumb_terminal
    kind: type[Progress] = LiveProgress if moves else Progress
    return kind(console)


def _summarise(study: optuna.Study, config: StudyConfig, folder: Path, top: int = 10) -> Summary:
    from sweep.report.summary import summarise

    return summarise(study, config, folder, top)


def _save_page(study: optuna.Study, config: StudyConfig, folder: Path) -> None:
    """Write report.html, and what optuna-dashboard shows.

    The sweep's results are safe already, so a failure is only told.
    """
    what = "report.html"
    try:
        from sweep.exhibits import show
        from sweep.files import write_whole
        from sweep.report.figures import pictures
        from sweep.report.findings import gather
        from sweep.report.html import to_html
        from sweep.results import REPORT

        findings = gather(study, config, folder)
        drawn = pictures(findings)
        write_whole(folder / REPORT, to_html(findings, drawn))
        what = "the dashboard's notes and figures"
        show(findings, drawn)
    except Exception as problem:
        typer.echo(f"{what} could not be written: {problem}", err=True)


def _open(study: str | None, storage: str | None) -> tuple[optuna.Study, StudyConfig, Path]:
    """A study that has been run: its trials, its settings as run, its folder."""
    from sweep.library import load_study

    found = load_study(study, storage)
    return found.study, found.config, found.folder


_TOP = 10


@app.command()
def report(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY",
            help="A study's name or results folder; the study that was run last if left out. "
            "Several are compared.",
            autocompletion=_complete_results,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="text, json, csv or md; with --figures svg or png.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials to show.")] = _TOP,
    as_html: Annotated[
        bool, typer.Option("--html", help="Write report.html into the results folder.")
    ] = False,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open report.html in the browser; implies --html.")
    ] = False,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the figures as files: svg, or --format png."),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Show what a study found: the best schedule, how it compares, and what mattered.

    Of several studies: their winners beside each other, and which differences are within noise.

    Examples:

      sweep report

      sweep report diabetes --format md --top 5

      sweep report diabetes --open

      sweep report diabetes --figures pictures --format png

      sweep report diabetes with_adam with_dropout
    """
    if studies and len(studies) > 1:
        of_one = {"--html": as_html, "--open": open_page, "--figures": bool(figures)}
        of_one |= {"--storage": bool(storage), "--top": top != _TOP}
        _compare(studies, format or "text", [flag for flag, given in of_one.items() if given])
        return
    study = studies[0] if studies else None
    if as_html or open_page or figures:
        _write_figures(study, storage, format, as_html or open_page, open_page, figures)
        return
    from sweep.report import tables, writers

    format = format or "text"
    formats = {"json": writers.to_json, "csv": writers.to_csv, "md": writers.to_markdown}
    if format != "text" and format not in formats:
        needs = f"; {format} needs --figures FOLDER" if format in ("svg", "png") else ""
        raise InputError(f"--format {format}: expected text, json, csv or md{needs}")
    opened, config, folder = _open(study, storage)
    summary = _summarise(opened, config, folder, top)
    if format == "text":
        console = _console()
        console.print(tables.full_report(summary, console.width), soft_wrap=False)
    else:
        typer.echo(formats[format](summary).rstrip("\n"))


def _compare(studies: list[str], format: str, of_one: list[str]) -> None:
    from sweep.report import comparison_views as views
    from sweep.report.comparison import compare

    if of_one:
        raise InputError(f"{of_one[0]} is for one study, not for {len(studies)}")
    formats = {"json": views.to_json, "csv": views.to_csv, "md": views.to_markdown}
    if format != "text" and format not in formats:
        raise InputError(f"--format {format}: of several studies, expected text, json, csv or md")
    found = compare([_open(study, None) for study in studies])
    if format == "text":
        console = _console()
        console.print(views.comparison_report(found, console.width), soft_wrap=False)
    else:
        typer.echo(formats[format](found).rstrip("\n"))


def _write_figures(
    study: str | None,
    storage: str | None,
    format: str | None,
    page: bool,
    open_page: bool,
    folder: Path | None,
) -> None:
    if format and folder is None:
        raise InputError(f"--format {format}: --html has one format; leave --format out")
    if format not in (None, "svg", "png"):
        raise InputError(f"--format {format}: with --figures, expected svg or png")
    opened, config, results = _open(study, storage)
    if page:
        from sweep.report.html import write_html

        path = write_html(opened, config, results)
        typer.echo(f"wrote {path}")
        if open_page:
            import webbrowser

            if not webbrowser.open(path.resolve().as_uri()):
                typer.echo("no browser was found; open the file yourself", err=True)
    if folder is not None:
        from sweep.report.figures import pictures
        from sweep.report.findings import gather
        from sweep.report.static import write_pictures

        drawn = pictures(gather(opened, config, results))
        paths = write_pictures(drawn, folder, "png" if format == "png" else "svg")
        typer.echo(f"wrote {counted(len(paths), 'figure')} into {folder}")


@app.command()
def audit(
    study: ResultsArgument = None,
    sample: Annotated[int, typer.Option(min=1, help="Pruned trials to train to the end.")] = 20,
    storage: StorageOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Check what pruning cost: train some of the pruned trials to their end.

    Example:

      sweep audit order_pre --sample 50
    """
    from sweep.report.tables import audit_report
    from sweep.run import run_audit

    opened, config, folder = _open(study, storage)
    console = _console(stderr=as_json)
    with _progress(console, quiet or as_json) as progress:
        found = run_audit(folder, config, opened, sample, progress)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        console.print(audit_report(found), soft_wrap=False)


@app.command()
def export(
    study: ResultsArgument = None,
    to: Annotated[str, typer.Option(metavar="FORMAT", help="python, json or csv.")] = "python",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a file, not the screen.")
    ] = None,
) -> None:
    """Take the best schedule home: torch code, JSON, or its rate at every step as CSV.

    Example:

      sweep export order_pre --to python > schedule.py
    """
    from sweep.files import write_whole
    from sweep.imports import look_in
    from sweep.locations import locate_results
    from sweep.results import export_best

    folder = locate_results(study)
    look_in((folder.resolve(), folder.resolve().parent, Path.cwd()))
    content = export_best(folder, to)
    if out is None:
        typer.echo(content.rstrip("\n"))
    elif not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}")
    else:
        write_whole(out, content)


@app.command()
def init(
    table: Annotated[str, typer.Argument(metavar="CSV", help="A CSV or Parquet file.")],
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column to predict.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The study file; studies/<name>.toml if left out."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Run `sweep lr-range` for the range of lr.")
    ] = False,
) -> None:
    """Write a commented study file for a table.

    Examples:

      sweep init houses.csv --target price

      sweep init houses.csv --target price --probe
    """
    from sweep.template import write_study_file

    path = write_study_file(Path(table), target, out, force)
    if probe:
        from sweep.lr_range import probe_study_file

        found = probe_study_file(path)
        typer.echo(f"tried {len(found.rates)} learning rates: {found.line}")
    typer.echo(f"wrote {path}; run it with: sweep run {shlex.quote(str(path))}")


@app.command()
def dashboard(
    study: ResultsArgument = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1.")] = 8080,
    storage: StorageOption = None,
) -> None:
    """Look at a study in the browser with optuna-dashboard; Ctrl-C ends it.

    Example:

      sweep dashboard order_pre --port 8081
    """
    from sweep.dashboard import prepare, serve

    opened, config, folder = _open(study, storage)
    prepare(opened, config, folder, storage)
    serve(
        opened, folder, port, lambda url: typer.echo(f"optuna-dashboard at {url} (Ctrl-C ends it)")
    )


@app.command()
def schedules(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="One schedule, to see it large.",
            autocompletion=_complete_scheduler,
        ),
    ] = None,
    lr: Annotated[float, typer.Option(help="Peak rate.")] = 0.1,
    decay: Annotated[float | None, typer.Option(help="Final rate / peak rate.")] = None,
    warmup: Annotated[float, typer.Option(help="Share of warm-up steps.")] = 0.0,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="One of its own parameters: drops=3"),
    ] = None,
) -> None:
    """List the schedules, or draw one.

    Examples:

      sweep schedules

      sweep schedules cosine --lr 0.1 --decay 0.01
    """
    from sweep.overrides import read_setting
    from sweep.report.gallery import schedule_detail, schedule_list
    from sweep.schedules import Schedule

    console = _console()
    if name is None:
        console.print(schedule_list(), soft_wrap=False)
        return
    params = dict(read_setting(text) for text in param or [])
    settings: dict[str, Any] = {"scheduler": name, "lr": lr, "warmup": warmup, "params": params}
    drawn = Schedule(**settings if decay is None else {**settings, "decay": decay})
    console.print(schedule_detail(drawn), soft_wrap=False)
