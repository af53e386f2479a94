"""Memory that a worker takes with many lanes and many rows."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import resource, sys
import torch
from sweep.training.models import build_model
from sweep.schedules.schedule import Schedule
from sweep.study.sections import ModelConfig
from sweep.training.contract import OptimizerSettings, TrainingData, TrainingSettings, TrialSpec
from sweep.training.lanes.engine import VectorizedEngine

torch.set_num_threads(1)
x = torch.rand(106_000, 3)
y = x.sum(1)
data = TrainingData(x[:6_000], y[:6_000], x[6_000:], y[6_000:], 1.0)
config = ModelConfig(name="order-pre")
engine = VectorizedEngine(
    data,
    lambda seed: build_model(config, 3, seed),
    TrainingSettings(1, 4096),
    lanes=64,
    kernel=sys.argv[1],
)
for number in range(64):
    engine.add(TrialSpec(number, 0, Schedule("cosine", lr=0.01), OptimizerSettings()))
assert len(engine.train_epoch()) == 64
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("kernel", ["native", "eager"])
def test_64_lanes_of_order_pre_on_100_000_rows_stay_below_3_gib(kernel: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kernel], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 3 * 2**30
