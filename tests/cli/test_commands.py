"""What each command prints and writes."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from called import Called
from support import sweep as sweep_process

from sweep.schedules.schedule import SHAPES
from sweep.study.registries.sources import SOURCES
from sweep.study.sections import DataConfig


def houses(folder: Path) -> None:
    rows = range(40)
    table = pd.DataFrame({"area": [10 + r % 9 for r in rows], "price": [3 * r % 17 for r in rows]})
    table.to_csv(folder / "houses.csv", index=False)


class TestSchedules:
    def test_lists_them_all(self, sweep: Called) -> None:
        ended = sweep("schedules")
        assert ended.returncode == 0
        assert [
            name for name in SHAPES if not re.search(rf"^\s*{name}\b", ended.stdout, re.M)
        ] == []
        assert max(map(len, ended.stdout.splitlines())) <= 100

    def test_draws_one(self, sweep: Called) -> None:
        ended = sweep("schedules", "step", "--lr", "0.3", "--decay", "0.01", "--param", "drops=2")
        assert ended.returncode == 0
        assert "step, lr 0.3, decay 0.01" in ended.stdout
        assert "StepLR" in ended.stdout
        assert len(ended.stdout.splitlines()) > 8

    @pytest.mark.parametrize(
        "arguments",
        [("--decay", "0"), ("--lr", "-1"), ("--param", "drops=0"), ("--param", "drop=1")],
    )
    def test_refuses_what_is_no_schedule(self, sweep: Called, arguments: tuple[str, ...]) -> None:
        ended = sweep("schedules", "step", *arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("error: ")


class TestInit:
    def test_writes_a_study_file_that_can_be_run(self, sweep: Called, tmp_path: Path) -> None:
        houses(tmp_path)
        ended = sweep("init", "houses.csv", "--target", "price")
        assert (ended.returncode, ended.stderr) == (0, "")
        warning, done = ended.stdout.splitlines()
        assert warning.startswith("warning: only 8 validation rows to choose schedules by")
        assert done == "wrote studies/houses.toml; run it with: sweep run studies/houses.toml"
        again = sweep("init", "houses.csv", "--target", "price")
        assert (again.returncode, again.stdout) == (2, "")
        assert again.stderr == (
            "error: studies/houses.toml: there already; write over it with --force, "
            "or name another --out\n"
        )
        forced = sweep("init", "houses.csv", "--target", "price", "--force")
        assert (forced.returncode, forced.stdout) == (0, ended.stdout)

    def test_names_a_column_that_is_near(self, sweep: Called, tmp_path: Path) -> None:
        houses(tmp_path)
        ended = sweep("init", "houses.csv", "--target", "pric")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "did you mean 'price'?" in ended.stderr

    def test_what_the_system_refuses_is_one_line(self, sweep: Called, tmp_path: Path) -> None:
        houses(tmp_path)
        (tmp_path / "studies").touch()
        ended = sweep("init", "houses.csv", "--target", "price")
        assert (ended.returncode, ended.stderr) == (1, "error: studies: File exists\n")


@pytest.mark.slow
class TestExport:
    @pytest.mark.parametrize(
        ("to", "file"), [("python", "best_schedule.py"), ("json", "best_schedule.json")]
    )
    def test_prints_what_the_sweep_wrote(
        self, sweep: Called, tiny_study: Path, to: str, file: str
    ) -> None:
        ended = sweep("export", tiny_study, "--to", to)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout == (tiny_study / file).read_text()

    def test_csv(self, sweep: Called, tiny_study: Path) -> None:
        frame = pd.read_csv(io.StringIO(sweep("export", tiny_study, "--to", "csv").stdout))
        assert (list(frame), len(frame)) == (["step", "lr"], 20)

    def test_writes_a_file(self, sweep: Called, tiny_study: Path, tmp_path: Path) -> None:
        ended = sweep("export", tiny_study, "--out", "schedule.py")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        assert (tmp_path / "schedule.py").read_text() == (
            tiny_study / "best_schedule.py"
        ).read_text()

    def test_refuses_another_form(self, sweep: Called, tiny_study: Path) -> None:
        ended = sweep("export", tiny_study, "--to", "yaml")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == (
            "error: --to yaml: expected python, json, csv, tensorboard, mlflow or wandb\n"
        )

    def test_a_schedules_file_is_named_by_out(self, sweep: Called, tiny_study: Path) -> None:
        ended = sweep("export", tiny_study, "--to", "python=best.py")
        assert (ended.returncode, ended.stderr) == (
            2,
            "error: --to python=best.py: a file is named by --out: --to python --out best.py\n",
        )

    def test_to_a_tracker(self, sweep: Called, tiny_study: Path, tmp_path: Path) -> None:
        for given in (("logs", "--to", "tensorboard"), ("--to", "tensorboard=logs")):
            ended = sweep("export", tiny_study, *given)
            assert (ended.returncode, ended.stderr) == (0, "")
            assert "3 trials of" in ended.stdout and "tensorboard --logdir logs" in ended.stdout
            runs = sorted(path.name for path in (tmp_path / "logs/diabetes").iterdir())
            assert runs == ["study", "trial-0000", "trial-0001", "trial-0002"]

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            (("--to", "mlflow"), "--to mlflow: say where to: --to mlflow=URI"),
            (("--to", "tensorbord=x"), "did you mean 'tensorboard'?"),
            (("--to", "wandb=x", "--out", "y"), "--out: means nothing with --to wandb=x"),
            (("x", "--to", "json"), "x: means nothing with --to json"),
        ],
    )
    def test_refuses_what_says_no_place(
        self, sweep: Called, tiny_study: Path, given: tuple[str, ...], text: str
    ) -> None:
        ended = sweep("export", tiny_study, *given)
        assert (ended.returncode, ended.stdout) == (2, "") and text in ended.stderr

    def test_without_its_library(
        self, sweep: Called, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sweep.study.registries.trackers.find_spec", lambda name: None)
        told = "is not installed: pip install 'sweep-lr[mlflow]'"
        for given in (("export", tiny_study, "--to"), ("run", "diabetes", "--track")):
            ended = sweep(*given, "mlflow=sqlite:///m.db")
            assert ended.returncode == 2 and told in ended.stderr


@pytest.mark.slow
class TestReport:
    def test_text_fits_the_screen(self, sweep: Called, tiny_study: Path) -> None:
        ended = sweep("report", tiny_study)
        assert (ended.returncode, ended.stderr) == (0, "")
        best = json.loads((tiny_study / "best_schedule.json").read_text())
        assert f"{best['schedule']['scheduler']}, lr {best['schedule']['lr']:.4g}" in ended.stdout
        assert max(map(len, ended.stdout.splitlines())) <= 100

    def test_json(self, sweep: Called, tiny_study: Path) -> None:
        ended = sweep("report", tiny_study, "--format", "json", "--top", "2")
        report = json.loads(ended.stdout)
        best = json.loads((tiny_study / "best_schedule.json").read_text())
        assert (ended.returncode, ended.stderr) == (0, "")
        assert best["val_mse"] == pytest.approx(find(report, "val_mse"))
        assert len(report["top"]) == 2

    def test_csv(self, sweep: Called, tiny_study: Path) -> None:
        ended = sweep("report", tiny_study, "--format", "csv")
        assert (ended.returncode, ended.stderr) == (0, "")
        frame = pd.read_csv(io.StringIO(ended.stdout))
        results = pd.read_csv(tiny_study / "results.csv")
        assert set(frame["scheduler"]) <= {*SHAPES}
        assert set(results["scheduler"]) <= set(frame["scheduler"])

    def test_markdown(self, sweep: Called, tiny_study: Path) -> None:
        ended = sweep("report", tiny_study, "--format", "md")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith("# ")
        assert re.search(r"^\| .*scheduler.*\|\n\|[-:| ]+\|\n\| ", ended.stdout, re.M)

    def test_html_is_written_and_opened(
        self, sweep: Called, tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        browser = tmp_path / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
        browser.chmod(0o755)
        monkeypatch.setenv("BROWSER", f"{browser} %s")
        page = tiny_study / "report.html"
        page.unlink()
        ended = sweep("report", tiny_study, "--open")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"wrote {page}\n", "")
        assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
        assert (tmp_path / "opened").read_text() == f"{page.as_uri()}\n"

    def test_is_in_the_language_that_is_asked_for(
        self, sweep: Called, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = tiny_study / "report.html"
        english = {each: sweep("report", tiny_study, "-f", each).stdout for each in ("md", "json")}
        assert "## Schedulers" in english["md"]
        monkeypatch.setenv("LC_MESSAGES", "zh_CN.UTF-8")
        assert "调度器" in sweep("report", tiny_study).stdout
        assert "## 调度器" in sweep("report", tiny_study, "-f", "md").stdout
        assert sweep("report", tiny_study, "-f", "json").stdout == english["json"]
        assert sweep("report", tiny_study, "-f", "md", "--lang", "en").stdout == english["md"]
        assert sweep("report", tiny_study, "--html").stdout == f"wrote {page}\n"
        assert '<html lang="zh-CN">' in page.read_text(encoding="utf-8")
        assert sweep("report", tiny_study, "--html", "--lang", "en").returncode == 0
        assert '<html lang="en">' in page.read_text(encoding="utf-8")
        refused = sweep("report", tiny_study, "--lang", "fr")
        assert (refused.returncode, refused.stderr) == (2, "error: --lang fr: expected en or zh\n")

    def test_several_studies(self, sweep: Called, tiny_study: Path, tmp_path: Path) -> None:
        other = tmp_path / "studies" / "other"
        shutil.copytree(tiny_study, other)
        ended = sweep("report", tiny_study, "other")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith("No setting differs, and the rows are the same.")
        assert "\n2 studies" in ended.stdout
        assert "Differences\n- diabetes " in ended.stdout
        ended = sweep("report", tiny_study, "other", "--format", "json")
        rows = json.loads(ended.stdout)["studies"]
        assert [row["study"] for row in rows] == ["diabetes", "other"]
        ended = sweep("report", tiny_study, "other", "--format", "csv")
        assert list(pd.read_csv(io.StringIO(ended.stdout))["study"]) == ["diabetes", "other"]
        assert sweep("report", tiny_study, "other", "-f", "md").stdout.startswith(
            "# diabetes, other"
        )
        for flag in ("--html", "--open", "--figures=x", "--storage=y", "--top=3"):
            ended = sweep("report", tiny_study, "other", flag)
            name = flag.partition("=")[0]
            assert (ended.returncode, ended.stdout) == (2, "")
            assert ended.stderr == f"error: {name} is for one study, not for 2\n"

    @pytest.mark.parametrize("given", [("{}", "--html", "rep.html"), ("--open", "out/rep.HTML")])
    def test_a_page_takes_no_file_name(
        self, sweep: Called, tiny_study: Path, given: tuple[str, ...]
    ) -> None:
        ended = sweep("report", *(each.format(tiny_study) for each in given))
        assert (ended.returncode, ended.stdout) == (2, "")
        flag = next(each for each in given if each.startswith("--"))
        assert ended.stderr.startswith(f"error: {flag} takes no value, but {given[-1]} was given: ")
        assert "report.html in the study's results folder" in ended.stderr
        ended = sweep("report", tiny_study, "other", "--format", "svg")
        assert "--format svg: of several studies, expected text, json, csv or md" in ended.stderr

    @pytest.mark.parametrize("format", ["svg", "png"])
    def test_figures(self, sweep: Called, tiny_study: Path, format: str) -> None:
        ended = sweep("report", tiny_study, "--figures", "new/pictures", "--format", format)
        written = list(Path("new/pictures").glob(f"*.{format}"))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout == f"wrote {len(written)} figures into new/pictures\n"
        assert {"rates", "learning-curves", "history"} <= {path.stem for path in written}

    def test_a_study_by_any_of_its_names(
        self, sweep: Called, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tiny_study.parent.parent)
        reports = {
            sweep("report", *name, "--format", "json").stdout
            for name in ([], ["diabetes"], ["studies/diabetes"], [str(tiny_study)])
        }
        assert len({json.dumps(find(json.loads(text), "val_mse")) for text in reports}) == 1


@pytest.mark.slow
def test_predict_gives_the_test_rows_their_numbers_again(
    sweep: Called, tiny_study: Path, tmp_path: Path
) -> None:
    """With weights that were trained; the table is the built-in one, in a file."""
    rows = SOURCES["diabetes"].table(DataConfig())
    rows.to_csv(tmp_path / "new.csv", index=False)
    told = sweep("report", tiny_study).stdout
    assert f"sweep predict {tiny_study} new.csv" in told
    ended = sweep("predict", tiny_study, "new.csv")
    assert (ended.returncode, ended.stderr) == (0, "")
    found, written = (
        pd.read_csv(path)
        for path in (tmp_path / "new.predictions.csv", tiny_study / "predictions.csv")
    )
    again = found.iloc[written["row"] - 1]
    assert list(again["progression"]) == list(written["y"])
    assert again["prediction"].to_numpy() == pytest.approx(written["prediction"], rel=2e-6)
    assert written["prediction"].nunique() > 20


@pytest.mark.slow
class TestAudit:
    def test_says_what_pruning_cost(self, sweep: Called, tmp_path: Path) -> None:
        arguments = ("run", "diabetes", "--epochs", "5", "--trials", "24", "--sampler", "random")
        assert sweep(*arguments, "--workers", "1", "--no-confirm", "--quiet").returncode == 0
        folder = tmp_path / "studies" / "diabetes"
        described = json.loads((folder / "best_schedule.json").read_text())
        assert described["confirmation"] is None
        audited = sweep("audit", "diabetes", "--sample", "3", "--json")
        assert audited.returncode == 0
        found = json.loads(audited.stdout)
        assert len(found["audited"]) == 3 <= found["pruned"]
        shown = sweep("audit", folder, "--sample", "3")
        assert (shown.returncode, shown.stderr) == (0, "")
        for sentence in found["sentences"]:
            assert sentence[1:40] in " ".join(shown.stdout.split())
        assert len(pd.read_csv(folder / "audit.csv")) == 3

    def test_needs_pruned_trials(self, sweep: Called, tiny_study: Path) -> None:
        audited = sweep("audit", tiny_study)
        assert audited.returncode == 2
        assert "no trial was pruned, so there is nothing to audit" in audited.stderr


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
    def test_json_then_quiet_then_other_settings(self, sweep: Called, tmp_path: Path) -> None:
        houses(tmp_path)
        arguments = ["run", "--data", "houses.csv", "--target", "price", "--model", "linear"]
        arguments += ["--trials", "2", "--epochs", "1", "--workers", "1", "--batch-size", "8"]
        done = sweep_process(*arguments, "--json", "--scheduler", "step", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["top"]
        again = sweep(*arguments, "--quiet", "--scheduler", "step")
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
        assert (tmp_path / "studies" / "houses" / "report.html").is_file()
        saved = (tmp_path / "studies" / "houses" / "study.toml").read_text()
        assert 'scheduler = ["step"]' in saved and "batch_size = 8" in saved
        changed = sweep(*arguments, "--scheduler", "rex")
        assert changed.returncode == 2
        assert changed.stderr.startswith("error: study 'houses' has trials with other settings:\n")
        assert "space.scheduler: was 'step', now 'rex'" in changed.stderr

    def test_a_page_that_cannot_be_written_fails_no_sweep(
        self, sweep: Called, tmp_path: Path
    ) -> None:
        houses(tmp_path)
        run = ["run", "--data", "houses.csv", "--target", "price", "--model", "linear", "--quiet"]
        run += ["--epochs", "1", "--workers", "1", "--scheduler", "step"]
        assert sweep(*run, "--trials", "2").returncode == 0
        page = tmp_path / "studies" / "houses" / "report.html"
        page.unlink()
        page.mkdir()
        done = sweep(*run, "--trials", "3")
        assert done.stderr.startswith("report.html could not be written: ")
        assert (done.returncode, done.stdout) == (0, "")
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
