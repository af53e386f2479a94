"""SGD, Adam and AdamW over a leading lane axis: torch's arithmetic with numbers of each lane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sweep.training.contract import OptimizerSettings

Table = NDArray[np.float32]
"""A number per step and lane, (steps, lanes) float32."""

Column = NDArray[np.float32]
"""A number per lane, (lanes,) float32."""

_STATES = {"sgd": 1, "adam": 2, "adamw": 2}


@dataclass(frozen=True)
class StepNumbers:
    """What the lanes' optimizers need in an epoch, beside gradients.

    Torch computes with Python floats and rounds when they meet a float32 tensor; so the numbers
    here are made in float64 and rounded once.

    Args:
        rate: What an update is multiplied with: the learning rate, over Adam's first bias
            correction.
        shrink: What AdamW multiplies the weights with before its update.
        spread: The square root of Adam's second bias correction.
        momentum: Of SGD.
        lookahead: SGD's momentum where nesterov is on, else 0.
        weight_decay: The L2 gradient's weight for sgd and adam, 0 for adamw.
        gain1: Of Adam, 1 - beta1.
        beta2: Of Adam.
        gain2: Of Adam, 1 - beta2.
        eps: Of Adam.
    """

    rate: Table
    shrink: Table
    spread: Table
    momentum: Column
    lookahead: Column
    weight_decay: Column
    gain1: Column
    beta2: Column
    gain2: Column
    eps: Column


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
    adam = settings[0].name != "sgd"
    decoupled = settings[0].name == "adamw"
    decay = np.array([s.weight_decay for s in settings])
    momentum = np.array([s.momentum for s in settings])
    betas = np.array([s.betas for s in settings])  # (lanes, 2)
    taken = np.arange(1, len(rates) + 1)[:, None] + np.asarray(first_steps)  # (steps, lanes)
    corrections = 1 - betas ** taken[..., None]  # (steps, lanes, 2)
    return StepNumbers(
        rate=_single(rates / corrections[..., 0] if adam else rates),
        shrink=_single(1 - rates * decay if decoupled else np.ones_like(rates)),
        spread=_single(np.sqrt(corrections[..., 1])),
        momentum=_single(momentum),
        lookahead=_single(momentum * [s.nesterov for s in settings]),
        weight_decay=_single(decay * (not decoupled)),
        gain1=_single(1 - betas[:, 0]),
        beta2=_single(betas[:, 1]),
        gain2=_single(1 - betas[:, 1]),
        eps=_single(np.array([s.eps for s in settings])),
    )


def _single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)


def new_states(name: str, lanes: int, width: int, device: torch.device) -> list[Tensor]:
    """The zero states that lanes start from: SGD's velocity, or Adam's two moments.

    Returns:
        One or two tensors, (lanes, width) float32.
    """
    return [torch.zeros(lanes, width, device=device) for _ in range(_STATES[name])]


class LaneOptimizer:
    """Takes an epoch's steps with flat parameters of several lanes.

    Args:
        name: `sgd`, `adam` or `adamw`.
        numbers: Of this epoch.
        states: As `new_states` gives them; changed in place.
        device: Where the parameters are.
    """

    def __init__(
        self, name: str, numbers: StepNumbers, states: Sequence[Tensor], device: torch.device
    ) -> None:
        self._states = states
        self._sgd = name == "sgd"
        self._has_momentum = bool(numbers.momentum.any())
        self._has_lookahead = bool(numbers.lookahead.any())
        self._has_decay = bool(numbers.weight_decay.any())
        self._shrinks = name == "adamw" and bool((numbers.shrink != 1).any())

        def put(values: NDArray[np.float32]) -> Tensor:
            return torch.from_numpy(values).to(device).unsqueeze(-1)

        self._minus_rate = -put(numbers.rate)  # (steps, lanes, 1)
        self._shrink = put(numbers.shrink)  # (steps, lanes, 1)
        self._spread = put(numbers.spread)  # (steps, lanes, 1)
        self._momentum = put(numbers.momentum)  # (lanes, 1)
        self._lookahead = put(numbers.lookahead)  # (lanes, 1)
        self._decay = put(numbers.weight_decay)  # (lanes, 1)
        self._gain1 = put(numbers.gain1)  # (lanes, 1)
        self._beta2 = put(numbers.beta2)  # (lanes, 1)
        self._gain2 = put(numbers.gain2)  # (lanes, 1)
        self._eps = put(numbers.eps)  # (lanes, 1)

    def step(self, step: int, parameters: Tensor, gradients: Tensor) -> None:
        """Change parameters and states in place.

        Args:
            step: Of this epoch, from 0.
            parameters: (lanes, width) float32.
            gradients: (lanes, width) float32; may be overwritten.
        """
        if self._shrinks:
            parameters.mul_(self._shrink[step])
        if self._has_decay:
            gradients.addcmul_(parameters, self._decay)
        if self._sgd:
            self._step_sgd(step, parameters, gradients)
        else:
            self._step_adam(step, parameters, gradients)

    def _step_sgd(self, step: int, parameters: Tensor, gradients: Tensor) -> None:
        if self._has_momentum:
            (velocity,) = self._states
            velocity.mul_(self._momentum).add_(gradients)
            # without momentum a lane's velocity is its gradient, so one formula serves all lanes
            if self._has_lookahead:
                plain = self._lookahead == 0  # (lanes, 1)
                ahead = gradients.addcmul_(velocity, self._lookahead)
                gradients = torch.where(plain, velocity, ahead)
            else:
                gradients = velocity
        parameters.addcmul_(gradients, self._minus_rate[step])

    def _step_adam(self, step: int, parameters: Tensor, gradients: Tensor) -> None:
        mean, square = self._states
        mean.lerp_(gradients, self._gain1)
        square.mul_(self._beta2).addcmul_(gradients.square_(), self._gain2)
        spread = square.sqrt().div_(self._spread[step]).add_(self._eps)
        parameters.addcmul_(mean / spread, self._minus_rate[step])
