"""Whether the ranking of another study's trials held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweep.base.languages.sentences import _
from sweep.base.wording import counted
from sweep.search.trials import StudyReader, standing_for_themselves
from sweep.study.metric import Metric

_FEWEST = 4
"""Fewer ranks than these can agree by chance, however well they do."""

_CHANCE = 0.05


@dataclass(frozen=True)
class CarriedOver:
    """Whether carried-over trials came in the order that they had in the other study.

    Args:
        study: The other study.
        epochs: Of a whole trial there.
        trials: How many were carried over.
        compared: How many of them completed in both.
        correlation: Spearman's rank correlation between their values in the two studies, 1 for the
            same order from best to worst; None if there are fewer than four, or all are the same.
        held: Whether chance gives such a correlation in less than 5 % of cases (one-sided t test);
            None where there is none.
    """

    study: str
    epochs: int
    trials: int
    compared: int
    correlation: float | None
    held: bool | None

    @property
    def verdict(self) -> str:
        """Whether the ranking held, in a sentence."""
        if self.compared < _FEWEST:
            return _(
                "{compared} of {trials} completed in both studies: too few to tell whether the "
                "ranking held",
                compared=self.compared,
                trials=counted(self.trials, "carried-over trial"),
            )
        trials = counted(self.compared, "carried-over trial")
        ranking = _("the ranking of {trials}", trials=trials)
        if self.correlation is None:
            return _("{ranking} cannot be compared: all have the same value", ranking=ranking)
        shown = _("rank correlation {value:.2f}", value=self.correlation)
        if self.held:
            return _("{ranking} held: {shown}", ranking=ranking, shown=shown)
        if self.correlation > 0:
            return _(
                "{ranking} did not clearly hold: {shown}, which may be chance",
                ranking=ranking,
                shown=shown,
            )
        return _("{ranking} did not hold: {shown}", ranking=ranking, shown=shown)

    @property
    def sentence(self) -> str:
        """Where the trials come from, and whether their ranking held."""
        return _(
            "{trials} of {study} ({epochs}); {verdict}",
            trials=counted(self.trials, "trial"),
            study=self.study,
            epochs=counted(self.epochs, "epoch"),
            verdict=self.verdict,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "verdict": self.verdict}


def carried_over(reader: StudyReader) -> CarriedOver | None:
    """How a study's carried-over trials compare with what they came to in the other study.

    Args:
        reader: Reads the study.

    Returns:
        None if nothing was carried over.
    """
    source, metric = reader.source, reader.config.measure
    known = [(trial.carried_from, trial.value) for trial in standing_for_themselves(reader.trials)]
    pairs = [(origin.value, value) for origin, value in known if origin]
    if not source or not pairs:
        return None
    there = Metric(maximize=source.maximize)
    losses = [
        (there.loss(before), metric.loss(now))
        for before, now in pairs
        if before is not None and now is not None and math.isfinite(now)
    ]
    correlation, held = _rank_correlation(losses)
    return CarriedOver(source.study, source.epochs, len(pairs), len(losses), correlation, held)


def _rank_correlation(pairs: Sequence[tuple[float, float]]) -> tuple[float | None, bool | None]:
    """Spearman's, and whether it is more than chance."""
    if len(pairs) < _FEWEST or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return None, None
    from scipy.stats import spearmanr

    before, now = zip(*pairs, strict=True)
    found = spearmanr(before, now, alternative="greater")
    return float(found.statistic), bool(found.pvalue < _CHANCE)
