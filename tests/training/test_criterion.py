"""Losses and metrics: both engines have the same numbers, which are torch's in target units."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from twins import (
    EPOCHS,
    FEATURES,
    RTOL,
    assert_same,
    assert_same_courses,
    assert_same_weights,
    make_data,
    own,
    settings,
    spec,
    train,
)

from sweep.base.errors import ModelError
from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric
from sweep.study.registries.losses import LOSSES, SCORES
from sweep.training.contract import (
    EpochResult,
    ModelBuilder,
    TrainingData,
    TrainingSettings,
)
from sweep.training.criterion import Criterion
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.lanes.survey import survey
from sweep.training.models import check_model, predict
from sweep.training.sequential import SequentialEngine

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = 3
PAIRS = [
    *((loss, loss) for loss in LOSSES),
    *(
        (loss.name, score.name)
        for loss in LOSSES.values()
        for score in SCORES.values()
        if loss.is_of_classes == score.is_of_classes
    ),
    ("mae", "mse"),
    ("mse", "mae"),
]
"""Losses, and what trials are compared by."""


def data_for(loss: str) -> TrainingData:
    """Numbers, or as many classes as the loss takes."""
    data, entry = make_data(), LOSSES[loss]
    if not entry.is_of_classes:
        return data
    classes = min(entry.most_classes, CLASSES)
    kind = torch.int64 if entry.whole_targets else torch.float32
    cuts = torch.linspace(-0.6, 0.6, classes + 1)[1:-1] if classes > 2 else torch.zeros(1)
    y_train, y_validation = (
        torch.bucketize(y, cuts).to(kind) for y in (data.y_train, data.y_validation)
    )
    return replace(
        data, y_train=y_train, y_validation=y_validation, target_scale=1.0, classes=classes
    )


def settings_for(loss: str, metric: str) -> TrainingSettings:
    maximize = metric in SCORES and SCORES[metric].maximize
    return replace(settings(), loss=loss, metric=Metric(f"val_{metric}", maximize))


def builder_for(data: TrainingData, loss: str) -> ModelBuilder:
    outputs = LOSSES[loss].outputs(data.classes)
    return own(
        lambda: nn.Sequential(
            nn.Linear(FEATURES, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, outputs)
        )
    )


@pytest.mark.parametrize(("loss", "metric"), PAIRS)
def test_engines_agree(loss: str, metric: str) -> None:
    data, shared = data_for(loss), settings_for(loss, metric)
    build = builder_for(data, loss)
    specs = [spec(0), spec(1, 4), spec(2, 4, Schedule("plateau", 0.05))]
    assert_same_courses(build, {0: specs, 1: [spec(3, 5)]}, shared, data)
    engine, twin = VectorizedEngine(data, build, shared), SequentialEngine(data, build, shared)
    for each in (engine, twin):
        for one in specs:
            each.add(one)
    for _ in range(EPOCHS):
        for ours, theirs in zip(train(engine), train(twin), strict=True):
            assert ours.metrics.keys() == theirs.metrics.keys()
            for name, value in theirs.metrics.items():
                assert ours.metrics[name] == pytest.approx(value, rel=RTOL)
            if LOSSES[loss].is_of_classes:
                assert rows_right(ours, data) == rows_right(theirs, data)


def rows_right(result: EpochResult, data: TrainingData) -> int:
    rows = result.metrics.get("val_accuracy", result.value) * len(data.y_validation)
    assert rows == pytest.approx(round(rows), rel=1e-12)
    return round(rows)


@pytest.mark.parametrize(("loss", "metric"), PAIRS)
def test_values_are_torchs_in_target_units(loss: str, metric: str) -> None:
    data, shared = data_for(loss), settings_for(loss, metric)
    engine = SequentialEngine(data, builder_for(data, loss), replace(shared, objective="final"))
    engine.add(spec(0))
    (result,) = train(engine)
    model = builder_for(data, loss)(0)
    model.load_state_dict(engine.weights(0))
    with torch.no_grad():
        output = model.eval()(data.x_validation)
    expected = by_hand(output, data)
    told = {f"val_{metric}": result.value, **result.metrics}
    assert set(told) >= {f"val_{loss}", f"val_{metric}"} - (
        {"val_mse"} if metric != loss else set()
    )
    for name, value in told.items():
        assert value == pytest.approx(expected[name.removeprefix("val_")], rel=RTOL), name


def by_hand(output: Tensor, data: TrainingData) -> dict[str, float]:
    """All that a loss or a metric can be of some outputs, the long way."""
    y, scale = data.y_validation, data.target_scale
    if data.classes > 2:
        shares = output.softmax(1)[torch.arange(len(y)), y]
        right = output.argmax(1) == y
        return {
            "cross_entropy": -shares.log().mean().item(),
            "accuracy": right.double().mean().item(),
        }
    if data.classes:
        p = torch.sigmoid(output[:, 0])
        entropy = -(y * p.log() + (1 - y) * (1 - p).log())
        right = (p > 0.5).float() == y
        return {
            "binary_cross_entropy": entropy.mean().item(),
            "accuracy": right.double().mean().item(),
        }
    truth, predicted = y * scale, output[:, 0] * scale
    error = predicted - truth
    others = {
        loss.name: getattr(functional, loss.function)(output[:, 0], y).item() * scale**loss.power
        for loss in LOSSES.values()
        if not loss.is_of_classes
    }
    return others | {
        "mse": error.square().mean().item(),
        "mae": error.abs().mean().item(),
        "huber": functional.huber_loss(predicted, truth, delta=scale).item(),
        "r2": (1 - error.square().sum() / (truth - truth.mean()).square().sum()).item(),
    }


@pytest.mark.parametrize("objective", ["best", "averaged"])
def test_of_a_metric_to_maximise_the_greatest_is_the_best(objective: str) -> None:
    data = data_for("cross_entropy")
    shared = replace(settings_for("cross_entropy", "accuracy"), objective=objective)  # type: ignore[arg-type]
    build = builder_for(data, "cross_entropy")
    engine, twin = VectorizedEngine(data, build, shared), SequentialEngine(data, build, shared)
    for each in (engine, twin):
        each.add(spec(0, 1, Schedule("constant", 0.5)))
    kept: list[float] = []
    for _ in range(EPOCHS):
        (result,) = train(twin)
        assert_same(train(engine), [result])
        assert_same_weights(engine, twin, 0)
        kept.append(result.averaged or 0.0) if objective == "averaged" else kept.append(
            result.value
        )
        model = build(0)
        model.load_state_dict(twin.weights(0))
        with torch.no_grad():
            predicted = model.eval()(data.x_validation).argmax(1)
        assert (predicted == data.y_validation).double().mean().item() == pytest.approx(max(kept))
    assert kept[0] != max(kept), "the first epoch is the best: nothing is tested"


def test_with_the_mse_nothing_is_told_beside_it() -> None:
    data = data_for("mse")
    engine = SequentialEngine(data, builder_for(data, "mse"), settings())
    engine.add(spec(0))
    assert train(engine)[0].metrics == {}


@pytest.mark.parametrize(
    ("classes", "shape", "expected"),
    [
        (3, (), r"shape \(7,\) for 7 rows; expected \(7, 3\), a number for each of 3 classes"),
        (3, (1,), r"shape \(7, 1\) for 7 rows; expected \(7, 3\), a number for each of 3 classes"),
        (3, (4,), r"shape \(7, 4\) for 7 rows; expected \(7, 3\), a number for each of 3 classes"),
        (3, (3, 1), r"shape \(7, 3, 1\) for 7 rows; expected \(7, 3\), a number for each"),
        (1, (3,), r"shape \(7, 3\) for 7 rows; expected \(7,\) or \(7, 1\)"),
    ],
)
def test_another_shape_is_refused(classes: int, shape: tuple[int, ...], expected: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return self.weight * torch.ones(len(x), *shape)

    x, outputs = torch.zeros(7, FEATURES), (classes,) if classes > 1 else ()
    with pytest.raises(ModelError, match=expected):
        predict(Net(), x, outputs)
    loss = "cross_entropy" if classes > 1 else "mae"
    criterion = Criterion(LOSSES[loss], loss, outputs)
    y = torch.zeros(7, dtype=torch.int64 if classes > 1 else torch.float32)
    with pytest.raises(ModelError, match=expected):
        check_model(Net(), x, y, criterion)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_trained_as_lanes(loss: str) -> None:
    data = data_for(loss)
    criterion = Criterion.of(settings_for(loss, loss), data)
    build = builder_for(data, loss)
    assert survey(build, data.x_train, data.y_train, criterion).reason is None
