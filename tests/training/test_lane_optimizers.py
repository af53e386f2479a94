"""Optimizers over lanes against torch's own, step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.training.contract import OptimizerSettings
from sweep.training.lanes.optimizers import LaneOptimizer, new_states, step_numbers
from sweep.training.sequential import build_optimizer

CPU = torch.device("cpu")
STEPS, WIDTH = 12, 30

MIXES = {
    "sgd momentum": [OptimizerSettings(momentum=m) for m in (0.0, 0.5, 0.9)],
    "sgd nesterov": [
        OptimizerSettings(momentum=0.9, nesterov=True, weight_decay=0.1),
        OptimizerSettings(momentum=0.5),
        OptimizerSettings(),
    ],
    "sgd decay": [OptimizerSettings(weight_decay=d) for d in (0.0, 0.3)],
    "adam betas": [
        OptimizerSettings("adam", betas=(0.5, 0.9)),
        OptimizerSettings("adam", betas=(0.8, 0.99), eps=1e-3),
    ],
    **{
        name: [OptimizerSettings(name), OptimizerSettings(name, weight_decay=0.2)]
        for name in OPTIMIZERS
    },
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("epoch_steps", [STEPS, 5])
def test_every_step_is_torchs(mix: str, epoch_steps: int) -> None:
    lanes = MIXES[mix]
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(STEPS, len(lanes), WIDTH, generator=generator)
    gradients[3] = 0
    rates = np.geomspace(0.1, 0.001, STEPS * len(lanes)).reshape(STEPS, len(lanes))
    start = torch.randn(len(lanes), WIDTH, generator=generator)
    parameters = start.clone()
    models = [nn.ParameterList([row.clone()]) for row in start]
    optimizers = [build_optimizer(m, s, 1.0) for m, s in zip(models, lanes, strict=True)]
    states = new_states(lanes[0].name, len(lanes), WIDTH, CPU)
    for step in range(STEPS):
        if step % epoch_steps == 0:
            numbers = step_numbers(lanes, rates[step : step + epoch_steps], [step] * len(lanes))
            ours = LaneOptimizer(lanes[0].name, numbers, states, CPU)
        ours.step(step % epoch_steps, parameters, gradients[step].clone())
        for lane, optimizer in enumerate(optimizers):
            optimizer.param_groups[0]["lr"] = rates[step, lane]
            models[lane][0].grad = gradients[step, lane].clone()
            optimizer.step()
            torch.testing.assert_close(parameters[lane], models[lane][0].detach())


def test_lanes_that_start_later_count_their_own_steps() -> None:
    settings = [OptimizerSettings("adam")] * 2
    rates = np.full((3, 2), 0.01)
    late = step_numbers(settings, rates, [0, 40])
    assert late.own["rate"][0, 0] == pytest.approx(0.01 / (1 - 0.9))
    assert late.own["rate"][0, 1] == pytest.approx(0.01 / (1 - 0.9**41))
    assert late.own["spread"][2, 1] == pytest.approx((1 - 0.999**43) ** 0.5)


def test_a_lane_of_nan_leaves_the_others_alone() -> None:
    settings = [OptimizerSettings("adamw", weight_decay=0.1)] * 3
    states = new_states("adamw", 3, WIDTH, CPU)
    numbers = step_numbers(settings, np.full((2, 3), 0.1), [0, 0, 0])
    optimizer = LaneOptimizer("adamw", numbers, states, CPU)
    parameters = torch.ones(3, WIDTH)
    gradients = torch.ones(3, WIDTH)
    gradients[1] = torch.nan
    optimizer.step(0, parameters, gradients)
    assert parameters.isfinite().all(dim=1).tolist() == [True, False, True]


@pytest.mark.parametrize("momentum", [0.0, -0.5])
def test_nesterov_without_a_momentum_is_refused(momentum: float) -> None:
    """As torch does."""
    with pytest.raises(ValueError) as raised:
        OptimizerSettings(momentum=momentum, nesterov=True)
    assert str(raised.value) == "nesterov needs a momentum above 0"
    with pytest.raises(ValueError):
        torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=momentum, nesterov=True)
    assert OptimizerSettings(momentum=0.5, nesterov=True).arguments["nesterov"]
