"""A first look at training code of the user's own: the same trial twice, for a few epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sweep.base.errors import TrainingError
from sweep.base.wording import counted, duration, listed, number
from sweep.training.contract import EpochResult, TrialEnd, TrialError, TrialNews, TrialSpec
from sweep.training.workers.messages import Answer, Died, Orders
from sweep.training.workers.pool import Pool

_WAIT_SECS = 0.2

_EPOCHS = 2
"""That are trained: in a first one, not all can be seen."""

_LONG_SECS = 60.0
"""What takes longer is not trained a second time."""


@dataclass(frozen=True)
class FirstLook:
    """What was seen of a trial that was trained for a few epochs.

    Args:
        results: Its epochs.
        end: How it ended, where it did so of itself.
        notes: What its engine says, a sentence each.
        again: The values of the same trial, trained once more by the same worker; None if it was
            not.
        elsewhere: The values of the same by a fresh worker, where the second were others.
    """

    results: tuple[EpochResult, ...]
    end: TrialEnd | TrialError | None
    notes: tuple[str, ...]
    again: tuple[float, ...] | None = None
    elsewhere: tuple[float, ...] | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """What it reported."""
        return tuple(result.value for result in self.results)

    @property
    def seconds(self) -> float:
        """What it took."""
        return sum(result.seconds for result in self.results)

    @property
    def seen(self) -> str:
        """What was trained, in a sentence; empty if it came to no epoch."""
        if not self.results:
            return ""
        last = self.results[-1]
        taken = [result.steps for result in self.results if result.steps is not None]
        told = "" if last.total_steps is None else f"; attach was told {last.total_steps} steps"
        if told and taken:
            told += f" of a whole trial, {' + '.join(map(str, taken))} were taken"
        return (
            f"{counted(len(self.results), 'epoch')} of a trial took {duration(self.seconds)} and "
            f"came to {listed(map(number, self.values))}{told}"
        )

    @property
    def advice(self) -> tuple[str, ...]:
        """What is wrong with it, a sentence each."""
        found = self.results[-1].advice if self.results else ()
        if self.again is None or _same(self.values, self.again):
            return found
        both = f"{listed(map(number, self.values))}, then {listed(map(number, self.again))}"
        if self.elsewhere is not None and _same(self.values, self.elsewhere):
            return (
                *found,
                f"the same trial twice in a worker gave {both}, and in a fresh one the first "
                "values: something outlives a trial, such as a model or an optimizer at module "
                "level; make it where the training begins",
            )
        return (
            *found,
            f"the same trial twice gave {both}: something random does not follow its seed, so "
            "that trials differ by luck, too",
        )


def first_look(opened: Callable[[], Pool], spec: TrialSpec, epochs: int) -> FirstLook:
    """Train a trial for two epochs, and once more, in the same process.

    Args:
        opened: Opens a pool of workers: one is enough, but all of them are waited for.
        spec: The trial.
        epochs: Of a whole trial.

    Raises:
        SweepError: The worker cannot be started, or it dies.
    """
    epochs = min(epochs, _EPOCHS)
    with opened() as pool:
        notes = pool.await_all()
        first = _trained(pool, spec, epochs)
        first = replace(first, notes=(*notes, *first.notes))
        if isinstance(first.end, TrialError) or first.seconds > _LONG_SECS:
            return first
        again = _trained(pool, replace(spec, number=spec.number + 1), epochs).values
    if _same(first.values, again):
        return replace(first, again=again)
    with opened() as pool:
        pool.await_all()
        return replace(first, again=again, elsewhere=_trained(pool, spec, epochs).values)


def _trained(pool: Pool, spec: TrialSpec, epochs: int) -> FirstLook:
    """A trial's first epochs, by one of the workers, which are all idle."""
    results: list[EpochResult] = []
    notes: list[str] = []
    end: TrialEnd | TrialError | None = None
    worker = min(pool.idle)
    pool.send(worker, Orders(add=[spec]))
    while True:
        for index, message in pool.wait(_WAIT_SECS):
            if isinstance(message, Died):
                raise TrainingError(f"the worker of a trial was {message.reason}")
            assert isinstance(message, Answer)
            if index != worker:
                continue
            notes += message.notes
            news: Sequence[TrialNews] = [n for n in message.results if n.number == spec.number]
            results += [one for one in news if isinstance(one, EpochResult)]
            ends = [one for one in news if not isinstance(one, EpochResult)]
            end = ends[0] if ends else end
            if end is not None or len(results) >= epochs:
                pool.send(worker, Orders(remove=[spec.number], epochs=0))
                while worker not in pool.idle:
                    pool.wait(_WAIT_SECS)
                return FirstLook(tuple(results[:epochs]), end, tuple(notes))
            pool.send(worker, Orders())


def _same(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether values are equal, NaNs included."""
    return list(map(repr, ours)) == list(map(repr, theirs))
