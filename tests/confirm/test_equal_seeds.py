"""A training loop that seeds itself: fresh seeds show nothing, and every output says so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest
from called import called
from optuna_dashboard import get_note

from sweep.search.storage.opening import load_study

LOOP = """
    import torch

    def train(schedule, epochs):
        torch.manual_seed(0)
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
        scheduler = schedule.attach(optimizer, steps_per_epoch=1)
        for epoch in range(epochs):
            optimizer.step()
            scheduler.step()
            yield 0.4 + round(schedule.lr, 1) / 3 + 0.1 * torch.rand(()).item()
"""
pytestmark = pytest.mark.slow

DOUBT = (
    "every fresh seed gave a schedule the same value: the training does not depend on its seed, or "
    "the metric cannot tell its runs apart"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alike")
    (folder / "train.py").write_text(dedent(LOOP))
    for out, seed in (("one", "0"), ("two", "1")):
        done = called(
            *("run", "--loop", "train.py:train", "--metric", "val_accuracy", "--out", out),
            *("--direction", "maximize", "--epochs", "2", "--trials", "8", "--workers", "1"),
            *("--pruner", "none", "--set", "confirm.share=3", "--seed", seed),
            *("--scheduler", "constant", "--scheduler", "cosine"),
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        (folder / f"{out}.txt").write_text(" ".join(done.stdout.replace("│", " ").split()))
    return folder


def says_nothing_is_ahead(text: str) -> None:
    assert DOUBT in text and "nothing is shown to be ahead" in text
    assert "ahead of" not in text
    assert "±" not in re.sub(r"± 95 %", "", text)  # a column's header
    assert "95 % interval" not in text
    assert "unknown: every fresh seed gave it the same value" in text


def test_the_run_and_the_report(folder: Path) -> None:
    said = (folder / "one.txt").read_text()
    assert f"note: {DOUBT}" in said
    says_nothing_is_ahead(said)
    for format in ("text", "md"):
        shown = called("report", "one", "-f", format, cwd=folder).stdout.replace("│", " ")
        says_nothing_is_ahead(" ".join(shown.split()))


def test_the_page_and_the_dashboards_note(folder: Path) -> None:
    page = (folder / "one/report.html").read_text()
    visible = re.sub(r"(?s)<(script|style).*?</\1>", "", page)
    says_nothing_is_ahead(" ".join(re.sub(r"<[^>]+>", " ", visible).split()))
    says_nothing_is_ahead(get_note(load_study("train", str(folder / "one/study.journal"))))


def test_the_json(folder: Path) -> None:
    written = json.loads((folder / "one/best_schedule.json").read_text())
    shown = json.loads(called("report", "one", "-f", "json", cwd=folder).stdout)
    for confirmation in (written["confirmation"], shown["confirmation"]):
        assert confirmation["seeds_are_alike"] is True
        assert confirmation["verdict"].startswith(f"not known: {DOUBT}")
        for candidate in confirmation["candidates"]:
            assert not candidate["dropped_out"]
            assert len(set(candidate["val_accuracy"])) == 1
            assert candidate["mean"]["low"] is candidate["mean"]["high"] is None
            lead = candidate["lead_of_winner"]
            assert lead is None or lead["low"] is lead["high"] is None
    assert len(written["confirmation"]["seeds"]) == 3  # more of them would tell nothing


def test_a_comparison(folder: Path) -> None:
    found = json.loads(called("report", "one", "two", "-f", "json", cwd=folder).stdout)
    (difference,) = found["differences"]
    assert difference["basis"] == "none"
    assert difference["lead"] is difference["beyond_noise"] is None
    assert "which shows nothing: every fresh seed gave each schedule of " in difference["sentence"]
    assert f"one: {DOUBT}" in found["notes"]
    assert all(entry["low"] is entry["high"] is None for entry in found["studies"])
