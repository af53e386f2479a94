"""Trials that cannot share a stack, each kind with an engine of its own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sweep.training.contract import Engine, TrialNews, TrialSpec
from sweep.training.specs import LaneKind


class GroupedEngine:
    """An engine for each optimizer and batch size, behind one; each is built when it is needed.

    Args:
        build: Builds the engine of a kind.
        first: The kind whose engine is built at once: how many trials it takes is what this one
            asks for, all kinds together.
    """

    def __init__(self, build: Callable[[LaneKind], Engine], first: LaneKind) -> None:
        self._build = build
        self._engines: dict[LaneKind, Engine] = {}
        self._kinds: dict[int, LaneKind] = {}
        self._expected = 0
        self.notes: list[str] = []
        engine = self._engine(first)
        self.lanes = engine.lanes
        self.description = engine.description

    def add(self, spec: TrialSpec) -> None:
        """Take a trial in; it starts with the next epoch."""
        kind = LaneKind.of(spec)
        self._engine(kind).add(spec)
        self._kinds[spec.number] = kind

    def expect(self, epochs: int) -> None:
        """Say how many epochs are still to come; each kind has its share of them."""
        self._expected = epochs
        for engine in self._engines.values():
            engine.expect(epochs // len(self._engines))

    def remove(self, number: int) -> None:
        """Let a trial go, finished or not."""
        kind = self._kinds.pop(number, None)
        if kind is not None:
            self._engines[kind].remove(number)

    def weights(self, number: int) -> dict[str, Tensor]:
        """The product of a trial that is still here: the weights that the objective asks for."""
        return self._engines[self._kinds[number]].weights(number)

    def train_epoch(self) -> list[TrialNews]:
        """Train every trial for one epoch of its own; the order is that of `add`."""
        used = dict.fromkeys(self._kinds.values())
        news = [each for kind in used for each in self._engines[kind].train_epoch()]
        for kind in used:
            self._take_notes(self._engines[kind])
        places = {number: place for place, number in enumerate(self._kinds)}
        return sorted(news, key=lambda each: places[each.number])

    def _engine(self, kind: LaneKind) -> Engine:
        if kind not in self._engines:
            self._engines[kind] = engine = self._build(kind)
            self._take_notes(engine)
            self.expect(self._expected)
        return self._engines[kind]

    def _take_notes(self, engine: Engine) -> None:
        """What an engine has to say, once."""
        self.notes += [note for note in engine.notes if note not in self.notes]
        engine.notes.clear()
