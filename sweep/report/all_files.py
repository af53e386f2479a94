"""What a study leaves for people to look at: its page, and what optuna-dashboard shows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import optuna

from sweep.base.files import write_whole
from sweep.base.languages.sentences import ENGLISH, language
from sweep.study.results_folder import REPORT
from sweep.study.settings import StudyConfig


def load_libraries() -> None:
    """Begin to load what `write_report` needs, which takes seconds, while workers start."""

    def load() -> None:
        with suppress(Exception):  # what cannot be loaded is told where it is used
            import optuna.visualization  # noqa: F401  # which loads matplotlib

            from sweep.report.dashboard import notes_and_figures  # noqa: F401
            from sweep.report.figures import all  # noqa: F401
            from sweep.report.page import html  # noqa: F401

    threading.Thread(target=load, daemon=True).start()


def write_report(
    study: optuna.Study,
    config: StudyConfig,
    folder: Path,
    on_unwritten: Callable[[str, Exception], None],
    page_in: str = ENGLISH,
) -> None:
    """Write `report.html`, and the notes and figures of optuna-dashboard, which are in English.

    Args:
        study: Its trials.
        config: Its settings.
        folder: Its results, which are safe already.
        on_unwritten: Told what could not be written, and why.
        page_in: The page's language.
    """
    what = REPORT
    try:
        from sweep.report.dashboard.notes_and_figures import show
        from sweep.report.figures.all import pictures
        from sweep.report.findings import gather
        from sweep.report.page.html import to_html

        with language(page_in):
            findings = gather(study, config, folder)
            drawn = pictures(findings)
            write_whole(folder / REPORT, to_html(findings, drawn))
        what = "what optuna-dashboard shows"
        if page_in != ENGLISH:
            findings = gather(study, config, folder)
            drawn = pictures(findings)
        show(findings, drawn)
    except Exception as problem:
        on_unwritten(what, problem)
