"""The live display, at every width, from the status of a real coordinator or a made-up one."""

from __future__ import annotations

import io
import time
import timeit
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from sweep.cli.display import retraining, sweep_display
from sweep.cli.progress import Progress
from sweep.search.budget import Spent
from sweep.search.status import Lane, Status, Tally
from sweep.search.trials import EndingCounts, StudyReader, Trial
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig
from sweep.study.space import Space

CONFIG = StudyConfig.model_validate({"data": {"source": "diabetes"}, "epochs": 30})


def trial(number: int, scheduler: str, value: float | None) -> Trial:
    space: Space = CONFIG.search_space
    names = space.schedulers
    params = {"scheduler": scheduler, "lr": 0.1, "decay": 0.01, "warmup": 0.0}
    distributions = {
        "scheduler": optuna.distributions.CategoricalDistribution(names),
        "lr": optuna.distributions.FloatDistribution(0.001, 1.0, log=True),
        "decay": optuna.distributions.FloatDistribution(0.0001, 1.0, log=True),
        "warmup": optuna.distributions.FloatDistribution(0.0, 0.2),
    }
    state = optuna.trial.TrialState.COMPLETE if value else optuna.trial.TrialState.PRUNED
    made = optuna.create_trial(state=state, value=value, params=params, distributions=distributions)
    made.number = number
    return StudyReader(optuna.create_study(), CONFIG).trial(made)


def status(lanes: int = 16) -> Status:
    tally = Tally(CONFIG.measure)
    for number, (scheduler, value) in enumerate(
        [("linear", 3.0), ("cosine", 2.0), ("cosine", 2.5), ("wsd", None), ("exponential", 1.0)]
    ):
        tally.count(trial(number, scheduler, value))
    return Status(
        total=20,
        endings=tally.endings,
        running=lanes,
        best=tally.best,
        epochs=500,
        elapsed_secs=10.0,
        remaining_secs=30.0,
        lanes=tuple(Lane(5 + n, "inverse_sqrt", n) for n in range(lanes)),
        course=tally.course,
        families=tally.families,
    )


def drawn(now: Status, width: int, height: int = 30, config: StudyConfig = CONFIG) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, soft_wrap=True)
    with console.capture() as shown:
        console.print(sweep_display(now, config, width, height), soft_wrap=True)
    return shown.get().rstrip("\n").split("\n")


def test_a_budget_is_shown_by_what_is_spent() -> None:
    config = CONFIG.model_copy(update={"budget": 8.0})
    now = replace(status(), spent=Spent(auditions=30, stopped=15, completed=60))
    header, counts, *_ = drawn(now, 80, config=config)
    assert "3.5/8 whole trainings spent, 30.0 s left" in header
    assert header.count("━") == round(3.5 / 8 * (header.count("━") + header.count("╌")))
    assert counts.startswith("5 trials  4 completed")


@pytest.mark.parametrize(("sampler", "said"), [("grid", "at most 5"), ("random", "about 5")])
def test_a_budget_is_told_in_trials(sampler: str, said: str) -> None:
    given = {"loop": "train.py:train", "metric": "loss", "budget": 5, "pruner": "none"}
    config = StudyConfig.model_validate({**given, "sampler": sampler, "epochs": 30})
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as shown:
        Progress(console).on_start(Location("shop", None, Path("shop")), config, None)
    assert shown.get().startswith(f"shop: 5 whole trainings, {said} trials, of 30 epochs")


def test_a_tally_follows_the_best_value_and_the_schedulers() -> None:
    now = status()
    assert list(now.course) == [3.0, 2.0, 2.0, 1.0]
    bests = {name: best and (best.number, best.value) for name, (_, best) in now.families.items()}
    assert bests == {"linear": (0, 3.0), "cosine": (1, 2.0), "wsd": None, "exponential": (4, 1.0)}
    assert [ended for ended, _ in now.families.values()] == [1, 2, 1, 1]


def test_an_audition_has_a_bar_of_its_own_horizon() -> None:
    epochs = CONFIG.epochs
    now = replace(status(), lanes=(Lane(5, "cosine", 1, 2), Lane(6, "linear", 1)))
    shown = "\n".join(drawn(now, 80))
    assert "1/2" in shown and f"1/{epochs}" in shown


def test_of_equal_trials_the_earlier_is_the_best_whichever_ended_first() -> None:
    """Workers end trials in any order; the display, the weights and the report must agree."""
    tally = Tally(CONFIG.measure)
    for number, scheduler in [(5, "wsd"), (2, "linear"), (3, "cosine"), (1, "wsd"), (4, "linear")]:
        tally.count(trial(number, scheduler, 2.0))
    assert tally.best is not None and tally.best.number == 1
    lines = drawn(replace(status(lanes=0), families=tally.families), 120)
    names = [name for line in lines for name in ("wsd", "linear", "cosine") if f" {name} " in line]
    assert names == ["wsd", "linear", "cosine"]


@pytest.mark.parametrize("width", [40, 50, 60, 80, 120, 200])
def test_nothing_is_cut_off_and_nothing_is_missing(width: int) -> None:
    lines = drawn(status(), width)
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for word in ("5/20 trials", "30.0 s left", "4 completed", "1 pruned", "16 running"):
        assert word in text
    assert "MSE 1 by trial 4, exponential, lr 0.1, decay 0.01" in text
    assert "50.0 epochs/s" in text
    assert "best validation MSE" in text
    for name in ("cosine", "wsd", "inverse_s"):
        assert name in text
    assert "16 running" in text
    assert len(lines) < 30


def test_the_schedulers_stand_best_first() -> None:
    lines = drawn(status(), 120)
    places = {
        name: i
        for i, line in enumerate(lines)
        for name in ("linear", "cosine", "wsd")
        if name in line
    }
    assert places["cosine"] < places["linear"] < places["wsd"]


def test_lanes_show_their_epoch_and_the_rest_is_counted() -> None:
    text = "\n".join(drawn(status(lanes=40), 80))
    assert "   5 inverse_sq… ╌╌╌╌╌╌  0/30" in text
    assert "  12 inverse_sq… ━╌╌╌╌╌  7/30" in text
    assert "and 29 more" in text


def test_a_short_terminal_keeps_the_most_needed() -> None:
    for height in (8, 12, 16):
        lines = drawn(status(), 80, height)
        assert len(lines) <= height
        assert "5/20 trials" in lines[0]


def test_the_course_is_drawn_as_steps_from_high_to_low() -> None:
    lines = drawn(status(), 60)
    chart = [line.split("│")[-1].split("┤")[-1] for line in lines if "│" in line or "┤" in line]
    assert chart[0].startswith("⠉⠉⠉")
    assert chart[-1].rstrip().endswith("⣀⣀⣀")


def test_before_anything_has_completed() -> None:
    nothing = replace(
        status(lanes=0),
        best=None,
        course=[],
        families={},
        endings=EndingCounts(),
        remaining_secs=None,
    )
    text = "\n".join(drawn(nothing, 80))
    assert "none completed yet" in text
    assert "left" not in text


@pytest.mark.parametrize("width", [40, 120])
def test_retraining_fits(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as shown:
        console.print(retraining("confirming the best schedules", 30, 60, width), soft_wrap=True)
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= width
    text = " ".join(shown.get().split())
    assert text.endswith("confirming the best schedules: 30 of 60 epochs")
    assert abs(text.count("━") - text.count("╌")) <= 1


def test_a_redraw_costs_the_same_after_many_trials() -> None:
    many = replace(status(), course=[1.0 + 1 / (1 + n) for n in range(200_000)])

    def cost(now: Status) -> float:
        """CPU seconds, without what else the machine did meanwhile."""
        return min(timeit.repeat(lambda: drawn(now, 120), time.process_time, repeat=20, number=1))

    assert cost(many) < 3 * cost(status()) + 0.005
