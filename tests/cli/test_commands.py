"""What each command prints and writes."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from in_process import Sweep, houses
from support import sweep as sweep_process

from sweep.schedules.schedule import SHAPES


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
        run = ["run", "--data", "houses.csv", "--target", "price", "--model", "linear", "--quiet"]
        run += ["--epochs", "1", "--workers", "1", "--scheduler", "step"]
        assert sweep(*run, "--trials", "2").code == 0
        page = tmp_path / "studies" / "houses" / "report.html"
        page.unlink()
        page.mkdir()
        done = sweep(*run, "--trials", "3")
        assert done.err.startswith("report.html could not be written: ")
        assert (done.code, done.out) == (0, "")
        assert (tmp_path / "studies" / "houses" / "best_schedule.py").is_file()


@pytest.mark.slow
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
