"""What a study leaves for people to look at: its page, and what optuna-dashboard shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna

from sweep.base.files import write_whole
from sweep.study.results_folder import REPORT
from sweep.study.settings import StudyConfig


def write_report(
    study: optuna.Study, config: StudyConfig, folder: Path, note: Callable[[str], None]
) -> None:
    """Write `report.html`, and the notes and figures of optuna-dashboard.

    The study's results are safe already, so what goes wrong here is only told.

    Args:
        study: Its trials.
        config: Its settings.
        folder: Its results.
        note: Told what could not be written.

    Raises:
        OSError: A file cannot be written, as on a full disk.
    """
    what = REPORT
    try:
        from sweep.report.dashboard.notes_and_figures import show
        from sweep.report.figures.all import pictures
        from sweep.report.findings import gather
        from sweep.report.page.html import to_html

        findings = gather(study, config, folder)
        drawn = pictures(findings)
        write_whole(folder / REPORT, to_html(findings, drawn))
        what = "what optuna-dashboard shows"
        show(findings, drawn)
    except OSError:
        raise
    except Exception as problem:
        note(f"{what} could not be written: {problem}")
