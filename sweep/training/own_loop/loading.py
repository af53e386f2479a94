"""Find a training loop of the user's own, and what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sweep.base.errors import InputError, did_you_mean
from sweep.base.user_code import load_object
from sweep.schedules.schedule import Schedule
from sweep.training.contract import LoopSettings
from sweep.training.generators import seed_generators

_CALL = "train(schedule, *, epochs, seed, device)"


@dataclass(frozen=True)
class Loop:
    """A training loop that can be called.

    Args:
        function: The generator function.
        arguments: Keyword arguments that are the same for every trial.
        takes_seed: Whether it takes `seed`.
        takes_state: Whether it takes `state`.
        file: Where it is defined, if that is known.
    """

    function: Callable[..., Iterator[Any]]
    arguments: Mapping[str, Any]
    takes_seed: bool
    takes_state: bool
    file: str | None

    def start(self, schedule: Schedule, seed: int, state: Any = None) -> Iterator[Any]:
        """A trial's generator, from everything random in a state that derives from the seed.

        Args:
            schedule: The trial's.
            seed: The trial's.
            state: What the loop had yielded when it was interrupted; None at its beginning.
        """
        seed_generators(seed)
        own = {"seed": seed} if self.takes_seed else {}
        own |= {"state": state} if self.takes_state else {}
        return self.function(schedule, **self.arguments, **own)


def load_loop(settings: LoopSettings, folders: tuple[Path, ...], device: torch.device) -> Loop:
    """Import a training loop and look at what it takes.

    Of `epochs`, `seed`, `device`, `state`, `horizon` and `evaluate_every` it is given those that it
    takes.

    Args:
        settings: Its name, and what it is called with.
        folders: Where the user's own modules are.
        device: What it trains on.

    Raises:
        InputError: It cannot be imported, is no generator function, or needs something else.
    """
    name = settings.reference
    function = load_object(name, folders)
    if not callable(function) or not _yields(function):
        raise InputError(
            f"{name}: expected a generator function {_CALL} that yields its validation metric "
            "once an epoch, but it has no yield"
        )
    offered: dict[str, Any] = {"epochs": settings.epochs, "device": device}
    if settings.horizon is not None:
        offered |= {"horizon": settings.horizon, "evaluate_every": settings.evaluate_every}
    parameters = list(inspect.signature(function).parameters.values())
    takes_all = any(p.kind == p.VAR_KEYWORD for p in parameters)
    names = {p.name for p in parameters[1:] if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    if not parameters or parameters[0].kind in (
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    ):
        raise InputError(f"{name}: must take a schedule as its first argument: {_CALL}")
    for parameter in parameters[1:]:
        variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        known = {*offered, "seed", "state"}
        if not variable and parameter.default is parameter.empty and parameter.name not in known:
            near = did_you_mean(parameter.name, known)
            raise InputError(
                f"{name}: has the parameter {parameter.name!r} without a default{near}; a loop is "
                f"given {', '.join(sorted(known))}"
            )
    return Loop(
        function=function,
        arguments={key: value for key, value in offered.items() if takes_all or key in names},
        takes_seed=takes_all or "seed" in names,
        takes_state="state" in names,
        file=inspect.getsourcefile(inspect.unwrap(function))
        if inspect.isroutine(function)
        else None,
    )


def _yields(function: Callable[..., Any]) -> bool:
    """Whether it is a generator function, a decorated one, or an object that is called like one."""
    called = type(function).__call__ if not inspect.isroutine(function) else function
    forms = (function, inspect.unwrap(function), called)
    return any(map(inspect.isgeneratorfunction, forms))
