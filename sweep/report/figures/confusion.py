"""Which classes the winner takes for which, on rows that nothing else has looked at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go

from sweep.base.languages.sentences import _
from sweep.base.wording import counted, percent
from sweep.data.classes import class_order
from sweep.report.figures.picture import Figure, Picture, Table, styled
from sweep.report.findings import Findings, plain
from sweep.report.palette import ACCENT

MOST_CLASSES = 30
"""That are told apart; of more, the rarest are one."""

_PALE = "#eef2f8"


def confusion_figure(findings: Findings) -> Iterator[Picture]:
    """How many test rows of each class are taken for which."""
    test, found = findings.summary.test, findings.held_out
    if test is None or found is None or "accuracy" not in test.others:
        return
    both, others = found.truth + found.predicted, _("(others)")
    truth, predicted = (_merged(each, both, others) for each in (found.truth, found.predicted))
    names = sorted({*truth, *predicted}, key=lambda name: (name == others, class_order(name)))
    place = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, ([place[n] for n in truth], [place[n] for n in predicted]), 1)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    shares = counts / np.maximum(rows, 1)[:, None]
    shown = [plain(name) for name in names]
    at = list(range(len(names)))
    figure = go.Figure()
    figure.add_heatmap(
        x=at,
        y=at,
        z=shares,
        text=[[str(n) if n else "" for n in line] for line in counts],
        texttemplate="%{text}",
        customdata=[
            [
                _("{true} taken for {predicted}: {count}", true=t, predicted=p, count=n)
                for p, n in zip(shown, line, strict=True)
            ]
            for t, line in zip(shown, counts, strict=True)
        ],
        hovertemplate=_("%{{customdata}}, %{{z:.1%}} of its rows<extra></extra>"),
        colorscale=[[0.0, _PALE], [1.0, ACCENT]],
        zmin=0.0,
        zmax=1.0,
        showscale=False,
        xgap=1,
        ygap=1,
    )
    target = plain(findings.target) or _("target")
    ticks = {"tickvals": at, "ticktext": shown, "showgrid": False, "zeroline": False}
    half = len(names) - 0.5
    styled(
        figure,
        height=min(160 + 30 * len(names), 720),
        xaxis={
            "title": {"text": _("predicted {target}", target=target)},
            "range": [-0.5, half],
            **ticks,
        },
        yaxis={
            "title": {"text": _("true {target}", target=target)},
            "range": [half, -0.5],
            **ticks,
        },
    )
    right = int(np.trace(counts))
    text = _(
        "{right} of {values} ({share}) are right, on the diagonal.",
        right=right,
        values=counted(int(counts.sum()), "test value"),
        share=percent(right / counts.sum()),
    )
    wrong = counts - np.diag(np.diag(counts))
    if wrong.any():
        i, j = np.unravel_index(wrong.argmax(), wrong.shape)
        text += _(
            " The commonest mistake is {true!r} taken for {predicted!r}: {count}.",
            true=names[i],
            predicted=names[j],
            count=wrong[i, j],
        )
    hits = np.diag(counts)
    lines = [
        [name, str(rows[i]), _share(hits[i], rows[i]), _share(hits[i], columns[i])]
        for i, name in enumerate(names)
    ]
    header = [
        _("class"),
        _("rows"),
        _("of these right (recall)"),
        _("of those predicted right (precision)"),
    ]
    title = _("What is taken for what on the test rows")
    yield Picture("confusion", title, figure, text, Table(header, lines))


def _merged(values: list[str], both: list[str], others: str) -> list[str]:
    """Class names, with one for all that are not among the commonest."""
    names, counts = np.unique(both, return_counts=True)
    if len(names) <= MOST_CLASSES:
        return values
    kept = {*names[np.argsort(-counts, kind="stable")[: MOST_CLASSES - 1]].tolist()}
    return [value if value in kept else others for value in values]


def _share(part: int, of: int) -> str:
    return percent(part / of) if of else "-"


FIGURES = (Figure("test", confusion_figure),)
