"""How many lanes a GPU gets, with a stand-in for its memory and its clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from twins import CONFIGS as MODELS
from twins import MSE_ALONE, builder, make_data, settings

from sweep.training.contract import TrainingData
from sweep.training.lanes.captured import CapturedTrainer, run_again
from sweep.training.lanes.eager import LaneTrainer
from sweep.training.lanes.lane_count import MOST, epoch_secs, lane_count
from sweep.training.lanes.stacked_model import StackedModel
from sweep.training.lanes.survey import survey

GIB = 2**30


class Gpu:
    """A GPU of 80 GiB, on which a lane takes 8 MiB in a step and others hold some.

    Args:
        held: By others, in bytes.
        secs: Of an epoch, of a number of lanes.
        fails_at: Lanes whose allocation fails, whatever is free.
    """

    def __init__(self, held: int, secs: Callable[[int], float], fails_at: int = 10**9) -> None:
        self._held, self._secs, self._fails_at = held, secs, fails_at
        self._lanes = 0
        self.tried: list[int] = []

    def train(self, lanes: int) -> float:
        self.tried.append(lanes)
        self._lanes = lanes
        if lanes >= self._fails_at or self.free() < 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._secs(lanes)

    def free(self) -> int:
        return 80 * GIB - self._held - self._lanes * GIB // 128


@pytest.mark.parametrize(
    ("secs", "expected"),
    [
        (lambda lanes: 1.0, MOST),  # launches are all the time there is
        (lambda lanes: float(lanes), 16),  # the GPU is busy with 16
        (lambda lanes: max(1.0, lanes / 100), 256),
        (lambda lanes: max(1.0, lanes / 320), 512),
        (lambda lanes: max(1.0, lanes / 20), 32),
        (lambda lanes: max(1.0, lanes / 70), 64),
    ],
)
def test_more_lanes_are_tried_while_they_pay(secs: Callable[[int], float], expected: int) -> None:
    gpu = Gpu(0, secs)
    assert lane_count(gpu.train, gpu.free) == expected
    assert len(gpu.tried) <= 5 and len({*gpu.tried}) == len(gpu.tried)


@pytest.mark.parametrize(
    ("held", "expected"),
    [(0, 1024), (40, 1024), (74, 512), (76, 256), (78, 128), (79, 64), (79.5, 32)],
)
def test_what_others_hold_is_noticed(held: float, expected: int) -> None:
    gpu = Gpu(int(held * GIB), lambda lanes: 1.0)
    assert lane_count(gpu.train, gpu.free) == expected
    assert gpu.free() >= 0, "an allocation was tried that had to fail"


def test_an_allocation_that_fails_is_not_tried_again() -> None:
    gpu = Gpu(0, lambda lanes: 1.0, fails_at=64)
    assert lane_count(gpu.train, gpu.free) == 32
    assert gpu.tried == [16, 64, 32]
    assert lane_count(Gpu(0, lambda lanes: 1.0, fails_at=1).train, gpu.free) == 1


def test_no_more_lanes_are_tried_than_there_will_be() -> None:
    gpu = Gpu(0, lambda lanes: 1.0)
    assert lane_count(gpu.train, gpu.free, most=128) == 128
    assert max(gpu.tried) == 128


def test_an_epoch_is_measured_by_some_of_its_steps(one_thread: None) -> None:
    data, build, shared = make_data(900), builder(MODELS["mlp"]), settings(7)
    known = survey(build, data.x_train, data.y_train, MSE_ALONE)
    stacked = StackedModel(build(0), MSE_ALONE)
    seen: list[int] = []

    def trainer(few: TrainingData) -> LaneTrainer:
        seen.append(len(few.x_train))
        floats = known.floats_per_row
        return CapturedTrainer(few, shared, stacked, floats, run_again, lambda _: None)

    measured = epoch_secs(trainer, data, shared, stacked, build(0), known)
    assert 0 < measured(2) < 600
    assert measured(4) > 0
    assert seen == [24 * 7] * 2
