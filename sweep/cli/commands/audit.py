"""`sweep audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from sweep.cli.options import ClusterOption, JsonOption, ResultsArgument, StorageOption
from sweep.cli.terminal import answer, next_command, note, progress


def audit(
    study: ResultsArgument = None,
    sample: Annotated[int, typer.Option(min=1, help="Pruned trials to train to the end.")] = 20,
    storage: StorageOption = None,
    cluster: ClusterOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check what pruning cost: train some of the pruned trials to their end.

    They are trained where the study was, on a cluster or here, unless --cluster says otherwise.

    Example:

      sweep audit order_pre --sample 50
    """
    from sweep.report.terminal.tables import audit_report
    from sweep.runs.audit import run_audit
    from sweep.runs.library import load_study
    from sweep.study.file import load_study as load_settings
    from sweep.study.locations import SAVED_STUDY

    ran = load_study(study, storage, note=note)
    config = ran.config
    if cluster is not None:
        there, flag = {"cluster.address": cluster}, {"cluster.address": "--cluster"}
        config = load_settings(ran.folder / SAVED_STUDY, there, flag)
    with progress(quiet, as_json) as listener:
        found = run_audit(ran.folder, config, ran.study, sample, listener)
    answer(found, as_json, lambda width: audit_report(found))
    next_command("the whole report", ["report", ran.folder], as_json)
