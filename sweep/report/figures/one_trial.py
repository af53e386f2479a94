"""The rate and the learning curve of a single trial."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from sweep.report.figures.picture import Picture, log_axis, styled
from sweep.report.findings import AVERAGED, RAW, Findings, column, is_wide, rate_course
from sweep.report.palette import ACCENT, NEUTRAL, SECOND
from sweep.search.trials import Trial

_HEIGHT = 360


def trial_rates(findings: Findings, trial: Trial) -> Picture | None:
    """A trial's learning rate over its epochs; None if it was not trained."""
    if not trial.record.curve:
        return None
    epochs = findings.config.epochs
    at, rates = rate_course(trial.schedule, trial.record, trial.horizon, epochs)
    look = findings.looks[trial.schedule.scheduler]
    figure = go.Figure()
    figure.add_scatter(x=at, y=rates, mode="lines", line={"color": look.colour, "width": 2.5})
    log = is_wide(rates)
    styled(
        figure,
        height=_HEIGHT,
        xaxis={"title": {"text": "epoch"}, "range": [0, epochs]},
        yaxis=log_axis("learning rate", log) | ({} if log else {"rangemode": "tozero"}),
    )
    title = f"Learning rate of trial {trial.number}: {trial.suggestion.describe()}"
    return Picture("rates", title, figure, title)


def trial_curve(findings: Findings, trial: Trial) -> Picture | None:
    """A trial's metric after each epoch, on training rows too if it is measured there.

    None if the trial was not trained.
    """
    columns = {
        "validation": (RAW, ACCENT, "solid", 2.5),
        "validation, averaged weights": (AVERAGED, ACCENT, "longdashdot", 1.6),
    }
    if findings.metric.is_of_training:
        columns["training"] = ("training", SECOND, "dot", 1.6)
    figure = go.Figure()
    shown: list[float] = []
    for name, (source, colour, dash, width) in columns.items():
        values = column(trial.record, source)
        if not any(map(math.isfinite, values)):
            continue
        shown += values
        figure.add_scatter(
            x=list(range(1, len(values) + 1)),
            y=[value if math.isfinite(value) else None for value in values],
            mode="lines+markers" if len(values) < 3 else "lines",
            name=name,
            marker={"color": colour, "size": 7},
            line={"color": colour, "width": width, "dash": dash},
        )
    if not shown:
        return None
    epoch = trial.record.best_epoch(findings.config.objective, findings.metric)
    if epoch:
        figure.add_scatter(
            x=[epoch],
            y=[trial.record.column(RAW)[epoch - 1]],
            mode="markers",
            showlegend=False,
            marker={"color": ACCENT, "size": 11, "line": {"color": NEUTRAL, "width": 1}},
        )
    styled(
        figure,
        height=_HEIGHT,
        legend=True,
        xaxis={"title": {"text": "epoch"}},
        yaxis=log_axis(findings.mse_title.replace("validation ", ""), is_wide(shown, 4.0)),
    )
    title = f"Learning curve of trial {trial.number}: {trial.suggestion.describe()}"
    return Picture("learning-curve", title, figure, title)
