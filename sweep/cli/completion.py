"""What the shell completes when Tab is pressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path


def complete_study(incomplete: str) -> list[str]:
    """Studies that can be run."""
    from sweep.study.locations import shipped_studies

    names = {*shipped_studies(), *(path.stem for path in Path("studies").glob("*.toml"))}
    return sorted(name for name in names if name.startswith(incomplete))


def complete_results(incomplete: str) -> list[str]:
    """Studies that have been run."""
    names = (path.parent.name for path in Path("studies").glob("*/study.toml"))
    return sorted(name for name in names if name.startswith(incomplete))


def completing(names: Iterable[str]) -> Callable[[str], list[str]]:
    """What completes a name of a registry, in its order."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def complete_scheduler(incomplete: str) -> list[str]:
    """Schedules, in the order of the registry."""
    from sweep.schedules.schedule import SHAPES

    return [name for name in SHAPES if name.startswith(incomplete)]
