"""How the winner does on rows that nothing else has looked at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from sweep.base.languages.sentences import _
from sweep.base.wording import counted, number, percent
from sweep.report.figures.picture import Figure, Picture, Table, styled
from sweep.report.findings import Findings, plain
from sweep.report.palette import ACCENT, NEUTRAL
from sweep.study.results_folder import PREDICTIONS

_MOST_ROWS = 2000
_MOST_BINS = 40


def prediction_figure(findings: Findings) -> Iterator[Picture]:
    """The prediction of each test row against its truth."""
    rows = _rows(findings)
    if rows is None:
        return
    truth, predicted, lines = rows
    kept = np.arange(len(truth))
    if len(kept) > _MOST_ROWS:
        kept = np.sort(np.random.default_rng(0).choice(len(truth), _MOST_ROWS, replace=False))
    ends = [float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))]
    figure = go.Figure()
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        hoverinfo="skip",
        line={"color": NEUTRAL, "width": 1.5, "dash": "dash"},
    )
    figure.add_scatter(
        x=truth[kept],
        y=predicted[kept],
        mode="markers",
        marker={"color": ACCENT, "size": 6, "opacity": 0.55},
        customdata=lines[kept],
        hovertemplate=_(
            "truth %{{x:.5g}}<br>prediction %{{y:.5g}}<br>line %{{customdata}} of {file}"
            "<extra></extra>",
            file=PREDICTIONS,
        ),
    )
    target = plain(findings.target) or _("target")
    styled(
        figure,
        height=380,
        xaxis={"title": {"text": _("true {target}", target=target)}},
        yaxis={"title": {"text": _("predicted {target}", target=target)}},
    )
    test = findings.summary.test
    of = counted(len(truth), "test row")
    if test and len(truth) > test.rows:
        rows_of = counted(test.rows, "test row")
        of = _("{count} numbers of {rows}", count=len(truth), rows=rows_of)
    scores = [f"R² {number(test.r2)}", f"MSE {number(test.mse)}"] if test else []
    text = _(
        "{rows}: {score}. The closer to the dashed line, the better; the correlation of prediction "
        "and truth is {correlation}.",
        rows=of,
        score=_(", ").join(scores),
        correlation=number(_correlation(truth, predicted)),
    )
    if len(truth) > len(kept):
        text += _(" {count:,} of them, drawn at random, are shown.", count=_MOST_ROWS)
    yield Picture("predictions", _("Prediction against truth on the test rows"), figure, text)


def residual_figure(findings: Findings) -> Iterator[Picture]:
    """How often the prediction is off by how much."""
    rows = _rows(findings)
    if rows is None:
        return
    residuals = rows[1] - rows[0]
    low, high = np.quantile(residuals, [0.005, 0.995])
    inside = residuals[(residuals >= low) & (residuals <= high)]
    bins = min(_MOST_BINS, max(5, round(2 * len(residuals) ** (1 / 3))))
    counts, edges = np.histogram(inside, bins)
    figure = go.Figure()
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts,
        width=np.diff(edges),
        marker={"color": ACCENT, "line": {"color": NEUTRAL, "width": 0.5}},
        customdata=np.stack([edges[:-1], edges[1:]], axis=1),
        hovertemplate=_(
            "%{{customdata[0]:.4g}} to %{{customdata[1]:.4g}}: %{{y}} rows<extra></extra>"
        ),
    )
    target = plain(findings.target) or _("target")
    styled(
        figure,
        height=300,
        bargap=0,
        xaxis={"title": {"text": _("prediction - truth ({target})", target=target)}},
        yaxis={"title": {"text": _("test rows")}},
    )
    middle, spread = float(np.median(residuals)), np.quantile(residuals, [0.05, 0.95])
    over = percent(float(np.mean(residuals > 0)))
    beyond = len(residuals) - len(inside)
    text = _(
        "Half of the residuals are below {middle}, nine in ten lie between {low} and {high}; "
        "{over} of the predictions are too high.",
        middle=number(middle),
        low=number(float(spread[0])),
        high=number(float(spread[1])),
        over=over,
    )
    if beyond:
        text += _(" {rows} further out are not drawn.", rows=counted(beyond, "row"))
    quantiles = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    values = np.quantile(residuals, quantiles)
    table = Table(
        [_("share of rows below"), _("prediction - truth")],
        [[percent(q), number(float(v))] for q, v in zip(quantiles, values, strict=True)],
    )
    yield Picture("residuals", _("Residuals on the test rows"), figure, text, table)


def _rows(
    findings: Findings,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]] | None:
    """Finite truths and predictions of the test rows, and their lines; None without any."""
    test, found = findings.summary.test, findings.held_out
    if found is None or test is None or test.mse is None:  # classes
        return None
    rows = np.array([found.truth, found.predicted], dtype=float)  # (2, numbers)
    finite = np.isfinite(rows).all(axis=0)
    lines = np.array(found.lines)[finite]
    return (*rows[:, finite], lines) if finite.any() else None


def _correlation(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float | None:
    if len(truth) < 2 or not truth.std() or not predicted.std():
        return None
    return float(np.corrcoef(truth, predicted)[0, 1])


FIGURES = (Figure("test", prediction_figure), Figure("test", residual_figure))
