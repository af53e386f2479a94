"""A summary for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sweep.base.languages.sentences import _
from sweep.base.wording import aligned, counted, duration, number, percent
from sweep.confirm.audit import Audit, Audited
from sweep.confirm.candidate import Candidate
from sweep.confirm.intervals import Interval
from sweep.confirm.verdict import Confirmation
from sweep.report.facts import Summary
from sweep.report.terminal.curves import draw, draw_rate_curve, draw_rates
from sweep.report.terminal.fitting import Column, FittingTable
from sweep.report.terminal.gallery import torch_call
from sweep.report.terminal.next_steps import next_steps
from sweep.report.trials.endings import ending_word
from sweep.report.trials.facts import Best, TrialFacts
from sweep.report.writers import as_sentence
from sweep.search.trials import Ending
from sweep.study.metric import Metric
from sweep.study.results_folder import AUDIT, CONFIRM, RESULTS
from sweep.study.space import Value, named_values, rate_in_words

_WIDEST_CHART = 100
_BAR = 24
_NOMINAL_STEPS = 1000


def full_report(summary: Summary, width: int = 80) -> Group:
    """Everything that is known of a study.

    Args:
        summary: What it found.
        width: Of the terminal, in characters.
    """
    parts: list[RenderableType] = [best_panel(summary), Text()]
    if summary.best:
        chart = min(width, _WIDEST_CHART)
        parts += [winner_rates(summary.best, chart), Text()]
        parts += [learning_curve(summary, chart), Text()]
    if summary.confirmation:
        parts += [confirmation_table(summary.confirmation), Text()]
    parts += [scheduler_table(summary), Text()]
    if summary.top:
        parts += [top_table(summary), Text()]
    parts += [importance_bars(summary), Text()]
    if summary.best and summary.best.edges:
        parts += [edge_list(summary.best), Text()]
    parts.append(next_steps(summary, summary.folder, width, reported=True))
    return Group(*parts)


def run_ending(summary: Summary, folder: Path, width: int = 80) -> Group:
    """What a sweep says when it ends: the winner, how the schedulers compare, what is next."""
    parts: list[RenderableType] = [best_panel(summary), Text()]
    if summary.best:
        parts += [winner_rates(summary.best, min(width, _WIDEST_CHART)), Text()]
    if summary.confirmation:
        parts += [confirmation_table(summary.confirmation), Text()]
    parts += [scheduler_table(summary), Text()]
    if summary.best and summary.best.edges:
        parts += [edge_list(summary.best), Text()]
    parts.append(next_steps(summary, folder, width))
    return Group(*parts)


def best_panel(summary: Summary) -> Panel:
    """The winner, what it is measured against, and what the search cost."""
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(summary):
        facts.add_row(name, Text(text))
    best = summary.best
    headline = Text(summary.headline)
    if best:
        headline.stylize("bold", 0, len(best.description))
    title = Text(f" {summary.study} ", style="bold")
    return Panel(
        Group(headline, Text(), facts), title=title, title_align="left", border_style="dim"
    )


def _facts(summary: Summary) -> list[tuple[str, str]]:
    best, rows = summary.best, [(_("trials"), _spent(summary))]
    if summary.account.spent.total:
        rows.append((_("spent"), summary.account.sentence))
    if summary.trained_on:
        rows.append((_("trained on"), summary.trained_on))
    if summary.shares:
        rows.append((_("shares"), summary.shares))
    if summary.audit:
        rows.append((_("audit"), _("; ").join(summary.audit.sentences)))
    if summary.failure:
        rows.append((_("failed with"), summary.failure))
    if best is None:
        return rows
    compared = [(_("baseline"), baseline.sentence) for baseline in summary.baselines]
    if summary.confirmation:
        compared.append((_("how sure"), summary.confirmation.verdict))
        compared.append((_("luck"), summary.luck))
    compared.append((_("constant rate"), summary.gain))
    if summary.has_rival:
        compared.append((_("next best"), summary.rivalry))
    if summary.by_question:
        compared += summary.by_question.answers
    compared += [(_("without a model"), each.sentence) for each in summary.without_model]
    if summary.carried_over:
        compared.append((_("carried over"), summary.carried_over.sentence))
    compared += [(_("note") if i == 0 else "", text) for i, text in enumerate(summary.cautions)]
    if summary.test:
        unseen = _("{score} that the search never saw", score=summary.test.text)
        compared.append((_("test"), unseen))
    if summary.mse_unit:
        compared.append((_("MSE in"), summary.mse_unit))
    if best.torch:
        compared.append(("torch", torch_call(best.torch)))
    return compared + rows


def _spent(summary: Summary) -> str:
    counts = summary.counts
    named = {ending_word(ending): getattr(counts.endings, ending) for ending in Ending}
    named[_("unfinished")] = counts.unfinished
    parts = [_("{count} {ending}", count=n, ending=word) for word, n in named.items() if n]
    told = _(", ").join(parts) or _("none")
    told = _("{endings} of {asked}", endings=told, asked=counts.asked)
    if not summary.epochs_trained:
        return told
    told += _(
        "; {epochs} in {time} of worker time",
        epochs=counted(summary.epochs_trained, "epoch"),
        time=duration(summary.worker_secs),
    )
    if saved := summary.epochs_saved:
        told += _("; early stops saved {share}", share=percent(saved))
    return told


def confirmation_table(confirmation: Confirmation) -> FittingTable:
    """The candidates on fresh seeds, the winner first."""
    candidates = confirmation.candidates
    intervals = [candidate.interval for candidate in candidates]
    schedules = [candidate.schedule for candidate in candidates]
    others = [candidate.other_interval for candidate in candidates]
    ranks = confirmation.mean_ranks()
    means = _("mean best"), _("mean final")
    deciding, not_asked = means if confirmation.decides == "best" else means[::-1]
    return FittingTable(
        _("On fresh seeds: {decides}", decides=confirmation.what_decides),
        (
            Column(_("trial"), [str(candidate.trial) for candidate in candidates]),
            Column(_("scheduler"), [c.schedule.scheduler + c.mark for c in candidates], 0, "left"),
            Column(_("seeds"), [str(interval.count) for interval in intervals]),
            Column(deciding, [aligned(interval.mean) for interval in intervals]),
            Column("95 %", [_margin(interval) for interval in intervals]),
            Column(_("winner's lead"), [_lead(confirmation, c) for c in candidates], 1, "left"),
            Column(not_asked, [aligned(each.mean) if each else _("unknown") for each in others], 2),
            Column(_("mean rank"), [aligned(rank) for rank in ranks], 6),
            Column("lr", [number(s.lr) for s in schedules], 4, "left"),
            Column("decay", [number(s.decay) for s in schedules], 5, "left"),
            Column(_("parameters"), [_own_parameters(c.params) for c in candidates], 7, "left"),
        ),
        elsewhere=_("every run is in {file}", file=CONFIRM),
    )


def _margin(interval: Interval) -> str:
    return interval.plus_minus or number(None)


def _lead(confirmation: Confirmation, candidate: Candidate) -> str:
    if candidate is confirmation.winner:
        return ""
    if not math.isfinite(candidate.interval.mean):
        return _("diverged or failed")
    lead = confirmation.lead_over(candidate)
    if not lead.is_finite:
        return lead.shown(lead.mean)
    return _("{value} ({aside})", value=lead.shown(lead.mean), aside=lead.ends)


def _pruned_at(one: Audited) -> str:
    return _("audition") if one.failed_audition else str(one.pruned_at)


def audit_report(found: Audit) -> Group:
    """What an audit found, and the trials that did best in it."""
    best = found.audited[:10]
    schedules = [one.schedule for one in best]
    own = [_own_parameters(one.suggestion.params) for one in best]
    metric = found.metric
    table = FittingTable(
        _("Pruned trials, trained to their end"),
        (
            Column(_("trial"), [str(one.trial) for one in best]),
            Column(_("scheduler"), [schedule.scheduler for schedule in schedules], justify="left"),
            Column(_value_title(metric), [aligned(one.value) for one in best]),
            Column(
                _("against the best"),
                [_against(metric, one.value, found.best_value) for one in best],
                1,
                "left",
            ),
            Column(_("pruned at epoch"), [_pruned_at(one) for one in best], 2),
            Column("lr", [number(schedule.lr) for schedule in schedules], 3, "left"),
            Column("decay", [number(schedule.decay) for schedule in schedules], 4, "left"),
            Column(_("parameters"), own, 5, "left"),
        ),
        elsewhere=_("every trial is in {file}", file=AUDIT),
        highlight_first=bool(found.better),
    )
    sentences = [Text(as_sentence(text)) for text in found.sentences]
    return Group(*sentences, Text(), table)


def _against(metric: Metric, value: float, best: float) -> str:
    if not math.isfinite(value):
        return _("diverged or failed")
    distance = metric.distance(value, best)
    if metric.is_better(value, best):
        return _("{distance} better", distance=distance)
    return _("{distance} worse", distance=distance)


def scheduler_table(summary: Summary) -> FittingTable:
    """What each scheduler came to, the best first."""
    rows = summary.schedulers
    bests = [row.best for row in rows]

    def ended(ending: Ending, rank: int) -> Column:
        counts = [str(getattr(row.endings, ending)) for row in rows]
        return Column(ending_word(ending), counts, rank)

    return FittingTable(
        _("Schedulers"),
        (
            Column(_("scheduler"), [row.name for row in rows], justify="left"),
            Column(
                _("best {metric}", metric=summary.metric.short),
                [aligned(best.value if best else None) for best in bests],
            ),
            Column(_("behind"), [_behind(summary, best) for best in bests], rank=8),
            Column(_("median"), [aligned(row.median_value) for row in rows], rank=4),
            Column(_("best lr"), [_lr(best) for best in bests], 1, "left"),
            Column("decay", [_decay(best) for best in bests], 2, "left"),
            Column(_("trials"), [str(row.trials) for row in rows], rank=3),
            ended(Ending.COMPLETED, 7),
            ended(Ending.PRUNED, 5),
            ended(Ending.DIVERGED, 6),
            ended(Ending.FAILED, 6),
        ),
        elsewhere=_("every trial is in {file}", file=RESULTS),
        highlight_first=bests[0] is not None if bests else False,
    )


def _behind(summary: Summary, trial: TrialFacts | None) -> str:
    """How far behind the best of the search, which need not be the winner."""
    first = summary.schedulers[0].best
    if trial is None or first is None or trial is first:
        return ""
    return summary.metric.distance(first.value, trial.value)


def _value_title(metric: Metric) -> str:
    """Of a column: `val MSE`."""
    return _("val MSE") if metric.is_mse else metric.name


def _lr(trial: TrialFacts | None) -> str:
    return rate_in_words(trial.schedule, trial.params) if trial else number(None)


def _decay(trial: TrialFacts | None) -> str:
    if trial is None:
        return number(None)
    shape = trial.schedule.shape
    return number(trial.schedule.decay if shape is None or shape.uses_decay else None)


def top_table(summary: Summary) -> FittingTable:
    """The best trials."""
    top = summary.top
    schedules = [trial.schedule for trial in top]
    epochs = ["" if trial.best_epoch is None else str(trial.best_epoch) for trial in top]
    own = [_own_parameters(trial.schedule.params, trial.params) for trial in top]
    beside = dict.fromkeys(name for trial in top for name in trial.beside)
    return FittingTable(
        _("Best trials"),
        (
            Column(_("trial"), [str(trial.number) for trial in top]),
            Column(_("scheduler"), [schedule.scheduler for schedule in schedules], justify="left"),
            Column(_value_title(summary.metric), [aligned(trial.value) for trial in top]),
            Column("R²", [aligned(trial.r2) for trial in top], 6),
            *(Column(name, [aligned(t.beside.get(name)) for t in top], 3) for name in beside),
            Column(_("epoch"), epochs, 7),
            Column("lr", [number(schedule.lr) for schedule in schedules], 1, "left"),
            Column("decay", [_decay(trial) for trial in top], 2, "left"),
            Column(_("warm-up"), [_warmup(trial) for trial in top], 4),
            Column(_("parameters"), own, 5, "left"),
        ),
        elsewhere=_("every trial is in {file}", file=RESULTS),
    )


def _warmup(trial: TrialFacts) -> str:
    return percent(trial.schedule.warmup) if trial.schedule.warmup else number(None)


def _own_parameters(*params: Mapping[str, Value]) -> str:
    """A schedule's own parameters and the user's own: `cycles 3, t_mult 1, width 64`."""
    return _(", ").join(named_values(*params))


def importance_bars(summary: Summary) -> RenderableType:
    """A bar for each parameter that was searched, or why there is none."""
    found = summary.importance
    title = Text(_("What mattered"), style="bold")
    if not found.shares:
        return Group(title, Text(found.note, style="dim"))
    bars = Table.grid(padding=(0, 2, 0, 0))
    bars.add_column(no_wrap=True)
    bars.add_column(justify="right", no_wrap=True)
    bars.add_column(no_wrap=True)
    for name, share in found.shares.items():
        bars.add_row(Text(name), f"{100 * share:.0f} %", Text("█" * round(_BAR * share), "cyan"))
    return Group(title.append(f" {found.note}", style="not bold dim"), bars)


def winner_rates(best: Best, width: int) -> Text:
    """The rate over the best trial's epochs.

    Drawn step by step where the schedule says it; else from the first and the last rate of each
    epoch, as the trial recorded them.
    """
    shape = best.schedule.shape
    if shape and not shape.per_epoch:
        epochs = (0.0, float(best.of_epochs))
        steps = best.total_steps or _NOMINAL_STEPS
        return draw_rates(best.schedule, steps, width=width, x_label=_("epochs"), x_range=epochs)
    curve, epochs = best.curve, (0.0, float(best.epochs))
    recorded = [rate for pair in zip(curve.lr_first, curve.lr_last, strict=True) for rate in pair]
    return draw_rate_curve(recorded, width=width, x_label=_("epochs"), x_range=epochs)


def learning_curve(summary: Summary, width: int) -> Text:
    """What the best trial came to after each epoch, on training rows too if that is the same."""
    best = summary.best
    assert best is not None
    series = {_("validation"): best.curve.value}
    if summary.metric.is_of_training and any(map(math.isfinite, best.curve.training)):
        series[_("training")] = best.curve.training  # a loop need not tell
    if summary.objective == "averaged":
        series = {_("averaged weights"): best.curve.averaged, **series}
    values = sorted(v for column in series.values() for v in column if v > 0)
    log = bool(values) and values[-1] > 5 * values[len(values) // 2]
    title = _("{metric} of trial {trial}", metric=summary.metric.short, trial=best.number)
    if log:
        title = _("{title} (log scale)", title=title)
    return draw(series, width=width, height=8, title=title, x_label=_("epoch"), log=log)


def edge_list(best: Best) -> RenderableType:
    """The ranges to widen."""
    lines = Table.grid(padding=(0, 1, 0, 0))
    for sentence in best.edges:
        lines.add_row("-", Text(sentence))
    return Group(Text(_("The best trial lies at the end of a range"), style="bold"), lines)
