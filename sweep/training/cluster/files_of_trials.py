"""Which files a trial goes on from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sweep.training.contract import TrialSpec
from sweep.training.workers.messages import WorkerSetup


def watched(setup: WorkerSetup) -> tuple[Path, ...]:
    """The folders that workers write to."""
    own = (setup.loop and setup.loop.checkpoints, setup.loop and setup.loop.folders)
    command = (setup.command and setup.command.folders,)
    return tuple(folder for folder in (*own, *command) if folder)


def places_of(setup: WorkerSetup, spec: TrialSpec, known: Iterable[Path]) -> list[Path]:
    """A trial's own files and folders.

    Args:
        setup: What workers are given.
        spec: The trial.
        known: The files in the folder of checkpoints.
    """
    name = spec.name or str(spec.number)
    folders = (setup.loop and setup.loop.folders, setup.command and setup.command.folders)
    places = [folder / name for folder in folders if folder]
    return [*places, *(path for path in known if path.name.startswith(f"{spec.number}-"))]


def checkpoints(setup: WorkerSetup) -> list[Path]:
    """The files that there are in the folder of checkpoints."""
    folder = setup.loop.checkpoints if setup.loop else None
    return [*folder.iterdir()] if folder and folder.is_dir() else []


def contents(places: Iterable[Path]) -> dict[Path, bytes]:
    """What is in files and folders."""
    found: dict[Path, bytes] = {}
    for place in places:
        for path in place.rglob("*") if place.is_dir() else [place]:
            if path.is_file():
                found[path] = path.read_bytes()
    return found
