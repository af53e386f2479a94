"""Rows of any shape, losses and metrics of the user's own, and augmentation: in all engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from twins import (
    EPOCHS,
    FEATURES,
    RTOL,
    Kernel,
    assert_same_courses,
    make_data,
    own,
    settings,
    spec,
    train,
)

from sweep.base.errors import InputError, ModelError
from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric
from sweep.training.build import check_training
from sweep.training.contract import TrainingData, TrainingSettings, TrialError
from sweep.training.criterion import Criterion
from sweep.training.examine.anatomy import examine
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.lanes.survey import survey
from sweep.training.sequential import SequentialEngine

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS, OTHERS = 70, 23
KERNELS: tuple[Kernel, ...] = ("eager", "captured")
FUNCTIONS = """
import numpy as np
import torch

def focal(predictions, targets):
    logs = predictions.log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1)
    return -((1 - logs.exp()) ** 2 * logs).mean()

def quantiles(predictions, targets):
    shares = torch.tensor([0.1, 0.5, 0.9])
    off = targets[..., None] - predictions
    return torch.maximum(shares * off, (shares - 1) * off).mean()

def widest(predictions, targets):
    return float(np.abs((predictions - targets).numpy()).max())

def correlation(predictions, targets):
    both = torch.stack([predictions.flatten(), targets.flatten()])
    return torch.corrcoef(both)[0, 1].item()

def unmapped(predictions, targets):
    off = (predictions - targets).square()
    return off.mean() if off.mean().item() > 0 else off.sum()

def vector(predictions, targets):
    return (predictions - targets).square()

def number(predictions, targets):
    return (predictions - targets).square().mean().item()

def detached(predictions, targets):
    return (predictions.detach() - targets).square().mean()

def constant(predictions, targets):
    return torch.ones((), requires_grad=True) * 2

def undefined(predictions, targets):
    return (predictions - targets).square().mean() * float("nan")

def changing(predictions, targets):
    return (predictions - targets.mul_(0)).square().mean()

def broken(predictions, targets):
    raise KeyError("no such thing")

def noisy(x, seed):
    return x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))

def mirrored(x, seed):
    return torch.where(torch.rand(len(x), *[1] * (x.dim() - 1)) < 0.5, x.flip(-1), x)

def shorter(x, seed):
    return x[1:]

def unseeded(x, seed):
    return x + torch.from_numpy(np.random.default_rng().normal(size=x.shape)).float()

def infinite(x, seed):
    return x / 0

def unmade(predictions, targets):
    if len(targets) in (6, 23):
        raise ValueError("six rows")
    return ((predictions - targets) ** 2).mean()

def failing(x, seed):
    if len(x) == 6:
        raise ValueError("six rows")
    return x
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "own_functions_of_tests.py").write_text(FUNCTIONS)
    return folder


def named(function: str) -> str:
    return f"own_functions_of_tests:{function}"


class Tokens(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 8)
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Conv1d(8, 8, 3, padding=1)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(self.norm(self.embedding(x)).transpose(1, 2)).transpose(1, 2)
        y: Tensor = self.out(self.drop(torch.relu(mixed)))  # (rows, tokens, outputs)
        return y


class Pooled(Tokens):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean(1)


def image_net(outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(36, outputs),
    )


def series_net(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv1d(9, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, outputs))


def drawn() -> tuple[Tensor, Tensor, Tensor]:
    """Images (rows, 2, 6, 6), series (rows, 9, 4), and token ids (rows, 9) of 7 words."""
    generator = torch.Generator().manual_seed(0)
    rows = ROWS + OTHERS
    images = torch.randn(rows, 2, 6, 6, generator=generator)
    series = torch.randn(rows, 9, 4, generator=generator)
    return images, series, torch.randint(7, (rows, 9), generator=generator)


@dataclass(frozen=True)
class Case:
    """Rows, and the model that learns from them."""

    x: Tensor
    y: Tensor
    net: Callable[[], nn.Module]
    classes: int = 0

    @property
    def data(self) -> TrainingData:
        x, y = self.x, self.y
        return TrainingData(
            x[:ROWS], y[:ROWS], x[ROWS:], y[ROWS:], 2.0, target_mean=0.5, classes=self.classes
        )


def cases() -> dict[str, Case]:
    images, series, tokens = drawn()
    sums = images.mean((2, 3)) + images[:, :, 0, 0]  # (rows, 2)
    kinds = torch.bucketize(sums[:, 0].contiguous(), torch.tensor([-0.5, 0.5]))
    tags = (tokens + tokens.roll(1, 1)) % 3  # (rows, 9)
    return {
        "images, a number": Case(images, sums[:, 0], lambda: image_net(1)),
        "images, numbers": Case(images, sums, lambda: image_net(2)),
        "images, classes": Case(images, kinds, lambda: image_net(3), 3),
        "images, labels": Case(images, (sums > 0).float(), lambda: image_net(2), 2),
        "series, a number": Case(series, series[:, -1].sum(1), lambda: series_net(1)),
        "series, quantiles": Case(series, series[:, -1].sum(1), lambda: series_net(3)),
        "tokens, classes": Case(tokens, tags[:, 0], lambda: Pooled(3), 3),
        "tokens, tags": Case(tokens, tags, lambda: Tokens(3), 3),
    }


CASES = cases()
OF_NUMBERS = ["images, a number", "images, numbers", "series, a number"]
COMBINATIONS: list[tuple[str, str, str, str]] = [
    *((case, "mse", "", "") for case in OF_NUMBERS),
    ("images, numbers", "mae", "r2", ""),
    ("images, numbers", "huber", "mse", ""),
    ("images, numbers", "mse", "correlation", "noisy"),
    ("series, a number", "mse", "widest", ""),
    ("series, quantiles", "quantiles", "", ""),
    ("images, classes", "cross_entropy", "accuracy", "mirrored"),
    ("images, classes", "focal", "accuracy", ""),
    ("images, labels", "binary_cross_entropy", "", ""),
    ("tokens, classes", "cross_entropy", "", ""),
    ("tokens, tags", "cross_entropy", "accuracy", ""),
    ("tokens, tags", "focal", "", "mirrored"),
]
"""Rows, a loss, a metric and an augmentation."""

BUILT_IN = ("", "mse", "r2", "mae", "huber", "accuracy", "cross_entropy", "binary_cross_entropy")
MORE_IS_BETTER = ("r2", "accuracy", "correlation")


def shared(folder: Path, loss: str, metric: str = "", augment: str = "") -> TrainingSettings:
    return replace(
        settings(),
        loss=loss if loss in BUILT_IN else named(loss),
        metric=Metric(f"val_{metric or loss}", metric in MORE_IS_BETTER),
        scored_by="" if metric in BUILT_IN else named(metric),
        augment=named(augment) if augment else "",
        folders=(folder,),
    )


@pytest.mark.parametrize(("case", "loss", "metric", "augment"), COMBINATIONS)
def test_engines_agree(case: str, loss: str, metric: str, augment: str, folder: Path) -> None:
    one, own_settings = CASES[case], shared(folder, loss, metric, augment)
    specs = [spec(0), spec(1, 4), spec(2, 4, Schedule("plateau", 0.05))]
    build = own(one.net)
    together = {0: specs, 1: [spec(3, 5)]}
    assert_same_courses(build, together, own_settings, one.data, kernels=KERNELS)
    shared_rows = {0: [spec(0, 3)]}
    assert_same_courses(build, shared_rows, own_settings, one.data, kernels=KERNELS)
    engine = VectorizedEngine(one.data, build, own_settings)
    twin = SequentialEngine(one.data, build, own_settings)
    for each in (engine, twin):
        for trial in specs:
            each.add(trial)
    for ours, theirs in zip(train(engine), train(twin), strict=True):
        assert ours.metrics.keys() == theirs.metrics.keys()
        assert ours.metrics == pytest.approx(theirs.metrics, rel=RTOL)


@pytest.mark.slow
def test_one_compiled_step_is_for_any_shape(folder: Path) -> None:
    one = CASES["tokens, tags"]
    engine = VectorizedEngine(
        one.data, own(one.net), shared(folder, "cross_entropy"), kernel="compiled"
    )
    twin = SequentialEngine(one.data, own(one.net), shared(folder, "cross_entropy"))
    for each in (engine, twin):
        each.add(spec(0))
        each.add(spec(1, 4))
    for _ in range(2):
        for ours, theirs in zip(train(engine), train(twin), strict=True):
            assert ours.value == pytest.approx(theirs.value, rel=RTOL)
    assert not engine.notes


def test_values_are_torchs_over_all_that_a_target_holds(folder: Path) -> None:
    one = CASES["tokens, tags"]
    engine = SequentialEngine(one.data, own(one.net), shared(folder, "cross_entropy"))
    engine.add(spec(0))
    (result,) = train(engine)
    model = own(one.net)(0)
    model.load_state_dict(engine.weights(0))
    with torch.no_grad():
        output = model.eval()(one.data.x_validation)
    truth = one.data.y_validation
    expected = nn.functional.cross_entropy(output.transpose(1, 2), truth).item()
    assert result.value == pytest.approx(expected, rel=RTOL)
    right = (output.argmax(-1) == truth).double().mean().item()
    assert result.metrics["val_accuracy"] == pytest.approx(right)


def test_a_metric_of_ones_own_sees_all_rows_in_target_units(folder: Path) -> None:
    one = CASES["images, numbers"]
    engine = SequentialEngine(one.data, own(one.net), shared(folder, "mse", "widest"))
    engine.add(spec(0))
    (result,) = train(engine)
    model = own(one.net)(0)
    model.load_state_dict(engine.weights(0))
    with torch.no_grad():
        off = model.eval()(one.data.x_validation) - one.data.y_validation
    assert result.value == pytest.approx(2.0 * off.abs().max().item(), rel=RTOL)
    assert result.metrics["val_mse"] == pytest.approx(4.0 * off.square().mean().item(), rel=RTOL)


def test_averaged_weights_have_their_own_accuracy(folder: Path) -> None:
    one = CASES["images, classes"]
    wanted = replace(shared(folder, "cross_entropy"), objective="averaged")
    engine = VectorizedEngine(one.data, own(one.net), wanted)
    engine.add(spec(0))
    for _ in range(EPOCHS):
        (result,) = train(engine)
    assert {*result.metrics} == {"val_accuracy", "averaged_val_accuracy"}


def test_a_loss_that_cannot_be_mapped_is_named(folder: Path) -> None:
    one = CASES["images, a number"]
    criterion = Criterion.of(shared(folder, "unmapped"), one.data)
    reason = survey(own(one.net), one.data.x_train, one.data.y_train, criterion).reason
    assert reason == f"the loss {named('unmapped')}: it reads a tensor's value with .item()"


@pytest.mark.parametrize(
    ("loss", "metric", "augment", "expected"),
    [
        ("vector", "", "", r"returned a tensor of shape \(32,\) .* expected a scalar tensor"),
        (
            "broken",
            "",
            "",
            r"loss = 'own.*:broken': failed on predictions of shape \(32,\)",
        ),
        ("number", "", "", "an object of type float for .* without .item()"),
        ("detached", "", "", "loss = 'own.*:detached': has no gradient with respect to the pred"),
        ("constant", "", "", "loss = 'own.*:constant': has no gradient with respect to the pred"),
        ("undefined", "", "", "loss = 'own.*:undefined': is nan for predictions of shape"),
        ("changing", "", "", "loss = 'own.*:changing': changes its targets in place"),
        ("mse", "undefined", "", "metric = 'own.*:undefined': is nan for predictions of shape"),
        ("mse", "", "infinite", "returned values that are not finite"),
        ("mse", "broken", "", r"metric = 'own.*:broken': failed on predictions of shape \(23,\)"),
        ("mse", "vector", "", r"metric = 'own.*:vector': failed on predictions of shape \(23,\)"),
        ("mse", "", "shorter", r"returned shape \(31, 2, 6, 6\) and type torch.float32 on cpu for"),
        ("mse", "", "unseeded", "gives something else for the same batch and seed; draw with"),
        ("mse", "", "missing", "data.augment = 'own.*:missing': module .* has no 'missing'"),
        ("missing", "", "", "training.loss = 'own.*:missing': module .* has no 'missing'"),
        ("mse", "accuracy", "", "metric 'accuracy' is of classes, which this target does not hold"),
    ],
)
def test_what_fails_is_said_before_anything_is_trained(
    loss: str, metric: str, augment: str, expected: str, folder: Path
) -> None:
    one, wanted = CASES["images, a number"], shared(folder, loss, metric, augment)
    with pytest.raises(InputError, match=expected):
        check_training(own(one.net)(0), one.data, wanted, Criterion.of(wanted, one.data))


@pytest.mark.parametrize("loss", ["number", "vector"])
def test_a_check_of_a_loss_that_fails_says_why(loss: str, folder: Path) -> None:
    one, wanted = CASES["images, a number"], shared(folder, loss)
    found = examine(own(one.net)(0), one.data, wanted)
    (problem,) = found.problems
    assert "expected a scalar tensor" in problem and found.loss is None


def test_a_shape_of_predictions_is_checked(folder: Path) -> None:
    one, wanted = CASES["images, numbers"], shared(folder, "mse")
    net = own(lambda: image_net(3))(0)
    with pytest.raises(ModelError, match=r"returned shape \(32, 3\) .*; expected \(32, 2\)"):
        check_training(net, one.data, wanted, Criterion.of(wanted, one.data))


@pytest.mark.parametrize("kind", [SequentialEngine, VectorizedEngine])
@pytest.mark.parametrize(
    ("key", "loss", "metric", "augment"),
    [
        ("data.augment", "mse", "", "failing"),
        ("training.loss", "unmade", "mse", ""),
        ("metric", "mse", "unmade", ""),
    ],
)
def test_a_function_that_raises_ends_trials_with_its_name_and_traceback(
    key: str, loss: str, metric: str, augment: str, kind: type[Any], folder: Path
) -> None:
    one = CASES["images, a number"]  # its last batch has six rows
    engine = kind(one.data, own(one.net), shared(folder, loss, metric, augment))
    engine.add(spec(0))
    engine.add(spec(1, 4))
    results = engine.train_epoch()
    assert len(results) == 2
    for result in results:
        assert isinstance(result, TrialError)
        assert result.error == f"{key} = {named(augment or 'unmade')!r}: ValueError: six rows"
        assert "own_functions_of_tests.py" in result.traceback


def test_augmentation_changes_training_alone(folder: Path) -> None:
    data = make_data()
    net = own(lambda: nn.Linear(FEATURES, 1))
    engines = [
        SequentialEngine(data, net, shared(folder, "mse", "", augment))
        for augment in ("", "noisy", "noisy")
    ]
    results = []
    for engine in engines:
        engine.add(spec(0, 0, Schedule("constant", 1e-9)))  # which changes no weights
        results += train(engine)
    plain, augmented, again = results
    assert augmented.value == plain.value
    assert augmented.training != pytest.approx(plain.training, rel=1e-3)
    assert augmented.training == again.training


def test_with_augmentation_no_native_program_is_used(folder: Path) -> None:
    data, net = make_data(), own(lambda: nn.Sequential(nn.Linear(FEATURES, 1)))
    assert VectorizedEngine(data, net, shared(folder, "mse", "", "noisy")).kernel == "eager"
