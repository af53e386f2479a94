"""What optuna-dashboard shows of a study that has been run: notes, and figures saved with it.

They are attributes of the study: `optuna-dashboard` alone shows them, on every storage.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping

import optuna
from optuna_dashboard import save_plotly_graph_object
from plotly import graph_objects as go

from sweep.base.errors import SweepError
from sweep.base.wording import counted, number
from sweep.report.dashboard.note import write_note
from sweep.report.figures.picture import Picture
from sweep.report.findings import Findings
from sweep.report.terminal.gallery import torch_call
from sweep.report.trials.facts import TrialFacts
from sweep.report.writers import escaped, to_markdown
from sweep.search.storage.opening import flush
from sweep.search.storage.optuna_private import (
    set_study_attribute,
    study_attributes,
    trial_ids,
)
from sweep.search.storage.owners import in_turn

BEST = 5
"""So many of the best trials have notes."""
_FIGURES = "sweep:figures"
_LARGEST_FIGURE = 200_000
_LEFT_OUT = ("history", "range-")
"""Optuna-dashboard draws these itself."""


def show(findings: Findings, drawn: Mapping[str, Picture]) -> None:
    """Write the notes of a study and of its best trials, and save its figures with it.

    What is there already is not written again, and a note that someone has edited stays.

    Args:
        findings: What the study found.
        drawn: Its figures, by name.
    """
    study = findings.study

    def write() -> None:
        write_note(study, _study_note(findings))
        _write_trial_notes(findings)
        _save_figures(study, drawn)

    in_turn(study, write)
    flush(study)


def _study_note(findings: Findings) -> str:
    folder = findings.summary.folder
    return (
        f"{to_markdown(findings.summary)}\n"
        f"## Files\n\n`sweep dashboard {folder}` shows the curves of the best trials, the tables "
        "and the code among the artifacts."
    )


def best_trials(findings: Findings) -> list[TrialFacts]:
    """The trials that a reader wants to see: the winner, then the best of the search."""
    summary = findings.summary
    first = [summary.best] if summary.best else []
    others = [trial for trial in summary.top[:BEST] if not first or trial.number != first[0].number]
    return [*first, *others][:BEST]


def _write_trial_notes(findings: Findings) -> None:
    study = findings.study
    ids = trial_ids(study)
    notes = {ids[facts.number]: _trial_note(findings, facts) for facts in best_trials(findings)}
    for excluded in findings.reader.excluded:  # whom optuna-dashboard of its own shows as any other
        notes[ids[excluded.number]] = "Discarded: it counts for nothing."
    noted = re.compile(r"dashboard:(\d+):note_ver")
    keys = map(noted.fullmatch, study_attributes(study))
    for trial_id in {int(found[1]) for found in keys if found} - set(notes):
        if trial_id in ids.values():
            write_note(study, "", trial_id)  # it was among the best once
    for trial_id, note in notes.items():
        write_note(study, note, trial_id)


def _trial_note(findings: Findings, trial: TrialFacts) -> str:
    """What a trial's parameters come to: its rank, its torch scheduler and its code."""
    summary, schedule = findings.summary, trial.schedule
    ranks = {facts.number: rank for rank, facts in enumerate(summary.top, start=1)}
    standing = []
    if summary.best and trial.number == summary.best.number:
        standing.append("winner")
    if trial.number in ranks:
        standing.append(f"rank {ranks[trial.number]} of the search")
    epoch = f" after epoch {trial.best_epoch} of {summary.epochs}" if trial.best_epoch else ""
    r2 = "" if trial.r2 is None else f" (R² {number(trial.r2)})"
    lines = [f"{escaped(findings.metric.title)} {number(trial.value)}{r2}{epoch}"]
    confirmation = summary.confirmation
    for candidate in confirmation.candidates if confirmation else ():
        if confirmation and candidate.trial == trial.number:
            seeds = counted(candidate.interval.count, "fresh seed")
            interval = candidate.interval
            alike = ", the same from each" if candidate.repeats else ""
            mean = f"{number(interval.mean)} {interval.plus_minus}".rstrip() + alike
            lines.append(f"on {seeds}: mean {escaped(findings.metric.title)} {mean}")
            if by_other := candidate.other_interval:
                title = escaped(confirmation.mean_titles[1])
                lines[-1] += f", {title} {number(by_other.mean)} {by_other.plus_minus}".rstrip()
    horizon = findings.of(trial).horizon
    if horizon:
        lines.append(f"torch: `{torch_call(schedule.torch_spec(horizon))}`")
    parts = [f"# {escaped(trial.description)}", "\n".join(f"- {line}" for line in lines)]
    if standing:
        parts.insert(1, f"{', '.join(standing).capitalize()}.")
    try:
        parts.append(f"```python\n{schedule.to_code().rstrip()}\n```")
    except SweepError:  # a custom schedule whose factory is not here
        pass
    return "\n\n".join(parts)


def _save_figures(study: optuna.Study, drawn: Mapping[str, Picture]) -> None:
    saved = study_attributes(study).get(_FIGURES, "{}")
    before: dict[str, str] = json.loads(saved)
    after = {}
    for name, picture in drawn.items():
        figure = _standing_alone(picture)
        content = figure.to_json()
        if name.startswith(_LEFT_OUT) or len(content) > _LARGEST_FIGURE:
            continue
        after[name] = f"{zlib.crc32(content.encode()):08x}"
        if before.get(name) != after[name]:
            save_plotly_graph_object(study, figure, graph_object_id=name)
    for name in before.keys() - after:
        blank = go.Figure().update_layout(title=f"{name}: not drawn for the trials there are now")
        after[name] = f"{zlib.crc32(blank.to_json().encode()):08x}"
        if before[name] != after[name]:
            save_plotly_graph_object(study, blank, graph_object_id=name)
    if after != before:
        set_study_attribute(study, _FIGURES, json.dumps(after))


def _standing_alone(picture: Picture) -> go.Figure:
    """The figure with its title below Plotly's buttons, on white whatever is around it."""
    figure = go.Figure(picture.figure)
    figure.layout.template = None  # a copy has Plotly's own again: two thirds of what is saved
    top = 104 if figure.layout.showlegend else 72
    height = picture.height + top
    title = {"text": picture.title, "x": 0.01, "xanchor": "left", "font": {"size": 14}}
    return figure.update_layout(
        title={**title, "y": 1 - 32 / height, "yanchor": "top"},
        margin={"t": top},
        height=height,
        paper_bgcolor="white",
        plot_bgcolor="white",
    )
