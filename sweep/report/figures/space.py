"""Where in the search space the good trials lie, and which parameters mattered."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import plotly.graph_objects as go
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator

from sweep.base.languages.sentences import _
from sweep.base.wording import counted, number
from sweep.report.figures.picture import Figure, Picture, Table, log_axis, styled
from sweep.report.findings import MOST_POINTS, Findings, hover, is_wide, plain
from sweep.report.importance import BEST_SHARE
from sweep.report.palette import ACCENT, GOOD_TO_BAD, NEUTRAL, SECOND
from sweep.report.trials.endings import ending_word
from sweep.search.in_memory import in_memory
from sweep.search.trials import Ending, Trial, completed
from sweep.study.metric import Metric
from sweep.study.space import UNUSED, Choice, Dimension, Range, Space, Value, in_words

_MOST_IN_A_RANGE = 400
_WIDE = 10
"""Such a ratio of the greatest to the least number of a list asks for a logarithmic axis."""
_MARKS = {"pruned": "circle-open", "diverged": "x-thin", "failed": "triangle-down-open"}


def lr_decay_maps(findings: Findings) -> Iterator[Picture]:
    """For each scheduler its trials on peak rate and decay, coloured by validation MSE.

    Each optimizer that is searched has its own maps: a rate is great or small for one of them.
    Where a scheduler's decay is not searched, its validation MSE is the height.
    """
    scale = colour_range(findings)
    if scale is None:
        return
    for row in findings.summary.schedulers:
        of_scheduler = [t for t in findings.shown if t.schedule.scheduler == row.name]
        for optimizer, mine in _by_optimizer(findings, of_scheduler):
            if any(trial.reached is not None for trial in mine):
                yield _map(findings, row.name, optimizer, mine, scale)


def _by_optimizer(
    findings: Findings, trials: Sequence[Trial]
) -> Iterator[tuple[str | None, list[Trial]]]:
    """The trials of each optimizer that is searched; all of them, under None, if none is."""
    optimizers = findings.config.search_space.optimizers
    if len(optimizers) < 2:
        yield None, list(trials)
        return
    for optimizer in optimizers:
        yield optimizer, [t for t in trials if t.suggestion.params["optimizer"] == optimizer]


def colour_range(findings: Findings) -> tuple[float, float] | None:
    """The validation MSEs that the colours of the maps run between: the best, and the median."""
    values = [t.reached for t in findings.trials if t.ending == Ending.COMPLETED and t.reached]
    if not values:
        return None
    loss = findings.metric.loss
    best, median = min(map(loss, values)), float(np.median([loss(value) for value in values]))
    worse = median if median > best else best + abs(best) * 0.01 + 1e-12
    return loss(best), loss(worse)


def _map(
    findings: Findings,
    scheduler: str,
    optimizer: str | None,
    trials: Sequence[Trial],
    scale: tuple[float, float],
) -> Picture:
    space = findings.config.search_space
    dimensions = space.dimensions_of(scheduler, optimizer)
    lr, decay = dimensions["lr"], dimensions["decay"]
    is_searched = not decay.fixed and "decay" not in space.ignored_by(scheduler)
    flat = not is_searched and len({trial.schedule.decay for trial in trials}) == 1
    drawn = [t for t in trials if t.reached is not None and (t.reached > 0 or not flat)]
    figure = go.Figure()
    for ending in reversed(Ending):
        some = [trial for trial in (drawn if flat else trials) if trial.ending == ending]
        if some:
            _add_trials(
                figure, findings.metric, some[::-1], ending, flat, scale
            )  # the best ones on top
    best = findings.summary.best
    for winner in (trial for trial in trials if best and trial.number == best.number):
        figure.add_scatter(
            x=[winner.schedule.lr],
            y=[winner.reached if flat else winner.schedule.decay],
            mode="markers",
            showlegend=False,
            hoverinfo="skip",
            marker={"symbol": "circle-open", "size": 19, "color": ACCENT, "line": {"width": 2.5}},
        )
    wide = is_wide([trial.reached or np.nan for trial in drawn], 4.0)
    styled(
        figure,
        height=300,
        xaxis=_axis(_("peak learning rate"), lr),
        yaxis=log_axis(plain(findings.metric.title), wide) if flat else _axis("decay", decay),
        margin={"l": 56, "r": 12, "t": 8, "b": 48},
    )
    of = scheduler if optimizer is None else f"{scheduler}, {optimizer}"
    title = _("{of}: {metric} over peak rate and decay", of=of, metric=findings.metric.title)
    if flat:
        title = _("{of}: {metric} over peak rate", of=of, metric=findings.metric.title)
    return Picture(
        "-".join(["map", *map(_slug, (scheduler, optimizer or ""))]).rstrip("-"),
        title,
        figure,
        _map_facts(of, trials, flat),
        heading=of,
    )


def _axis(title: str, bounds: Dimension) -> dict[str, Any]:
    """Over a range with a little room, on its own scale; over a list of numbers as over a range."""
    axis: dict[str, Any] = {"title": {"text": title}}
    if isinstance(bounds, Choice):
        least, greatest = bounds.numbers[0], bounds.numbers[-1]
        bounds = Range(least, greatest, log=least > 0 and greatest >= _WIDE * least)
    low, high = bounds.low, bounds.high
    if bounds.fixed:
        return axis
    if not bounds.log:
        room = 0.04 * (high - low)
        return axis | {"range": [low - room, high + room]}
    low, high = np.log10(low), np.log10(high)
    room = 0.04 * (high - low)
    factors = (1,) if high - low > 2 else (1, 2, 5)
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    labels = [f"{tick:g}" for tick in ticks]
    return axis | {
        "type": "log",
        "range": [low - room, high + room],
        "tickvals": ticks,
        "ticktext": labels,
    }


def _add_trials(
    figure: go.Figure,
    metric: Metric,
    trials: Sequence[Trial],
    ending: Ending,
    flat: bool,
    scale: tuple[float, float],
) -> None:
    marker: dict[str, Any] = {"symbol": _MARKS.get(ending, "circle"), "size": 7, "color": NEUTRAL}
    if ending == Ending.COMPLETED:
        marker |= {
            "size": 10,
            "color": [metric.loss(t.reached or 0.0) for t in trials],
            "colorscale": [list(stop) for stop in GOOD_TO_BAD],
            "cmin": metric.loss(scale[0]),
            "cmax": metric.loss(scale[1]),
            "line": {"color": NEUTRAL, "width": 0.7},
        }
    else:
        marker["line"] = {"color": NEUTRAL, "width": 1.2}
    figure.add_scatter(
        x=[trial.schedule.lr for trial in trials],
        y=[trial.reached if flat else trial.schedule.decay for trial in trials],
        mode="markers",
        name=ending_word(ending),
        marker=marker,
        text=[hover(trial, metric) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
    )


def _map_facts(of: str, trials: Sequence[Trial], flat: bool) -> str:
    completed = [t for t in trials if t.ending == Ending.COMPLETED and t.reached is not None]
    shown = _(
        "{of}: {trials}, {completed} completed",
        of=of,
        trials=counted(len(trials), "trial"),
        completed=len(completed),
    )
    if not completed:
        return _("{sentence}.", sentence=shown)
    best = completed[0]
    at = [f"lr {number(best.schedule.lr)}"]
    at += [] if flat else [f"decay {number(best.schedule.decay)}"]
    text = _(
        "{shown}; the best, trial {trial}, reaches {value} at {place}.",
        shown=shown,
        trial=best.number,
        value=number(best.reached),
        place=_(", ").join(at),
    )
    quarter = completed[: max(1, len(completed) // 4)]
    if len(quarter) < 2:
        return text
    spans = [f"lr {_span([t.schedule.lr for t in quarter])}"]
    if not flat:
        spans.append(f"decay {_span([t.schedule.decay for t in quarter])}")
    places = _(" and ").join(spans)
    return text + _(" Its best {count} lie at {places}.", count=len(quarter), places=places)


def _span(values: Sequence[float]) -> str:
    return _("{low} to {high}", low=number(min(values)), high=number(max(values)))


def _slug(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())


def importance_figure(findings: Findings) -> Iterator[Picture]:
    """How much each parameter mattered, by Optuna; None where nothing can be said."""
    found = findings.summary.importance
    if not found.shares:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figure = optuna.visualization.plot_param_importances(
            findings.in_memory,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE),
            params=sorted(found.shares),
        )
    shares = {plain(name): share for name, share in found.shares.items()}
    figure.update_traces(
        marker_color=ACCENT,
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        text=[f"{100 * shares.get(name, 0.0):.0f} %" for name in figure.data[0].y],
    )
    styled(
        figure,
        height=90 + 38 * len(shares),
        xaxis={"title": {"text": _("share of importance")}, "tickformat": ".0%", "dtick": 0.25},
        yaxis={"title": None},
        bargap=0.35,
    )
    figure.update_xaxes(range=[0, min(1.12, 1.2 * max(found.shares.values()))])
    parts = _(", ").join(f"{name} {100 * share:.0f} %" for name, share in found.shares.items())
    rows = [[name, f"{100 * share:.1f} %"] for name, share in found.shares.items()]
    yield Picture(
        "importance",
        _("What mattered"),
        figure,
        _("Importance {note}: {parts}.", note=found.note, parts=parts),
        Table([_("parameter"), _("importance")], rows),
    )


def range_figures(findings: Findings) -> Iterator[Picture]:
    """The validation MSE over each parameter that all trials share, by Optuna's slice plot.

    That over the peak rate is one for each optimizer that is searched, and trials whose optimizer
    has no momentum are not drawn over it.
    """
    space = findings.config.search_space
    ranked = [trial for trial in _completed(findings) if not trial.is_outside]
    for name, bounds in space.shared.items():
        if bounds.fixed or not all(name in trial.parameters for trial in ranked):
            continue
        if name == "lr":
            for optimizer, mine in _by_optimizer(findings, ranked):
                if mine:
                    own = space.rates.get(str(optimizer), bounds)
                    yield _range_figure(findings, name, own, mine, optimizer)
            continue
        using = [trial for trial in ranked if name in UNUSED or name not in _ignored(space, trial)]
        if using:
            yield _range_figure(findings, name, bounds, using)


def _ignored(space: Space, trial: Trial) -> frozenset[str]:
    """The shared dimensions that a trial has drawn and makes no use of."""
    return space.ignored_by(trial.schedule.scheduler, trial.suggestion.params.get("optimizer"))


def _range_figure(
    findings: Findings,
    name: str,
    bounds: Dimension,
    ranked: Sequence[Trial],
    optimizer: str | None = None,
) -> Picture:
    study = in_memory(findings.study, ranked, findings.config.search_space, [name])
    figure = optuna.visualization.plot_slice(study, params=[name])
    used = [trial.params[name] for trial in study.get_trials(deepcopy=False)]
    if isinstance(bounds, Choice):
        axis, places = _categories(name, bounds, used)
        figure.update_traces(x=places, y=[trial.value for trial in ranked])
    else:
        least, greatest = min(bounds.low, *used), max(bounds.high, *used)
        axis, places = _axis(plain(name), replace(bounds, low=least, high=greatest)), used
    figure.update_traces(
        marker={"color": ACCENT, "size": 6, "opacity": 0.6, "line": {"width": 0}},
        text=[hover(trial, findings.metric) for trial in ranked],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_traces(marker={"showscale": False, "colorscale": None, "colorbar": None})
    values = [trial.value for trial in ranked if trial.value is not None]
    best = findings.summary.best
    for trial, value in zip(ranked, places, strict=True):
        if best is None or trial.number != best.number:
            continue
        figure.add_scatter(
            x=[value],
            y=[trial.value],
            mode="markers",
            hoverinfo="skip",
            marker={"symbol": "circle-open", "size": 17, "color": SECOND, "line": {"width": 2.5}},
        )
    styled(
        figure,
        height=260,
        xaxis=axis,
        yaxis=log_axis(plain(findings.metric.title), is_wide(values, 4.0)),
        margin={"l": 56, "r": 12, "t": 8, "b": 48},
    )
    winner = findings.of(best) if best else None
    is_shown = winner is not None and winner.number in {trial.number for trial in ranked}
    first, who = (ranked[0], _("the best of them"))
    if winner and is_shown:
        first, who = winner, _("the winner")
    has = _value(first, name)
    shown = has if isinstance(has, bool | str) else number(has)
    quarter = used[: max(1, len(used) // 4)]
    of = name if optimizer is None else _("{name} of {optimizer}", name=name, optimizer=optimizer)
    return Picture(
        "-".join(["range", *map(_slug, (name, optimizer or ""))]).rstrip("-"),
        _("{of}: {metric} over its range", of=of, metric=findings.metric.title),
        figure,
        _(
            "{of} was searched over {range}; {who} has {value}, the best quarter {quarter}.",
            of=of,
            range=in_words(bounds),
            who=who,
            value=shown,
            quarter=_counts(quarter) if isinstance(bounds, Choice) else _span(quarter),
        ),
        heading=of,
    )


def _categories(
    name: str, choice: Choice, used: Sequence[Value]
) -> tuple[dict[str, Any], list[str]]:
    """An axis with a place for each option, and the place of each value on it."""
    places = dict.fromkeys(plain(str(value)) for value in (*choice.options, *used))
    order = {"type": "category", "categoryorder": "array", "categoryarray": [*places]}
    return {"title": {"text": plain(name)}, **order}, [plain(str(value)) for value in used]


def _counts(values: Sequence[Value]) -> str:
    """How many there are of each: `64 (5), 128 (2)`."""
    counts = Counter(values).most_common()
    return _(", ").join(_("{value} ({aside})", value=v, aside=count) for v, count in counts)


def _value(trial: Trial, name: str) -> Value | None:
    """A parameter that all trials share."""
    own = trial.suggestion.params
    if name in own:
        return own[name]
    of_optimizer: float | None = getattr(trial.suggestion, name, None)
    return of_optimizer if of_optimizer is not None else getattr(trial.schedule, name, None)


def _completed(findings: Findings) -> list[Trial]:
    """Completed trials, the best first; where they are many, ever fewer of the worse ones."""
    found = completed(findings.reader.trials, findings.metric)
    ranked = [trial for trial in found if trial.is_finite]
    if len(ranked) <= MOST_POINTS:
        return ranked
    kept = np.geomspace(1, len(ranked), _MOST_IN_A_RANGE).round().astype(int) - 1
    best = findings.summary.best
    winner = [i for i, trial in enumerate(ranked) if best and trial.number == best.number]
    return [ranked[index] for index in np.union1d(kept, winner).astype(int)]


FIGURES = (
    Figure("maps", lr_decay_maps, small=True),
    Figure("mattered", importance_figure),
    Figure("wide", range_figures, small=True),
)
