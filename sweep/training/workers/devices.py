"""How many workers a study has, and which device each of them trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.base.errors import InputError
from sweep.base.wording import counted, listed
from sweep.study.settings import StudyConfig

_CUDA = "cuda"


def named_devices(name: str, gpus: int) -> tuple[str, ...]:
    """The devices that a study's `device` means, each once.

    Args:
        name: `auto`, `cpu`, `cuda` for all GPUs, `cuda:1` or `cuda:0,2`.
        gpus: CUDA devices that there are; `auto` is all of them, or else stays as it is.

    Raises:
        InputError: Some of them are not there.
    """
    every = tuple(f"{_CUDA}:{index}" for index in range(gpus))
    if name == "auto":
        return every or (name,)
    kind, _, indices = name.partition(":")
    if kind != _CUDA:
        return (name,)
    named = tuple(dict.fromkeys(f"{_CUDA}:{int(index)}" for index in indices.split(",") if index))
    lacking = [device for device in named if device not in every]
    if lacking or not every:
        there = f"{counted(gpus, 'CUDA device')}{f' ({listed(every)})' if every else ''}"
        which = f"no {listed(lacking)}: " if len(named) > 1 else ""
        raise InputError(
            f"device {name!r}: {which}this machine has {there}; use --device "
            f"{'cuda for all of them, ' if every else ''}cpu or auto"
        )
    return named or every


def device_of(worker: int, devices: Sequence[str]) -> str:
    """The device of a worker, by its index: workers take turns."""
    return devices[worker % len(devices)]


@dataclass(frozen=True)
class Share:
    """What of a machine a study's workers have.

    Args:
        workers: How many there are.
        devices: That of each; of a command, which chooses itself, what it sees.
    """

    workers: int
    devices: tuple[str, ...]

    @property
    def told(self) -> str:
        """Which worker has which GPU, in a sentence; empty where there is none."""
        gpus = dict.fromkeys(device for device in self.devices if device.startswith(_CUDA))
        having = {
            gpu: [str(i + 1) for i, device in enumerate(self.devices) if device == gpu]
            for gpu in gpus
        }
        parts = [
            f"{gpu} has worker{'s' if len(numbers) > 1 else ''} {listed(numbers)}"
            for gpu, numbers in having.items()
        ]
        return "; ".join(parts)


def share_of(config: StudyConfig, most: int, cores: int, gpus: int) -> Share:
    """How a machine is shared out to the workers of a loop, or of a model on a table.

    A GPU has one worker unless the study says how many there are: that one fills it with many
    trials, or its loop is written for a GPU of its own. The sequential engine has one a core, as
    without GPUs.

    Args:
        config: The study's settings.
        most: Workers that there is any use for.
        cores: That this process may use.
        gpus: That there are.

    Raises:
        InputError: A device is not there.
    """
    devices = named_devices(config.device, gpus)
    one_each = devices[0].startswith(_CUDA) and (config.loop or config.engine != "sequential")
    workers = min(config.workers or (len(devices) if one_each else cores), most)
    return Share(workers, tuple(device_of(index, devices) for index in range(workers)))
