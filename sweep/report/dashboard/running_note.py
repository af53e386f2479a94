"""The note on a study that is being run."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sweep.base.wording import counted, number, verb
from sweep.report.dashboard.note import write_note
from sweep.report.writers import escaped, table
from sweep.search.completion import sentence
from sweep.search.status import Tally
from sweep.search.storage.owners import in_turn
from sweep.search.trials import StudyReader, Trial, completed
from sweep.study.settings import StudyConfig
from sweep.study.space import rate_in_words

_LONGEST_RUNNING = 1900
"""Characters: a note that is one record in the storage is never half written."""


class RunningNote:
    """Keeps a study's note current while it runs, but seldom: at most 60 times in an hour.

    The time between two notes is at least ten seconds and a twentieth of the run, and a hundred
    times what a note takes.
    """

    _LEAST_SECS = 10.0

    def __init__(self, reader: StudyReader, total: int) -> None:
        self._reader, self._total = reader, total
        self._started = time.monotonic()
        self._next = self._started

    def trial_finished(self) -> None:
        """Write it, if it is time."""
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> None:
        """Write it now."""
        began = time.monotonic()
        reader, study = self._reader, self._reader.study
        text = running_note(reader.name, reader.trials, reader.config, self._total)
        in_turn(study, lambda: write_note(study, text))
        ended = time.monotonic()
        wait = max(self._LEAST_SECS, (ended - self._started) / 20, 100 * (ended - began))
        self._next = ended + wait


def running_note(name: str, trials: Sequence[Trial], config: StudyConfig, total: int) -> str:
    """Where a study stands, in Markdown.

    Args:
        name: The study's.
        trials: All of its trials.
        config: Its settings.
        total: Trials that it is to have.
    """
    tally = Tally.of(trials, config.measure)
    counts = ", ".join(f"{n} {ending}" for ending, n in vars(tally.endings).items() if n)
    ended = tally.endings.ended
    have = verb(ended, "has", "have")
    parts = [
        f"# {escaped(name)}",
        f"**{ended} of {counted(total, 'trial')}** {have} ended: {counts or 'none'}.",
    ]
    completing = tally.trained_on
    if completing:
        parts[-1] += f" {sentence(completing).capitalize()}."
    if tally.best is None:
        return "\n\n".join(parts)
    description, epoch = tally.best.suggestion.describe(), tally.best.best_epoch
    after = f" after epoch {epoch} of {config.epochs}" if epoch else ""
    parts.append(
        f"Best so far: {escaped(config.measure.title)} **{number(tally.best.value)}** of trial "
        f"{tally.best.number}{after}: {escaped(description)}."
    )
    header = ["scheduler", f"best {config.measure.short}", "trial", "lr", "decay", "trials"]
    rows = []
    leaders = completed((best for _, best in tally.families.values() if best), config.measure)
    for leader in leaders:
        drawn, tried = leader.suggestion, tally.families[leader.scheduler].ended
        reached, rate = (
            map(number, (leader.value, leader.number)),
            rate_in_words(drawn.schedule, drawn.params),
        )
        rows.append([leader.scheduler, *reached, rate, number(drawn.schedule.decay), str(tried)])
    while rows and len("\n\n".join([*parts, table(header, rows)])) > _LONGEST_RUNNING:
        rows.pop()
    return "\n\n".join([*parts, table(header, rows)] if rows else parts)[:_LONGEST_RUNNING]
