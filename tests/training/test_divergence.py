"""Divergence as the reason of an end: written and recognised in one place."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.search.attributes import has_diverged
from sweep.search.strategies.family_sampler import _rank
from sweep.training.divergence import divergence, is_divergence


def stopped(reason: str) -> FrozenTrial:
    """A trial that was stopped after its fifth epoch."""
    return create_trial(
        state=TrialState.PRUNED,
        value=2.0,
        intermediate_values={epoch: 2.0 for epoch in range(1, 6)},
        user_attrs={"reason": reason},
    )


def test_what_is_written_is_recognised() -> None:
    reason = divergence(5, "validation MSE is nan")
    assert reason == "diverged at epoch 5: validation MSE is nan"
    assert is_divergence(reason) and has_diverged(stopped(reason))
    assert not has_diverged(stopped("pruned at epoch 5 by median"))
    assert not has_diverged(create_trial(value=1.0))


def test_the_sampler_ranks_it_last() -> None:
    diverged = stopped(divergence(5, "gradient norm is inf"))
    pruned, completed = stopped("pruned at epoch 5 by median"), create_trial(value=9.0)
    ranked = sorted([diverged, completed, pruned], key=lambda trial: _rank(trial, 1.0))
    assert ranked == [completed, pruned, diverged]
