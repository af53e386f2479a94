"""Whether training code of the user's own follows its schedule: numbers in, sentences out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sweep.base.languages.sentences import kept
from sweep.base.wording import percent

_NEARLY = 0.01
"""Such a share of the steps too few is nothing to speak of."""
_SKIPPED = 0.1
"""Such a share of a first epoch's steps may be those that mixed precision skips."""


@dataclass(frozen=True)
class StepsSeen:
    """What was seen of a trial's optimizer steps, epoch by epoch.

    Args:
        told: Steps of a whole trial, as `attach` was told.
        taken: Steps that the optimizer took in each epoch.
        stepped: How often `scheduler.step()` was called in each epoch; None if that is not known,
            as of `plateau`.
        share: How much of a whole trial these epochs are, in (0, 1].
        strayed: The first epoch, from 1, in which a step was taken with another rate than the
            schedule's; None if none was.
    """

    told: int
    taken: tuple[int, ...]
    stepped: tuple[int, ...] | None
    share: float
    strayed: int | None = None

    @property
    def is_per_epoch(self) -> bool:
        """Whether the scheduler is stepped once an epoch, of several optimizer steps."""
        if self.stepped is None or len(self.taken) < 2 or max(self.taken) < 2:
            return False
        return sum(self.stepped) in (len(self.taken) - 1, len(self.taken))


def warnings(seen: StepsSeen) -> tuple[str, ...]:
    """What is wrong with a trial's steps and rates, a sentence each; empty if all is well.

    The more epochs were seen, the surer: call it again after each. A few steps that mixed
    precision skips, and a scheduler that is stepped once an epoch and was told so, are well.
    """
    found = [_of_steps(seen)] if any(seen.taken + (seen.stepped or ())) else []
    if seen.strayed is not None:
        found.append(
            kept(
                "the learning rate does not follow the schedule (from epoch {epoch} on): something "
                "else sets it; take out every other scheduler, and all else that does",
                epoch=seen.strayed,
            )
        )
    return tuple(filter(None, found))


def remarks(seen: StepsSeen) -> tuple[str, ...]:
    """What is unusual, but well."""
    if seen.is_per_epoch and not _of_steps(seen):
        return (
            f"scheduler.step() is called once an epoch, and attach was told {seen.told} steps: the "
            "rate changes between epochs alone",
        )
    return ()


def distinct(sentences: Iterable[str]) -> tuple[str, ...]:
    """Each piece of advice once: those that differ in numbers alone are the same."""
    first: dict[str, str] = {}
    for sentence in sentences:
        first.setdefault(re.sub(r"\d+", "", sentence), sentence)
    return tuple(first.values())


def _of_steps(seen: StepsSeen) -> str:
    epochs = len(seen.taken)
    if seen.stepped is not None and not any(seen.stepped):
        if epochs == 1 and seen.share < 1:  # it may yet be stepped, once an epoch
            return ""
        return kept(
            "the learning rate stays where it began: call scheduler.step() after every "
            "optimizer.step()"
        )
    if seen.is_per_epoch:
        whole = round(epochs / seen.share)
        if abs(seen.told - whole) <= 1:
            return ""
        return kept(
            "scheduler.step() is called once an epoch, {whole} times in a trial, but attach was "
            "told {told} steps: call it after every optimizer.step(), or tell attach the epochs: "
            "total_steps={whole}",
            whole=whole,
            told=seen.told,
        )
    counts = seen.taken if seen.stepped is None else seen.stepped
    if epochs == 1 and seen.share < 1 and counts[0] == 1 < seen.taken[0]:
        return ""
    return _too_few(seen, counts) or _too_many(seen, counts)


def _too_few(seen: StepsSeen, counts: tuple[int, ...]) -> str:
    """Where even the fullest epoch has too few: one in which steps were skipped has fewer."""
    steps = round(max(counts) * len(counts) / seen.share)
    allowed = _NEARLY if len(counts) > 1 else _SKIPPED
    if steps >= seen.told * (1 - allowed):
        return ""
    return kept(
        "attach was told {told} optimizer steps, but a trial takes {steps}: its schedules are cut "
        "off after {share} of their course; tell attach the steps that are taken: with gradient "
        "accumulation, steps_per_epoch=len(loader) // batches a step; a loader's own length "
        "(drop_last); and the epochs that are trained",
        told=seen.told,
        steps=steps,
        share=percent(steps / seen.told),
    )


def _too_many(seen: StepsSeen, counts: tuple[int, ...]) -> str:
    steps = round(sum(counts) / seen.share)
    allowed = 0.0 if seen.share == 1 else _NEARLY
    if steps <= seen.told * (1 + allowed):
        return ""
    return kept(
        "attach was told {told} optimizer steps, but a trial takes {steps}: its schedules are over "
        "after {share} of the training, and some rise again; tell attach the steps that are taken: "
        "len(loader) of the loader that is trained on, all updates of a batch, and the epochs that "
        "are trained",
        told=seen.told,
        steps=steps,
        share=percent(seen.told / steps),
    )
