"""Optimizers over a leading lane axis: torch's arithmetic with numbers of each lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.training.contract import OptimizerSettings

Numbers = NDArray[np.float32]
"""Of each lane, (lanes,), or of each step and lane, (steps, lanes); float32."""


@dataclass(frozen=True)
class StepNumbers:
    """What the lanes' optimizers need in an epoch, beside gradients.

    Args:
        decay: What an optimizer with decoupled decay multiplies the weights with before its
            update, or else what the weights are multiplied with to be added to the gradient.
        own: Those that the optimizer's entry names, without those that no lane needs.
    """

    decay: Numbers
    own: Mapping[str, Numbers]

    def of(self, lanes: slice) -> StepNumbers:
        """Those of some of the lanes."""
        own = {name: values[..., lanes] for name, values in self.own.items()}
        return StepNumbers(self.decay[..., lanes], own)

    def needed(self, optimizer: str) -> dict[str, Numbers]:
        """What an update is computed with: `own`, and `decay` if any lane has one."""
        nothing = 1.0 if OPTIMIZERS[optimizer].decoupled else 0.0
        decay = {"decay": self.decay} if (self.decay != nothing).any() else {}
        return {**self.own, **decay}


def step_numbers(
    settings: Sequence[OptimizerSettings],
    rates: NDArray[np.float64],
    first_steps: Sequence[int],
) -> StepNumbers:
    """The numbers of one epoch.

    Args:
        settings: One per lane, all of the same name.
        rates: Learning rates, (steps, lanes) float64.
        first_steps: Steps that each lane has taken before.
    """
    entry = OPTIMIZERS[settings[0].name]
    each = [lane.arguments for lane in settings]
    given = {name: np.array([arguments[name] for arguments in each]) for name in each[0]}
    taken = np.arange(1, len(rates) + 1)[:, None] + np.asarray(first_steps)  # (steps, lanes)
    known = SimpleNamespace(**given, lr=rates, step=taken)
    own = {name: number(known) for name, number in entry.numbers.items()}
    decay = given.get("weight_decay", np.zeros(len(settings)))
    return StepNumbers(
        _single(1 - rates * decay if entry.decoupled else decay),
        {name: _single(values) for name, values in own.items() if values is not None},
    )


def _single(values: NDArray[np.float64]) -> Numbers:
    return np.ascontiguousarray(values, dtype=np.float32)


def new_states(name: str, lanes: int, width: int, device: torch.device) -> list[Tensor]:
    """The zero states that lanes start from, such as SGD's velocity.

    Returns:
        As many as the optimizer has, each (lanes, width) float32.
    """
    return [torch.zeros(lanes, width, device=device) for _ in OPTIMIZERS[name].states]


def update(
    optimizer: str,
    parameters: Tensor,
    gradients: Tensor,
    states: Sequence[Tensor],
    numbers: Mapping[str, Tensor],
) -> None:
    """Change parameters and states of several lanes in place.

    Args:
        optimizer: Its name.
        parameters: (lanes, width) float32.
        gradients: (lanes, width) float32; may be overwritten.
        states: As `new_states` gives them.
        numbers: The needed ones of this step by name, each (lanes, 1) float32.
    """
    entry, decay = OPTIMIZERS[optimizer], numbers.get("decay")
    if decay is not None and entry.decoupled:
        parameters.mul_(decay)
    elif decay is not None:
        gradients.addcmul_(parameters, decay)
    own = SimpleNamespace(**{name: numbers.get(name) for name in entry.numbers})
    entry.update(parameters, gradients, states, own)


class LaneOptimizer:
    """Takes an epoch's steps with flat parameters of several lanes.

    Args:
        name: The optimizer's.
        numbers: Of this epoch.
        states: As `new_states` gives them; changed in place.
        device: Where the parameters are.
    """

    def __init__(
        self, name: str, numbers: StepNumbers, states: Sequence[Tensor], device: torch.device
    ) -> None:
        self._name = name
        self._states = states

        def put(values: Numbers) -> Tensor | tuple[Tensor, ...]:
            tensor = torch.from_numpy(values).to(device).unsqueeze(-1)
            return tensor.unbind() if values.ndim == 2 else tensor  # each (lanes, 1)

        self._numbers = {name: put(values) for name, values in numbers.needed(name).items()}

    def step(self, step: int, parameters: Tensor, gradients: Tensor) -> None:
        """Change parameters and states in place.

        Args:
            step: Of this epoch, from 0.
            parameters: (lanes, width) float32.
            gradients: (lanes, width) float32; may be overwritten.
        """
        now = {
            name: number[step] if isinstance(number, tuple) else number
            for name, number in self._numbers.items()
        }
        update(self._name, parameters, gradients, self._states, now)
