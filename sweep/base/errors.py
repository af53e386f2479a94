"""Every error that `sweep` raises on purpose.

SweepError              something a user can act on; the command line shows its text alone
├── InputError          wrong input: exit code 2
│   ├── StudyFileError  a study file or a flag does not validate
│   ├── DataError       the table cannot be read, split or learnt from
│   ├── ModelError      the model cannot be built, called or trained
│   ├── ScheduleError   a schedule has an unknown name or a parameter out of range
│   ├── StudyChangedError  the settings do not fit the trials already in the storage
│   └── UnaccountedError   there are results whose trials the storage has lost
├── StorageError        the storage cannot be opened, read or written
│   └── StudyBusyError  another `sweep run` is at work on this study
├── TrackerError        a tracker is away, or does not take what is sent
├── TrainingError       workers cannot train: they die, or every trial fails
└── InterruptedSweep    Ctrl-C or SIGTERM: everything is saved, exit code 130
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SweepError(Exception):
    """A problem that its text explains: what is wrong, where, and what to do."""

    exit_code = 1


class InputError(SweepError):
    """Wrong input."""

    exit_code = 2


class StudyFileError(InputError):
    """A study file or a flag does not validate; `keys` are those at fault, where they are known."""

    def __init__(self, text: str, keys: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.keys = keys


class DataError(InputError):
    """The table cannot be read, split or learnt from."""


class ModelError(InputError):
    """The model cannot be built, called or trained."""


class ScheduleError(InputError):
    """A schedule has an unknown name or a parameter out of range."""


class StudyChangedError(InputError):
    """The settings do not fit the trials already in the storage."""


class UnaccountedError(InputError):
    """There are results whose trials the storage has lost: it is damaged, or another one."""


class StorageError(SweepError):
    """The storage cannot be opened, read or written."""


class StudyBusyError(StorageError):
    """Another `sweep run` is at work on this study."""


class TrackerError(SweepError):
    """A tracker is away, or does not take what is sent."""


class TrainingError(SweepError):
    """Workers cannot train: they die, or every trial fails."""


class InterruptedSweep(SweepError):
    """Ctrl-C or SIGTERM; finished trials are saved."""

    exit_code = 130


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest of the choices, or nothing if none is near."""
    spelt = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(str(word).casefold(), list(spelt), n=1, cutoff=0.6)
    return f"; did you mean {spelt[near[0]]!r}?" if near else ""
