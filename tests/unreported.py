"""Sweeps whose report is left out: drawing it takes longer than all that small ones train."""

from __future__ import annotations

from unittest import mock

import optuna

from sweep.runs import run
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig


def run_unreported(
    location: Location, config: StudyConfig, listener: Listener | None = None
) -> optuna.Study:
    """What `run_sweep` does, without report.html and what optuna-dashboard shows."""
    with mock.patch.object(run, "write_report", autospec=True):
        return run_sweep(location, config, listener or Listener())
