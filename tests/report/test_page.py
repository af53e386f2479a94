"""The report as a page and as picture files: what they say, and what names cannot do to them."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import optuna
import pandas as pd
import pytest
from made_studies import CONFIG, EPOCHS, add, new_study, params
from optuna.trial import TrialState
from PIL import Image
from support import HOSTILE

from sweep.base.errors import InputError
from sweep.report.figures.all import pictures
from sweep.report.figures.image_files import rendered, write_pictures
from sweep.report.findings import Findings, gather, rate_course
from sweep.report.page.html import script_safe, to_html
from sweep.search.storage.opening import load_study
from sweep.search.trials import Ending, StudyReader
from sweep.study.file import load_study as load_settings
from sweep.study.locations import SAVED_STUDY
from sweep.study.settings import StudyConfig

MOST_BYTES = 6_000_000
QUESTIONS = [
    "How sure is that?",
    "What does its rate look like?",
    "How does it compare with the others?",
    "Where do good rates lie?",
    "What mattered?",
    "Were the ranges wide enough?",
    "How was the budget spent?",
    "How does the winner do on test rows?",
    "How do I use it?",
    "Settings",
]
FETCHING = {"src", "href", "srcset", "action", "poster", "data", "background", "ping", "formaction"}


class Page(HTMLParser):
    """A page's elements, and the text of each kind of element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        if tag not in ("meta", "link", "br", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.elements if name == tag]

    def figures(self) -> dict[str, Any]:
        """What Plotly draws, by the name of the figure."""
        names = [str(figure["id"]) for figure in self.attributes("figure")]
        kinds = [(script.get("type"), script.get("id")) for script in self.attributes("script")]
        scripts = zip(kinds, self.texts["script"], strict=True)
        data = [json.loads(text) for kind, text in scripts if kind == ("application/json", None)]
        return dict(zip(names, data, strict=True))


def findings_of(folder: Path) -> Findings:
    config = load_settings(folder / SAVED_STUDY)
    study = load_study(config.name or folder.name, str(folder / "study.journal"))
    return gather(study, config, folder)


@pytest.fixture(scope="module")
def searched(searched_study: Path) -> Findings:
    return findings_of(searched_study)


@pytest.fixture(scope="module")
def page(searched_study: Path) -> Page:
    """As the run wrote it."""
    return Page((searched_study / "report.html").read_text(encoding="utf-8"))


def numbers(values: Any) -> list[float]:
    """A trace's numbers; Plotly packs arrays."""
    if isinstance(values, dict):
        import base64

        return list(np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).astype(float))
    return [math.nan if value is None else float(value) for value in values]


@pytest.mark.slow
class TestPage:
    def test_answers_the_questions_from_top_to_bottom(self, page: Page, searched: Findings) -> None:
        assert page.texts["h2"] == QUESTIONS
        best = searched.summary.best
        assert best is not None
        assert best.schedule.scheduler in page.texts["h1"][0]
        assert f"{best.schedule.lr:.4g}" in page.texts["h1"][0]
        assert searched.summary.headline in page.texts["header"][0]
        confirmation = searched.summary.confirmation
        assert confirmation is not None
        assert confirmation.verdict[1:] in page.texts["section"][0]
        assert page.texts["title"] == [f"order_pre_minibatch: {best.schedule.describe()}"]

    def test_has_the_code_that_the_run_wrote(self, page: Page, searched_study: Path) -> None:
        code = (searched_study / "best_schedule.py").read_text(encoding="utf-8")
        assert code in page.texts["code"]

    def test_is_one_file_that_asks_nobody_for_anything(
        self, page: Page, searched_study: Path
    ) -> None:
        assert (searched_study / "report.html").stat().st_size < MOST_BYTES
        for tag, attributes in page.elements:
            for name in FETCHING & set(attributes):
                assert (tag, attributes[name]) == ("link", "data:,")
        assert not re.search(r"url\(|@import", "".join(page.texts["style"]))
        policy = next(m["content"] for m in page.attributes("meta") if "http-equiv" in m)
        assert str(policy).startswith("default-src 'none';")
        assert "http" not in str(policy)

    def test_every_figure_says_in_words_what_it_shows(self, page: Page) -> None:
        plots = [d for d in page.attributes("div") if d.get("class") == "plot"]
        assert len(plots) == len(page.figures()) > 12
        for plot, caption in zip(plots, page.texts["figcaption"], strict=True):
            assert plot["role"] == "img"
            assert caption and caption in str(plot["aria-label"])
            assert re.search(r"\d", caption)

    def test_hover_tells_the_trial_and_all_its_parameters(
        self, page: Page, searched_study: Path
    ) -> None:
        results = pd.read_csv(searched_study / "results.csv", index_col="number")
        own = [name for name in map(str, results) if "." in name]
        seen = set()
        for name, figure in page.figures().items():
            if not name.startswith("map-"):
                continue
            for text in (t for trace in figure["data"] for t in trace.get("text", ())):
                number = int(re.search(r"trial (\d+)", text)[1])  # type: ignore[index]
                seen.add(number)
                row: dict[Any, Any] = results.loc[number].to_dict()
                assert f"lr {row['lr']:.4g}" in text
                for column in own:
                    if pd.notna(row[column]) and isinstance(row[column], float):
                        assert f"{column.partition('.')[2]} {row[column]:.4g}" in text
        assert seen == set(results.index)

    @pytest.mark.slow
    def test_a_long_search_stays_small(self, tmp_path: Path) -> None:
        study = new_study()
        draw = np.random.default_rng(0)
        for scheduler in itertools.islice(itertools.cycle(["cosine", "step", "plateau"]), 300):
            lr, decay = 10 ** draw.uniform(-3, 0, 2)
            own: dict[str, dict[str, Any]] = {
                "step": {"drops": 3},
                "plateau": {"factor": 0.5, "patience": 2},
            }
            add(study, params(scheduler, lr, decay, **own.get(scheduler, {})), [3.0, lr, 2.0, 1.0])
        many = new_study("long")
        for _ in range(8):
            many.add_trials(study.get_trials(deepcopy=False))
        findings = gather(many, CONFIG, tmp_path)
        assert len(findings.trials) == 2400
        text = to_html(findings)
        assert len(text.encode()) < MOST_BYTES
        assert "1,200 of all trials are drawn" in text
        best = findings.summary.best
        assert best is not None
        assert f"trial {best.number}" in json.dumps(Page(text).figures()["history"])


@pytest.mark.slow
class TestFiguresAgreeWithTheTables:
    def test_map(self, page: Page, searched_study: Path) -> None:
        results = pd.read_csv(searched_study / "results.csv")
        figures = page.figures()
        drawn = [name for name in figures if name.startswith("map-")]
        assert len(drawn) == results["scheduler"].nunique()
        cosine = results[(results["scheduler"] == "cosine") & (results["state"] == "COMPLETE")]
        (trace,) = (t for t in figures["map-cosine"]["data"] if t.get("name") == "completed")
        points = set(zip(numbers(trace["x"]), numbers(trace["y"]), strict=True))
        assert points == set(zip(cosine["lr"], cosine["decay"], strict=True))
        assert sorted(numbers(trace["marker"]["color"])) == sorted(cosine["val_mse"])

    def test_learning_curve(self, page: Page, searched: Findings, searched_study: Path) -> None:
        best = searched.summary.best
        assert best is not None
        epochs = pd.read_csv(searched_study / "epochs.csv")
        mine = epochs[epochs["number"] == best.number]
        traces = page.figures()["learning-curves"]["data"]
        (raw,) = (t for t in traces if t.get("name") == f"<b>{best.schedule.scheduler}</b>")
        assert numbers(raw["y"]) == pytest.approx(list(mine["val_mse"]))
        averaged = f"{best.schedule.scheduler}, averaged weights"
        (mean,) = (t for t in traces if t.get("name") == averaged)
        assert numbers(mean["y"]) == pytest.approx(list(mine["averaged_val_mse"]))

    def test_rates(self, page: Page, searched: Findings) -> None:
        best = searched.summary.best
        assert best is not None and best.total_steps is not None
        rates = numbers(page.figures()["rates"]["data"][-1]["y"])
        assert rates == pytest.approx(list(best.schedule.rates(best.total_steps)))

    def test_confirmation(self, page: Page, searched: Findings, searched_study: Path) -> None:
        runs = pd.read_csv(searched_study / "confirm.csv")
        confirmation = searched.summary.confirmation
        assert confirmation is not None
        traces = page.figures()["confirmation"]["data"]
        means = {t["y"][0]: t for t in traces if "error_x" in t}
        assert len(means) == runs["trial"].nunique()
        for candidate in confirmation.candidates:
            trace = means[f"{candidate.schedule.scheduler}, trial {candidate.trial}"]
            mine = runs[runs["trial"] == candidate.trial]["val_mse"]
            assert numbers(trace["x"]) == pytest.approx([mine.mean()])
            assert trace["error_x"]["array"] == pytest.approx([candidate.interval.margin])

    def test_predictions_and_residuals(self, page: Page, searched_study: Path) -> None:
        rows = pd.read_csv(searched_study / "predictions.csv")
        figures = page.figures()
        points = figures["predictions"]["data"][1]
        assert numbers(points["x"]) == pytest.approx(list(rows["y"]))
        assert numbers(points["y"]) == pytest.approx(list(rows["prediction"]))
        residuals = rows["prediction"] - rows["y"]
        low, high = residuals.quantile(0.005), residuals.quantile(0.995)
        counted = sum(numbers(figures["residuals"]["data"][0]["y"]))
        assert counted == residuals.between(low, high).sum()

    def test_budget(self, page: Page, searched_study: Path) -> None:
        results = pd.read_csv(searched_study / "results.csv")
        traces = {t["name"]: t for t in page.figures()["epochs"]["data"]}
        assert sum(numbers(traces["trained"]["x"])) == results["epochs_run"].sum()
        outcomes = page.figures()["outcomes"]["data"]
        assert sum(sum(numbers(t["x"])) for t in outcomes) == len(results)

    def test_importance_is_that_of_the_summary(self, page: Page, searched: Findings) -> None:
        bar = page.figures()["importance"]["data"][0]
        drawn = dict(zip(bar["y"], numbers(bar["x"]), strict=True))
        assert drawn == pytest.approx(searched.summary.importance.shares)


class TestNames:
    @pytest.mark.slow
    def test_are_shown_as_they_are_and_do_nothing(self, hostile_study: Path) -> None:
        page = Page((hostile_study / "report.html").read_text(encoding="utf-8"))
        assert page.texts["title"][0].startswith(HOSTILE)
        assert HOSTILE in page.texts["header"][0]
        assert f"ValueError: {HOSTILE}" in page.texts["header"][0]
        assert not page.attributes("img")
        kinds = [script.get("type") for script in page.attributes("script")]
        assert kinds.count(None) == 2  # Plotly and the page's own
        assert len(kinds) == 3 + len(page.figures())  # and the words of that
        for number, figure in page.figures().items():
            assert "<script" not in json.dumps(figure), number
            assert "<img" not in json.dumps(figure)

    def test_a_script_element_holds_any_json(self) -> None:
        text = json.dumps({"</script><!--": "a & b\u2028\u2029"}, ensure_ascii=False)
        safe = script_safe(text)
        assert json.loads(safe) == json.loads(text)
        assert not set("<>&\u2028\u2029") & set(safe)

    @pytest.mark.slow
    def test_are_drawn_into_pictures(self, hostile_study: Path, tmp_path: Path) -> None:
        drawn = pictures(findings_of(hostile_study))
        svg = ElementTree.fromstring(rendered(drawn["predictions"], "svg"))
        texts = [element.text or "" for element in svg.iter("{http://www.w3.org/2000/svg}text")]
        assert any(f"true $x_1$ %{{y}} {HOSTILE}" in text for text in texts)


@pytest.mark.slow
class TestStates:
    """Studies that are not as they should be."""

    @pytest.fixture
    def study(self) -> optuna.Study:
        return new_study()

    def written(self, study: optuna.Study, folder: Path) -> tuple[Page, Findings]:
        findings = gather(study, CONFIG, folder)
        for picture in pictures(findings).values():
            assert rendered(picture, "svg")
        return Page(to_html(findings)), findings

    def test_empty(self, study: optuna.Study, tmp_path: Path) -> None:
        page, _ = self.written(study, tmp_path)
        assert page.texts["h1"] == ["No trial has completed yet."]
        assert not page.attributes("figure")

    def test_nothing_completed(self, study: optuna.Study, tmp_path: Path) -> None:
        add(study, params("cosine", 0.5), [9.0, math.nan], TrialState.PRUNED, "diverged: inf")
        add(study, params("cosine", 0.4), [], TrialState.FAIL, "epoch 1: ValueError: <no>")
        page, _ = self.written(study, tmp_path)
        assert page.texts["h1"] == ["No trial has completed yet."]
        assert set(page.figures()) == {"outcomes", "epochs"}
        assert "ValueError: <no>" in page.texts["header"][0]

    def test_running_and_waiting(self, study: optuna.Study, tmp_path: Path) -> None:
        add(study, params("constant", 0.1, 1.0), [3.0, 2.0, 2.5, 2.0])
        study.enqueue_trial(params("cosine", 0.2))
        study.ask()
        study.enqueue_trial(params("cosine", 0.3))
        page, findings = self.written(study, tmp_path)
        assert "9 trials of 10 have not ended" in page.texts["header"][0]
        assert len(findings.trials) == 1
        assert "best constant rate" not in [
            trace.get("name") for trace in page.figures()["rates"]["data"]
        ]

    def test_a_rate_that_follows_the_error_is_drawn_as_recorded(
        self, study: optuna.Study, tmp_path: Path
    ) -> None:
        add(study, params("plateau", 0.1, factor=0.5, patience=2), [3.0, 2.0, 2.5, 1.0])
        page, findings = self.written(study, tmp_path)
        rates = numbers(page.figures()["rates"]["data"][-1]["y"])
        assert rates == [0.1, 0.05] * 4  # first and last step of each epoch
        ended = findings.trials[0]
        at, _ = rate_course(ended.schedule, ended.record, None, 4)
        assert list(at) == sorted(at)

    def test_values_that_are_not_finite_and_zero(self, study: optuna.Study, tmp_path: Path) -> None:
        add(study, params("cosine", 0.1), [math.inf, 0.0, 2.5, 1.0])
        add(study, params("constant", 0.1, 1.0), [5.0, math.nan, 0.0, 0.0])
        page, _ = self.written(study, tmp_path)
        assert "learning-curves" in page.figures()

    def test_averaged_weights_that_count(self, study: optuna.Study, tmp_path: Path) -> None:
        config = CONFIG.model_copy(update={"objective": "averaged"})
        add(study, params("cosine", 0.1), [4.0, 3.0, 2.5, 1.0], config=config)
        page = Page(to_html(gather(study, config, tmp_path)))
        named = {trace.get("name"): trace for trace in page.figures()["learning-curves"]["data"]}
        record = gather(study, config, tmp_path).trials[0].record
        assert numbers(named["<b>cosine</b>"]["y"]) == record.column("averaged")
        assert numbers(named["cosine, raw weights"]["y"]) == [4.0, 3.0, 2.5, 1.0]
        assert "of the averaged weights" in page.texts["header"][0]

    def test_a_winner_that_the_search_had_pruned(self, searched: Findings) -> None:
        best = searched.summary.best
        assert best is not None
        study = new_study("order_pre")
        for trial in searched.study.get_trials(deepcopy=False):
            state = TrialState.PRUNED if trial.number == best.number else trial.state
            study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=trial.value,
                    params=trial.params,
                    distributions=trial.distributions,
                )
            )
        pruned = tuple(
            replace(trial, ending=Ending.PRUNED) if trial.number == best.number else trial
            for trial in searched.trials
        )
        page = Page(
            to_html(replace(searched, reader=StudyReader(study, searched.config), trials=pruned))
        )
        before, after = Page(to_html(searched)).figures(), page.figures()
        assert set(after) == set(before)

        def ringed(figures: dict[str, Any], start: str) -> list[str]:
            return [
                name
                for name, figure in figures.items()
                if name.startswith(start)
                and any(trace.get("hoverinfo") == "skip" for trace in figure["data"])
            ]

        assert len(ringed(before, "range-")) == 3
        assert ringed(after, "range-") == []  # which show completed trials
        assert ringed(after, "map-") == [f"map-{best.schedule.scheduler}"]

    def test_without_test_rows(self, study: optuna.Study, tmp_path: Path) -> None:
        add(study, params("cosine", 0.1), [4.0, 3.0, 2.5, 1.0])
        page, _ = self.written(study, tmp_path)
        assert "predictions" not in page.figures()
        assert "It has not been tested" in page.texts["main"][0]
        assert "Each trial was trained once" in page.texts["main"][0]


class TestPictures:
    @pytest.mark.slow
    @pytest.mark.parametrize("format", ["svg", "png"])
    def test_every_figure_of_the_page_is_written(
        self, searched: Findings, page: Page, tmp_path: Path, format: Any
    ) -> None:
        drawn = pictures(searched)
        assert set(drawn) == set(page.figures())
        if format == "png":  # whose traces are drawn as an SVG's are: one of each kind of figure
            drawn = {name: drawn[name] for name in ("history", "rates", "confirmation", "outcomes")}
        paths = write_pictures(drawn, tmp_path / "new" / "folder", format)
        assert [path.stem for path in paths] == list(drawn)
        for path in paths:
            if format == "png":
                with Image.open(path) as image:
                    image.load()
                    colours = image.convert("RGB").getcolors(1 << 20)
                    assert image.width >= 700
                    assert colours is not None and len(colours) > 20
            else:
                root = ElementTree.fromstring(path.read_bytes())
                assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 10

    @pytest.mark.slow
    def test_the_same_picture_is_the_same_file(self, searched: Findings) -> None:
        picture = pictures(searched)["rates"]
        assert rendered(picture, "svg") == rendered(picture, "svg")

    def test_refuses_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("")
        with pytest.raises(InputError, match="this is a file; give a folder"):
            write_pictures({}, tmp_path / "taken", "svg")


def test_a_constant_rate_is_drawn_at_the_decay_that_it_has(tmp_path: Path) -> None:
    """All schedulers share the range of decay; what a constant rate drew of it means nothing."""
    config = StudyConfig.model_validate(
        {
            "epochs": EPOCHS,
            "space": {"scheduler": ["constant", "cosine"], "lr": "1e-3:1:log"}
            | {"decay": "1e-4:0.1:log", "warmup": "0.1:0.2"},
        }
    )
    study, rng = new_study(), np.random.default_rng(0)
    drawn: dict[str, list[float]] = {"constant": [], "cosine": []}
    for number in range(48):
        scheduler = "cosine" if number % 2 else "constant"
        decay = float(10 ** rng.uniform(-4, -1))
        drawn[scheduler].append(decay)
        values = {"scheduler": scheduler, "lr": 0.1, "decay": decay, "warmup": 0.15}
        add(study, values, [2.0 + number / 100] * EPOCHS, config=config)
    findings = gather(study, config, tmp_path)
    figures = pictures(findings)
    (points, *ring) = figures["range-decay"].figure.data
    assert sorted(points.x) == pytest.approx(sorted([*drawn["cosine"], *[1.0] * 24]))
    assert [list(trace.x) for trace in ring] == [[1.0]]  # the winner, trial 0
    low, high = figures["range-decay"].figure.layout.xaxis.range
    assert low < -4 and high > 0
    assert "the winner has 1, the best quarter " in figures["range-decay"].description
    assert set(findings.summary.importance.shares) == {"scheduler", "lr", "decay", "warmup"}
