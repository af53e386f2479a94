"""What came of a confirmation: candidates on common seeds, and sentences about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.base.languages.sentences import _, plural
from sweep.base.wording import counted, number
from sweep.confirm.candidate import Candidate, named_in_short
from sweep.confirm.intervals import Interval, paired_lead
from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric, is_a_share
from sweep.study.sections import QUESTIONS, Objective, Question, deciding, other

CONSTANT = "constant"


@dataclass(frozen=True)
class Confirmation:
    """What became of the candidates.

    Args:
        candidates: The winner first, then by their mean; those that dropped out last.
        seeds: All that were used, in their order.
        raced: Whether those that were behind dropped out.
        metric: What they are compared by.
        objective: Which of their epochs decides.
    """

    candidates: tuple[Candidate, ...]
    seeds: tuple[int, ...]
    raced: bool = True
    metric: Metric = field(kw_only=True)
    objective: Objective = field(default="best", kw_only=True)

    @property
    def decides(self) -> Question:
        """The question by which they are compared."""
        return deciding(self.objective)

    @property
    def mean_titles(self) -> tuple[str, str]:
        """Of columns: `mean best MSE`, `mean final MSE`; that which decides is first."""
        best = _("mean best {metric}", metric=self.metric.short)
        final = _("mean final {metric}", metric=self.metric.short)
        return (best, final) if self.decides == "best" else (final, best)

    @property
    def what_decides(self) -> str:
        """`the mean best MSE decides`, and why one with a better mean may stand last."""
        mean = self.mean_titles[0]
        told = _("the {mean} decides", mean=mean)
        if self.objective == "averaged":
            told = _("the {mean} of averaged weights decides", mean=mean)
        if any(self.dropped_out(c) and math.isfinite(c.interval.mean) for c in self.candidates):
            told += _("; those that dropped out have fewer seeds, and stand last")
        return told

    @property
    def winner(self) -> Candidate:
        """The one with the best mean among those that were trained from most seeds."""
        return self.candidates[0]

    @property
    def runs(self) -> int:
        """Trainings of all candidates."""
        return sum(len(candidate.values) for candidate in self.candidates)

    @property
    def constant(self) -> Candidate | None:
        """The best constant rate: that of the search, where it has one."""
        constant = [c for c in self.candidates if c.schedule.scheduler == CONSTANT]
        return min(constant, key=lambda c: bool(c.baseline), default=None)

    @property
    def runner_up(self) -> Candidate | None:
        """The best candidate but the winner."""
        return self.candidates[1] if len(self.candidates) > 1 else None

    @property
    def seeds_are_alike(self) -> bool:
        """Whether no seed made a difference to any candidate, so that nothing was confirmed.

        So it is where a loop of the user's own seeds itself.
        """
        finite = [c for c in self.candidates if math.isfinite(c.interval.mean)]
        several = [c for c in finite if len(c.values) > 1]
        return bool(several) and all(c.repeats for c in several)

    @property
    def doubt(self) -> str:
        """That fresh seeds gave candidates the same value, in a sentence; empty if none did."""
        repeating = [c for c in self.candidates if c.repeats]
        if not repeating:
            return ""
        who = _("a schedule") if self.seeds_are_alike else named_in_short(repeating)
        return _(
            "every fresh seed gave {who} the same value: the training does not depend on its seed, "
            "or the metric cannot tell its runs apart",
            who=who,
        )

    @property
    def tied(self) -> tuple[Candidate, ...]:
        """The candidates that the winner is not ahead of beyond the interval."""
        return tuple(c for c in self.candidates[1:] if not self.is_ahead_of(c))

    def lead_over(self, candidate: Candidate) -> Interval:
        """How much better the winner's value is than a candidate's, as a share of the latter.

        Where that says nothing, it is in the metric's unit. It is paired over the
        seeds that both were trained from.
        """
        common = len(candidate.values)
        ours, theirs = self._losses(self.winner), self._losses(candidate)
        return paired_lead(ours[:common], theirs, self.leads_are_shares)

    @property
    def leads_are_shares(self) -> bool:
        """Whether a lead over every candidate can be told as a share; else none is."""
        finite = [c.interval.mean for c in self.candidates if math.isfinite(c.interval.mean)]
        return all(is_a_share(self.winner.interval.mean, mean) for mean in finite)

    def _losses(self, candidate: Candidate) -> list[float]:
        return [self.metric.loss(value) for value in candidate.values]

    def _other_losses(self, candidate: Candidate) -> list[float]:
        return [self.metric.loss(value) for value in candidate.other_values if value is not None]

    def is_ahead_of(self, candidate: Candidate) -> bool:
        """Whether the winner's lead is beyond its interval, or the candidate failed a seed.

        Where no seed made a difference, there is no interval, and it is ahead of nothing.
        """
        if self.seeds_are_alike:
            return False
        return not math.isfinite(candidate.interval.mean) or self.lead_over(candidate).low > 0

    def dropped_out(self, candidate: Candidate) -> bool:
        """Whether it got fewer seeds than the winner."""
        return len(candidate.values) < len(self.winner.values)

    def mean_ranks(self) -> tuple[float, ...]:
        """Each candidate's mean rank, from 1, over the seeds that all were trained from."""
        common = min(len(candidate.values) for candidate in self.candidates)
        totals = [0.0] * len(self.candidates)
        for seed in range(common):
            values = [self.metric.loss(c.values[seed]) for c in self.candidates]
            for i, value in enumerate(values):
                below = sum(other < value for other in values)
                same = sum(other == value for other in values)
                totals[i] += below + (same + 1) / 2
        return tuple(total / common for total in totals)

    @property
    def reached(self) -> str:
        """The winner's mean, `reaches MSE 3 ± 0.1 over 3 fresh seeds`; empty where it has none."""
        interval = self.winner.interval
        if not math.isfinite(interval.mean):
            return ""
        mean = f"{number(interval.mean)} {interval.plus_minus}".rstrip()
        reached = _(
            "reaches {metric} {value}{weights} over {seeds}",
            metric=self.metric.title,
            value=mean,
            weights=_(" with averaged weights") if self.objective == "averaged" else "",
            seeds=counted(interval.count, "fresh seed"),
        )
        return reached + (_(", the same from each") if self.winner.repeats else "")

    @property
    def verdict(self) -> str:
        """Whether the winner is really ahead, in a sentence."""
        seeds = counted(len(self.winner.values), "fresh seed")
        if not math.isfinite(self.winner.interval.mean):
            return _("every candidate diverged or failed on a fresh seed")
        if self.seeds_are_alike:
            return _("not known: {doubt}; nothing is shown to be ahead", doubt=self.doubt)
        if len(self.candidates) == 1:
            return _("the only candidate; trained from {seeds}", seeds=seeds)
        if not self.tied:
            others = len(self.candidates) - 1
            return plural(
                others, "ahead of the other candidate", "ahead of all {count} other candidates"
            )
        stayed = [c for c in self.tied if not self.dropped_out(c)]
        out = [c for c in self.tied if self.dropped_out(c)]
        if not stayed:
            return plural(
                len(out),
                "ahead of those that stayed; {named} dropped out behind an earlier leader, and is "
                "not shown to be worse",
                "ahead of those that stayed; {named} dropped out behind an earlier leader, and are "
                "not shown to be worse",
                named=named_in_short(out),
            )
        return plural(
            len(self.winner.values),
            "tied with {named}: {seeds} shows no difference beyond noise between them",
            "tied with {named}: {seeds} show no difference beyond noise between them",
            named=named_in_short(stayed),
            seeds=seeds,
        )

    @property
    def against_constant(self) -> str:
        """The winner against the best constant rate, in a sentence."""
        if self.constant is None:
            return _("no constant rate was confirmed to compare with")
        if self.constant is self.winner:
            return _("a constant rate is the best that was found")
        rate = number(self.constant.schedule.lr)
        return _("{compared} (lr {rate})", compared=self.compared(self.constant), rate=rate)

    @property
    def against_runner_up(self) -> str:
        """The winner against the next best candidate, in a sentence."""
        if self.runner_up is None:
            return _("there is no other candidate")
        return _(
            "trial {trial}, {description}: {compared}",
            trial=self.runner_up.trial,
            description=self.runner_up.description,
            compared=self.compared(self.runner_up),
        )

    def compared(self, candidate: Candidate) -> str:
        """The winner's lead over a candidate, with its interval, in a sentence."""
        if not math.isfinite(candidate.interval.mean):
            return _("it diverged or failed on a fresh seed")
        lead = self.lead_over(candidate)
        common = counted(lead.count, "common seed")
        distance = lead.shown(lead.mean)
        ahead = _(
            "the winner has {distance} {better}", distance=distance, better=self.metric.better
        )
        if lead.count < 2:
            return _("{ahead} on one common seed, which shows nothing", ahead=ahead)
        if not lead.is_finite:
            return _(
                "{ahead}, the same on each of {seeds}, which shows nothing",
                ahead=ahead,
                seeds=common,
            )
        told = _(
            "{ahead} (95 % interval {ends}, {seeds})", ahead=ahead, ends=lead.ends, seeds=common
        )
        return told + ("" if lead.low > 0 else _(": within noise"))

    @property
    def by_other_question(self) -> str:
        """Who is ahead of the winner by the question that does not decide, in a sentence.

        Empty where nobody is beyond noise, or it is not known. Those that dropped out are not
        asked: they have fewer seeds.
        """
        stayed = {
            c.trial: c
            for c in self.candidates
            if not self.dropped_out(c) and math.isfinite(c.interval.mean)
        }
        means = {n: c.other_interval.mean for n, c in stayed.items() if c.other_interval}
        if not stayed or len(means) < len(stayed):
            return ""
        ahead = stayed[min(means, key=lambda trial: self.metric.loss(means[trial]))]
        first, ours = means[ahead.trial], means[self.winner.trial]
        lead = paired_lead(
            self._other_losses(ahead), self._other_losses(self.winner), is_a_share(first, ours)
        )
        if lead.low <= 0:
            return ""
        at_best = other(self.decides) == "best"
        return _(
            "{when}, trial {trial}, {description}, is first on fresh seeds: mean {mean}, the "
            "winner's {ours}; it has {distance} {better} (95 % interval {ends}, {seeds})",
            when=_("at the best epoch") if at_best else _("after the last epoch"),
            trial=ahead.trial,
            description=ahead.description,
            mean=number(first),
            ours=number(ours),
            distance=lead.shown(lead.mean),
            better=self.metric.better,
            ends=lead.ends,
            seeds=counted(lead.count, "common seed"),
        )

    def behind(self, candidate: Candidate) -> str:
        """How far a candidate is behind the winner, in a few words."""
        if candidate is self.winner:
            return _("the best that was found")
        if not math.isfinite(candidate.interval.mean):
            return _("diverged or failed on a fresh seed")
        lead = self.lead_over(candidate)
        share = _("{distance} behind", distance=lead.shown(lead.mean))
        common = counted(lead.count, "common seed")
        if lead.count < 2 or not lead.is_finite:
            return _("{behind} on {seeds}, which shows nothing", behind=share, seeds=common)
        told = _("{behind} ({ends}, {seeds})", behind=share, ends=lead.ends, seeds=common)
        return told + ("" if lead.low > 0 else _(": within noise"))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: every number and the sentences."""
        ranks = self.mean_ranks()
        candidates = []
        for candidate, rank in zip(self.candidates, ranks, strict=True):
            finite = math.isfinite(candidate.interval.mean)
            lead = None if candidate is self.winner or not finite else self.lead_over(candidate)
            candidates.append(
                {
                    "trial": candidate.trial,
                    "schedule": candidate.schedule.to_dict(),
                    **({"params": dict(candidate.params)} if candidate.params else {}),
                    self.metric.name: _finite(candidate.values),
                    "other_values": _finite(candidate.other_values),
                    "mean": _jsonable(candidate.interval),
                    "means": self._means(candidate),
                    "mean_rank": rank,
                    "dropped_out": self.dropped_out(candidate),
                    "lead_of_winner": None if lead is None else _jsonable(lead),
                    **({"baseline": candidate.baseline} if candidate.baseline else {}),
                }
            )
        return {
            "seeds": list(self.seeds),
            "raced": self.raced,
            "seeds_are_alike": self.seeds_are_alike,
            "leads_are_shares": self.leads_are_shares,
            "decides": self.decides,
            "verdict": self.verdict,
            "by_other_question": self.by_other_question,
            "against_constant": self.against_constant,
            "against_runner_up": self.against_runner_up,
            "candidates": candidates,
        }

    def _means(self, candidate: Candidate) -> dict[str, Any]:
        """By question; None of one whose answer is not known."""
        by_other = candidate.other_interval
        means = {
            self.decides: _jsonable(candidate.interval),
            other(self.decides): _jsonable(by_other) if by_other else None,
        }
        return {question: means[question] for question in QUESTIONS}

    @classmethod
    def from_dict(
        cls, fields: Mapping[str, Any], metric: Metric, objective: Objective = "best"
    ) -> Confirmation:
        """From what `to_dict` gives, and a file of an earlier version: it has one question."""
        candidates = (
            Candidate(
                trial=entry["trial"],
                schedule=Schedule.from_dict(entry["schedule"]),
                values=tuple(metric.worst if v is None else v for v in entry[metric.name]),
                params=entry.get("params", {}),
                baseline=entry.get("baseline", ""),
                other_values=tuple(
                    metric.worst if value is None else by_other
                    for value, by_other in zip(
                        entry[metric.name], entry.get("other_values", ()), strict=False
                    )
                ),
            )
            for entry in fields["candidates"]
        )
        return cls(
            tuple(candidates),
            tuple(fields["seeds"]),
            fields["raced"],
            metric=metric,
            objective=objective,
        )


def _finite(values: Sequence[float | None]) -> list[float | None]:
    return [v if v is not None and math.isfinite(v) else None for v in values]


def _jsonable(interval: Interval) -> dict[str, float | int | None]:
    ends = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {n: v if math.isfinite(v) else None for n, v in ends.items()} | {"count": interval.count}
