"""A trial for code that runs in the process that tests."""

from __future__ import annotations

import pytest

from sweep.schedules.schedule import Schedule
from sweep.training.own_command import current_trial as home
from sweep.training.own_command.current_trial import CurrentTrial, current_trial


@pytest.fixture
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no trial."""
    monkeypatch.setattr(home, "_known", {})


@pytest.fixture
def trial(no_sweep: None, monkeypatch: pytest.MonkeyPatch) -> CurrentTrial:
    """One that prints its reports, and believes that a study compares `accuracy`."""
    trial = current_trial(Schedule("cosine", lr=0.1), epochs=3)
    assert trial.has_schedule and trial.metric is None
    monkeypatch.setattr(trial, "metric", "accuracy")
    return trial
