"""The vectorised engine against its sequential twin, and what only it has."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sweep.errors import TrainingError
from sweep.models import MODELS, build_model
from sweep.schedules import SHAPES, Schedule
from sweep.settings import ModelConfig
from sweep.training import chain, native
from sweep.training.engine import (
    Engine,
    EpochResult,
    ModelBuilder,
    OptimizerSettings,
    TrainingData,
    TrainingSettings,
    TrialSpec,
)
from sweep.training.sequential import SequentialEngine
from sweep.training.stackable import survey, why_not_stackable
from sweep.training.trainers import default_lanes
from sweep.training.vectorized import VectorizedEngine

Kernel = Literal["eager", "native"]
KERNELS: tuple[Kernel, ...] = ("eager", "native") if shutil.which("cc") else ("eager",)
RTOL = 1e-4
ROWS, FEATURES, EPOCHS = 120, 3, 4
SGD = OptimizerSettings()
FIELDS = ("number", "epoch", "val_mse", "train_mse", "lr_first", "lr_last", "grad_norm")
OPTIMIZERS = {
    "sgd": SGD,
    "momentum": OptimizerSettings(momentum=0.9),
    "nesterov": OptimizerSettings(momentum=0.8, nesterov=True, weight_decay=1e-2),
    "adam": OptimizerSettings("adam", weight_decay=1e-2),
    "adamw": OptimizerSettings("adamw", weight_decay=1e-1, betas=(0.8, 0.99)),
}
CONFIGS = {
    "order-pre": ModelConfig(name="order-pre"),
    "mlp": ModelConfig(name="mlp", hidden=[16, 20, 8], dropout=0.25),
    "linear": ModelConfig(name="linear"),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker does
    yield
    torch.set_num_threads(threads)


def make_data(rows: int = ROWS, features: int = FEATURES) -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows + 70, features, generator=generator)
    y = (1.5 * x[:, 0]).sin() + x[:, 1] * x[:, 2] + x.sum(1) / 4
    y = (y - y.mean()) / y.std()
    return TrainingData(x[:rows], y[:rows], x[rows:], y[rows:], target_scale=3.0)


def builder(config: ModelConfig) -> ModelBuilder:
    return lambda seed: build_model(config, FEATURES, seed)


def own(make: Callable[[], nn.Module]) -> ModelBuilder:
    def build(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return make()

    return build


def settings(batch_size: int | None = 32, clip: float | None = None) -> TrainingSettings:
    return TrainingSettings(epochs=EPOCHS, batch_size=batch_size, clip=clip)


def spec(
    number: int, seed: int = 0, schedule: Schedule | None = None, optimizer: OptimizerSettings = SGD
) -> TrialSpec:
    peak = 0.05 if optimizer.name == "sgd" else 0.003
    return TrialSpec(number, seed, schedule or Schedule("cosine", peak), optimizer)


def train(engine: Engine) -> list[EpochResult]:
    results = engine.train_epoch()
    assert all(isinstance(result, EpochResult) for result in results), results
    return [result for result in results if isinstance(result, EpochResult)]


def assert_same(actual: Iterable[EpochResult], expected: Iterable[EpochResult]) -> None:
    for one, other in zip(actual, expected, strict=True):
        for name in FIELDS:
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=RTOL), (name, one)


def assert_same_weights(engine: Engine, twin: Engine, number: int) -> None:
    weights, expected = engine.weights(number), twin.weights(number)
    assert list(weights) == list(expected)
    for name, value in expected.items():
        scale = value.abs().max().item() if value.numel() else 0
        torch.testing.assert_close(
            weights[name], value, rtol=RTOL, atol=RTOL * scale, check_dtype=True
        )


def assert_same_courses(
    build: ModelBuilder,
    arrivals: dict[int, list[TrialSpec]],
    shared: TrainingSettings,
    data: TrainingData | None = None,
    departures: dict[int, list[int]] | None = None,
    lanes: int | None = None,
    kernels: Iterable[Kernel] = ("eager",),
) -> None:
    """Train specs that arrive and leave before given epochs with all engines, and compare."""
    data = data or make_data()
    engines: list[Engine] = [
        VectorizedEngine(data, build, shared, lanes=lanes, kernel=kernel) for kernel in kernels
    ]
    twin: Engine = SequentialEngine(data, build, shared)
    ended: set[int] = set()
    for epoch in range(max(arrivals) + EPOCHS):
        for each in (*engines, twin):
            for number in ended | set((departures or {}).get(epoch, [])):
                each.remove(number)
            for one in arrivals.get(epoch, []):
                each.add(one)
        expected = train(twin)
        for engine in engines:
            assert_same(train(engine), expected)
            for result in expected:
                assert_same_weights(engine, twin, result.number)
        ended = {result.number for result in expected if result.epoch == EPOCHS}


@pytest.mark.parametrize("scheduler", SHAPES)
@pytest.mark.parametrize("model", MODELS)
def test_models_and_schedules(model: str, scheduler: str) -> None:
    warmup = 0.2 if SHAPES[scheduler].uses_warmup else 0.0
    specs = [
        spec(0, 3, Schedule(scheduler, 0.05)),
        spec(1, 3, Schedule(scheduler, 0.02, warmup=warmup)),
        spec(2, 4, Schedule("constant", 0.01)),
    ]
    assert_same_courses(builder(CONFIGS[model]), {0: specs}, settings(), kernels=KERNELS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_models_and_optimizers(model: str, optimizer: str) -> None:
    settled = OPTIMIZERS[optimizer]
    other = replace(settled, momentum=settled.momentum / 2, weight_decay=0.05)
    specs = [spec(0, 3, None, settled), spec(1, 3, None, other), spec(2, 4, None, settled)]
    assert_same_courses(builder(CONFIGS[model]), {0: specs}, settings(clip=0.7), kernels=KERNELS)


@pytest.mark.parametrize("batch_size", [7, 50, 150, 151, None])
def test_batch_sizes(batch_size: int | None) -> None:
    specs = [spec(0), spec(1, 5)]
    assert_same_courses(
        builder(CONFIGS["order-pre"]), {0: specs}, settings(batch_size), kernels=KERNELS
    )


@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
def test_lanes_come_and_go(optimizer: str) -> None:
    chosen = OPTIMIZERS[optimizer]
    specs = [spec(n, n % 3, Schedule("linear", 0.01 / (n + 1)), chosen) for n in range(8)]
    arrivals = {0: specs[:3], 1: specs[3:4], 2: specs[4:6], 3: specs[6:]}
    departures = {2: [0], 3: [3, 5]}
    assert_same_courses(
        builder(CONFIGS["mlp"]),
        arrivals,
        settings(),
        departures=departures,
        lanes=2,
        kernels=KERNELS,
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_trial_takes_the_same_course_alone_and_beside_others(kernel: Kernel) -> None:
    build, data = builder(CONFIGS["order-pre"]), make_data()
    alone = VectorizedEngine(data, build, settings(), kernel=kernel)
    among = VectorizedEngine(data, build, settings(), kernel=kernel)
    among.add(spec(0, 9, Schedule("constant", 0.01)))
    train(among)
    for engine in (alone, among):
        engine.add(spec(1, 7))
    for number in (2, 3):
        among.add(spec(number, 7, Schedule("step", 0.5)))
    for _ in range(EPOCHS):
        expected = train(alone)
        assert_same([r for r in among.train_epoch() if r.number == 1], expected)  # type: ignore[misc]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_diverging_lane_stays_alone(kernel: Kernel) -> None:
    build, data = builder(CONFIGS["order-pre"]), make_data()
    calm, beside = (VectorizedEngine(data, build, settings(), kernel=kernel) for _ in range(2))
    calm.add(spec(1))
    beside.add(spec(0, 0, Schedule("constant", 1e6)))
    beside.add(spec(1))
    for _ in range(EPOCHS):
        (expected,) = train(calm)
        wild, same = train(beside)
        assert_same([same], [expected])
    assert not math.isfinite(wild.val_mse)
    assert_same_weights(beside, calm, 1)
    for number in (0, 1):
        beside.remove(number)
    beside.add(spec(2))
    fresh = SequentialEngine(data, build, settings())
    fresh.add(spec(2))
    assert_same(train(beside), train(fresh))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("objective", ["best", "final"])
def test_weights_are_those_of_the_objective(objective: str, kernel: Kernel) -> None:
    shared = replace(settings(), objective=objective)  # type: ignore[arg-type]
    build, data = builder(CONFIGS["linear"]), make_data()
    engine, twin = (
        VectorizedEngine(data, build, shared, kernel=kernel),
        SequentialEngine(data, build, shared),
    )
    for each in (engine, twin):
        each.add(spec(0, 0, Schedule("exponential", 1.1)))
        assert_same_weights(engine, twin, 0) if each is twin else None
    for _ in range(EPOCHS):
        engine.train_epoch()
        twin.train_epoch()
        assert_same_weights(engine, twin, 0)


def test_another_optimizer_beside_is_refused() -> None:
    engine = VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings())
    engine.add(spec(0))
    with pytest.raises(TrainingError, match="same optimizer, but got 'adam' beside 'sgd'"):
        engine.add(spec(1, 0, None, OPTIMIZERS["adam"]))
    with pytest.raises(ValueError, match="Nesterov"):
        engine.add(spec(2, 0, None, OptimizerSettings(nesterov=True)))
    assert [result.number for result in train(engine)] == [0]
    engine.remove(0)
    engine.add(spec(3, 0, None, OPTIMIZERS["adam"]))
    assert [result.number for result in train(engine)] == [3]


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.inner(x)
        return y


class Reshape(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.out = nn.Linear(4 + FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        codes = x[:, 0].mul(2).round().long().clamp(0, 4)
        y: Tensor = self.out(torch.cat([self.embedding(codes), x], dim=1))
        return y.squeeze(-1)


class Attention(nn.Module):
    def __init__(self, need_weights: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.up = nn.Linear(1, 8)
        self.attention = nn.MultiheadAttention(8, 2, dropout, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.out = nn.Linear(8, 1)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.up(x.unsqueeze(-1))  # (rows, features, 8)
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=self.need_weights)
        y: Tensor = self.out(self.norm(tokens + mixed).mean(1))
        return y


class DotProduct(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(1, 24)
        self.out = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.unsqueeze(-1)).chunk(3, dim=-1)
        y: Tensor = self.out(nn.functional.scaled_dot_product_attention(q, k, v).mean(1))
        return y


class Tied(nn.Module):
    """A weight used twice, a frozen one, and a buffer that depends on the seed."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(FEATURES, FEATURES)
        self.b = nn.Linear(FEATURES, FEATURES)
        self.b.weight = self.a.weight
        self.out = nn.Linear(FEATURES, 1)
        self.out.bias.requires_grad_(False)
        self.register_buffer("scale", torch.rand(FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.b(self.a(x * self.scale).relu()))
        return y


ZOO: dict[str, Callable[[], nn.Module]] = {
    "gelu": lambda: nn.Sequential(nn.Linear(FEATURES, 8), nn.GELU(), nn.Linear(8, 1)),
    "silu": lambda: nn.Sequential(nn.Linear(FEATURES, 8), nn.SiLU(), nn.Linear(8, 1)),
    "others": lambda: nn.Sequential(
        *[nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 8, bias=False), nn.Sigmoid()],
        *[nn.Linear(8, 8), nn.LeakyReLU(), nn.Linear(8, 8), nn.ELU(), nn.Linear(8, 1)],
    ),
    "norms": lambda: nn.Sequential(
        nn.Linear(FEATURES, 8), nn.LayerNorm(8), nn.SiLU(), nn.GroupNorm(2, 8), nn.Linear(8, 1)
    ),
    "conv1d": lambda: nn.Sequential(
        *[Reshape(1, FEATURES), nn.Conv1d(1, 4, 2, padding=1), nn.ReLU()],
        *[nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * FEATURES + 4, 1)],
    ),
    "conv2d": lambda: nn.Sequential(
        *[Reshape(1, 1, FEATURES), nn.Conv2d(1, 4, (1, 2)), nn.SiLU()],
        *[nn.Flatten(), nn.Linear(4 * (FEATURES - 1), 1)],
    ),
    "residual": lambda: nn.Sequential(
        nn.Linear(FEATURES, 8),
        Residual(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 8))),
        Residual(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.Dropout(0.1))),
        nn.Linear(8, 1),
    ),
    "embedding": Embedded,
    "attention": lambda: Attention(need_weights=False),
    "attention weights": lambda: Attention(need_weights=True),
    "dot product": DotProduct,
    "tied": Tied,
}


@pytest.mark.parametrize("name", ZOO)
def test_layer_zoo(name: str) -> None:
    specs = [spec(0), spec(1, 4), spec(2, 4, Schedule("step", 0.02))]
    assert_same_courses(own(ZOO[name]), {0: specs}, settings())


class Functions(nn.Module):
    """A chain of functions and methods, whose layers are used in another order than set up."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(7, 1)
        self.first = nn.Linear(FEATURES, 20)
        self.middle = nn.Linear(20, 7)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.relu(self.first(x)))
        x = self.relu(torch.tanh(self.middle(x)).relu())
        y: Tensor = self.last(x)
        return y.squeeze(-1)


CHAINS: dict[str, Callable[[], nn.Module]] = {
    "functions": Functions,
    "linear at once": lambda: nn.Linear(FEATURES, 1),
    "no bias": lambda: nn.Sequential(
        *[nn.Linear(FEATURES, 5, bias=False), nn.ReLU(), nn.Linear(5, 1, bias=False)]
    ),
    "norms": lambda: nn.Sequential(
        *[nn.ReLU(), nn.LayerNorm(FEATURES, elementwise_affine=False), nn.Linear(FEATURES, 21)],
        *[nn.LayerNorm(21), nn.ReLU(), nn.Dropout(0.3), nn.Linear(21, 6), nn.Identity()],
        *[nn.LayerNorm(6, eps=1e-3, bias=False), nn.Linear(6, 1)],
    ),
    "dropouts": lambda: nn.Sequential(
        *[nn.Dropout(0.1), nn.Linear(FEATURES, 18), nn.Dropout(0.0), nn.ReLU(), nn.Dropout(0.5)],
        *[nn.Linear(18, 18), nn.Dropout(0.2), nn.ReLU(), nn.Linear(18, 1)],
    ),
    "bottleneck": lambda: nn.Sequential(
        *[nn.Linear(FEATURES, 1), nn.Tanh(), nn.Linear(1, 33), nn.Sigmoid(), nn.Linear(33, 1)]
    ),
    "wide": lambda: nn.Sequential(
        *[nn.Linear(FEATURES, 130), nn.ReLU(), nn.Linear(130, 70), nn.ReLU(), nn.Linear(70, 1)]
    ),
} | {
    type(function).__name__ + " " + getattr(function, "approximate", ""): (
        lambda function=function: nn.Sequential(
            *[nn.Linear(FEATURES, 19), function, nn.Linear(19, 17), nn.ReLU(), function],
            *[nn.Dropout(0.1), nn.Linear(17, 1)],
        )
    )
    for function in (
        *(nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.GELU("tanh")),
        *(nn.LeakyReLU(0.2), nn.ELU(0.7)),
    )
}


@pytest.mark.skipif("native" not in KERNELS, reason="needs a C compiler")
@pytest.mark.parametrize("name", CHAINS)
def test_native_chains(name: str) -> None:
    specs = [spec(0), spec(1, 4), spec(2, 4, Schedule("step", 0.02))]
    assert_same_courses(own(CHAINS[name]), {0: specs}, settings(70), kernels=["native"])


class Odd(nn.Module):
    """Calls a function of itself, the inputs and a linear layer's output."""

    steps: Tensor

    def __init__(self, function: Callable[[Odd, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, 1)
        self.register_buffer("steps", torch.zeros(()))
        self.unstacked = torch.rand(())
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x, self.layer(x))


def _count(model: Odd, x: Tensor, y: Tensor) -> Tensor:
    model.steps += 1
    return y


FALLBACKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "batch norm": (
        lambda: nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)),
        "1 (BatchNorm1d) gathers statistics over batches",
    ),
    "control flow": (
        lambda: Odd(lambda model, x, y: y if y.mean() > 0 else -y),
        "Odd: its control flow depends on a tensor's values",
    ),
    "control flow of inputs": (
        lambda: Odd(lambda model, x, y: y if x.mean() > 0 else -y),
        "Odd: its control flow depends on a tensor's values",
    ),
    "item": (
        lambda: Odd(lambda model, x, y: y * y.mean().item()),
        "Odd: it reads a tensor's value with .item()",
    ),
    "noise": (
        lambda: nn.Sequential(Odd(lambda model, x, y: y + torch.randn_like(y))),
        "0 (Odd): it draws random numbers otherwise than by dropout",
    ),
    "attention dropout": (
        lambda: Attention(need_weights=False, dropout=0.1),
        "attention (MultiheadAttention): it draws random numbers otherwise than by dropout",
    ),
    "buffer": (lambda: Odd(_count), "Odd changes its buffer steps in training"),
    "rows": (lambda: Odd(lambda m, x, y: y - y.mean()), "Odd predicts a row from other rows"),
    "attribute": (
        lambda: Odd(lambda model, x, y: y * model.unstacked),
        "Odd computes something else as lanes",
    ),
    "recurrent": (
        lambda: nn.Sequential(Reshape(FEATURES, 1), Recurrent()),
        "1.cells (LSTM)",
    ),
}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(1, 4, batch_first=True)
        self.out = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.cells(x)[0][:, -1])
        return y


@pytest.mark.parametrize("name", FALLBACKS)
def test_why_not_stackable(name: str) -> None:
    make, expected = FALLBACKS[name]
    data = make_data()
    reason = why_not_stackable(own(make), data.x_train, data.y_train)
    assert reason is not None
    assert reason.startswith(expected)
    with pytest.raises(TrainingError, match="cannot be trained as lanes"):
        VectorizedEngine(data, own(make), settings())


@pytest.mark.parametrize("model", MODELS)
def test_built_in_models_are_stackable(model: str) -> None:
    data = make_data()
    assert why_not_stackable(builder(CONFIGS[model]), data.x_train, data.y_train) is None


def test_a_sequence_that_only_looks_like_a_chain_is_trained_by_torch() -> None:
    for make in (ZOO["tied"], ZOO["residual"], ZOO["conv1d"]):
        assert VectorizedEngine(make_data(), own(make), settings()).kernel == "eager"
        with pytest.raises(TrainingError, match="no plain chain of layers"):
            VectorizedEngine(make_data(), own(make), settings(), kernel="native")


@pytest.mark.parametrize("compiler", ["", "#!/bin/sh\necho 'oops: error: no' >&2; exit 1"])
def test_without_a_working_compiler(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiler:
        (tmp_path / "cc").write_text(compiler)
        (tmp_path / "cc").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    native.library.cache_clear()
    engine = VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings())
    native.library.cache_clear()
    assert engine.kernel == "eager"
    cause = "cc failed: oops: error: no" if compiler else "there is no C compiler here"
    assert engine.notes == [f"training is slower than it could be: {cause}"]
    assert not list(tmp_path.glob("cache/*/*"))
    engine.add(spec(0))
    assert len(train(engine)) == 1


@pytest.mark.skipif("native" not in KERNELS, reason="needs a C compiler")
def test_a_program_that_computes_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = native.program_source([chain.Linear(FEATURES, 1, 0, FEATURES)], FEATURES)
    wrong = source.replace("* residual / rows", "* residual / rows * 1.01f")
    assert wrong != source
    monkeypatch.setattr(native, "program_source", lambda layers, features: wrong)
    engine = VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings())
    assert engine.kernel == "eager"
    assert "results differ" in engine.notes[0]


@pytest.mark.skipif("native" not in KERNELS, reason="needs a C compiler")
def test_programs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = []
    for _ in range(2):
        native.library.cache_clear()
        VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings(), kernel="native")
        files.append([path.stat().st_mtime_ns for path in tmp_path.glob("sweep-lr/*")])
    assert files[0] == files[1]
    assert len(files[0]) == 1


def test_lanes_suit_model_batch_and_rows() -> None:
    def lanes(rows: int, batch_size: int | None, kernel: Kernel) -> int:
        data, config = make_data(rows), builder(CONFIGS["order-pre"])
        known = survey(config, data.x_train, data.y_train)
        return default_lanes(data, settings(batch_size), known, kernel)

    assert lanes(8_000, 64, "eager") == 64
    assert 8 <= lanes(8_000, 256, "eager") <= 64
    assert lanes(8_000, None, "eager") == 2
    assert lanes(400, 64, "native") == 16
    assert lanes(50_000, 64, "native") < 8
    engine = VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings(), lanes=3)
    assert engine.lanes == 3
