"""Find a training loop of the user's own, and what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sweep.base.errors import InputError, did_you_mean
from sweep.base.user_code import as_a_script, load_object, look_in
from sweep.base.wording import verb
from sweep.schedules.schedule import Schedule
from sweep.training.contract import LoopSettings, TrialSpec
from sweep.training.generators import seed_generators
from sweep.training.own_loop.by_value import received
from sweep.training.own_loop.trial import OwnTrial

_CALL = "train(schedule, *, epochs, seed, device)"


@dataclass(frozen=True)
class Returned:
    """The metric of a loop that yields nothing: it has trained to its end."""

    value: Any


@dataclass(frozen=True)
class Loop:
    """A training loop that can be called.

    Args:
        function: The generator function.
        arguments: Keyword arguments that are the same for every trial.
        names: The parameters that it takes beside the schedule.
        takes_all: Whether it takes any other, too.
        yields: Whether it is known to be a generator function.
        file: Where it is defined, if that is known.
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    names: frozenset[str]
    takes_all: bool
    yields: bool
    file: str | None

    @property
    def takes_state(self) -> bool:
        """Whether it can go on from what it has yielded."""
        return "state" in self.names

    @property
    def takes_trial(self) -> bool:
        """Whether it wants to know its trial."""
        return "trial" in self.names

    def start(
        self,
        schedule: Schedule,
        spec: TrialSpec,
        settings: LoopSettings,
        state: Any = None,
        trial: OwnTrial | None = None,
    ) -> Iterator[Any]:
        """A trial's generator, from everything random in a state that derives from the seed.

        Args:
            schedule: The trial's, which knows it.
            spec: The trial.
            settings: Those of its horizon.
            state: What the loop had yielded when it was interrupted; None at its beginning.
            trial: What the loop may be told of it.
        """
        seed_generators(spec.seed)
        own: dict[str, Any] = {"seed": spec.seed, **_length(settings), **spec.params}
        given = {key: value for key, value in own.items() if self.takes_all or key in self.names}
        given |= {"state": state} if self.takes_state else {}
        given |= {"trial": trial} if self.takes_trial else {}
        if self.yields:
            generator: Iterator[Any] = self.function(schedule, **self.arguments, **given)
            return generator
        return self._called(schedule, given)

    def _called(self, schedule: Schedule, given: Mapping[str, Any]) -> Iterator[Any]:
        """What a function makes that is no generator itself: it may return one, or its metric."""
        made = self.function(schedule, **self.arguments, **given)
        if isinstance(made, Iterator):
            yield from made
        else:
            yield Returned(made)


def load_loop(settings: LoopSettings, folders: tuple[Path, ...], device: torch.device) -> Loop:
    """Import a training loop and look at what it takes.

    Of `epochs`, `seed`, `device`, `state`, `trial`, `horizon`, `evaluate_every` and the study's
    own parameters it is given those that it takes. Its module finds its neighbours and its
    arguments as a script does that is called with none.

    Args:
        settings: Its name, and what it is called with.
        folders: Where the user's own modules are.
        device: What it trains on.

    Raises:
        InputError: It cannot be imported, is no function, needs something else, or takes no
            parameter of its own that the study searches.
    """
    name = settings.reference
    look_in(folders)
    with as_a_script(name, folders):
        if settings.code is None:
            function = load_object(name, folders)
        else:
            function = received(settings.code)
    if not callable(function):
        raise InputError(
            f"{name}: expected a generator function {_CALL} that yields its validation metric "
            f"once an epoch, but it is {function!r}"
        )
    offered: dict[str, Any] = {"device": device}
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
        known = {*offered, *_length(settings), "seed", "state", "trial", *settings.params}
        if not variable and parameter.default is parameter.empty and parameter.name not in known:
            near = did_you_mean(parameter.name, known)
            raise InputError(
                f"{name}: has the parameter {parameter.name!r} without a default{near}; a loop is "
                f"given {', '.join(sorted(known))}"
            )
    missing = [key for key in settings.params if key not in names]
    if missing and not takes_all and "trial" not in names:
        raise InputError(
            f"{name}: does not take {', '.join(missing)}, which [space.params] searches; give it "
            f"{verb(len(missing), 'an argument of that name', 'arguments of these names')}"
        )
    return Loop(
        function=function,
        arguments={key: value for key, value in offered.items() if takes_all or key in names},
        names=frozenset(names),
        takes_all=takes_all,
        yields=_yields(function),
        file=inspect.getsourcefile(inspect.unwrap(function))
        if inspect.isroutine(function)
        else None,
    )


def _length(settings: LoopSettings) -> dict[str, Any]:
    """What a loop is told of how long it trains."""
    if settings.horizon is None:
        return {"epochs": settings.epochs}
    counted = {"horizon": settings.horizon, "evaluate_every": settings.evaluate_every}
    return {"epochs": settings.epochs, **counted}


def _yields(function: Callable[..., Any]) -> bool:
    """Whether it is a generator function, a decorated one, or an object that is called like one."""
    called = type(function).__call__ if not inspect.isroutine(function) else function
    forms = (function, inspect.unwrap(function), called)
    return any(map(inspect.isgeneratorfunction, forms))
