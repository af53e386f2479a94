"""The command line as a whole: its commands in the order of the help, and how it ends."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from sweep import __version__
from sweep.base.errors import InputError, SweepError
from sweep.base.files import described
from sweep.base.library_warnings import hidden_library_warnings, show_library_warnings
from sweep.cli.commands.audit import audit
from sweep.cli.commands.check import check
from sweep.cli.commands.dashboard import dashboard
from sweep.cli.commands.discard import discard
from sweep.cli.commands.doctor import doctor
from sweep.cli.commands.export import export
from sweep.cli.commands.init import init
from sweep.cli.commands.lr_range import lr_range
from sweep.cli.commands.predict import predict
from sweep.cli.commands.report import report
from sweep.cli.commands.run import run
from sweep.cli.commands.schedules import schedules
from sweep.cli.commands.schema import schema
from sweep.cli.first_words import first_words
from sweep.cli.terminal import console, show

app = typer.Typer(
    name="sweep",
    help=(
        "Find the learning-rate schedule, peak rate and decay that train a PyTorch regression "
        "model to the lowest validation error.\n\n"
        "Start with: [bold]sweep run[/], then [bold]sweep report[/]."
    ),
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Command(TyperCommand):
    """A command whose unknown options lead to what they are here: `--step-size`, `--T-max`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # whose class is typer's own or click's, by typer's version
            if option := getattr(error, "option_name", None):
                from sweep.schedules.other_names import setting_here

                here = setting_here(str(option).lstrip("-").replace("-", "_"))
                error.message = f"{error.message}{here}"  # type: ignore[attr-defined]
            raise


for _command in (
    run,
    check,
    lr_range,
    report,
    predict,
    audit,
    discard,
    export,
    init,
    schema,
    dashboard,
    schedules,
    doctor,
):
    app.command(cls=_Command)(_command)

_TAKE_A_COMMAND = ("run", "check", "lr-range")
"""Those that a command of the user's own may stand behind: `sweep run -- python train.py`."""


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sweep {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and libraries' warnings.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        show(lambda width: first_words())


def main() -> None:
    """Run the command line; a SweepError ends it with its text and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # curves and R² on a terminal without Unicode
    arguments, command = _command_apart(sys.argv[1:])
    debug = "--debug" in arguments
    if debug:
        show_library_warnings()
    try:
        if command == []:
            raise InputError("nothing stands after --: give the command, as -- python train.py")
        with hidden_library_warnings():
            words = [argument for argument in arguments if argument != "--debug"]
            app(args=[*words, *(command or ())], prog_name="sweep")
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
        if debug:
            raise
        if error.filename is None:  # of the output itself, which would fail again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(described(error), 1)
    except Exception as error:
        if debug:
            raise
        _fail(f"unexpected {type(error).__name__}: {error}\nsee where with --debug", 1)


def _command_apart(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """What a command that takes a study is given, and what stands after `--` as options of it.

    The latter is None where there is no `--`.
    """
    name = next((argument for argument in arguments if not argument.startswith("-")), "")
    if name not in _TAKE_A_COMMAND or "--" not in arguments:
        return arguments, None
    end = arguments.index("--")
    return arguments[:end], [f"--command={word}" for word in arguments[end + 1 :]]


def _fail(text: str, exit_code: int) -> None:
    from rich.text import Text

    word = "interrupted" if exit_code == 130 else "error"
    body = text.removeprefix("interrupted; ").removeprefix("interrupted")
    console(stderr=True).print(Text(f"{word}: ", style="bold red").append(body, style="default"))
    sys.exit(exit_code)
