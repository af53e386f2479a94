"""Courses over training: the winner's rate, and validation curves side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sweep.base.languages.sentences import _
from sweep.base.wording import counted, number
from sweep.confirm.verdict import CONSTANT
from sweep.report.figures.picture import Figure, Picture, Table, log_axis, styled
from sweep.report.findings import (
    AVERAGED,
    RAW,
    Findings,
    column,
    hover,
    is_wide,
    plain,
    rate_course,
)
from sweep.report.palette import NEUTRAL
from sweep.search.trials import Trial
from sweep.study.results_folder import EPOCHS
from sweep.study.space import rate_in_words

_WINNER, _OTHER = 3.2, 1.6
_MOST_FAMILIES = 14


def rate_figure(findings: Findings) -> Iterator[Picture]:
    """The winner's learning rate at each step, with the best constant rate as a line.

    That is left out where it is another optimizer's: the two do not compare.
    """
    best = findings.summary.best
    if best is None or findings.of(best).record.curve == ():
        return
    winner = findings.of(best)
    total, epochs = best.total_steps, findings.config.epochs
    at, rates = rate_course(best.schedule, winner.record, total, epochs)
    look = findings.looks[best.schedule.scheduler]
    steps = at * (total / epochs) + 1 if total else at
    figure = go.Figure()
    constant = findings.best_constant
    if constant and constant.suggestion.params.get("optimizer") == best.params.get("optimizer"):
        figure.add_scatter(
            x=[0, epochs],
            y=[constant.schedule.lr] * 2,
            mode="lines",
            name=_("best constant rate"),
            line={"color": NEUTRAL, "width": _OTHER, "dash": "dot"},
            hovertemplate=f"{hover(constant, findings.metric)}<extra></extra>",
        )
    figure.add_scatter(
        x=at,
        y=rates,
        mode="lines",
        name=plain(best.schedule.scheduler),
        line={"color": look.colour, "width": _WINNER},
        customdata=np.round(steps),
        hovertemplate=_(
            "step %{{customdata}}, epoch %{{x:.2f}}<br>rate %{{y:.4g}}<br>trial {trial}"
            "<extra></extra>",
            trial=best.number,
        ),
    )
    log = is_wide(rates)
    styled(
        figure,
        height=320,
        legend=len(figure.data) > 1,
        xaxis={"title": {"text": _("epoch")}, "range": [0, epochs]},
        yaxis=log_axis(_("learning rate"), log) | ({} if log else {"rangemode": "tozero"}),
    )
    yield Picture("rates", _("Learning rate over training"), figure, _rate_facts(findings, rates))


def _rate_facts(findings: Findings, rates: Any) -> str:
    best = findings.summary.best
    assert best is not None
    top = int(np.argmax(rates))
    where = top / max(len(rates) - 1, 1) * findings.config.epochs
    horizon = [counted(findings.config.epochs, "epoch")]
    horizon += [counted(best.total_steps, "step")] if best.total_steps else []
    text = _(
        "The rate of trial {trial} starts at {first}, is highest, {highest}, {when}, and ends at "
        "{last} ({horizon}).",
        trial=best.number,
        first=number(rates[0]),
        highest=number(rates[top]),
        when=_("from the start") if top == 0 else _("after {epochs:.3g} epochs", epochs=where),
        last=number(rates[-1]),
        horizon=_(", ").join(horizon),
    )
    if constant := findings.best_constant:
        rate = rate_in_words(constant.schedule, constant.suggestion.params)
        text += _(" The best constant rate is {rate}.", rate=rate)
    return text


def learning_curves(findings: Findings) -> Iterator[Picture]:
    """The winner's validation MSE after each epoch, beside the best of each other scheduler."""
    if findings.summary.best is None:
        return
    winner = findings.of(findings.summary.best)
    scheduler = winner.schedule.scheduler
    others = [t for t in findings.best_of_each() if t.schedule.scheduler != scheduler]
    shown = [winner, *others[:_MOST_FAMILIES]]
    constant = findings.best_constant
    if constant and not any(t.schedule.scheduler == CONSTANT for t in shown):
        shown.append(constant)
    figure = go.Figure()
    for trial in reversed(shown):
        _add_curve(figure, findings, trial, winner=trial is winner)
    for trial in shown:
        if trial is winner or trial.schedule.scheduler == CONSTANT:
            _add_other_weights(figure, findings, trial)
    values = [v for trial in shown for v in _counted(findings, trial)]
    log = is_wide(values, 4.0)
    styled(
        figure,
        height=420,
        legend=True,
        xaxis={"title": {"text": _("epoch")}},
        yaxis=log_axis(findings.mse_title, log),
        legend_traceorder="reversed",
    )
    yield Picture(
        "learning-curves",
        _("Validation curves: the best trial of each scheduler"),
        figure,
        _curve_facts(findings, shown),
        _curve_table(findings, shown),
    )


def _add_curve(figure: go.Figure, findings: Findings, trial: Trial, winner: bool) -> None:
    values = [v if math.isfinite(v) else None for v in _counted(findings, trial)]
    scheduler = trial.schedule.scheduler
    look, shown = findings.looks[scheduler], hover(trial, findings.metric)
    figure.add_scatter(
        x=list(range(1, len(values) + 1)),
        y=values,
        mode="lines+markers" if len(values) < 3 else "lines",
        name=f"<b>{plain(scheduler)}</b>" if winner else plain(scheduler),
        line={"color": look.colour, "width": _WINNER if winner else _OTHER, "dash": look.dash},
        hovertemplate=_("{shown}<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>", shown=shown),
    )
    epoch = trial.record.best_epoch(findings.config.objective, findings.metric)
    if winner and epoch:
        figure.add_scatter(
            x=[epoch],
            y=[trial.reached],
            mode="markers",
            showlegend=False,
            marker={"color": look.colour, "size": 11, "line": {"color": NEUTRAL, "width": 1}},
            hovertemplate=_(
                "{shown}<br>what counts: epoch {epoch}<extra></extra>", shown=shown, epoch=epoch
            ),
        )


def _counted(findings: Findings, trial: Trial) -> list[float]:
    """The validation MSE after each epoch of the weights that count in this study."""
    return column(trial.record, AVERAGED if findings.config.objective == "averaged" else RAW)


def _add_other_weights(figure: go.Figure, findings: Findings, trial: Trial) -> None:
    """The validation MSE of the running mean of the weights; of the raw ones if that counts."""
    counts = findings.config.objective == "averaged"
    kind = _("raw weights") if counts else _("averaged weights")
    course = column(trial.record, RAW if counts else AVERAGED)
    if not any(map(math.isfinite, course)):
        return
    scheduler = trial.schedule.scheduler
    shown = hover(trial, findings.metric)
    figure.add_scatter(
        x=list(range(1, len(course) + 1)),
        y=[value if math.isfinite(value) else None for value in course],
        mode="lines",
        name=_("{first}, {second}", first=plain(scheduler), second=kind),
        line={"color": findings.looks[scheduler].colour, "width": _OTHER, "dash": "longdashdot"},
        hovertemplate=_(
            "{shown}<br>epoch %{{x}}: %{{y:.4g}} with {weights}<extra></extra>",
            shown=shown,
            weights=kind,
        ),
    )


def _curve_facts(findings: Findings, shown: Sequence[Trial]) -> str:
    winner = shown[0]
    epoch = winner.record.best_epoch(findings.config.objective, findings.metric)
    text = _(
        "Trial {trial} ({schedule}) reaches {value} after epoch {epoch} of {epochs}.",
        trial=winner.number,
        schedule=winner.suggestion.describe(),
        value=number(winner.reached),
        epoch=epoch,
        epochs=len(winner.record.curve),
    )
    others = [f"{t.schedule.scheduler} {number(t.reached)}" for t in shown[1:]]
    if others:
        text += _(" The best of the others: {others}.", others=_(", ").join(others))
    averaged = [v for v in column(winner.record, AVERAGED) if math.isfinite(v)]
    if averaged and findings.config.objective != "averaged":
        text += _(" The winner's averaged weights end at {value}.", value=number(averaged[-1]))
    return text


def _curve_table(findings: Findings, shown: Sequence[Trial]) -> Table:
    length = max(len(trial.record.curve) for trial in shown)
    every = np.unique(np.linspace(1, length, min(length, 12)).round().astype(int))
    rows = [
        [str(t.number), t.schedule.scheduler]
        + [number(c[e - 1]) if e <= len(c) else "" for e in every]
        for t in shown
        for c in [_counted(findings, t)]
    ]
    more = "" if len(every) == length else _("Every epoch is in {file}.", file=EPOCHS)
    epochs = [_("epoch {epoch}", epoch=e) for e in every]
    return Table([_("trial"), _("scheduler"), *epochs], rows, more)


FIGURES = (Figure("rate", rate_figure), Figure("curves", learning_curves))
