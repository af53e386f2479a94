"""Optuna's samplers beside trials that lie outside of what is searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from sweep.search.origins import is_outside
from sweep.search.storage.optuna_private import without_trials


class WithinSpace(BaseSampler):
    """A sampler that does not see the trials at no point of its space.

    Several of Optuna's samplers search what all trials have in common, which would be nothing.

    Attributes:
        sampler: The sampler, as it is.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self.sampler = sampler

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As the sampler has it."""
        return self.sampler.infer_relative_search_space(_within(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler has it."""
        return self.sampler.sample_relative(_within(study), trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As the sampler has it."""
        return self.sampler.sample_independent(
            _within(study), trial, param_name, param_distribution
        )

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """As the sampler has it."""
        self.sampler.before_trial(_within(study), trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """As the sampler has it; nothing for a trial that it does not see."""
        if not is_outside(trial):
            self.sampler.after_trial(_within(study), trial, state, values)

    def reseed_rng(self) -> None:
        """As the sampler has it."""
        self.sampler.reseed_rng()


def _within(study: optuna.Study) -> optuna.Study:
    return without_trials(study, is_outside)
