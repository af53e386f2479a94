"""Which GPUs the trials of each worker see; what there is, the environment says here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sweep.base.errors import InputError
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig
from sweep.training.own_command.gpus import shared_out, spread_over, visible_gpus
from sweep.training.own_command.settings import CommandSettings


@pytest.mark.parametrize(
    ("named", "gpus"),
    [
        ("0,1, 3", ("0", "1", "3")),
        ("GPU-8f1,MIG-2a", ("GPU-8f1", "MIG-2a")),
        ("2,-1,3", ("2",)),
        ("", ()),
    ],
)
def test_what_the_environment_names_is_visible(named: str, gpus: tuple[str, ...]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": named}) == gpus


def test_each_worker_has_its_own() -> None:
    gpus = ("0", "1", "2", "5", "7")
    assert shared_out(gpus, 2, None) == ("0,1", "2,5")
    assert shared_out(gpus, 1, 3) == ("0", "1", "2")
    with pytest.raises(InputError, match="3 workers at once need 6 GPUs, and there are 5"):
        shared_out(gpus, 2, 3)
    with pytest.raises(InputError, match="1 worker at once needs 1 GPUs, and there are 0"):
        shared_out((), 1, None)


def test_where_nobody_says_how_many_each_worker_has_an_even_share() -> None:
    gpus = ("0", "2", "5")
    assert spread_over(gpus, 3) == gpus
    assert spread_over(gpus, 1) == ("0,2,5",)
    assert spread_over(gpus, 2) == ("0", "2")
    assert spread_over(gpus, 4) == ("0", "2", "5", "0")
    assert spread_over(("7", "8", "9", "GPU-1"), 2) == ("7,8", "9,GPU-1")


@pytest.mark.parametrize(
    ("visible", "workers", "expected"),
    [
        ("0,1", None, ("0", "1")),
        ("0,1", 1, ("0,1",)),
        ("0", None, ("0",)),
        ("0", 2, ("0", "0")),
        ("", None, None),
    ],
)
def test_commands_are_spread_over_the_cards(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    visible: str,
    workers: int | None,
    expected: tuple[str, ...] | None,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    config = StudyConfig(command=["true"], workers=workers)
    settings = CommandSettings.of(config, Location("s", None, tmp_path), tmp_path)
    shared = settings.shared_out(config, most=50, cores=6)
    assert shared.gpus == expected
    assert shared.workers == (len(expected) if expected else 6)
    for index, gpus in enumerate(expected or ()):
        assert shared.environment_of(index)["CUDA_VISIBLE_DEVICES"] == gpus
    assert shared.threads == (None if "OMP_NUM_THREADS" in os.environ else 6 // shared.workers)
