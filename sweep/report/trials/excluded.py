"""Trials that count for nothing in a report, and what that means for the winner's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.base.commands import command_line
from sweep.base.languages.sentences import _, plural
from sweep.base.number_ranges import as_ranges
from sweep.base.wording import listed
from sweep.confirm.best_schedule import BestSchedule
from sweep.search.storage.optuna_private import discarded_numbers
from sweep.search.trials import StudyReader


@dataclass(frozen=True)
class Excluded:
    """Trials that count for nothing.

    Args:
        discarded: The numbers of those that their study has discarded.
        left_out: The numbers of those that are left out of this report alone.
        epochs: What all of them have cost.
        folder: The study's results.
        winner: The number of the trial that the winner's files are of, if it is one of these.
        had_confirmation: Whether these files have a confirmation.
        confirmed: The numbers of the other ones that were candidates of the confirmation, or
            the best of the search before it.
    """

    discarded: tuple[int, ...]
    left_out: tuple[int, ...]
    epochs: int
    folder: Path
    winner: int | None
    had_confirmation: bool
    confirmed: tuple[int, ...]

    @classmethod
    def of(cls, reader: StudyReader, written: BestSchedule | None, folder: Path) -> Excluded:
        """Of a study.

        Args:
            reader: Reads it.
            written: What its folder has of a winner.
            folder: Its results.
        """
        excluded = {trial.number: trial.epochs_spent for trial in reader.excluded}
        marked = discarded_numbers(reader.study)
        discarded = tuple(number for number in excluded if number in marked)
        winner = written.trial if written and written.trial in excluded else None
        confirmation = written.confirmation if written else None
        had = [candidate.trial for candidate in confirmation.candidates] if confirmation else []
        if confirmation and written and written.best_of_search is not None:
            had.append(written.best_of_search)
        return cls(
            discarded=discarded,
            left_out=tuple(number for number in excluded if number not in discarded),
            epochs=sum(excluded.values()),
            folder=folder,
            winner=winner,
            had_confirmation=confirmation is not None,
            confirmed=tuple(n for n in excluded if n in had and n != winner),
        )

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of all of them."""
        return tuple(sorted((*self.discarded, *self.left_out)))

    @property
    def sentences(self) -> tuple[str, ...]:
        """Which they are, and what to do about it."""
        told = []
        if self.discarded:
            undo = command_line(
                "sweep", "discard", self.folder, *as_ranges(self.discarded), "--undo"
            )
            told.append(
                plural(
                    len(self.discarded),
                    "{trials} is discarded and counts for nothing but what it has cost; undone "
                    "by: {undo}",
                    "{trials} are discarded and count for nothing but what they have cost; undone "
                    "by: {undo}",
                    trials=_trials(self.discarded),
                    undo=undo,
                )
            )
        if self.left_out:
            told.append(
                plural(
                    len(self.left_out),
                    "{trials} is left out of this report alone",
                    "{trials} are left out of this report alone",
                    trials=_trials(self.left_out),
                )
            )
        if self.winner is not None:
            told.append(self._of_the_winner(self.winner))
        elif self.confirmed:
            told.append(
                plural(
                    len(self.confirmed),
                    "{trials} was a candidate of the confirmation in the place of others. {remedy}",
                    "{trials} were candidates of the confirmation in the place of others. {remedy}",
                    trials=_trials(self.confirmed),
                    remedy=self._remedy,
                )
            )
        return tuple(told)

    def _of_the_winner(self, winner: int) -> str:
        """That the winner's files are of a trial that counts for nothing."""
        state = _("discarded") if winner in self.discarded else _("left out here")
        if self.had_confirmation:
            return _(
                "the winner's files and the confirmation are of trial {trial}, which is "
                "{state}: nothing is confirmed without it. {remedy}",
                trial=winner,
                state=state,
                remedy=self._remedy,
            )
        return _(
            "the winner's files are of trial {trial}, which is {state}. {remedy}",
            trial=winner,
            state=state,
            remedy=self._remedy,
        )

    @property
    def _remedy(self) -> str:
        """How to have the winner's files without them."""
        run = command_line("sweep", "run", self.folder)
        if not self.left_out:
            if not self.had_confirmation:
                return _("Running the study again replaces them: {run}", run=run)
            return _("Running the study again confirms those that count: {run}", run=run)
        discard = command_line("sweep", "discard", self.folder, *as_ranges(self.left_out))
        if not self.had_confirmation:
            return _("To replace them: {discard}, then {run}", discard=discard, run=run)
        return _("To confirm those that are left: {discard}, then {run}", discard=discard, run=run)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "discarded": list(self.discarded),
            "left_out": list(self.left_out),
            "epochs": self.epochs,
            "winner": self.winner,
            "confirmed": list(self.confirmed),
            "sentences": list(self.sentences),
        }


def _trials(numbers: Sequence[int]) -> str:
    """`trial 17`, `trials 3, 4 and 17`."""
    named = listed(as_ranges(numbers))
    return plural(len(numbers), "trial {numbers}", "trials {numbers}", numbers=named)
