"""What a user is likely to want next."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from sweep.base.commands import command_line
from sweep.base.languages.sentences import _
from sweep.base.wording import counted
from sweep.report.facts import Summary
from sweep.study.file import load_study
from sweep.study.locations import SAVED_STUDY
from sweep.study.results_folder import BEST_CODE, BEST_MODEL, REPORT

_GAP = 2


def next_steps(
    summary: Summary, folder: Path, width: int = 80, *, reported: bool = False
) -> RenderableType:
    """The commands that a user is likely to want now.

    Args:
        summary: What the study found.
        folder: Its results.
        width: Of the terminal; a command that does not fit has a line of its own.
        reported: Whether the whole report is what the user is reading.
    """
    counts = summary.counts
    steps = []
    if counts.endings.ended < counts.asked:
        left = counted(counts.asked - counts.endings.ended, "more trial")
        steps.append((left, command_line("sweep", "run", folder)))
    if summary.best:
        if not reported:
            steps.append((_("the whole report"), command_line("sweep", "report", folder)))
        if (folder / REPORT).exists():
            steps.append((_("the report as a page"), command_line(folder / REPORT)))
        steps.append((_("every trial in a browser"), command_line("sweep", "dashboard", folder)))
        if summary.unit and (folder / BEST_MODEL).exists():
            trust = ["--trust"] if _has_own_model(folder) else []
            predict = command_line("sweep", "predict", folder, "new.csv", *trust)
            steps.append((_("predict new rows"), predict))
        if (folder / BEST_CODE).exists():
            steps.append((_("the schedule as torch code"), command_line(folder / BEST_CODE)))
    if not steps:
        return Text()
    margin = max(cell_len(purpose) for purpose, _command in steps) + _GAP
    fits = margin + max(cell_len(command) for _purpose, command in steps) <= width
    lines = [
        Text.assemble((set_cell_size(purpose, margin) if fits else f"{purpose}\n", "dim"), command)
        for purpose, command in steps
    ]
    return Group(Text(_("Next"), style="bold"), *lines)


def _has_own_model(folder: Path) -> bool:
    """Whether a model of the user's own is to be run for predictions."""
    settings = folder / SAVED_STUDY
    return settings.exists() and ":" in load_study(settings).model.name
