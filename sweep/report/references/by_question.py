"""The best trials of a search by two questions: at their best epoch, and after their last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.base.languages.sentences import _
from sweep.base.wording import counted, number
from sweep.confirm.verdict import Confirmation
from sweep.schedules.schedule import Schedule
from sweep.search.trials import Trial
from sweep.study.metric import Metric
from sweep.study.sections import Objective, Question, deciding, other
from sweep.study.space import described


@dataclass(frozen=True)
class QuestionWinner:
    """The best trial by one of the questions.

    Args:
        trial: Its number.
        schedule: What it was trained with.
        best_value: At its best epoch.
        final_value: After its last epoch.
        sentence: All that, where the other question has another winner; else empty.
    """

    trial: int
    schedule: Schedule
    best_value: float
    final_value: float
    sentence: str


@dataclass(frozen=True)
class WinnersByQuestion:
    """The best of the same trials by each question.

    Args:
        decides: The question that the study's objective asks.
        of_trials: Completed trials that both are the best of.
        best: The one with the best epoch; of equal ones, the study's own winner.
        final: The one with the best last epoch; of equal ones, the study's own winner.
        on_fresh_seeds: Who is ahead of the winner there by the question that does not decide, in
            a sentence; empty if nobody is.
    """

    decides: Question
    of_trials: int
    best: QuestionWinner
    final: QuestionWinner
    on_fresh_seeds: str

    @property
    def differ(self) -> bool:
        """Whether the questions have two answers."""
        return self.best.trial != self.final.trial

    @property
    def answers(self) -> tuple[tuple[str, str], ...]:
        """Where the questions have two answers: what a sentence is about, and the sentence."""
        found = {
            _("best epoch"): self.best.sentence,
            _("last epoch"): self.final.sentence,
            _("on fresh seeds"): self.on_fresh_seeds,
        }
        return tuple((name, sentence) for name, sentence in found.items() if sentence)


def winners_by_question(
    ranked: Sequence[Trial],
    objective: Objective,
    metric: Metric,
    confirmation: Confirmation | None = None,
) -> WinnersByQuestion | None:
    """The best trials by both questions; None if no trial has an answer to both.

    Args:
        ranked: The completed trials, the best by the objective first.
        objective: The study's.
        metric: What they are compared by.
        confirmation: Of the best of them, if there was one.
    """
    decides = deciding(objective)
    values: dict[int, tuple[float, float]] = {}
    for trial in ranked:
        best = trial.record.answer("best", objective, metric)
        final = trial.record.answer("final", objective, metric)
        if best is not None and final is not None:
            values[trial.number] = best, final
    known = [trial for trial in ranked if trial.number in values]
    if not known:
        return None

    def loss(trial: Trial, question: Question) -> float:
        best, final = values[trial.number]
        return metric.loss(final if question == "final" else best)

    # of equal ones, the first: that is the study's own winner where it is as good by both
    winners = {decides: known[0], other(decides): min(known, key=lambda t: loss(t, other(decides)))}
    differ = winners["best"] is not winners["final"]
    count = counted(len(known), "completed trial")

    def told(question: Question) -> str:
        trial = winners[question]
        best, final = map(number, values[trial.number])
        facts = {
            "trials": count,
            "trial": trial.number,
            "schedule": described(trial.schedule, trial.suggestion.params),
            "asked": _(", which this study judges by") if question == decides else "",
            "metric": metric.title,
            "weights": _(" of averaged weights") if objective == "averaged" else "",
            "best": best,
            "final": final,
        }
        if question == "best":
            return _(
                "of {trials}, by the search's values, trial {trial} ({schedule}) has the best "
                "epoch{asked}: {metric}{weights} {best}; it ends at {final}",
                **facts,
            )
        return _(
            "of {trials}, by the search's values, trial {trial} ({schedule}) has the best last "
            "epoch{asked}: {metric}{weights} {final}; its best epoch has {best}",
            **facts,
        )

    def winner(question: Question) -> QuestionWinner:
        trial = winners[question]
        sentence = told(question) if differ else ""
        return QuestionWinner(trial.number, trial.schedule, *values[trial.number], sentence)

    on_fresh_seeds = confirmation.by_other_question if confirmation else ""
    return WinnersByQuestion(decides, len(known), winner("best"), winner("final"), on_fresh_seeds)
