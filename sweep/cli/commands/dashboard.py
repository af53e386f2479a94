"""`sweep dashboard`."""

from __future__ import annotations

from typing import Annotated

import typer

from sweep.cli.options import ResultsArgument, StorageOption
from sweep.cli.terminal import note, say


def dashboard(
    study: ResultsArgument = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1.")] = 8080,
    storage: StorageOption = None,
) -> None:
    """Look at a study in the browser with optuna-dashboard; Ctrl-C ends it.

    Example:

      sweep dashboard order_pre --port 8081
    """
    from sweep.report.dashboard.server import prepare, serve
    from sweep.runs.library import load_study

    ran = load_study(study, storage, note=note)
    prepare(ran.study, ran.config, ran.folder, storage)
    serve(
        ran.study,
        ran.folder,
        port,
        lambda url: say(f"optuna-dashboard at {url} (Ctrl-C ends it)"),
    )
