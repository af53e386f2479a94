"""Candidates by both questions: at their best epoch, and after their last one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from made_studies import rendered

from sweep.base.errors import InputError
from sweep.confirm.best_schedule import BestSchedule
from sweep.confirm.candidate import ranked
from sweep.confirm.verdict import Confirmation
from sweep.report.terminal.tables import confirmation_table
from sweep.schedules.schedule import Schedule
from sweep.study.metric import MSE, Metric
from sweep.study.sections import Objective
from sweep.study.space import Suggestion

ACCURACY = Metric("val_accuracy", maximize=True)
SCHEDULES = {
    1: Schedule("cosine", 0.1, 0.01),
    2: Schedule("constant", 0.05),
    3: Schedule("step", 0.2, 0.1),
}
Values = Mapping[int, Sequence[float]]


def confirmed(
    values: Values,
    others: Mapping[int, Sequence[float | None]],
    metric: Metric = MSE,
    objective: Objective = "best",
) -> Confirmation:
    suggestions = {number: Suggestion(SCHEDULES[number]) for number in values}
    found = ranked(suggestions, values, metric, {3: "step, lr=0.2, decay=0.1"}, others)
    seeds = tuple(range(max(map(len, values.values()))))
    return Confirmation(found, seeds, metric=metric, objective=objective)


BEST: Values = {1: [1.0, 1.2, 1.3, 1.1], 2: [0.9, 1.0, 1.2, 1.0], 3: [1.8, 3.0, 2.6]}
FINAL: Values = {1: [1.1, 1.25, 1.35, 1.2], 2: [2.0, 2.2, 2.4, 2.1], 3: [0.1, 0.1, 0.1]}


def test_who_is_first_by_the_other_question_is_said_with_the_lead() -> None:
    found = confirmed(BEST, FINAL)
    assert found.winner.trial == 2
    assert found.by_other_question == (
        "after the last epoch, trial 1, cosine, lr 0.1, decay 0.01, is first on fresh seeds: mean "
        "1.225, the winner's 2.175; it has 44 % lower MSE (95 % interval 39 % to 49 %, 4 common "
        "seeds)"
    )  # trial 3 has dropped out: of fewer seeds, its mean is no match
    swapped = confirmed({**FINAL, 3: [5.0, 6.0, 7.0]}, BEST, objective="final")
    assert swapped.winner.trial == 1
    assert swapped.by_other_question.startswith("at the best epoch, trial 2, constant, lr 0.05, is")


def test_what_is_not_known_or_not_shown_is_not_said() -> None:
    assert not confirmed(BEST, {1: [9.0] * 4, 2: BEST[2], 3: FINAL[3]}).by_other_question
    assert not confirmed(BEST, {1: FINAL[1], 2: [2.0, None, 2.4, 2.1]}).by_other_question
    assert not confirmed(BEST, {}).by_other_question
    within_noise = {1: [1.9, 2.3, 2.2, 2.1], 2: [2.0, 2.2, 2.4, 2.1]}
    assert not confirmed({1: BEST[1], 2: BEST[2]}, within_noise).by_other_question
    one_seed = confirmed({1: [1.0], 2: [0.9]}, {1: [2.0], 2: [3.0]})
    assert not one_seed.by_other_question
    alike = confirmed({1: [1.0, 1.0], 2: [0.9, 0.9]}, {1: [2.0, 2.0], 2: [3.0, 3.0]})
    assert not alike.by_other_question
    equal = confirmed({1: [1.0, 1.2], 2: [0.9, 1.0]}, {1: [2.0, 2.2], 2: [2.0, 2.2]})
    assert not equal.by_other_question
    failed = confirmed({1: [math.inf, 1.0]}, {1: [math.inf, 1.0]})
    assert not failed.by_other_question


def test_more_may_be_better() -> None:
    found = confirmed(
        {1: [0.90, 0.92, 0.91], 2: [0.95, 0.94, 0.96]},
        {1: [0.89, 0.91, 0.90], 2: [0.70, 0.75, 0.72]},
        ACCURACY,
    )
    assert found.winner.trial == 2
    assert "trial 1, cosine" in found.by_other_question
    assert "mean 0.9, the winner's 0.7233; it has 24 % higher val_accuracy" in (
        found.by_other_question
    )


@pytest.mark.parametrize(
    ("objective", "best", "final"),
    [("best", 1.0, 3.0), ("averaged", 1.0, 3.0), ("final", 3.0, 1.0)],
)
def test_json_has_both_means_and_which_decides(
    objective: Objective, best: float, final: float
) -> None:
    found = confirmed({1: [0.5, 1.5]}, {1: [2.0, 4.0]}, objective=objective)
    described = found.to_dict()
    assert described["decides"] == ("final" if objective == "final" else "best")
    (candidate,) = described["candidates"]
    assert {name: each["mean"] for name, each in candidate["means"].items()} == {
        "best": best,
        "final": final,
    }
    assert candidate["means"][described["decides"]] == candidate["mean"]


@pytest.mark.parametrize("objective", ["best", "final"])
@pytest.mark.parametrize("of_1", [[1.1, 1.3, math.inf, 1.2], [1.1, None, math.inf, 1.2], []])
def test_it_comes_back_from_json(objective: Objective, of_1: list[float | None]) -> None:
    values = {1: [1.0, 1.2, math.inf, 1.1], 2: [0.9, 1.0, 1.2, 1.0]}
    others = {1: of_1, 2: FINAL[2]}
    found = confirmed(values, others, objective=objective)
    again = Confirmation.from_dict(json.loads(json.dumps(found.to_dict())), MSE, objective)
    assert again == found


def written(confirmation: dict[str, Any]) -> dict[str, Any]:
    fields = {"schedule": SCHEDULES[1].to_dict(), "objective": "final", "val_mse": 1.0}
    return fields | {"best_constant_val_mse": None, "confirmation": confirmation}


def test_the_file_of_the_winner_has_them_and_an_earlier_one_is_read() -> None:
    found = confirmed(BEST, FINAL, objective="final")
    assert BestSchedule.from_dict(written(found.to_dict())).confirmed(MSE) == found
    earlier = found.to_dict()
    for name in ("decides", "by_other_question"):
        del earlier[name]
    for candidate in earlier["candidates"]:
        del candidate["means"], candidate["other_values"]
    read = BestSchedule.from_dict(written(earlier)).confirmed(MSE)
    assert read is not None and read.decides == "final"
    assert not any(candidate.other_interval for candidate in read.candidates)
    assert [c.values for c in read.candidates] == [c.values for c in found.candidates]
    mixed = found.to_dict()
    mixed["candidates"][0]["other_values"] = [1.0]
    with pytest.raises(InputError, match="trial 2 has values without other_values"):
        BestSchedule.from_dict(written(mixed))


def test_the_table_has_both_and_marks_a_baseline() -> None:
    found = confirmed(BEST, {1: FINAL[1], 2: [None] * 4, 3: FINAL[3]})
    title, *lines = rendered(confirmation_table(found), 120).splitlines()
    assert title.startswith("On fresh seeds: the mean best MSE decides; those that dropped out")
    cells = [line.split() for line in lines]
    assert cells[0][:8] == ["trial", "scheduler", "seeds", "mean", "best", "95", "%", "winner's"]
    assert cells[2][:4] == ["2", "constant", "4", "1.025"] and "unknown" in cells[2]
    assert cells[3][:4] == ["1", "cosine", "4", "1.150"] and "1.225" in cells[3]
    assert cells[4][:5] == ["3", "step", "(baseline)", "3", "2.467"] and "0.1000" in cells[4]
    by_final = confirmed(BEST, FINAL, ACCURACY, "final")
    assert rendered(confirmation_table(by_final)).startswith(
        "On fresh seeds: the mean final val_accuracy decides"
    )
    averaged = confirmed(BEST, FINAL, objective="averaged")
    assert averaged.what_decides.startswith("the mean best MSE of averaged weights decides; ")


@pytest.mark.parametrize("width", [60, 80])
def test_why_a_better_mean_stands_last_is_seen_at_any_width(width: int) -> None:
    found = confirmed({1: [250.0, 260.0, 251.0], 2: [240.0, 300.0, 262.0], 3: [230.0, 258.0]}, {})
    assert [c.trial for c in found.candidates] == [1, 2, 3]
    text = rendered(confirmation_table(found), width)
    reason = "those that dropped out have fewer seeds, and stand last"
    assert reason in " ".join(text.split())
    (last,) = (line.split() for line in text.splitlines() if line.split()[:1] == ["3"])
    assert last[1:5] == ["step", "(baseline)", "2", "244.0"]
    stayed = confirmed({1: [250.0, 260.0], 2: [240.0, math.inf]}, {})
    assert "dropped out" not in stayed.what_decides
