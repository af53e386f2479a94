"""The optimizers: torch's classes, and their updates over many trials at once.

The vectorised engine trains several trials side by side: the weights of trial, or lane, i are row
i of one tensor. An entry says how torch's class changes a weight, in torch and in C, with numbers
that may differ from lane to lane. The weights' decay is not among what it says: that is the same in
all of torch's classes, but for being decoupled or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweep.study.registries.entry import Setting, by_name

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Optimizer:
    """An optimizer.

    Torch computes with Python floats and rounds when they meet a float32 tensor; so `numbers` are
    made in float64 and rounded once.

    Args:
        name: What a study file calls it.
        torch_class: In `torch.optim`.
        settings: Its keys in a study file, which are torch's names of its arguments.
        defaults: Torch's own, of settings that are None in a study file that does not say.
        decoupled: Whether the weights' decay shrinks them before the update, as in AdamW; it is
            an L2 gradient otherwise.
        states: What is kept of each weight from step to step, beginning at zero, by name.
        numbers: What the update is computed with, by name. Each is a function of the lanes'
            settings: their names and values, (lanes,) or (lanes, 2) float64; `lr`, the rates of an
            epoch's steps, (steps, lanes) float64; and `step`, how many steps each lane has taken
            with this one, (steps, lanes). It returns (lanes,) or (steps, lanes), or None, which
            is 0, for what no lane needs.
        update: `(weights, gradients, states, numbers)`: changes weights and states in place, which
            are (lanes, width) float32, as the gradients are that it may overwrite. A number is
            (lanes, 1) float32 or None.
        c_update: The same in C for a single weight: `w`, its gradient `g`, and states and numbers
            by their names are floats. Weights are padded with zeros, which must stay finite.
        problem: The key of a setting that does not go with others, and why, as half a sentence.
    """

    name: str
    torch_class: str
    settings: tuple[Setting, ...]
    states: tuple[str, ...] = field(kw_only=True)
    numbers: Mapping[str, Callable[[Any], Any]] = field(kw_only=True)
    update: Callable[[Tensor, Tensor, Sequence[Tensor], Any], None] = field(kw_only=True)
    c_update: str = field(kw_only=True)
    defaults: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    decoupled: bool = field(default=False, kw_only=True)
    problem: Callable[[Mapping[str, Any]], tuple[str, str] | None] = field(
        default=lambda arguments: None, kw_only=True
    )

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Torch's arguments of the settings that are given; others have their defaults.

        Raises:
            ValueError: A setting is none of this optimizer's, or they do not go together.
        """
        known = {setting.name: setting.default for setting in self.settings}
        if foreign := [key for key in given if key not in known]:
            raise ValueError(f"{self.name} has no {foreign[0]}")
        set_here = {key: value for key, value in given.items() if value is not None}
        arguments = {**known, **self.defaults, **set_here}
        if found := self.problem(arguments):
            raise ValueError(" ".join(found))
        return arguments


_WEIGHT_DECAY = Setting("weight_decay", float, None, "torch's default by default", {"ge": 0})
_BETAS = Setting(
    "betas",
    tuple[float, float],
    (0.9, 0.999),
    "decay of the averages of the gradient and its square",
    {"ge": 0, "lt": 1},
)
_EPS = Setting("eps", float, 1e-8, "what is added to the denominator", {"gt": 0})

_LEAST = 1.1754943508222875e-38
"""The least normal float32: zeros that pad the weights are divided by `eps`."""


def _update_sgd(weights: Tensor, gradients: Tensor, states: Sequence[Tensor], n: Any) -> None:
    if n.momentum is not None:
        (velocity,) = states
        velocity.mul_(n.momentum).add_(gradients)
        # without momentum a lane's velocity is its gradient, so one formula serves all lanes
        if n.lookahead is not None:
            ahead = gradients.addcmul_(velocity, n.lookahead)
            gradients = velocity.where(n.lookahead == 0, ahead)
        else:
            gradients = velocity
    weights.addcmul_(gradients, n.rate, value=-1)


def _nesterov_problem(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    if arguments["nesterov"] and arguments["momentum"] <= 0:
        return "nesterov", "needs a momentum above 0"
    return None


SGD = Optimizer(
    "sgd",
    "SGD",
    (
        Setting("momentum", float, 0.0, "torch's momentum", {"ge": 0, "lt": 1}, True),
        Setting("nesterov", bool, False, "whether the momentum is Nesterov's", {}, True),
        _WEIGHT_DECAY,
    ),
    defaults={"weight_decay": 0.0},
    states=("velocity",),
    numbers={
        "rate": lambda s: s.lr,
        "momentum": lambda s: s.momentum if s.momentum.any() else None,
        "lookahead": lambda s: s.momentum * s.nesterov if s.nesterov.any() else None,
    },
    update=_update_sgd,
    c_update="""\
velocity = velocity * momentum + g;
w -= rate * (lookahead != 0 ? g + lookahead * velocity : velocity);""",
    problem=_nesterov_problem,
)


def _update_adam(weights: Tensor, gradients: Tensor, states: Sequence[Tensor], n: Any) -> None:
    mean, square = states
    mean.lerp_(gradients, n.gain1)
    square.mul_(n.beta2).addcmul_(gradients.square_(), n.gain2)
    spread = square.sqrt().div_(n.spread).add_(n.eps)
    weights.addcmul_(mean / spread, n.rate, value=-1)


_ADAM: dict[str, Any] = {
    "settings": (_BETAS, _EPS, _WEIGHT_DECAY),
    "states": ("mean", "square"),
    "numbers": {
        "rate": lambda s: s.lr / (1 - s.betas[:, 0] ** s.step),
        "spread": lambda s: (1 - s.betas[:, 1] ** s.step) ** 0.5,
        "gain1": lambda s: 1 - s.betas[:, 0],
        "beta2": lambda s: s.betas[:, 1],
        "gain2": lambda s: 1 - s.betas[:, 1],
        "eps": lambda s: s.eps.clip(_LEAST),
    },
    "update": _update_adam,
    "c_update": """\
mean += (g - mean) * gain1;
square = square * beta2 + g * g * gain2;
w -= rate * (mean / (sqrtf(square) / spread + eps));""",
}


def _update_rmsprop(weights: Tensor, gradients: Tensor, states: Sequence[Tensor], n: Any) -> None:
    (square,) = states
    square.mul_(n.alpha).addcmul_(gradients * gradients, n.gain)
    weights.addcmul_(gradients / square.sqrt().add_(n.eps), n.rate, value=-1)


OPTIMIZERS = by_name(
    SGD,
    Optimizer("adam", "Adam", **_ADAM, defaults={"weight_decay": 0.0}),
    Optimizer("adamw", "AdamW", **_ADAM, defaults={"weight_decay": 0.01}, decoupled=True),
    Optimizer(
        "rmsprop",
        "RMSprop",
        (
            Setting(
                "alpha", float, None, "decay of the gradient's mean square", {"ge": 0, "lt": 1}
            ),
            _EPS,
            _WEIGHT_DECAY,
        ),
        defaults={"alpha": 0.99, "weight_decay": 0.0},
        states=("square",),
        numbers={
            "rate": lambda s: s.lr,
            "alpha": lambda s: s.alpha,
            "gain": lambda s: 1 - s.alpha,
            "eps": lambda s: s.eps.clip(_LEAST),
        },
        update=_update_rmsprop,
        c_update="""\
square = square * alpha + g * g * gain;
w -= rate * (g / (sqrtf(square) + eps));""",
    ),
)
