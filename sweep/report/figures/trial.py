"""How the search went: its course, how trials ended, and the epochs that were saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import optuna
import plotly.graph_objects as go

from sweep.base.languages.sentences import _, plural
from sweep.base.wording import counted, number, percent
from sweep.report.figures.picture import Figure, Picture, Table, log_axis, styled
from sweep.report.findings import Findings, hover, is_wide, plain
from sweep.report.palette import ACCENT, NEUTRAL, SECOND
from sweep.report.trials.endings import ending_word
from sweep.search.trials import Ending
from sweep.study.metric import Metric
from sweep.study.results_folder import RESULTS

_ENDING_COLOURS = {
    Ending.COMPLETED: ACCENT,
    Ending.PRUNED: "#0ba76d",
    Ending.DIVERGED: SECOND,
    Ending.FAILED: "#c8243c",
}
_PATTERNS = {
    Ending.COMPLETED: "",
    Ending.PRUNED: "/",
    Ending.DIVERGED: "x",
    Ending.FAILED: ".",
}
"""For those who cannot tell the colours apart."""


def history_figure(findings: Findings) -> Iterator[Picture]:
    """The validation MSE of each completed trial and the best so far, by Optuna."""
    if findings.summary.best is None:
        return
    figure = optuna.visualization.plot_optimization_history(
        findings.in_memory, target_name=findings.metric.title
    )
    points, course = figure.data[0], figure.data[1]
    steps = [(int(t), float(v)) for t, v in zip(points.x, points.y, strict=True)]
    improvements = _improvements(steps, findings.metric)
    kept = {trial.number for trial in findings.shown}
    trials = [findings.by_number[n] for n, _value in steps if n in kept]
    points.update(
        x=[trial.number for trial in trials],
        y=[value for n, value in steps if n in kept],
        text=[hover(trial, findings.metric) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        marker={
            "size": 7,
            "color": [findings.looks[t.schedule.scheduler].colour for t in trials],
            "symbol": [findings.looks[t.schedule.scheduler].symbol for t in trials],
        },
    )
    course.update(
        x=[*(trial for trial, _value in improvements), steps[-1][0]],
        y=[*(value for _trial, value in improvements), improvements[-1][1]],
        name=_("best so far"),
        line={"color": NEUTRAL, "width": 2.2, "shape": "hv"},
        hovertemplate=_("best after trial %{{x}}: %{{y:.5g}}<extra></extra>"),
    )
    values = np.asarray(points.y, dtype=float)
    for name in dict.fromkeys(t.schedule.scheduler for t in trials):
        look = findings.looks[name]
        marker = {"size": 7, "color": look.colour, "symbol": look.symbol}
        figure.add_scatter(x=[None], y=[None], mode="markers", name=plain(name), marker=marker)
    styled(
        figure,
        height=380,
        legend=True,
        xaxis={"title": {"text": _("trial")}},
        yaxis=log_axis(findings.mse_title, is_wide(values, 4.0)),
    )
    (first_trial, first), (last_trial, last) = improvements[0], improvements[-1]
    text = _(
        "{trials}; the best value {moved} from {first} in trial {first_trial} to {last} in trial "
        "{last_trial}, in {steps}.",
        trials=counted(len(steps), "completed trial"),
        moved=_("rose") if findings.metric.maximize else _("fell"),
        first=number(first),
        first_trial=first_trial,
        last=number(last),
        last_trial=last_trial,
        steps=counted(len(improvements) - 1, "step"),
    )
    rows = [[str(trial), number(value)] for trial, value in improvements]
    elsewhere = _("Every trial is in {file}.", file=RESULTS)
    table = Table([_("trial"), _("best so far")], rows, elsewhere)
    yield Picture("history", _("Best value as trials ended"), figure, text, table)


def _improvements(steps: list[tuple[int, float]], metric: Metric) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for trial, value in steps:
        if not found or metric.is_better(value, found[-1][1]):
            found.append((trial, value))
    return found


def outcome_figure(findings: Findings) -> Iterator[Picture]:
    """How the trials of each scheduler ended."""
    rows = [row for row in findings.summary.schedulers if row.trials]
    if not rows:
        return
    names = [plain(row.name) for row in rows]
    figure = go.Figure()
    for ending in Ending:
        counts, word = [getattr(row.endings, ending) for row in rows], ending_word(ending)
        if any(counts):
            figure.add_bar(
                y=names,
                x=counts,
                orientation="h",
                name=word,
                marker=_filled(_ENDING_COLOURS[ending], _PATTERNS[ending]),
                hovertemplate=_("%{{y}}: %{{x}} {ending}<extra></extra>", ending=word),
            )
    _as_bars(figure, len(rows), _("trials"))
    ended = findings.summary.counts.endings
    parts = [
        _("{count} {ending}", count=getattr(ended, ending), ending=ending_word(ending))
        for ending in Ending
    ]
    text = plural(
        ended.ended,
        "Of {trials} that has ended, {endings}.",
        "Of {trials} that have ended, {endings}.",
        trials=counted(ended.ended, "trial"),
        endings=_(", ").join(parts),
    )
    table = Table(
        [_("scheduler"), _("trials"), *map(ending_word, Ending)],
        [[r.name, str(r.trials), *(str(getattr(r.endings, e)) for e in Ending)] for r in rows],
    )
    yield Picture("outcomes", _("How trials ended"), figure, text, table)


def epoch_figure(findings: Findings) -> Iterator[Picture]:
    """The epochs that each scheduler's trials used, and those that early stops saved."""
    epochs = findings.config.epochs
    used: dict[str, int] = {}
    auditions: dict[str, int] = {}
    saved: dict[str, int] = {}
    for trial in findings.trials:
        name = trial.schedule.scheduler
        used[name] = used.get(name, 0) + trial.epochs
        spent = trial.epochs_spent
        auditions[name] = auditions.get(name, 0) + spent - trial.epochs
        stopped = trial.ending in (Ending.PRUNED, Ending.DIVERGED)
        saved[name] = saved.get(name, 0) + (epochs - spent if stopped else 0)
    total = sum(used.values()) + sum(auditions.values())
    if not total:
        return
    names = [row.name for row in findings.summary.schedulers if row.name in used]
    figure = go.Figure()
    kinds: dict[str, tuple[Mapping[str, int], str, str]] = {_("trained"): (used, ACCENT, "")}
    if any(auditions.values()):
        kinds[_("in auditions")] = (auditions, SECOND, "x")
    kinds[_("saved by early stops")] = (saved, NEUTRAL, "/")
    for kind, (counts, colour, pattern) in kinds.items():
        figure.add_bar(
            y=[plain(name) for name in names],
            x=[counts[name] for name in names],
            orientation="h",
            name=kind,
            marker={
                "color": colour,
                "pattern": {"shape": pattern, "fillmode": "overlay", "size": 6},
            },
            hovertemplate=_("%{{y}}: %{{x}} epochs {kind}<extra></extra>", kind=kind),
        )
    _as_bars(figure, len(names), _("epochs"))
    anew = sum(t.epochs_spent for t in findings.reader.trials if t.ending) - total
    auditioned, before = sum(auditions.values()), ""
    if auditioned:
        before += _(", {count:,} of them in auditions", count=auditioned)
    if anew:
        before += _(", {count:,} of them in trials that were trained anew", count=anew)
    text = _(
        "{epochs} trained{before}; early stops saved {kept:,}, {share} of those that whole trials "
        "would have taken.",
        epochs=counted(total + anew, "epoch"),
        before=before,
        kept=max(sum(saved.values()) - anew, 0),
        share=percent(findings.summary.epochs_saved),
    )
    rows = [[name, *(str(counts[name]) for counts, *_rest in kinds.values())] for name in names]
    yield Picture(
        "epochs",
        _("Epochs trained and saved"),
        figure,
        text,
        Table([_("scheduler"), *[*kinds][:-1], _("saved")], rows),
    )


def _filled(colour: str, pattern: str) -> dict[str, Any]:
    return {"color": colour, "pattern": {"shape": pattern, "fillmode": "overlay", "size": 6}}


def _as_bars(figure: go.Figure, rows: int, title: str) -> None:
    styled(
        figure,
        height=110 + 26 * rows,
        legend=True,
        barmode="stack",
        legend_traceorder="normal",
        bargap=0.3,
        xaxis={"title": {"text": title}},
        yaxis={"autorange": "reversed", "type": "category"},
    )


FIGURES = (
    Figure("budget", outcome_figure),
    Figure("budget", epoch_figure),
    Figure("budget", history_figure),
)
