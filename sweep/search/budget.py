"""What a study has cost, and what it may still cost."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields

import optuna

from sweep.base.languages.sentences import _
from sweep.base.wording import amount, counted
from sweep.search.storage.optuna_private import set_study_attribute, study_attributes
from sweep.search.trials import Ending, StudyReader, Trial, standing_for_themselves
from sweep.study.settings import StudyConfig

_CONFIRMATION = "sweep:confirmation:"
"""Attributes of a study that count the epochs of its trainings on fresh seeds."""


@dataclass(frozen=True)
class Spent:
    """Epochs that a study has cost, by what they were spent on.

    Those of a training that was interrupted, and begun again, are lost and not among them, nor are
    those of a winner that is trained once more for its weights.

    Args:
        auditions: Of all trials.
        stopped: Of trials that were stopped early, whyever, without their auditions.
        completed: Of trials that were trained to their end, likewise.
        confirmation: On fresh seeds.
    """

    auditions: int = 0
    stopped: int = 0
    completed: int = 0
    confirmation: int = 0

    @classmethod
    def on(cls, trial: Trial) -> Spent:
        """On a trial: on its audition alone as long as it has not ended."""
        auditions = trial.epochs_spent - trial.epochs
        if trial.ending == Ending.COMPLETED:
            return cls(auditions, completed=trial.epochs)
        return cls(auditions, stopped=trial.epochs)

    @classmethod
    def by(cls, reader: StudyReader) -> Spent:
        """By a study: on its trials, those that count for nothing included, and on fresh seeds."""
        spent = cls(confirmation=confirmation_epochs(reader.study))
        return sum(map(cls.on, reader.every_trial), spent)

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    @property
    def total(self) -> int:
        """On everything."""
        return self.auditions + self.stopped + self.completed + self.confirmation


def epochs_saved(trials: Iterable[Trial], endings: Collection[Ending], epochs: int) -> int:
    """What stopping trials has saved, less what auditions and training anew have cost.

    Args:
        trials: All of a study; those that have not ended count for nothing.
        endings: Of those that count as stopped.
        epochs: Of a whole trial.
    """
    ended = [trial for trial in trials if trial.ending]
    once = standing_for_themselves(ended)
    unstopped = sum(epochs if trial.ending in endings else trial.epochs for trial in once)
    return unstopped - sum(trial.epochs_spent for trial in ended)


@dataclass(frozen=True)
class Account:
    """What a study has cost, and what it may.

    Args:
        spent: In epochs.
        epochs: Of a whole training.
        budget: In whole trainings; None where there is none.
    """

    spent: Spent
    epochs: int
    budget: float | None

    @property
    def sentence(self) -> str:
        """What was spent on what, in whole trainings."""
        spent = {name: trainings(count / self.epochs) for name, count in vars(self.spent).items()}
        words = {
            "auditions": _("{amount} on auditions", amount=spent["auditions"]),
            "stopped": _("{amount} on trials that were stopped early", amount=spent["stopped"]),
            "completed": _("{amount} on trials that completed", amount=spent["completed"]),
            "confirmation": _("{amount} on the confirmation", amount=spent["confirmation"]),
        }
        parts = [text for name, text in words.items() if getattr(self.spent, name)]
        whole = self.spent.total / self.epochs
        told = counted_trainings(whole)
        if self.budget is not None:
            budget = counted_trainings(self.budget)
            told = _("{spent} of {budget}", spent=trainings(whole), budget=budget)
        return _("{told}: {parts}", told=told, parts=_(", ").join(parts)) if parts else told


def trainings(count: float) -> str:
    """A number of whole trainings, as people read it."""
    return f"{count:,.1f}".removesuffix(".0")


def counted_trainings(count: float) -> str:
    """`1 whole training`, `7.5 whole trainings`."""
    shown = trainings(count)
    return amount(shown, "whole training")


def enough_to_confirm(config: StudyConfig) -> int:
    """The smallest budget, in whole trainings, of which enough is kept for the confirmation."""
    return math.ceil((config.fewest_confirm_trainings - 0.5) / config.confirm.share)


def prospect(config: StudyConfig) -> str:
    """What a study's budget comes to, in a sentence; empty where there is none."""
    if config.budget is None:
        return ""
    trials = f"about {counted(config.trials, 'trial')}"
    if config.sampling.name == "grid":
        trials = "as many points of the grid as that allows"
    told = f"a budget of {counted_trainings(config.budget)} comes to {trials}"
    kept = config.confirm_trainings
    if kept:
        return f"{told}, and {counted_trainings(kept)} to confirm the best on fresh seeds"
    if not config.confirm.enabled:
        return told
    enough = enough_to_confirm(config)
    return f"{told}; it is too small to confirm the best on fresh seeds ({enough} would do)"


class ConfirmationCost:
    """What one coordinator's confirmations have cost, and what its trainings in flight may.

    Each has a place of its own in the study, since those of a shared storage may confirm at the
    same time: what one has promised to its trainings is not there for another.

    Args:
        study: The study.
        owner: Who the coordinator is; what it had promised before is free again.
    """

    def __init__(self, study: optuna.Study, owner: str) -> None:
        self._study = study
        self._key = _CONFIRMATION + hashlib.sha256(owner.encode()).hexdigest()[:16]
        self._spent, self._promised = _known(study).get(self._key, (0, 0))
        if self._promised:
            self._promised = 0
            self._write()

    @property
    def promised_elsewhere(self) -> int:
        """Epochs that the trainings of others may still cost."""
        known = _known(self._study)
        return sum(promised for key, (_, promised) in known.items() if key != self._key)

    @property
    def elsewhere(self) -> int:
        """Epochs that the confirmations of others have cost, or may."""
        known = _known(self._study)
        return sum(sum(both) for key, both in known.items() if key != self._key)

    def promise(self, epochs: int) -> None:
        """Write down what trainings that are begun now may cost; call it in a turn."""
        self._promised = epochs
        self._write()

    def add(self, epochs: int, promised: int) -> None:
        """Write down what a training has cost for which so many epochs had been promised."""
        self._spent += epochs
        self._promised = max(self._promised - promised, 0)
        self._write()

    def _write(self) -> None:
        set_study_attribute(self._study, self._key, [self._spent, self._promised])


def _known(study: optuna.Study) -> dict[str, tuple[int, int]]:
    """What each coordinator has written."""
    return {
        key: (value[0], value[1])
        for key, value in study_attributes(study).items()
        if key.startswith(_CONFIRMATION)
        and isinstance(value, list)
        and len(value) == 2
        and all(isinstance(part, int) and part >= 0 for part in value)
    }


def confirmation_epochs(study: optuna.Study) -> int:
    """Epochs that a study's trainings on fresh seeds have cost, earlier confirmations included."""
    return sum(spent for spent, _ in _known(study).values())


def epochs_left(config: StudyConfig, spent: Spent) -> float:
    """Epochs that a study may still cost, confirmation included; infinite without a budget."""
    if config.budget is None:
        return math.inf
    return math.floor(config.budget * config.epochs) - spent.total


def search_epochs_left(config: StudyConfig, spent: Spent) -> float:
    """Those of them that the search may cost.

    The rest is kept for the confirmation: its part of the budget, less what it has cost already,
    but enough for a new one, since a search that goes on may have other candidates.
    """
    left, kept = epochs_left(config, spent), config.confirm_trainings
    if kept:
        fewest = config.fewest_confirm_trainings * config.epochs
        left -= max(kept * config.epochs - spent.confirmation, fewest)
    return left
