"""The winner against predictions that need no model: is it better than nothing?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.base.languages.sentences import _, read_back
from sweep.base.wording import number, percent
from sweep.confirm.best_schedule import HeldOutScore
from sweep.confirm.intervals import Interval
from sweep.data.examine.naive import NaivePrediction
from sweep.study.metric import Metric


@dataclass(frozen=True)
class WithoutModel:
    """A prediction that needs no model, beside the winner's.

    Args:
        what: The prediction.
        value: What it comes to on the validation rows.
        test_value: On the test rows; None if the winner has not been tested.
        is_beaten: Whether the winner is better on the validation rows.
        is_beaten_in_test: Whether it is on the test rows, where it has been tested.
        sentence: Both, in words.
    """

    what: str
    value: float
    test_value: float | None
    is_beaten: bool
    is_beaten_in_test: bool | None
    sentence: str

    @property
    def caution(self) -> str:
        """That the winner is no better, in a sentence; empty if it is."""
        if self.is_beaten and self.is_beaten_in_test is not False:
            return ""
        return _(
            "the winner is not shown to be better{where} than predicting {what}, which needs no "
            "model: this model has learnt nothing here that helps",
            where=_(" on the test rows") if self.is_beaten else "",
            what=read_back(self.what),
        )


def without_model(
    naive: Sequence[NaivePrediction],
    value: float | Interval,
    test: HeldOutScore | None,
    metric: Metric,
) -> tuple[WithoutModel, ...]:
    """Each of these predictions against the winner, as far as it has the study's metric.

    Args:
        naive: The predictions.
        value: What the winner came to: over fresh seeds, or in the search.
        test: How the winner does on the test rows, where it has been tested.
        metric: What is compared.
    """
    name = metric.name.removeprefix("val_")
    tested = _tested(test, name)
    found = []
    for each in naive:
        if name not in each.validation:
            continue
        theirs, in_test = each.validation[name], each.test.get(name)
        is_beaten, sentence = _against(value, theirs, metric, read_back(each.what))
        if name != "accuracy" and "accuracy" in each.validation:
            share = percent(each.validation["accuracy"])
            sentence += _(", which is right in {share} of the rows", share=share)
        beaten_in_test = None
        if tested is not None and in_test is not None:
            beaten_in_test = metric.is_better(tested, in_test)
            apart = _("no better")
            if beaten_in_test:
                apart = _("{distance} better", distance=metric.distance(tested, in_test))
            sentence += _(
                "; on the test rows {ours} and {theirs}: {apart}",
                ours=number(tested),
                theirs=number(in_test),
                apart=apart,
            )
        else:
            in_test = None
        found.append(WithoutModel(each.what, theirs, in_test, is_beaten, beaten_in_test, sentence))
    return tuple(found)


def _against(value: float | Interval, theirs: float, metric: Metric, what: str) -> tuple[bool, str]:
    """Whether the winner is better beyond the noise of its seeds, and how much, in words."""
    ours = value.mean if isinstance(value, Interval) else value
    told = _(
        "predicting {what} ({metric} {value})", what=what, metric=metric.title, value=number(theirs)
    )
    if not math.isfinite(ours) or not metric.is_better(ours, theirs):
        return False, _("no better than {told}", told=told)
    if isinstance(value, Interval) and value.is_finite and value.low <= theirs <= value.high:
        return False, _(
            "not shown to be better than {told}, which is within the winner's interval", told=told
        )
    distance = metric.distance(ours, theirs)
    better = metric.better
    return True, _("{distance} {better} than {told}", distance=distance, better=better, told=told)


def _tested(test: HeldOutScore | None, name: str) -> float | None:
    """The winner's test value by the study's metric."""
    if test is None:
        return None
    numbers = {"mse": test.mse, "r2": test.r2}
    return numbers[name] if name in numbers else test.others.get(name)
