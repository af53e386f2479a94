"""What is wrong with the loss, the metric and the optimizer of a model on a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.base.errors import did_you_mean
from sweep.study.fields.dimensions import ends
from sweep.study.metric import is_usually_maximized, missing_direction
from sweep.study.registries.entry import alternatives, owners, together
from sweep.study.registries.losses import LOSSES, OF_CLASSES, SCORES, called, loss_of
from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.study.settings import StudyConfig

_OF_OWN_CODE = "of training code of your own, give loop = 'module:function' or a command too"


def training_problems(config: StudyConfig) -> Iterator[tuple[str, object, str]]:
    """Keys, values, and what is wrong with them."""
    if config.own_code is not None:
        return
    yield from _own_problems(config)
    if ":" in config.metric:
        return
    loss, named = loss_of(config.training.loss), config.metric.removeprefix("val_")
    if "metric" in config.model_fields_set:
        every = [*LOSSES, *SCORES]
        able = [name for name in every if (name in OF_CLASSES) == loss.is_of_classes]
        if loss.is_of_classes:
            able = [name for name in able if name == loss.name or name in SCORES]
        if loss.is_own:  # the target says which
            able = [loss.name, *every]
        if named not in able:
            near = did_you_mean(named, able)
            text = f"with the loss {loss.name} it is {alternatives(able)}{near}; {_OF_OWN_CODE}"
            if named in OF_CLASSES and not loss.is_of_classes:
                text = f"is of classes, but the loss {loss.name} is not: {_remedy(named)}"
            yield "metric", config.metric, text
            return
    if "direction" in config.model_fields_set:
        wanted = "maximize" if config.measure.maximize else "minimize"
        if config.direction != wanted:
            text = f"of {named} it is {wanted}: leave it out"
            yield "direction", config.direction, text


def _own_problems(config: StudyConfig) -> Iterator[tuple[str, object, str]]:
    """What is wrong with functions of the user's own."""
    known = {*LOSSES, *SCORES}
    loss, metric = config.training.loss, config.metric
    for key, reference in (("training.loss", loss), ("metric", metric)):
        if ":" in reference and called(reference) in known:
            text = f"in results, val_{called(reference)} is the built-in one; rename the function"
            yield key, reference, text
    if ":" not in metric:
        return
    if called(metric) == called(loss):
        yield "metric", metric, "the loss has this name, too; leave the metric out, or rename one"
    if "direction" not in config.model_fields_set and is_usually_maximized(called(metric)):
        yield "direction", None, missing_direction(called(metric))


def optimizer_problems(config: StudyConfig) -> Iterator[tuple[str, object, str]]:
    """Keys, values, and what is wrong with them: the optimizer, and what is searched of it."""
    space, names = config.space, config.optimizer.names
    yield from _rates_problems(config)
    able = owners(OPTIMIZERS, "momentum")
    if space.momentum and not set(able) & {*names}:
        text = f"{alternatives(names)} has no momentum; {alternatives(able)} has"
        yield "space.momentum", str(space.momentum), text
    momentum = ends(space.momentum)
    if not all(0 <= number < 1 for number in momentum):
        yield "space.momentum", str(space.momentum), "must be at least 0 and below 1"
    if not all(number >= 0 for number in ends(space.weight_decay)):
        yield "space.weight_decay", str(space.weight_decay), "must be at least 0"
    for name in names:
        settled = config.optimizer.of({"optimizer": name}).arguments
        if momentum and "momentum" in settled:
            settled |= {"momentum": min(momentum)}
        if found := OPTIMIZERS[name].problem(settled):
            key, text = found
            yield f"optimizer.{key}", settled[key], text


def _rates_problems(config: StudyConfig) -> Iterator[tuple[str, object, str]]:
    """What is wrong with rates that are given for each optimizer."""
    rates, names = config.space.rates, config.optimizer.names
    if not rates:
        return
    if config.own_code is not None:
        yield "space.lr", None, "give one range: training code of your own builds its optimizer"
        return
    for name in rates:
        if name not in OPTIMIZERS:
            near = did_you_mean(name, OPTIMIZERS)
            yield f"space.lr.{name}", rates[name], f"unknown optimizer{near}"
        elif name not in names:
            text = f"leave its rates out: {not_searched(name, names)}"
            yield f"space.lr.{name}", rates[name], text
    if lacking := [name for name in names if name not in rates]:
        yield (
            "space.lr",
            None,
            f"lacks the rates of {together(lacking)}: give each optimizer its own",
        )


def not_searched(name: str, names: Sequence[str]) -> str:
    """That an optimizer is none of those that trials have, and how it becomes one."""
    wider = f"--optimizer {','.join([*names, name])}"
    return f"the study's optimizer is {alternatives(names)}; to search {name}, too: {wider}"


def _remedy(metric: str) -> str:
    loss = metric if metric in LOSSES else "cross_entropy"
    return f'give --loss {loss}, or in a study file [training] loss = "{loss}"'
