"""What the command line says of itself."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from called import Called
from support import ROOT

from sweep import __version__
from sweep.cli import app
from sweep.study.registries.models import MODELS
from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.study.registries.pruners import PRUNERS
from sweep.study.registries.samplers import SAMPLERS
from sweep.study.registries.sources import SOURCES

README = ROOT / "README.md"

COMMANDS = [
    "run",
    "check",
    "lr-range",
    "report",
    "predict",
    "audit",
    "discard",
    "export",
    "init",
    "schema",
    "dashboard",
    "schedules",
    "doctor",
]


class TestHelp:
    def test_these_are_the_commands(self) -> None:
        assert list(typer.main.get_command(app).commands) == COMMANDS  # type: ignore[attr-defined]

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_command_stands_in_the_file_of_its_name(self, command: str) -> None:
        function = typer.main.get_command(app).commands[command].callback  # type: ignore[attr-defined]
        assert (
            inspect.unwrap(function).__module__ == f"sweep.cli.commands.{command.replace('-', '_')}"
        )

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_has_an_example(self, sweep: Called, command: str) -> None:
        help = sweep(command, "--help")
        assert help.returncode == 0
        assert re.search(rf"Examples?:\s+sweep {command}", help.stdout)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_option_has_a_help_text(self, command: str) -> None:
        parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
        without = [parameter.name for parameter in parameters if not parameter.help]
        assert without == []

    @pytest.mark.parametrize(
        ("option", "names"),
        [
            ("sampler", SAMPLERS),
            ("pruner", PRUNERS),
            ("optimizer", OPTIMIZERS),
            ("model", MODELS),
            ("data", SOURCES),
        ],
    )
    def test_the_help_of_an_option_names_all_that_there_is(
        self, option: str, names: tuple[str, ...]
    ) -> None:
        parameters = typer.main.get_command(app).commands["run"].params  # type: ignore[attr-defined]
        help = next(parameter.help for parameter in parameters if parameter.name == option)
        assert [name for name in names if not re.search(rf"\b{name}\b", help)] == []

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_stands_in_the_readme(self, command: str) -> None:
        assert f"sweep {command}" in README.read_text(encoding="utf-8")

    @pytest.mark.slow
    def test_imports_nothing_heavy(self) -> None:
        code = (
            "import sys; from sweep.cli import app\n"
            "try: app(['--help'])\n"
            "except SystemExit: pass\n"
            "heavy = {'torch', 'optuna', 'pandas', 'numpy', 'sklearn', 'pydantic', 'plotext'}\n"
            "print('heavy:', sorted(heavy & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "Usage: " in done.stdout
        assert done.stdout.splitlines()[-1] == "heavy: []"

    def test_version(self, sweep: Called) -> None:
        ended = sweep("--version")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"sweep {__version__}\n", "")

    @pytest.mark.slow
    def test_completes_names(self, tmp_path: Path) -> None:
        environment = {"_SWEEP_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
        code = "from sweep.cli import app; app(prog_name='sweep')"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "COMP_WORDS": "sweep schedules cos", "PATH": ""},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.stdout.split() == ["cosine", "cosine_restarts"]
