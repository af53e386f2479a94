"""The files that a study leaves in its results folder."""

from __future__ import annotations

RESULTS = "results.csv"
EPOCHS = "epochs.csv"
BEST_SCHEDULE = "best_schedule.json"
BEST_CODE = "best_schedule.py"
BEST_MODEL = "best_model.pt"
PREDICTIONS = "predictions.csv"
CONFIRM = "confirm.csv"
AUDIT = "audit.csv"
REPORT = "report.html"
ARTIFACTS = "artifacts"
"""A folder of files for optuna-dashboard."""

FILES = (
    *(RESULTS, EPOCHS, BEST_SCHEDULE, BEST_CODE, BEST_MODEL, PREDICTIONS, CONFIRM, AUDIT),
    REPORT,
)
"""All of them, but the settings and the storage."""

TRIALS = "trials"
"""A folder: a folder for each trial, where code of the user's own has written something there."""

BEST = "best"
"""The winner's one of them."""

CHECKPOINTS = "checkpoints"
"""A folder: the states of trials in flight, where a loop of the user's own yields them."""
TRACEBACK = "traceback.txt"
"""In the folder of a trial that has failed."""
LOGS = "logs"
"""A folder: what a loop of the user's own has printed, by worker."""
