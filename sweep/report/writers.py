"""A summary as text for other programs: Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from html import escape

from sweep.base.csv_cells import cells
from sweep.base.languages.sentences import _
from sweep.base.text import without_controls
from sweep.base.wording import counted, duration, number, percent
from sweep.confirm.verdict import Confirmation
from sweep.report.facts import Summary
from sweep.report.trials.endings import ending_word
from sweep.report.trials.facts import TrialFacts
from sweep.search.trials import Ending
from sweep.study.space import named_values, rate_in_words

_LINE_BREAKS = re.compile(r"[\r\n\v\f\x85\u2028\u2029]+")
_MARKS = re.compile(r"[\\|*`<\[~$]|&(?=[#\w])|(?<!\w)_|_(?!\w)")
_BLOCK_START = re.compile(r"^(\s*\d*)([#>]|[-+.)](?=\s|$)|[-=](?=[-=]))")
_LINKED = re.compile(r"(?i)\b(https?|ftp|www|mailto|\S)(://|(?<=www)\.|(?<=mailto):|@)")


def to_json(summary: Summary) -> str:
    """Everything in the summary, in full precision; what is not a finite number is null."""
    return json.dumps(summary.to_dict(), indent=2, allow_nan=False)


def to_csv(summary: Summary) -> str:
    """A row for each of the best trials, in full precision, the best first.

    Columns: number, scheduler, lr, decay, warmup, the schedules' own parameters as
    `<scheduler>.<param>`, the user's own, val_mse, val_r2 where there is one, best_epoch, and what
    was told beside the metric, such as val_accuracy: those of `results.csv`.
    """
    own = sorted({name for trial in summary.top for name in _own(trial)})
    own += list(dict.fromkeys(name for trial in summary.top for name in trial.params))
    named = summary.metric.named
    has_r2, beside = _beside(summary)
    columns = ("number", "scheduler", "lr", "decay", "warmup", *own)
    text = io.StringIO()
    writer = csv.DictWriter(
        text,
        [*columns, named("value"), *(["val_r2"] if has_r2 else []), "best_epoch", *beside],
        restval="",
        lineterminator="\n",
    )
    writer.writeheader()
    for trial in summary.top:
        schedule = trial.schedule
        writer.writerow(
            cells(
                {
                    "number": trial.number,
                    "scheduler": schedule.scheduler,
                    "lr": schedule.lr,
                    "decay": schedule.decay,
                    "warmup": schedule.warmup,
                    **_own(trial),
                    **trial.params,
                    **({"val_r2": trial.r2} if has_r2 else {}),
                    named("value"): trial.value,
                    "best_epoch": trial.best_epoch,
                    **trial.beside,
                }
            )
        )
    return text.getvalue()


def to_markdown(summary: Summary) -> str:
    """The report in GitHub's Markdown."""
    parts = [f"# {escaped(summary.study)}", escaped(summary.headline)]
    if summary.best:
        parts.append("\n".join(f"- {escaped(line)}" for line in _facts(summary)))
    if summary.confirmation:
        parts += [f"## {_('On fresh seeds')}", _confirmation_rows(summary.confirmation)]
    parts += [f"## {_('Schedulers')}", _scheduler_rows(summary)]
    if summary.top:
        parts += [f"## {_('Best trials')}", _trial_rows(summary)]
    parts += [f"## {_('What mattered')}", _importance(summary)]
    if summary.best and summary.best.edges:
        advice = [f"- {escaped(sentence)}" for sentence in summary.best.edges]
        parts += [f"## {_('Ranges to widen')}", "\n".join(advice)]
    return "\n\n".join(parts) + "\n"


def to_html(summary: Summary) -> str:
    """The result in a few lines and the best trials, for a notebook."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in _facts(summary)) if summary.best else ""
    metric = summary.metric.short
    rows = "".join(
        f"<tr><td>{trial.number}</td><td>{escape(trial.description)}</td>"
        f"<td>{number(trial.value)}</td></tr>"
        for trial in summary.top
    )
    titles = (_("trial"), _("schedule"), metric)
    header = "".join(f"<th>{escape(title)}</th>" for title in titles)
    table = f"<tr>{header}</tr>{rows}" if rows else ""
    return (
        f"<p><b>{escape(summary.study)}</b>: {escape(summary.headline)}</p><ul>{lines}</ul>"
        f"<table>{table}</table>"
    )


def _facts(summary: Summary) -> list[str]:
    counts = summary.counts
    lines = [_("Baseline: {told}", told=baseline.sentence) for baseline in summary.baselines]
    if summary.confirmation:
        lines.append(_("How sure: {told}", told=summary.confirmation.verdict))
        lines.append(_("Luck: {told}", told=summary.luck))
    lines.append(_("Against a constant rate: {told}", told=summary.gain))
    if summary.has_rival:
        lines.append(_("Next best: {told}", told=summary.rivalry))
    for name, text in summary.by_question.answers if summary.by_question else ():
        lines.append(_("{name}: {told}", name=name.capitalize(), told=text))
    lines += [_("Without a model: {told}", told=each.sentence) for each in summary.without_model]
    if summary.carried_over:
        lines.append(_("Carried over: {told}", told=summary.carried_over.sentence))
    lines += [_("Note: {told}", told=caution) for caution in summary.cautions]
    if summary.test:
        lines.append(_("Test: {told}", told=summary.test.text))
    if summary.mse_unit:
        lines.append(_("MSE in {unit}", unit=summary.mse_unit))
    endings = [
        _("{count} {ending}", count=count, ending=ending_word(Ending(name)))
        for name, count in vars(counts.endings).items()
    ]
    lines.append(
        _(
            "Trials: {endings}, {unfinished} unfinished of {asked}",
            endings=_(", ").join(endings),
            unfinished=counts.unfinished,
            asked=counts.asked,
        )
    )
    lines.append(
        _(
            "Cost: {epochs} in {time} of worker time; early stops saved {saved}",
            epochs=counted(summary.epochs_trained, "epoch"),
            time=duration(summary.worker_secs),
            saved=percent(summary.epochs_saved),
        )
    )
    lines.append(_("Spent: {told}", told=summary.account.sentence))
    if summary.trained_on:
        lines.append(_("Trained on: {told}", told=summary.trained_on))
    if summary.shares:
        lines.append(_("Shares: {told}", told=summary.shares))
    if summary.audit:
        lines.append(_("Audit: {told}", told=_("; ").join(summary.audit.sentences)))
    if summary.failure:
        lines.append(_("Failed with: {told}", told=summary.failure))
    return lines


def _confirmation_rows(confirmation: Confirmation) -> str:
    rows = [
        [
            str(candidate.trial),
            candidate.description + candidate.mark,
            str(candidate.interval.count),
            number(candidate.interval.mean),
            number(candidate.interval.margin),
            number(candidate.other_interval.mean) if candidate.other_interval else _("unknown"),
            "" if candidate is confirmation.winner else confirmation.compared(candidate),
        ]
        for candidate in confirmation.candidates
    ]
    deciding, not_asked = confirmation.mean_titles
    header = [_("trial"), _("schedule"), _("seeds"), deciding, "± 95 %", not_asked]
    header += [_("the winner has")]
    decides = escaped(as_sentence(confirmation.what_decides))
    return f"{decides}\n\n{table(header, rows)}"


def _scheduler_rows(summary: Summary) -> str:
    rows = [
        [
            row.name,
            number(row.best.value if row.best else None),
            number(row.median_value),
            rate_in_words(row.best.schedule, row.best.params) if row.best else number(None),
            number(row.best.schedule.decay if row.best else None),
            *map(str, (row.trials, *vars(row.endings).values())),
        ]
        for row in summary.schedulers
    ]
    best = _("best {metric}", metric=summary.metric.short)
    median = _("median {metric}", metric=summary.metric.short)
    header = [_("scheduler"), best, median, _("best lr"), "decay", _("trials")]
    return table([*header, *map(ending_word, Ending)], rows)


def _beside(summary: Summary) -> tuple[bool, list[str]]:
    """Whether the best trials have an R², and what else was told of them, by name."""
    names = dict.fromkeys(name for trial in summary.top for name in trial.beside)
    return any(trial.r2 is not None for trial in summary.top), [*names]


def _trial_rows(summary: Summary) -> str:
    has_r2, beside = _beside(summary)
    rows = [
        [
            str(trial.number),
            trial.schedule.scheduler,
            number(trial.schedule.lr),
            number(trial.schedule.decay),
            number(trial.schedule.warmup),
            _(", ").join(named_values(trial.schedule.params, trial.params)),
            number(trial.value),
            *([number(trial.r2)] if has_r2 else []),
            *(number(trial.beside.get(name)) for name in beside),
            number(trial.best_epoch),
        ]
        for trial in summary.top
    ]
    value = _("val MSE") if summary.metric.is_mse else summary.metric.name
    header = [_("trial"), _("scheduler"), "lr", "decay", "warmup", _("parameters"), value]
    return table([*header, *(["R²"] if has_r2 else []), *beside, _("epoch")], rows)


def _importance(summary: Summary) -> str:
    found = summary.importance
    if not found.shares:
        return escaped(found.note)
    rows = [[name, f"{100 * share:.0f} %"] for name, share in found.shares.items()]
    return f"{table([_('parameter'), _('importance')], rows)}\n\n{escaped(found.note)}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], are_words: bool = False) -> str:
    """All but words stand to the right: those of some columns, or of all."""
    words = {_("scheduler"), _("schedule"), _("parameters"), _("parameter"), _("the winner has")}
    words |= {"study", "from", "metric", "in"}
    ruler = ["---" if are_words or name in words else "---:" for name in header]
    titles, *below = ([escaped(cell) for cell in row] for row in (header, *rows))
    lines = [titles, ruler, *below]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    ended = text.endswith((".", "!", "?", "。"))
    whole = text if ended else _("{sentence}.", sentence=text)
    return whole[:1].upper() + whole[1:]


def escaped(text: str) -> str:
    """Text that Markdown takes literally, in a line and in a table: nothing in it is markup."""
    text = without_controls(" ".join(_LINE_BREAKS.split(text)))
    text = _MARKS.sub(r"\\\g<0>", text)
    text = _BLOCK_START.sub(r"\1\\\2", text)
    return _LINKED.sub(r"\1\\\2", text)


def _own(trial: TrialFacts) -> dict[str, object]:
    scheduler = trial.schedule.scheduler
    return {f"{scheduler}.{name}": value for name, value in trial.schedule.params.items()}
