"""What users and strangers write is never markup, code, a formula or an order to a terminal."""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import json
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna_dashboard import get_note
from support import sweep

from sweep.base.csv_cells import cell, frame_from_csv, frame_to_csv, value_of_cell
from sweep.base.errors import InputError, ScheduleError
from sweep.base.text import comment, one_line, without_controls
from sweep.cli import main
from sweep.confirm.best_files import export_best
from sweep.confirm.best_schedule import BestSchedule
from sweep.report.writers import escaped
from sweep.runs.library import load_study as load_results
from sweep.schedules.schedule import Schedule
from sweep.search.storage.opening import load_study
from sweep.study.file import load_study as load_settings

CONTROLS = "\x1b[31m\x07\x9b2J\u202e"
HOSTILE = f"[bold]a[/] :100: [/] {CONTROLS}|<b>`"
NAME = f"{HOSTILE}\nprint('INJECTED')\r# x"


def is_plain(text: str) -> bool:
    """Whether a terminal shows it all, and obeys nothing."""
    return not set(text) & {c for c in map(chr, range(0xA0)) if not c.isprintable() and c != "\n"}


class TestText:
    def test_one_line(self) -> None:
        assert one_line("a b é") == "a b é"
        assert one_line(NAME).isprintable()
        assert one_line("\x1b\n\u2028") == "\\x1b\\n\\u2028"

    def test_a_comment_does_not_name_the_encoding(self) -> None:
        code = comment("coding: utf-7 +AAo-print('INJECTED')") + "\n" + comment("a\nb") + "\n"
        assert ast.dump(ast.parse(code.encode())) == ast.dump(ast.parse(""))

    def test_without_controls(self) -> None:
        assert without_controls("a\tb\nc") == "a\tb\nc"
        assert without_controls(CONTROLS) == "[31m2J"

    def test_markdown(self) -> None:
        assert escaped("# a\r\n> b") == "\\# a > b"
        assert escaped("[x](http://a.b) <b> `c` | *d* ~~e~~ $f$ &lt;") == (
            "\\[x](http\\://a.b) \\<b> \\`c\\` \\| \\*d\\* \\~\\~e\\~\\~ \\$f\\$ \\&lt;"
        )
        assert escaped("lr 0.1, val_mse -3.2 (R² 0.4) + 5 %") == (
            "lr 0.1, val_mse -3.2 (R² 0.4) + 5 %"
        )
        assert [escaped(text)[:2] for text in ("- a", "+ a", "---", "===")] == (
            ["\\-", "\\+", "\\-", "\\="]
        )


class TestCells:
    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\n", "'=", "''-"])
    def test_formulas_become_texts_and_come_back(self, tmp_path: Path, start: str) -> None:
        text = f"{start}HYPERLINK(1)"
        assert cell(text) == f"'{text}"
        assert value_of_cell(cell(text)) == text
        frame = pd.DataFrame({"n": [-1.5, 2.0], "t": [text, "plain"], text: [1, -2]})
        written = frame_to_csv(frame)
        assert written.splitlines()[0].count("'") == 1 + start.count("'") or "\n" in start
        (tmp_path / "t.csv").write_text(written, newline="")
        pd.testing.assert_frame_equal(frame_from_csv(tmp_path / "t.csv"), frame)

    def test_carriage_returns_become_line_breaks(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text(frame_to_csv(pd.DataFrame({"t": ["\r=1\r\n2", "a"]})))
        assert list(frame_from_csv(tmp_path / "t.csv")["t"]) == ["\n=1\n2", "a"]

    @pytest.mark.parametrize("value", ["plain", "it's", "'quoted'", "", -1.5, None, True])
    def test_all_else_is_left_alone(self, value: object) -> None:
        assert cell(value) is value
        assert value_of_cell(value) is value


def described(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "best_schedule.json").read_text())
    return content


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in nested dicts and lists, containers included."""
    yield path
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, entry in inner:
            yield from leaves(entry, (*path, key))


class TestBestSchedule:
    @pytest.mark.slow
    def test_what_is_written_is_read(self, tiny_study: Path) -> None:
        found = BestSchedule.read(tiny_study)
        assert found is not None
        assert found.to_json() == (tiny_study / "best_schedule.json").read_text()
        assert found.to_code() == (tiny_study / "best_schedule.py").read_text()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "value",
        [NAME, '"""\nprint("INJECTED")\n"""', float("nan"), 1e308, -1, 10**400, [], {"a": 1}, True],
    )
    def test_a_hostile_value_anywhere_is_refused_or_harmless(
        self, tiny_study: Path, tmp_path: Path, value: object
    ) -> None:
        """Whatever stands where, the code defines what it should, and runs nothing else."""
        whole = described(tiny_study)
        expected = statements((tiny_study / "best_schedule.py").read_text())
        refused = 0
        for path in [place for place in leaves(whole) if place]:
            changed = copy.deepcopy(whole)
            holder = changed
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = value
            (tmp_path / "best_schedule.json").write_text(json.dumps(changed))
            try:
                code = export_best(tmp_path, "python")
            except InputError as problem:
                assert str(problem).startswith(f"{tmp_path}/best_schedule.json: ")
                assert str(problem).isprintable()
                refused += 1
                continue
            assert statements(code) <= expected | {"WARMUP", "DECAY", "DROPS"}, path
        assert refused > 30

    @pytest.mark.slow
    def test_unknown_keys_are_refused(self, tiny_study: Path, tmp_path: Path) -> None:
        for place in ((), ("schedule",), ("test",), ("confirmation",), ("torch",), ("optimizer",)):
            changed = described(tiny_study)
            holder = changed
            for key in place:
                holder = holder[key]
            holder["code"] = "x"
            (tmp_path / "best_schedule.json").write_text(json.dumps(changed))
            with pytest.raises(InputError, match="code"):
                BestSchedule.read(tmp_path)

    @pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"schedule": 1}', "[" * 100_000, "\x00"])
    def test_a_broken_file(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "best_schedule.json").write_text(text)
        with pytest.raises(InputError, match=r"best_schedule\.json"):
            BestSchedule.read(tmp_path)
        with pytest.raises(ScheduleError, match=r"best_schedule\.json"):
            Schedule.load(tmp_path / "best_schedule.json")


def statements(code: str) -> set[str]:
    """What a module defines, and the kinds of statements that define nothing."""
    names = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            assert (
                isinstance(node.targets[0], ast.Name) and ast.literal_eval(node.value) is not None
            )
            names.add(node.targets[0].id)
        elif isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant)
        else:
            assert isinstance(node, ast.Import | ast.ImportFrom), ast.dump(node)
    return names


@pytest.mark.parametrize(
    "factory",
    [
        "x\nprint('INJECTED')\nfrom math:pi",
        "os; print(1):x",
        "a b:c",
        "a:b c",
        "a:class",
        "import:f",
        ":f",
        "a:",
        "a\n.py:f",
        "a.py:f;g",
        3,
        ["a:b"],
    ],
)
def test_a_factory_is_a_module_and_a_function(factory: Any) -> None:
    with pytest.raises(ScheduleError, match="factory must be of the form"):
        Schedule.from_dict({"scheduler": "mine", "lr": 0.1, "factory": factory})


@pytest.mark.parametrize(
    "fields",
    [
        {"scheduler": ["cosine"], "lr": 0.1},
        {"scheduler": {}, "lr": 0.1},
        {"scheduler": "cosine", "lr": 10**400},
        {"scheduler": "cyclic", "lr": 0.1, "params": {"mode": ["triangular"]}},
        {"scheduler": "mine", "lr": 0.1, "factory": "a:b", "params": {"x": float("inf")}},
        {"scheduler": "mine", "lr": 0.1, "factory": "a:b", "params": {"class": 1}},
    ],
)
def test_a_schedule_of_wrong_types(fields: dict[str, Any]) -> None:
    with pytest.raises(ScheduleError):
        Schedule.from_dict(fields)


def test_a_file_whose_name_is_no_module_is_imported_by_its_name() -> None:
    code = Schedule("mine", 0.1, factory="my-own 'x'.py:f").to_code()
    assert "factory = importlib.import_module(\"my-own 'x'\").f" in code
    ast.parse(code)


@pytest.fixture
def handed_over(tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder with a factory of its sender's, in the working folder."""
    folder = tmp_path / "got"
    folder.mkdir()
    own = {"scheduler": "mine", "lr": 0.1, "decay": 0.5, "factory": "evil_factory.py:f"}
    changed = {**described(tiny_study), "schedule": own, "confirmation": None}
    (folder / "best_schedule.json").write_text(json.dumps(changed))
    (folder / "study.toml").write_text("")
    code = (
        "import pathlib, torch\n"
        f"pathlib.Path({str(tmp_path / 'PWNED')!r}).touch()\n"
        "def f(optimizer, steps, *, decay):\n"
        "    return torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)\n"
    )
    for place in (folder, tmp_path):
        (place / "evil_factory.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "evil_factory", raising=False)
    return folder


@pytest.mark.slow
def test_a_factory_is_run_for_those_alone_who_trust_it(handed_over: Path) -> None:
    planted = handed_over.parent / "PWNED"
    for to in ("python", "json"):
        export_best(handed_over, to)
    with pytest.raises(InputError, match=r"names the factory 'evil_factory.py:f'.*--trust"):
        export_best(handed_over, "csv")
    with pytest.raises(ScheduleError, match="trust=True"):
        Schedule.load(handed_over / "best_schedule.json")
    assert not planted.exists()
    frame = pd.read_csv(io.StringIO(export_best(handed_over, "csv", trust=True)))
    assert planted.exists() and set(frame["lr"]) == {0.1}
    loaded = Schedule.load(handed_over / "best_schedule.json", trust=True)
    assert loaded.factory == "evil_factory.py:f"


@pytest.mark.slow
def test_a_study_that_is_loaded_runs_nothing_that_its_own_folder_names(
    tiny_study: Path, handed_over: Path
) -> None:
    for name in ("study.toml", "study.journal"):
        shutil.copy(tiny_study / name, handed_over)
    with (handed_over / "study.toml").open("a") as file:
        file.write("\n[custom.mine]\nfactory = 'evil_factory.py:f'\n")
    with pytest.raises(InputError, match=r"factory 'evil_factory.py:f'.*trust=True"):
        _ = load_results(handed_over, trust=False).best
    assert load_results(handed_over).described["trial"] >= 0
    assert not (handed_over.parent / "PWNED").exists()
    best = load_results(handed_over, trust=True).best
    assert set(best.rates(3)) == {0.1} and (handed_over.parent / "PWNED").exists()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results in `out`: hostile are the study's name, columns, categories, errors."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = range(80)
    column, target = f"=a{HOSTILE}", f"=y{HOSTILE}"
    frame = pd.DataFrame(
        {
            column: [r % 7 for r in rows],
            f"c{HOSTILE}": [f"@{HOSTILE}{r % 2}" for r in rows],
            target: [3.0 * (r % 7) + r % 3 for r in rows],
        }
    )
    frame.to_csv(folder / "t.csv", index=False)
    (folder / "net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, n_features: int) -> None:\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(n_features, 1)\n"
        "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
        "        if self.layer.weight.abs().max() > 1e3:\n"
        f"            raise ValueError('=' + {NAME!r})\n"
        "        return self.layer(x).squeeze(-1)\n"
    )
    (folder / "study.toml").write_text(
        f"name = {json.dumps(NAME)}\nepochs = 3\ntrials = 16\nworkers = 1\nengine = 'sequential'\n"
        f"[data]\nsource = 't.csv'\ntarget = {json.dumps(target)}\n"
        "[model]\nname = 'net:Net'\n[space]\nlr = '1e-3:1e3:log'\n[pruner]\nname = 'none'\n"
    )
    done = sweep("run", "study.toml", "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "1e-3:1e3:log" in done.stdout or "0.001:1000:log" in done.stdout
    shutil.copytree(folder / "out", folder / "out2")
    (folder / "said.txt").write_text(done.stdout + done.stderr)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "report out",
        "report out out2",
        "report out --format md",
        "report out --format csv",
        "report out --html",
        "export out",
        "export out --to csv",
        "export out --to json",
        "audit out --sample 1 --quiet",
        "check out",
        "lr-range out --rates 4",
        "schedules nothing[bold]:100:\x1b",
        "run no[/]such:100:\x1b[31m",
        "init t.csv --target none[/]\x1b",
        "init t.csv --out made.toml --force --target",
    ],
)
def test_no_command_obeys_a_text(
    hostile: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(hostile)
    monkeypatch.setenv("COLUMNS", "200")
    arguments = command.split(" ")
    if arguments[-1] == "--target":
        arguments.append(f"=y{HOSTILE}")
    monkeypatch.setattr(sys, "argv", ["sweep", *arguments])
    with contextlib.suppress(SystemExit):
        main()
    said = "".join(capsys.readouterr())
    assert said and "unexpected" not in said and "Traceback" not in said, said
    assert "\N{HUNDRED POINTS SYMBOL}" not in said
    assert is_plain(said), said
    if command in ("report out", "report out out2", "report out --format md"):
        assert ":100:" in said


@pytest.mark.slow
def test_what_a_run_says_is_plain(hostile: Path) -> None:
    said = (hostile / "said.txt").read_text()
    assert is_plain(said) and ":100:" in said and "[bold]a[/]" in said


@pytest.mark.slow
def test_files_of_a_run_hold_no_code_and_no_formula(hostile: Path) -> None:
    folder = hostile / "out"
    code = (folder / "best_schedule.py").read_text()
    assert "build_scheduler" in statements(code)
    for name in ("results.csv", "confirm.csv", "epochs.csv"):
        frame = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        texts = [c for c in frame if pd.to_numeric(frame[c], errors="coerce").isna().any()]
        for text in (*frame, *frame[texts].to_numpy().ravel()):
            number = text.lstrip("-").replace(".", "").replace("e-", "").isdigit()
            assert number or not text.startswith(("=", "+", "-", "@", "\t", "\r")), text
    assert load_settings(folder / "study.toml").name == NAME
    made = hostile / "again.toml"
    made.write_text(load_settings(folder / "study.toml").to_toml())
    assert tomllib.loads(made.read_text())["name"] == NAME


@pytest.mark.slow
def test_notes_show_texts_as_they_are(hostile: Path) -> None:
    study = load_study(NAME, str(hostile / "out" / "study.journal"))
    notes = [get_note(study)]
    notes += [get_note(optuna.Trial(study, trial._trial_id)) for trial in study.trials]
    for note in filter(None, notes):
        assert is_plain(note), note
        assert "<b>" not in note.replace("\\<b>", ""), note
        assert "\nprint('INJECTED')" not in note
