"""The note on a study that is being run."""

from __future__ import annotations

import time
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial

from sweep.base.wording import counted, number, verb
from sweep.report.dashboard.note import write_note
from sweep.report.writers import escaped, table
from sweep.search.attributes import whole_number
from sweep.search.completion import completes, sentence, standing_for_themselves
from sweep.search.status import Tally
from sweep.search.storage.owners import in_turn
from sweep.search.trials import schedule_of
from sweep.study.settings import StudyConfig

_LONGEST_RUNNING = 1900
"""Characters: a note that is one record in the storage is never half written."""


class RunningNote:
    """Keeps a study's note current while it runs, but seldom: at most 60 times in an hour.

    The time between two notes is at least ten seconds and a twentieth of the run, and a hundred
    times what a note takes.
    """

    _LEAST_SECS = 10.0

    def __init__(self, study: optuna.Study, config: StudyConfig, total: int) -> None:
        self._study, self._config, self._total = study, config, total
        self._started = time.monotonic()
        self._next = self._started

    def trial_finished(self) -> None:
        """Write it, if it is time."""
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> None:
        """Write it now."""
        began = time.monotonic()
        trials = self._study.get_trials(deepcopy=False)
        text = running_note(self._study.study_name, trials, self._config, self._total)
        in_turn(self._study, lambda: write_note(self._study, text))
        ended = time.monotonic()
        wait = max(self._LEAST_SECS, (ended - self._started) / 20, 100 * (ended - began))
        self._next = ended + wait


def running_note(name: str, trials: Sequence[FrozenTrial], config: StudyConfig, total: int) -> str:
    """Where a study stands, in Markdown.

    Args:
        name: The study's.
        trials: All of its trials.
        config: Its settings.
        total: Trials that it is to have.
    """
    tally = Tally(metric=config.measure)
    best: dict[str, FrozenTrial] = {}
    tried: dict[str, int] = {}
    only = config.space.scheduler[0]

    def rank(trial: FrozenTrial) -> tuple[float, int]:
        return config.measure.rank(trial.values[0], trial.number)

    known = standing_for_themselves(trials)
    for trial in known:
        tally.count(trial)
        scheduler = trial.params.get("scheduler", only)
        if trial.state.is_finished():
            tried[scheduler] = tried.get(scheduler, 0) + 1
        if trial.value is not None and trial.state.name == "COMPLETE":
            leader = best.setdefault(scheduler, trial)
            best[scheduler] = min(leader, trial, key=rank)
    kinds = ("completed", "pruned", "diverged", "failed")
    counts = ", ".join(f"{getattr(tally, kind)} {kind}" for kind in kinds if getattr(tally, kind))
    ended = sum(getattr(tally, kind) for kind in kinds)
    have = verb(ended, "has", "have")
    parts = [
        f"# {escaped(name)}",
        f"**{ended} of {counted(total, 'trial')}** {have} ended: {counts or 'none'}.",
    ]
    completing = sum(completes(trial) is not None for trial in known)
    if completing:
        parts[-1] += f" {sentence(completing).capitalize()}."
    if tally.best is None:
        return "\n\n".join(parts)
    schedule = schedule_of(tally.best, config.search_space)
    epoch = whole_number(tally.best.user_attrs, "best_epoch")
    after = f" after epoch {epoch} of {config.epochs}" if epoch else ""
    parts.append(
        f"Best so far: {escaped(config.measure.title)} **{number(tally.best.value)}** of trial "
        f"{tally.best.number}{after}: {escaped(schedule.describe())}."
    )
    header = ["scheduler", f"best {config.measure.short}", "trial", "lr", "decay", "trials"]
    rows = []
    for scheduler, leader in sorted(best.items(), key=lambda item: rank(item[1])):
        drawn = schedule_of(leader, config.search_space)
        numbers = (leader.value, leader.number, drawn.lr, drawn.decay, tried[scheduler])
        rows.append([scheduler, *map(number, numbers)])
    while rows and len("\n\n".join([*parts, table(header, rows)])) > _LONGEST_RUNNING:
        rows.pop()
    return "\n\n".join([*parts, table(header, rows)] if rows else parts)[:_LONGEST_RUNNING]
