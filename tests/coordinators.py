"""Coordinators of studies, without a run around them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import optuna
from storages import new_study

from sweep.search.coordinator import Coordinator
from sweep.search.trials import StudyReader, Trial
from sweep.study.settings import StudyConfig
from sweep.training.workers.time_limit import TimeLimit


def untrained(trials: int, epochs: int = 2) -> StudyConfig:
    """Trials of one schedule, that nothing stops."""
    about = {"sampler": "random", "pruner": {"name": "none"}, "space": {"scheduler": "cosine"}}
    return StudyConfig.model_validate({"trials": trials, "epochs": epochs, **about})


def coordinator_of(
    study: optuna.Study,
    config: StudyConfig,
    owner: str = "here:/studies/mine",
    on_finished: Callable[[Trial], None] = lambda trial: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Coordinator:
    """One on a storage that others may work on, too."""
    return Coordinator(
        StudyReader(study, config),
        owner=owner,
        shared=True,
        trials=config.trials,
        variance=0.0,
        weights=None,
        on_finished=lambda trial, status: on_finished(trial),
        on_tick=lambda status: None,
        on_note=on_note,
        deadline=math.inf,
        limit=TimeLimit(),
        stop=threading.Event(),
    )


KILLED = """
import dataclasses, os, signal, sys
from fake_pool import Pool
from coordinators import coordinator_of, new_study, untrained

study = new_study(sys.argv[1])
shown = []

def show(trial):
    shown.append(trial)
    print(trial.number, trial.value, flush=True)

class Killing(Pool):
    def send(self, index, orders):
        if len(shown) >= 20 and len(study._storage.unwritten_ends) >= 2:
            os.kill(os.getpid(), signal.SIGKILL)
        super().send(index, orders)

    def wait(self, timeout):
        return [(index, dataclasses.replace(answer, results=[
            dataclasses.replace(each, value=each.number + each.epoch / 10, averaged=None)
            for each in answer.results
        ])) for index, answer in super().wait(timeout)]

print("begun", flush=True)
coordinator_of(study, untrained(500), on_finished=show).run(Killing(8, 1, []))
"""
"""Kills itself when 20 trials have been shown and others have ended unwritten."""

__all__ = ["KILLED", "coordinator_of", "new_study", "untrained"]
