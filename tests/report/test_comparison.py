"""Several studies beside each other: real sweeps, and their numbers worked out by hand."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats
from support import no_page

from sweep.base.errors import InputError
from sweep.report.comparison.studies import Comparison, compare
from sweep.report.comparison.winners import Difference
from sweep.report.terminal import comparison_views as views
from sweep.runs.library import load_study
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.study.file import load_study as load_settings
from sweep.study.locations import Location
from sweep.study.metric import Metric

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "data.source": "diabetes",
    "model.name": "mlp",
    "model.hidden": [8],
    "epochs": 6,
    "trials": 24,
    "workers": 1,
    "space.scheduler": ["constant", "cosine"],
    "space.lr": "3e-3:0.3:log",
    "sampler.name": "random",
    "confirm.share": 1.5,
}
STUDIES: dict[str, dict[str, Any]] = {
    "small": {},
    "wide": {"model.hidden": [32]},
    "slow": {
        **{"space.lr": "1e-4:1.2e-4:log", "trials": 12, "epochs": 5, "pruner.name": "none"},
        **{"fair": True, "sampler.name": "family"},  # so that no candidate drops out
    },
    "searched": {"confirm.enabled": False, "trials": 6},
    "logarithm": {"data.log1p": True, "trials": 6},
    "elsewhere": {"seed": 1, "trials": 6},
}
OWN_LOOP: dict[str, Any] = {
    **{"metric": "val_accuracy", "direction": "maximize", "epochs": 3, "trials": 8, "workers": 1},
    **{"pruner.name": "none", "confirm.share": 2},
}
LOOP = """
    import torch

    def train(schedule, epochs):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
        scheduler = schedule.attach(optimizer, steps_per_epoch=1)
        for epoch in range(epochs):
            optimizer.step()
            scheduler.step()
            yield 0.5 + schedule.lr + 0.1 * torch.rand(()).item()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real studies that all have one name, as `--out` makes them."""
    folder = tmp_path_factory.mktemp("compared")
    for name, changes in STUDIES.items():
        location = Location("diabetes", None, folder / name)
        with no_page():
            run_sweep(location, load_settings(None, SETTINGS | changes), Listener())
    (folder / "train.py").write_text(dedent(LOOP))
    loop = OWN_LOOP | {"loop": f"{folder}/train.py:train"}
    for name, lr in (("low", "0.1:0.11"), ("high", "0.3:0.31")):
        location = Location("train", None, folder / name)
        with no_page():
            run_sweep(location, load_settings(None, {**loop, "space.lr": lr}), Listener())
    return folder


def compared(folder: Path, *names: str) -> Comparison:
    found = [load_study(folder / name) for name in names]
    return compare([(one.study, one.config, one.folder) for one in found])


def only(found: Comparison) -> Difference:
    (difference,) = found.differences
    return difference


def runs(folder: Path, value: str = "val_mse") -> pd.Series[float]:
    """The winner's values by seed, as confirm.csv has them."""
    described = json.loads((folder / "best_schedule.json").read_text())
    frame = pd.read_csv(folder / "confirm.csv")
    mine = frame[frame["trial"] == described["trial"]]
    return pd.Series(mine[value].to_numpy(), index=mine["seed"])


@pytest.mark.parametrize("others", [("small", "wide"), ("slow", "small"), ("wide", "slow")])
def test_studies_on_the_same_rows_and_seeds_are_paired(
    folder: Path, others: tuple[str, str]
) -> None:
    difference = only(compared(folder, *others))
    first, second = (runs(folder / name) for name in difference.studies)
    common = first.index.intersection(second.index)
    assert len(common) >= 2
    ours, theirs = first[common].to_numpy(), second[common].to_numpy()
    assert ours.mean() <= theirs.mean()
    expected = stats.ttest_rel(theirs, ours).confidence_interval(0.95)
    assert difference.basis == "paired" and difference.lead is not None
    assert difference.lead.count == len(common)
    assert difference.lead.mean == pytest.approx(1 - ours.mean() / theirs.mean())
    assert difference.lead.low == pytest.approx(expected.low / theirs.mean())
    assert difference.lead.high == pytest.approx(expected.high / theirs.mean())
    assert difference.beyond_noise == (stats.ttest_rel(ours, theirs).pvalue < 0.05)
    assert f"paired over {len(common)} common seeds" in difference.sentence


def test_a_rate_that_is_far_too_low_is_behind_beyond_noise(folder: Path) -> None:
    difference = only(compared(folder, "slow", "small"))
    assert difference.studies == ("small", "slow")
    assert re.fullmatch(
        r"small against slow: \d+ % lower MSE \(95 % interval \d+ % to \d+ %, paired over \d "
        r"common seeds\): beyond noise",
        difference.sentence,
    )


def test_a_study_and_its_twin_are_within_noise(folder: Path, tmp_path: Path) -> None:
    location = Location("twin", None, tmp_path / "twin")
    config = load_settings(None, SETTINGS)
    with no_page():
        study = run_sweep(location, config, Listener())
    other = load_study(folder / "small")
    found = compare([(study, config, location.folder), (other.study, other.config, other.folder)])
    assert [entry.name for entry in found.entries] == ["twin", "diabetes"]
    assert found.entries[0].values == found.entries[1].values
    assert only(found).beyond_noise is False
    assert only(found).sentence.startswith("twin against diabetes: 0 % lower MSE")


def test_loops_are_not_paired_and_more_may_be_better(folder: Path) -> None:
    """Their rows are unknown, so the interval is Welch's."""
    difference = only(compared(folder, "low", "high"))
    high, low = (runs(folder / name, "val_accuracy") for name in ("high", "low"))
    expected = stats.ttest_ind(high, low, equal_var=False).confidence_interval(0.95)
    assert (difference.studies, difference.basis) == (("high", "low"), "unpaired")
    assert difference.lead is not None and difference.beyond_noise
    assert difference.lead.mean == pytest.approx(high.mean() / low.mean() - 1)
    assert difference.lead.low == pytest.approx(expected.low / low.mean())
    assert difference.lead.high == pytest.approx(expected.high / low.mean())
    seeds = f"{len(high)} and {len(low)} seeds, not paired): beyond noise"
    assert "higher val_accuracy" in difference.text and seeds in difference.text
    assert difference.text.endswith(
        "it holds if the loops use the same rows, which sweep cannot see"
    )


def test_a_study_without_confirmation_shows_nothing(folder: Path) -> None:
    found = compared(folder, "small", "searched")
    searched = found.entries[1]
    best = load_study(folder / "searched").study.best_value
    assert (searched.value, searched.interval, searched.values) == (best, None, {})
    assert (only(found).basis, only(found).lead) == ("none", None)
    assert "shows nothing without two fresh seeds of searched" in only(found).sentence
    assert "searched has no confirmation" in found.notes[0]
    assert "the search" in text(found)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ("elsewhere", "they split the rows by seeds 0 and 1; run both with one seed"),
        ("logarithm", "the MSE is in progression² and in (log(1 + progression))²"),
        ("high", "they measure val_mse (less is better) and val_accuracy (more is better)"),
    ],
)
def test_other_rows_units_and_metrics_cannot_be_compared(
    folder: Path, other: str, reason: str
) -> None:
    found = compared(folder, "small", "wide", other)
    pair = found.differences[1]
    assert (pair.studies, pair.basis, pair.beyond_noise) == (("small", other), "none", None)
    assert reason in pair.sentence
    assert len(found.sentences) == 2  # once for the group, and not for each pair
    assert found.sentences[1].startswith(f"small and wide cannot be compared with {other}: ")
    assert reason in found.sentences[1]
    shown = text(found, 160)
    assert all(name in shown for name in ("small", "wide", other))
    assert shown.count("in the search") == (1 if other == "elsewhere" else 2)  # a chart a unit


def test_other_rows_of_one_seed_cannot_be_compared(folder: Path, tmp_path: Path) -> None:
    config = load_settings(None, SETTINGS | {"data.validation": 0.3, "trials": 3})
    location = Location("share", None, tmp_path / "share")
    with no_page():
        study = run_sweep(location, config, Listener())
    small = load_study(folder / "small")
    found = compare([(small.study, small.config, small.folder), (study, config, location.folder)])
    assert "not trained and validated on the same rows (another table" in only(found).sentence


def test_the_table_says_what_each_study_came_to(folder: Path) -> None:
    found = compared(folder, "small", "slow")
    rows = list(csv.DictReader(io.StringIO(views.to_csv(found))))
    for name, row in zip(("small", "slow"), rows, strict=True):
        described = json.loads((folder / name / "best_schedule.json").read_text())
        results = pd.read_csv(folder / name / "results.csv")
        values = runs(folder / name)
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        assert (row["study"], row["scheduler"]) == (name, described["schedule"]["scheduler"])
        assert float(row["lr"]) == described["schedule"]["lr"]
        assert float(row["value"]) == pytest.approx(values.mean())
        assert [float(row["low"]), float(row["high"])] == pytest.approx([low, high])
        assert int(row["seeds"]) == len(values)
        assert float(row["test_mse"]) == described["test"]["mse"]
        assert int(row["trials"]) == results["completes"].isna().sum()
        assert int(row["epochs_trained"]) == results["epochs_run"].sum()
    assert "does not have the same number of epochs in all: small 6, slow 5" in found.notes[0]


def test_json_holds_what_the_screen_says(folder: Path) -> None:
    found = compared(folder, *STUDIES, "low", "high")
    described = json.loads(views.to_json(found))
    assert [row["study"] for row in described["studies"]] == [*STUDIES, "low", "high"]
    assert len(described["differences"]) == 8 * 7 / 2
    assert described["studies"][0]["values"] == {
        str(seed): pytest.approx(value) for seed, value in runs(folder / "small").items()
    }
    assert described["sentences"] == list(found.sentences)
    shown = " ".join(text(found, 200).split())
    for sentence in (*found.sentences, *found.notes):
        assert " ".join(sentence.split()) in re.sub(r"\s+", " ", shown)
    markdown = views.to_markdown(found)
    assert markdown.partition("## Studies")[2].count("\n| ") == 2 + 8
    assert "- small against slow: " in markdown


def test_curves_lie_over_each_other_on_the_same_epochs(folder: Path) -> None:
    found = compared(folder, "small", "slow", "wide", "searched", "elsewhere")
    (chart,) = views.learning_curves(found, 80)
    lines = chart.plain.splitlines()
    assert lines[0].startswith("MSE of the 4 best winners in the search")
    assert "slow" not in lines[0]
    alone = views.learning_curves(compared(folder, "small", "slow"), 80)[0].plain.splitlines()
    assert alone[-1].split() == ["1", "epoch", "6"]
    drawn = max(len(line.rstrip()) for line in alone[1:3])  # slow, 5 of 6 epochs, is at the top
    assert 55 < drawn < 70


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_the_screen_is_kept(folder: Path, width: int) -> None:
    found = compared(folder, *STUDIES)
    lines = text(found, width).splitlines()
    assert max(map(len, lines)) <= width


def test_several_intervals_may_miss(folder: Path) -> None:
    found = compared(folder, "small", "wide", "slow")
    assert found.notes[-1].startswith("of 3 intervals of 95 %, one may leave 0 out by chance")


def test_a_study_that_has_not_begun(folder: Path, tmp_path: Path) -> None:
    empty = optuna.create_study(study_name="empty")
    small = load_study(folder / "small")
    found = compare(
        [
            (empty, load_settings(None, SETTINGS), tmp_path),
            (small.study, small.config, small.folder),
        ]
    )
    assert only(found).sentence == "empty and diabetes: no trial of empty has completed"
    assert found.sentences == ("no trial of empty has completed yet",)
    assert found.entries[0].row()["value"] is None
    assert "empty" in text(found) and np.isinf(found.entries[0].loss)
    json.loads(views.to_json(found))


def test_a_winner_that_failed_on_a_seed(folder: Path) -> None:
    found = compared(folder, "small", "wide")
    small, wide = found.entries
    confirmation = small.summary.confirmation
    assert confirmation is not None
    object.__setattr__(confirmation.winner, "values", (Metric().worst, 1.0))
    assert only(Comparison((small, wide))).text == "small diverged or failed on a fresh seed"
    assert json.loads(views.to_json(found))["studies"][0]["value"] is None


def test_a_study_is_not_compared_with_itself(folder: Path) -> None:
    with pytest.raises(InputError, match="small: given more than once"):
        compared(folder, "small", "wide", "small")


def test_names_tell_studies_apart(folder: Path, tmp_path: Path) -> None:
    small = load_study(folder / "small")
    trials, config = small.study, small.config
    found = compare(
        [(trials, config, tmp_path / "a" / "x"), (trials, config, tmp_path / "b" / "x")]
    )
    assert [entry.name for entry in found.entries] == [
        str(tmp_path / "a" / "x"),
        str(tmp_path / "b" / "x"),
    ]


def text(found: Comparison, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(views.comparison_report(found, width))
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()
