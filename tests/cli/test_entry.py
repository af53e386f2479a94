"""The command line: what it prints, writes and exits with."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer.main
from support import ROOT
from support import sweep as sweep_process

from sweep import __version__
from sweep.base.errors import InputError
from sweep.cli import app, main
from sweep.schedules.schedule import SHAPES
from sweep.study.sections import DATA_SOURCES, MODELS, OPTIMIZERS, PRUNERS, SAMPLERS

README = ROOT / "README.md"
COMMANDS = [
    "run",
    "check",
    "lr-range",
    "report",
    "audit",
    "export",
    "init",
    "schema",
    "dashboard",
    "schedules",
]


class Ended:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Sweep:
    """Runs the command line in this process, in an empty folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["sweep", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *self._capsys.readouterr())


@pytest.fixture
def sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sweep:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return Sweep(monkeypatch, capsys)


def houses(folder: Path) -> None:
    rows = range(40)
    table = pd.DataFrame({"area": [10 + r % 9 for r in rows], "price": [3 * r % 17 for r in rows]})
    table.to_csv(folder / "houses.csv", index=False)


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
    def test_every_command_has_an_example(self, sweep: Sweep, command: str) -> None:
        help = sweep(command, "--help")
        assert help.code == 0
        assert re.search(rf"Examples?:\s+sweep {command}", help.out)

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
            ("data", DATA_SOURCES),
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

    def test_nothing_shows_the_help(self, sweep: Sweep) -> None:
        ended = sweep()
        assert ended.code == 2
        assert "Usage: sweep [OPTIONS] COMMAND" in ended.out + ended.err

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

    def test_version(self, sweep: Sweep) -> None:
        ended = sweep("--version")
        assert (ended.code, ended.out, ended.err) == (0, f"sweep {__version__}\n", "")

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


class TestErrors:
    """On stderr, in words, with the exit code that scripts look at."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (
                ("run", "diabets"),
                "error: no study named 'diabets'; did you mean 'diabetes'? (here: diabetes, "
                "families, order_pre, order_pre_full_batch; or give a study file's path)\n",
            ),
            (
                ("run", "diabetes", "--lr", "1:0.1"),
                "error: --lr '1:0.1': low must be at most high: write '0.1:1'\n",
            ),
            (
                ("run", "diabetes", "--set", "epochs"),
                "error: --set epochs: expected KEY=VALUE, such as data.log1p=true\n",
            ),
            (
                ("run", "diabetes", "--set", "epoch=3"),
                "error: --set epoch: unknown key; did you mean 'epochs'?\n",
            ),
            (
                ("run", "--data", "nowhere.csv", "--target", "price", "--batch-size", "ful"),
                "error: --batch-size 'ful': expected a whole number of at least 1, or \"full\"\n",
            ),
            (
                ("run", "diabetes", "--timeout", "10x"),
                "error: --timeout '10x': expected seconds, or a number with s, m or h: '10m'\n",
            ),
            (("report",), "error: no results in studies/ here; run a study first: sweep run\n"),
            (
                ("export", "diabetes"),
                "error: diabetes: no results; run it first: sweep run diabetes\n",
            ),
            (
                ("report", "--format", "xml"),
                "error: --format xml: expected text, json, csv or md\n",
            ),
            (
                ("report", "--html", "--format", "md"),
                "error: --format md: --html has one format; leave --format out\n",
            ),
            (
                ("report", "--figures", "pictures", "--format", "md"),
                "error: --format md: with --figures, expected svg or png\n",
            ),
            (
                ("report", "--format", "svg"),
                "error: --format svg: expected text, json, csv or md; svg needs --figures FOLDER\n",
            ),
            (
                ("schedules", "cosin"),
                f"error: scheduler must be one of {', '.join(SHAPES)}, but got "
                "scheduler='cosin'; did you mean 'cosine'?\n",
            ),
            (
                ("run", "diabetes", "--fresh"),
                "error: --fresh throws trials away: confirm it with --yes\n",
            ),
        ],
    )
    def test_wrong_input(self, sweep: Sweep, arguments: tuple[str, ...], expected: str) -> None:
        ended = sweep(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(expected)
        assert not Path("studies").exists()

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("fly",), "No such command 'fly'."),
            (("run", "--schedular", "step"), "No such option: --schedular"),
            (("run", "--trials", "many"), "Invalid value for '--trials'"),
            (("report", "--top", "0"), "Invalid value for '--top'"),
        ],
    )
    def test_wrong_usage(self, sweep: Sweep, arguments: tuple[str, ...], expected: str) -> None:
        ended = sweep(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert expected in ended.err and "Traceback" not in ended.err

    def test_a_storage_that_cannot_be_reached(self, sweep: Sweep, tiny_study: Path) -> None:
        ended = sweep("report", tiny_study, "--storage", "postgresql://me:secret@127.0.0.1:1/db")
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("error: postgresql://me@127.0.0.1:1/db: the storage cannot be")
        assert "secret" not in ended.err

    def test_a_place_that_cannot_be_written(self, sweep: Sweep, tiny_study: Path) -> None:
        ended = sweep("export", tiny_study, "--out", "nowhere/schedule.py")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == "error: nowhere/schedule.py: there is no folder nowhere\n"

    def test_a_traceback_with_debug(self, sweep: Sweep, tmp_path: Path) -> None:
        with pytest.raises(InputError):
            sweep("--debug", "report", "mine")
        done = sweep_process("report", "mine", "--debug", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("Traceback (most recent call last):")
        assert done.stderr.splitlines()[-1] == (
            "sweep.base.errors.InputError: mine: no results; run it first: sweep run mine"
        )


class TestSchedules:
    def test_lists_them_all(self, sweep: Sweep) -> None:
        ended = sweep("schedules")
        assert ended.code == 0
        assert [name for name in SHAPES if not re.search(rf"^\s*{name}\b", ended.out, re.M)] == []
        assert max(map(len, ended.out.splitlines())) <= 100

    def test_draws_one(self, sweep: Sweep) -> None:
        ended = sweep("schedules", "step", "--lr", "0.3", "--decay", "0.01", "--param", "drops=2")
        assert ended.code == 0
        assert "step, lr 0.3, decay 0.01" in ended.out
        assert "StepLR" in ended.out
        assert len(ended.out.splitlines()) > 8

    @pytest.mark.parametrize(
        "arguments",
        [("--decay", "0"), ("--lr", "-1"), ("--param", "drops=0"), ("--param", "drop=1")],
    )
    def test_refuses_what_is_no_schedule(self, sweep: Sweep, arguments: tuple[str, ...]) -> None:
        ended = sweep("schedules", "step", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("error: ")


class TestInit:
    def test_writes_a_study_file_that_can_be_run(self, sweep: Sweep, tmp_path: Path) -> None:
        houses(tmp_path)
        ended = sweep("init", "houses.csv", "--target", "price")
        assert (ended.code, ended.err) == (0, "")
        assert ended.out == (
            "wrote studies/houses.toml; run it with: sweep run studies/houses.toml\n"
        )
        again = sweep("init", "houses.csv", "--target", "price")
        assert (again.code, again.out) == (2, "")
        assert again.err == (
            "error: studies/houses.toml: there already; write over it with --force, "
            "or name another --out\n"
        )
        forced = sweep("init", "houses.csv", "--target", "price", "--force")
        assert (forced.code, forced.out) == (0, ended.out)

    def test_names_a_column_that_is_near(self, sweep: Sweep, tmp_path: Path) -> None:
        houses(tmp_path)
        ended = sweep("init", "houses.csv", "--target", "pric")
        assert (ended.code, ended.out) == (2, "")
        assert "did you mean 'price'?" in ended.err

    def test_what_the_system_refuses_is_one_line(self, sweep: Sweep, tmp_path: Path) -> None:
        houses(tmp_path)
        (tmp_path / "studies").touch()
        ended = sweep("init", "houses.csv", "--target", "price")
        assert (ended.code, ended.out, ended.err) == (1, "", "error: studies: File exists\n")


class TestExport:
    @pytest.mark.parametrize(
        ("to", "file"), [("python", "best_schedule.py"), ("json", "best_schedule.json")]
    )
    def test_prints_what_the_sweep_wrote(
        self, sweep: Sweep, tiny_study: Path, to: str, file: str
    ) -> None:
        ended = sweep("export", tiny_study, "--to", to)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out == (tiny_study / file).read_text()

    def test_csv(self, sweep: Sweep, tiny_study: Path) -> None:
        frame = pd.read_csv(io.StringIO(sweep("export", tiny_study, "--to", "csv").out))
        assert (list(frame), len(frame)) == (["step", "lr"], 20)

    def test_writes_a_file(self, sweep: Sweep, tiny_study: Path, tmp_path: Path) -> None:
        ended = sweep("export", tiny_study, "--out", "schedule.py")
        assert (ended.code, ended.out, ended.err) == (0, "", "")
        assert (tmp_path / "schedule.py").read_text() == (
            tiny_study / "best_schedule.py"
        ).read_text()

    def test_refuses_another_form(self, sweep: Sweep, tiny_study: Path) -> None:
        ended = sweep("export", tiny_study, "--to", "yaml")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == "error: --to yaml: expected python, json, csv\n"


class TestReport:
    def test_text_fits_the_screen(self, sweep: Sweep, tiny_study: Path) -> None:
        ended = sweep("report", tiny_study)
        assert (ended.code, ended.err) == (0, "")
        best = json.loads((tiny_study / "best_schedule.json").read_text())
        assert f"{best['schedule']['scheduler']}, lr {best['schedule']['lr']:.4g}" in ended.out
        assert max(map(len, ended.out.splitlines())) <= 100

    def test_json(self, sweep: Sweep, tiny_study: Path) -> None:
        ended = sweep("report", tiny_study, "--format", "json", "--top", "2")
        report = json.loads(ended.out)
        best = json.loads((tiny_study / "best_schedule.json").read_text())
        assert (ended.code, ended.err) == (0, "")
        assert best["val_mse"] == pytest.approx(find(report, "val_mse"))
        assert len(report["top"]) == 2

    def test_csv(self, sweep: Sweep, tiny_study: Path) -> None:
        ended = sweep("report", tiny_study, "--format", "csv")
        assert (ended.code, ended.err) == (0, "")
        frame = pd.read_csv(io.StringIO(ended.out))
        results = pd.read_csv(tiny_study / "results.csv")
        assert set(frame["scheduler"]) <= {*SHAPES}
        assert set(results["scheduler"]) <= set(frame["scheduler"])

    def test_markdown(self, sweep: Sweep, tiny_study: Path) -> None:
        ended = sweep("report", tiny_study, "--format", "md")
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith("# ")
        assert re.search(r"^\| .*scheduler.*\|\n\|[-:| ]+\|\n\| ", ended.out, re.M)

    def test_html_is_written_and_opened(
        self, sweep: Sweep, tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        browser = tmp_path / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
        browser.chmod(0o755)
        monkeypatch.setenv("BROWSER", f"{browser} %s")
        page = tiny_study / "report.html"
        page.unlink()
        ended = sweep("report", tiny_study, "--open")
        assert (ended.code, ended.out, ended.err) == (0, f"wrote {page}\n", "")
        assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
        assert (tmp_path / "opened").read_text() == f"{page.as_uri()}\n"

    def test_several_studies(self, sweep: Sweep, tiny_study: Path, tmp_path: Path) -> None:
        other = tmp_path / "studies" / "other"
        shutil.copytree(tiny_study, other)
        ended = sweep("report", tiny_study, "other")
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith("2 studies")
        assert "Differences\n- diabetes " in ended.out
        ended = sweep("report", tiny_study, "other", "--format", "json")
        rows = json.loads(ended.out)["studies"]
        assert [row["study"] for row in rows] == ["diabetes", "other"]
        ended = sweep("report", tiny_study, "other", "--format", "csv")
        assert list(pd.read_csv(io.StringIO(ended.out))["study"]) == ["diabetes", "other"]
        assert sweep("report", tiny_study, "other", "-f", "md").out.startswith("# diabetes, other")
        for flag in ("--html", "--open", "--figures=x", "--storage=y", "--top=3"):
            ended = sweep("report", tiny_study, "other", flag)
            name = flag.partition("=")[0]
            assert (ended.code, ended.out) == (2, "")
            assert ended.err == f"error: {name} is for one study, not for 2\n"
        ended = sweep("report", tiny_study, "other", "--format", "svg")
        assert "--format svg: of several studies, expected text, json, csv or md" in ended.err

    @pytest.mark.parametrize("format", ["svg", "png"])
    def test_figures(self, sweep: Sweep, tiny_study: Path, format: str) -> None:
        ended = sweep("report", tiny_study, "--figures", "new/pictures", "--format", format)
        written = list(Path("new/pictures").glob(f"*.{format}"))
        assert (ended.code, ended.err) == (0, "")
        assert ended.out == f"wrote {len(written)} figures into new/pictures\n"
        assert {"rates", "learning-curves", "history"} <= {path.stem for path in written}

    def test_a_study_by_any_of_its_names(
        self, sweep: Sweep, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tiny_study.parent.parent)
        reports = {
            sweep("report", *name, "--format", "json").out
            for name in ([], ["diabetes"], ["studies/diabetes"], [str(tiny_study)])
        }
        assert len({json.dumps(find(json.loads(text), "val_mse")) for text in reports}) == 1


class TestAudit:
    def test_says_what_pruning_cost(self, sweep: Sweep, tmp_path: Path) -> None:
        arguments = ("run", "diabetes", "--epochs", "5", "--trials", "24", "--sampler", "random")
        assert sweep(*arguments, "--workers", "1", "--no-confirm", "--quiet").code == 0
        folder = tmp_path / "studies" / "diabetes"
        described = json.loads((folder / "best_schedule.json").read_text())
        assert described["confirmation"] is None
        audited = sweep("audit", "diabetes", "--sample", "3", "--json")
        assert audited.code == 0
        found = json.loads(audited.out)
        assert len(found["audited"]) == 3 <= found["pruned"]
        shown = sweep("audit", folder, "--sample", "3")
        assert (shown.code, shown.err) == (0, "")
        for sentence in found["sentences"]:
            assert sentence[1:40] in " ".join(shown.out.split())
        assert len(pd.read_csv(folder / "audit.csv")) == 3

    def test_needs_pruned_trials(self, sweep: Sweep, tiny_study: Path) -> None:
        audited = sweep("audit", tiny_study)
        assert audited.code == 2
        assert "no trial was pruned, so there is nothing to audit" in audited.err


def find(values: object, key: str) -> float:
    """The first value of a key in nested JSON."""
    if isinstance(values, dict):
        if key in values:
            return float(values[key])
        values = list(values.values())
    for inner in values if isinstance(values, list) else []:
        try:
            return find(inner, key)
        except KeyError:
            continue
    raise KeyError(key)


class TestRun:
    def test_json_then_quiet_then_other_settings(self, sweep: Sweep, tmp_path: Path) -> None:
        houses(tmp_path)
        arguments = ["run", "--data", "houses.csv", "--target", "price", "--model", "linear"]
        arguments += ["--trials", "2", "--epochs", "1", "--workers", "1", "--batch-size", "8"]
        done = sweep_process(*arguments, "--json", "--scheduler", "step", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["top"]
        again = sweep(*arguments, "--quiet", "--scheduler", "step")
        assert (again.code, again.out, again.err) == (0, "", "")
        assert (tmp_path / "studies" / "houses" / "report.html").is_file()
        saved = (tmp_path / "studies" / "houses" / "study.toml").read_text()
        assert 'scheduler = ["step"]' in saved and "batch_size = 8" in saved
        changed = sweep(*arguments, "--scheduler", "rex")
        assert changed.code == 2
        assert changed.err.startswith("error: study 'houses' has trials with other settings:\n")
        assert "space.scheduler: was 'step', now 'rex'" in changed.err

    def test_a_page_that_cannot_be_written_fails_no_sweep(
        self, sweep: Sweep, tmp_path: Path
    ) -> None:
        houses(tmp_path)
        (tmp_path / "studies" / "houses" / "report.html").mkdir(parents=True)
        done = sweep(
            *("run", "--data", "houses.csv", "--target", "price", "--model", "linear", "--quiet"),
            *("--trials", "2", "--epochs", "1", "--workers", "1", "--scheduler", "step"),
        )
        assert (done.code, done.out) == (0, "")
        assert done.err.startswith("report.html could not be written: ")
        assert (tmp_path / "studies" / "houses" / "best_schedule.py").is_file()


INTERRUPTED = """
import os, signal, sys, threading, time
from sweep.cli import main
assert "typer" not in sys.modules
number = getattr(signal, sys.argv[1])
before = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
signal.signal(number, before)
def interrupt():
    while signal.getsignal(number) is before:
        time.sleep(0.001)
    for _ in range(3):
        os.kill(os.getpid(), number)
threading.Thread(target=interrupt, daemon=True).start()
sys.argv = ["sweep", "run", "diabetes", "--trials", "1000"]
main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_while_it_still_imports(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130
    assert set(done.stderr.split()) == {"interrupted"}


def test_a_folder_for_temporary_files_whose_path_is_too_long(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "sweep", "run", "diabetes", "--trials", "1"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"{folder}: worker processes cannot be started from there" in done.stderr
    assert "set TMPDIR to" in done.stderr


@pytest.mark.parametrize(
    "options",
    [("--workers", "1"), ("--workers", "2", "--sampler", "random", "--pruner", "none")],
)
def test_the_same_seed_gives_the_same_epochs(tmp_path: Path, options: tuple[str, ...]) -> None:
    small = ("--trials", "12", "--epochs", "4", "--no-confirm", "--quiet")
    tables = []
    for name in ("first", "second"):
        done = sweep_process("run", "diabetes", *small, *options, "--out", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        tables.append(pd.read_csv(tmp_path / name / "epochs.csv").drop(columns="seconds"))
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
