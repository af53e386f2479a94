"""How sure the winner is: the candidates on fresh seeds, and its lead over each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import plotly.graph_objects as go

from sweep.base.languages.sentences import _, read_back
from sweep.base.wording import counted, number
from sweep.confirm.candidate import Candidate
from sweep.confirm.intervals import Interval
from sweep.confirm.verdict import Confirmation
from sweep.report.figures.picture import Figure, Picture, Table, styled
from sweep.report.findings import Findings, plain
from sweep.report.palette import NEUTRAL
from sweep.study.results_folder import CONFIRM
from sweep.study.sections import other
from sweep.study.space import named_values

_NAMED = 3


def values_figure(findings: Findings) -> Iterator[Picture]:
    """Each candidate's validation MSE from each seed, and their mean with its interval."""
    confirmation = findings.summary.confirmation
    if confirmation is None:
        return
    by_other = confirmation.mean_titles[1]
    finite = [c for c in confirmation.candidates if any(map(math.isfinite, c.values))]
    if not finite:
        return
    figure = go.Figure()
    for candidate in finite:
        look = findings.looks[candidate.schedule.scheduler]
        label = _label(confirmation, candidate)
        seeds = confirmation.seeds[: len(candidate.values)]
        figure.add_scatter(
            x=[value if math.isfinite(value) else None for value in candidate.values],
            y=[label] * len(seeds),
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 11, "color": look.colour, "opacity": 0.7},
            customdata=[str(seed) for seed in seeds],
            hovertemplate=_hover(candidate)
            + _("<br>seed %{{customdata}}: %{{x:.5g}}<extra></extra>"),
        )
        interval = candidate.interval
        if not math.isfinite(interval.mean):
            continue
        margin = interval.margin if interval.is_finite else 0.0
        seeds_of = counted(interval.count, "seed")
        figure.add_scatter(
            x=[interval.mean],
            y=[label],
            mode="markers",
            marker={"symbol": look.symbol, "size": 11, "color": look.colour},
            error_x={"type": "data", "array": [margin], "color": look.colour, "thickness": 2},
            hovertemplate=_hover(candidate)
            + _("<br>mean %{{x:.5g}}{margin}<br>{seeds}", margin=_margin(candidate), seeds=seeds_of)
            + f"<br>{plain(by_other)} {_other_mean(candidate)}<extra></extra>",
        )
    _as_rows(figure, len(finite), findings.mse_title)
    parts = [_means(confirmation, candidate) for candidate in finite[:_NAMED]]
    of_mean = any(candidate.interval.is_finite for candidate in finite)
    title = _("{metric} on fresh seeds", metric=_title(confirmation))
    if of_mean:
        title = _(
            "{metric} on fresh seeds, with 95 % intervals of the mean", metric=_title(confirmation)
        )
    is_best = confirmation.decides == "best"
    metric = confirmation.metric.title
    text = _(
        "{mean}{interval}: {means}{more}. A stroke is a seed; {decides}.",
        mean=_("Mean best {metric}", metric=metric)
        if is_best
        else _("Mean final {metric}", metric=metric),
        interval=_(" and its 95 % interval") if of_mean else "",
        means=_(", ").join(parts),
        more=_(", and so on") if len(finite) > _NAMED else "",
        decides=confirmation.what_decides,
    )
    if confirmation.seeds_are_alike:
        text += _(" No intervals: {doubt}.", doubt=confirmation.doubt)
    yield Picture("confirmation", title, figure, text, _table(confirmation))


def _means(confirmation: Confirmation, candidate: Candidate) -> str:
    """`0.84 ± 0.01 (final 0.86 ± 0.02) for trial 3 (cosine)`."""
    by_other, mean = "", _other_mean(candidate)
    if candidate.other_interval and other(confirmation.decides) == "best":
        by_other = _(" (best {mean})", mean=mean)
    elif candidate.other_interval:
        by_other = _(" (final {mean})", mean=mean)
    scheduler = candidate.schedule.scheduler
    return _(
        "{mean}{by_other} for trial {trial} ({scheduler})",
        mean=f"{number(candidate.interval.mean)}{_margin(candidate)}",
        by_other=by_other,
        trial=candidate.trial,
        scheduler=_("{scheduler}, baseline", scheduler=scheduler)
        if candidate.baseline
        else scheduler,
    )


def _title(confirmation: Confirmation) -> str:
    return _("Validation MSE") if confirmation.metric.is_mse else confirmation.metric.name


def leads_figure(findings: Findings) -> Iterator[Picture]:
    """How much better the winner's value is than each other candidate's, over common seeds."""
    confirmation = findings.summary.confirmation
    if confirmation is None:
        return
    others = [c for c in confirmation.candidates[1:] if math.isfinite(c.interval.mean)]
    others = [c for c in others if confirmation.lead_over(c).is_finite]
    if not others or not math.isfinite(confirmation.winner.interval.mean):
        return
    figure = go.Figure()
    factor = 100 if confirmation.leads_are_shares else 1
    better = plain(confirmation.metric.better)
    title = _("winner's lead: {better} by", better=better)
    if confirmation.leads_are_shares:
        title = _("winner's lead: {better} by (%)", better=better)
    for candidate in others:
        lead = confirmation.lead_over(candidate)
        look = findings.looks[candidate.schedule.scheduler]
        figure.add_scatter(
            x=[factor * lead.mean],
            y=[_label(confirmation, candidate)],
            mode="markers",
            marker={"symbol": look.symbol, "size": 11, "color": look.colour},
            error_x={
                "type": "data",
                "array": [factor * lead.margin],
                "color": look.colour,
                "thickness": 2,
            },
            hovertemplate=f"{_hover(candidate)}<br>{plain(confirmation.compared(candidate))}"
            "<extra></extra>",
        )
    _as_rows(figure, len(others), title)
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5, "dash": "dash"})
    ahead = [c for c in others if confirmation.is_ahead_of(c)]
    text = _(
        "The lead of trial {trial} is beyond noise over {ahead} of {candidates}; an interval that "
        "reaches below 0 is within it.",
        trial=confirmation.winner.trial,
        ahead=len(ahead),
        candidates=counted(len(others), "candidate"),
    )
    rows = [[str(c.trial), c.schedule.scheduler + c.mark, confirmation.compared(c)] for c in others]
    yield Picture(
        "leads",
        _("The winner's lead over each candidate, with 95 % intervals"),
        figure,
        text,
        Table([_("trial"), _("scheduler"), _("the winner has")], rows),
    )


def _as_rows(figure: go.Figure, rows: int, title: str) -> None:
    styled(
        figure,
        height=90 + 34 * rows,
        xaxis={"title": {"text": title}},
        yaxis={"autorange": "reversed", "type": "category"},
    )


def _label(confirmation: Confirmation, candidate: Candidate) -> str:
    scheduler = f"{plain(candidate.schedule.scheduler)}{candidate.mark}"
    label = _("{scheduler}, trial {trial}", scheduler=scheduler, trial=candidate.trial)
    return _("{label}, dropped out", label=label) if confirmation.dropped_out(candidate) else label


def _hover(candidate: Candidate) -> str:
    named = _("trial {trial}", trial=candidate.trial)
    shown = f"<b>{named}</b><br>{plain(candidate.description)}"
    if not candidate.baseline:
        return shown
    name = plain(read_back(candidate.baseline))
    return f"{shown}<br>{_('baseline: {name}', name=name)}"


def _other_mean(candidate: Candidate) -> str:
    interval = candidate.other_interval
    return f"{number(interval.mean)}{_plus_minus(interval)}" if interval else _("unknown")


def _margin(candidate: Candidate) -> str:
    return _plus_minus(candidate.interval)


def _plus_minus(interval: Interval) -> str:
    return f" {interval.plus_minus}".rstrip()


def _table(confirmation: Confirmation) -> Table:
    rows = []
    has_params = any(candidate.params for candidate in confirmation.candidates)
    for candidate, rank in zip(confirmation.candidates, confirmation.mean_ranks(), strict=True):
        is_winner = candidate is confirmation.winner
        rows.append(
            [
                str(candidate.trial),
                candidate.schedule.scheduler + candidate.mark,
                str(len(candidate.values)),
                f"{number(candidate.interval.mean)}{_margin(candidate)}",
                _other_mean(candidate),
                _lead(confirmation, candidate) if not is_winner else "",
                number(candidate.schedule.lr),
                number(candidate.schedule.decay),
                number(rank),
                _("yes") if confirmation.dropped_out(candidate) else "",
                *([_(", ").join(named_values(candidate.params))] if has_params else []),
            ]
        )
    deciding, not_asked = confirmation.mean_titles
    decides = _("{mean} (decides)", mean=deciding)
    header = [_("trial"), _("scheduler"), _("seeds"), decides, not_asked, _("winner's lead")]
    header += ["lr", "decay", _("mean rank"), _("dropped out")]
    header += [_("parameters")] if has_params else []
    return Table(header, rows, _("Every run is in {file}.", file=CONFIRM))


def _lead(confirmation: Confirmation, candidate: Candidate) -> str:
    if not math.isfinite(candidate.interval.mean):
        return _("diverged or failed")
    lead = confirmation.lead_over(candidate)
    mean = lead.shown(lead.mean)
    return _("{value} ({aside})", value=mean, aside=lead.ends) if lead.is_finite else mean


FIGURES = (Figure("sure", values_figure), Figure("sure", leads_figure))
