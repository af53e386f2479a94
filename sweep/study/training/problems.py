"""What is wrong with the loss and the metric of a model on a table."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.base.errors import did_you_mean
from sweep.study.registries.entry import alternatives
from sweep.study.registries.losses import LOSSES, SCORES
from sweep.study.settings import StudyConfig

_OF_OWN_CODE = "of training code of your own, give loop = 'module:function' or a command too"


def training_problems(config: StudyConfig) -> Iterator[tuple[str, object, str]]:
    """Keys, values, and what is wrong with them."""
    if config.own_code is not None:
        return
    loss, named = LOSSES[config.training.loss], config.metric.removeprefix("val_")
    if "metric" in config.model_fields_set:
        kinds = {name: entry.is_of_classes for name, entry in LOSSES.items()}
        kinds |= {name: entry.is_of_classes for name, entry in SCORES.items()}
        able = [name for name, kind in kinds.items() if kind == loss.is_of_classes]
        if loss.is_of_classes:
            able = [name for name in able if name == loss.name or name in SCORES]
        if named not in able:
            near = did_you_mean(named, able)
            text = f"with the loss {loss.name} it is {alternatives(able)}{near}; {_OF_OWN_CODE}"
            if kinds.get(named) and not loss.is_of_classes:
                text = f"is of classes, but the loss {loss.name} is not: {_remedy(named)}"
            yield "metric", config.metric, text
            return
    if "direction" in config.model_fields_set:
        wanted = "maximize" if config.measure.maximize else "minimize"
        if config.direction != wanted:
            text = f"of {named} it is {wanted}: leave it out"
            yield "direction", config.direction, text


def _remedy(metric: str) -> str:
    loss = metric if metric in LOSSES else "cross_entropy"
    return f'give --loss {loss}, or in a study file [training] loss = "{loss}"'
