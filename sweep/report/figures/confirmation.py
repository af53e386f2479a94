"""How sure the winner is: the candidates on fresh seeds, and its lead over each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import plotly.graph_objects as go

from sweep.base.wording import counted, number
from sweep.confirm.candidate import Candidate
from sweep.confirm.intervals import Interval
from sweep.confirm.verdict import Confirmation
from sweep.report.figures.picture import Figure, Picture, Table, styled
from sweep.report.findings import Findings, plain
from sweep.report.palette import NEUTRAL
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
        label = _label(candidate)
        seeds = confirmation.seeds[: len(candidate.values)]
        figure.add_scatter(
            x=[value if math.isfinite(value) else None for value in candidate.values],
            y=[label] * len(seeds),
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 11, "color": look.colour, "opacity": 0.7},
            customdata=[str(seed) for seed in seeds],
            hovertemplate=f"{_hover(candidate)}<br>seed %{{customdata}}: %{{x:.5g}}<extra></extra>",
        )
        interval = candidate.interval
        if not math.isfinite(interval.mean):
            continue
        margin = interval.margin if interval.is_finite else 0.0
        figure.add_scatter(
            x=[interval.mean],
            y=[label],
            mode="markers",
            marker={"symbol": look.symbol, "size": 11, "color": look.colour},
            error_x={"type": "data", "array": [margin], "color": look.colour, "thickness": 2},
            hovertemplate=f"{_hover(candidate)}<br>mean %{{x:.5g}}{_margin(candidate)}"
            f"<br>{counted(interval.count, 'seed')}"
            f"<br>{plain(by_other)} {_other_mean(candidate)}<extra></extra>",
        )
    _as_rows(figure, len(finite), findings.mse_title)
    parts = [_means(confirmation, candidate) for candidate in finite[:_NAMED]]
    more = ", and so on" if len(finite) > _NAMED else ""
    of_mean = any(candidate.interval.is_finite for candidate in finite)
    with_interval = " and its 95 % interval" if of_mean else ""
    doubt = f" No intervals: {confirmation.doubt}." if confirmation.seeds_are_alike else ""
    yield Picture(
        "confirmation",
        f"{_title(confirmation)} on fresh seeds"
        f"{', with 95 % intervals of the mean' if of_mean else ''}",
        figure,
        f"Mean {confirmation.decides} {confirmation.metric.title}{with_interval}: "
        f"{', '.join(parts)}{more}. "
        f"A stroke is a seed; {confirmation.what_decides}.{doubt}",
        _table(confirmation),
    )


def _means(confirmation: Confirmation, candidate: Candidate) -> str:
    """`0.84 ± 0.01 (final 0.86 ± 0.02) for trial 3 (cosine)`."""
    interval = candidate.other_interval
    by_other = f" ({other(confirmation.decides)} {_other_mean(candidate)})" if interval else ""
    scheduler = candidate.schedule.scheduler + (", baseline" if candidate.baseline else "")
    mean = f"{number(candidate.interval.mean)}{_margin(candidate)}"
    return f"{mean}{by_other} for trial {candidate.trial} ({scheduler})"


def _title(confirmation: Confirmation) -> str:
    return "Validation MSE" if confirmation.metric.is_mse else confirmation.metric.name


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
    factor, unit = (100, " by (%)") if confirmation.leads_are_shares else (1, " by")
    for candidate in others:
        lead = confirmation.lead_over(candidate)
        look = findings.looks[candidate.schedule.scheduler]
        figure.add_scatter(
            x=[factor * lead.mean],
            y=[_label(candidate)],
            mode="markers",
            marker={"symbol": look.symbol, "size": 11, "color": look.colour},
            error_x={
                "type": "data",
                "array": [factor * lead.margin],
                "color": look.colour,
                "thickness": 2,
            },
            hovertemplate=f"{_hover(candidate)}<br>the winner has "
            f"{confirmation.compared(candidate)}<extra></extra>",
        )
    _as_rows(figure, len(others), f"winner's lead: {plain(confirmation.metric.better)}{unit}")
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5, "dash": "dash"})
    ahead = [c for c in others if confirmation.is_ahead_of(c)]
    text = (
        f"The lead of trial {confirmation.winner.trial} is beyond noise over {len(ahead)} of "
        f"{counted(len(others), 'candidate')}; an interval that reaches below 0 is within it."
    )
    rows = [[str(c.trial), c.schedule.scheduler + c.mark, confirmation.compared(c)] for c in others]
    yield Picture(
        "leads",
        "The winner's lead over each candidate, with 95 % intervals",
        figure,
        text,
        Table(["trial", "scheduler", "the winner has"], rows),
    )


def _as_rows(figure: go.Figure, rows: int, title: str) -> None:
    styled(
        figure,
        height=90 + 34 * rows,
        xaxis={"title": {"text": title}},
        yaxis={"autorange": "reversed", "type": "category"},
    )


def _label(candidate: Candidate) -> str:
    scheduler = f"{plain(candidate.schedule.scheduler)}{candidate.mark}"
    return f"{scheduler}, trial {candidate.trial}"


def _hover(candidate: Candidate) -> str:
    named = f"<br>baseline: {plain(candidate.baseline)}" if candidate.baseline else ""
    return f"<b>trial {candidate.trial}</b><br>{plain(candidate.description)}{named}"


def _other_mean(candidate: Candidate) -> str:
    interval = candidate.other_interval
    return f"{number(interval.mean)}{_plus_minus(interval)}" if interval else "unknown"


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
                f"{number(candidate.interval.mean)}{_margin(candidate)}",
                _other_mean(candidate),
                _lead(confirmation, candidate) if not is_winner else "",
                str(len(candidate.values)),
                number(candidate.schedule.lr),
                number(candidate.schedule.decay),
                number(rank),
                "yes" if confirmation.dropped_out(candidate) else "",
                *([", ".join(named_values(candidate.params))] if has_params else []),
            ]
        )
    deciding, not_asked = confirmation.mean_titles
    header = ["trial", "scheduler", f"{deciding} (decides)", not_asked, "winner's lead", "seeds"]
    header += ["lr", "decay", "mean rank", "dropped out", *(["parameters"] if has_params else [])]
    return Table(header, rows, "Every run is in confirm.csv.")


def _lead(confirmation: Confirmation, candidate: Candidate) -> str:
    if not math.isfinite(candidate.interval.mean):
        return "diverged or failed"
    lead = confirmation.lead_over(candidate)
    interval = f" ({lead.ends})" if lead.is_finite else ""
    return f"{lead.shown(lead.mean)}{interval}"


FIGURES = (Figure("sure", values_figure), Figure("sure", leads_figure))
