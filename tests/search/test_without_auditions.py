"""Whether a study's trials have auditions."""

from __future__ import annotations

import pytest

from sweep.search.strategies.without_auditions import FEWEST_STEPS, knowing_steps
from sweep.study.sections import PrunerConfig
from sweep.study.settings import StudyConfig


@pytest.mark.parametrize(("steps_per_epoch", "has"), [(1, False), (23, False), (24, True)])
def test_needs_enough_steps(steps_per_epoch: int, has: bool) -> None:
    config, reason = knowing_steps(StudyConfig(epochs=32), steps_per_epoch)
    assert (config.audition_epochs * steps_per_epoch >= FEWEST_STEPS) == has
    assert config.pruning.name == ("auto" if has else "halving")
    assert bool(reason) != has


def test_a_budget_without_auditions_is_expected_to_come_to_fewer_trials() -> None:
    config = StudyConfig(epochs=32, budget=20)
    assert knowing_steps(config, 1)[0].trials < config.trials


def test_nothing_is_said_of_auditions_that_nobody_wants() -> None:
    config = StudyConfig(epochs=32, pruner=PrunerConfig(name="median"))
    assert knowing_steps(config, 1) == (config, "")
