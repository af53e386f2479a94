"""The running average of the weights, recomputed from the weights after each step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from twins import (
    CONFIGS,
    EPOCHS,
    FEATURES,
    KERNELS,
    OPTIMIZERS,
    ROWS,
    assert_same,
    builder,
    make_data,
    own,
    settings,
    spec,
    train,
)

from sweep.training.averaging import average_decays
from sweep.training.contract import Engine, ModelBuilder, OptimizerSettings
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.models import predict
from sweep.training.randomness import SeededDropout, row_order
from sweep.training.sequential import SequentialEngine, build_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")


def mse_by_hand(
    build: ModelBuilder, optimizer: OptimizerSettings, batch_size: int
) -> list[tuple[float, float]]:
    """Validation MSE of the weights and of their averages after each epoch of a plain loop."""
    data, wanted = make_data(), spec(0, 3, None, optimizer)
    model = build(3)
    trainable = [p for p in model.parameters() if p.requires_grad]
    steps = -(-ROWS // batch_size)
    stepper = build_optimizer(model, optimizer, wanted.schedule.lr)
    rates = wanted.schedule.rates(EPOCHS * steps)
    dropout = SeededDropout(3)
    average = parameters_to_vector(trainable).detach().double().numpy()
    t, curve = 0, []
    for epoch in range(1, EPOCHS + 1):
        model.train()
        for batch in torch.split(row_order(3, epoch, ROWS), batch_size):
            stepper.param_groups[0]["lr"] = rates[t]
            stepper.zero_grad()
            with dropout:
                dropout.start_step(t)
                prediction = predict(model, data.x_train[batch])
            nn.functional.mse_loss(prediction, data.y_train[batch]).backward()  # type: ignore[no-untyped-call]
            stepper.step()
            weights = parameters_to_vector(trainable).detach().double().numpy()
            d = min(1 - 1 / max(1, 1 * steps), (1 + t) / (10 + t))
            average = d * average + (1 - d) * weights
            t += 1
        model.eval()
        raw = parameters_to_vector(trainable).detach().clone()
        mse = []
        for vector in (torch.from_numpy(average).float(), raw):
            vector_to_parameters(vector, trainable)
            with torch.no_grad():
                errors = (predict(model, data.x_validation) - data.y_validation).square()
            mse.append(errors.mean().item() * data.target_scale**2)
        curve.append((mse[1], mse[0]))
    return curve


def engines(build: ModelBuilder, batch_size: int) -> dict[str, Engine]:
    data, shared = make_data(), settings(batch_size)
    made: dict[str, Engine] = {"sequential": SequentialEngine(data, build, shared)}
    return made | {
        kernel: VectorizedEngine(data, build, shared, kernel=kernel) for kernel in KERNELS
    }


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [11, 32, ROWS])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_engine_averages_by_the_formula(optimizer: str, batch_size: int) -> None:
    build = builder(CONFIGS["mlp"])
    expected = mse_by_hand(build, OPTIMIZERS[optimizer], batch_size)
    for name, engine in engines(build, batch_size).items():
        engine.add(spec(0, 3, None, OPTIMIZERS[optimizer]))
        curve = [train(engine)[0] for _ in range(EPOCHS)]
        got = np.array([(r.value, r.averaged) for r in curve], dtype=float)
        np.testing.assert_allclose(got, expected, rtol=1e-4, err_msg=name)
    raw, averaged = np.transpose(expected)
    assert np.allclose(raw, averaged, rtol=1e-6) == (batch_size == ROWS)


class Normed(nn.Module):
    """A batch norm, a frozen weight, and a weight used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 8)
        self.norm = nn.BatchNorm1d(8)
        self.second = nn.Linear(8, 8)
        self.second.weight.requires_grad_(False)
        self.third = nn.Linear(8, 8)
        self.third.bias = self.second.bias
        self.out = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.third(self.second(self.norm(self.first(x)).relu()).relu()))
        return y


def test_buffers_are_those_of_the_model() -> None:
    expected = mse_by_hand(own(Normed), OPTIMIZERS["momentum"], 32)
    engine = SequentialEngine(make_data(), own(Normed), settings())
    engine.add(spec(0, 3, None, OPTIMIZERS["momentum"]))
    curve = [train(engine)[0] for _ in range(EPOCHS)]
    got = np.array([(r.value, r.averaged) for r in curve], dtype=float)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_averages_move_with_their_lanes(kernel: str) -> None:
    data, build = make_data(), builder(CONFIGS["linear"])
    crowd = VectorizedEngine(data, build, settings(), lanes=1, kernel=kernel)  # type: ignore[arg-type]
    alone = SequentialEngine(data, build, settings())
    for number in range(3):  # more than there is room for at first
        crowd.add(spec(number, number))
    alone.add(spec(2, 2))
    assert_same(train(crowd)[2:], train(alone))
    crowd.remove(0)  # the last lane takes its place
    for _ in range(1, EPOCHS):
        assert_same([r for r in train(crowd) if r.number == 2], train(alone))


def test_decays_grow_to_the_span_of_an_epoch() -> None:
    decays = average_decays([0, 891], 100)
    assert decays.shape == (100, 2)
    assert decays[0, 0] == 1 / 10
    assert decays[90, 0] == 91 / 100
    assert (decays[:, 1] == 1 - 1 / 100).all()
    assert (average_decays([0, 7], 1) == 0).all()
