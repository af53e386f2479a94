"""Which GPUs the trials of each worker see; what there is, the environment says here."""

from __future__ import annotations

import pytest

from sweep.base.errors import InputError
from sweep.training.own_command.gpus import shared_out, visible_gpus


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
