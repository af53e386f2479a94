"""What is wrong with a study that is to be run, beside what its file alone shows."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.base.errors import StudyFileError
from sweep.search.strategies.pruners import build_pruner
from sweep.search.strategies.samplers import build_sampler, family_plan
from sweep.study.problems import Problem, space_problems
from sweep.study.registries.entry import alternatives
from sweep.study.registries.samplers import SAMPLERS
from sweep.study.registries.trackers import TRACKERS
from sweep.study.settings import StudyConfig


def search_problems(config: StudyConfig) -> Iterator[Problem]:
    """All that would keep a study from being run: space, sampler, pruner, trackers."""
    yield from space_problems(config)
    if config.fair and SAMPLERS[config.sampling.name].fair is None:
        sampler = config.sampling.name
        why = "gives each its points" if sampler == "grid" else "models all schedulers together"
        able = alternatives(repr(name) for name, known in SAMPLERS.items() if known.fair)
        yield Problem("fair", True, f"needs sampler {able}, but {sampler} {why}")
    for name, place in config.track.places.items():
        if missing := TRACKERS[name].missing:
            yield Problem(f"track.{name}", place, missing)
    any_plan = family_plan(StudyConfig())  # the study's own space may have problems
    for build in (
        lambda: build_sampler(config.sampling, config.seed, 0, any_plan),
        lambda: build_pruner(config.pruner, config.epochs),
    ):
        try:
            build()
        except StudyFileError as problem:
            key, _, text = str(problem).partition(": ")
            yield Problem(key, None, text)
