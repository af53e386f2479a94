"""Chains of layers trained by a compiled program."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from twins import (
    CONFIGS,
    FEATURES,
    KERNELS,
    ZOO,
    assert_same_courses,
    builder,
    make_data,
    own,
    settings,
    spec,
    train,
)

from sweep.base.errors import TrainingError
from sweep.schedules.schedule import Schedule
from sweep.study.registries.losses import LOSSES
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.lanes.native import compiler, layers, trainer
from sweep.training.lanes.native.compiler import library
from sweep.training.lanes.native.source import program_source

pytestmark = pytest.mark.usefixtures("one_thread")


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
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("loss", [name for name, loss in LOSSES.items() if loss.c_row])
def test_native_losses(loss: str, outputs: int) -> None:
    data, entry = make_data(), LOSSES[loss]
    if entry.is_of_classes:
        classes = outputs + 1
        if classes > entry.most_classes:
            pytest.skip("a loss of two classes")
        each = [(y * classes).long() % classes for y in (data.y_train, data.y_validation)]
        each = each if entry.whole_targets else [y.float() for y in each]
        outputs = entry.outputs(classes)
    else:
        classes = 0
        each = [data.y_train, data.y_validation]
        if outputs > 1:
            each = [torch.stack([y, 2 * y.sin()], 1) for y in each]
    data = replace(data, y_train=each[0], y_validation=each[1], classes=classes)
    model = lambda: nn.Sequential(nn.Linear(FEATURES, 20), nn.ReLU(), nn.Linear(20, outputs))  # noqa: E731
    shared = replace(settings(50), loss=loss)
    assert_same_courses(own(model), {0: [spec(0), spec(1, 4)]}, shared, data, kernels=["native"])


@pytest.mark.skipif("native" not in KERNELS, reason="needs a C compiler")
@pytest.mark.parametrize("name", CHAINS)
def test_native_chains(name: str) -> None:
    specs = [spec(0), spec(1, 4), spec(2, 4, Schedule("step", 0.02))]
    assert_same_courses(own(CHAINS[name]), {0: specs}, settings(70), kernels=["native"])


@pytest.mark.skipif(
    "native" not in KERNELS or platform.machine() not in ("x86_64", "AMD64"),
    reason="needs a C compiler for x86-64",
)
@pytest.mark.parametrize("flags", [("-mavx2", "-mfma"), ("-msse2",), ("-m-unknown",)])
def test_other_vector_lengths(flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    if "-mavx2" in flags and "AVX" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("needs AVX2")
    fallback: tuple[str, ...] = () if "-m-unknown" in flags else flags
    monkeypatch.setattr(compiler, "PROCESSORS", (flags, fallback))
    library.cache_clear()
    specs = [spec(0), spec(1, 4)]
    for name in ("order-pre", "mlp"):
        assert_same_courses(builder(CONFIGS[name]), {0: specs}, settings(70), kernels=["native"])
    library.cache_clear()


def test_a_sequence_that_only_looks_like_a_chain_is_trained_by_torch() -> None:
    for make in (ZOO["tied"], ZOO["residual"], ZOO["conv1d"]):  # its rows have one axis at first
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
    library.cache_clear()
    engine = VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings())
    library.cache_clear()
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
    chain = [layers.Linear(FEATURES, 1, 0, FEATURES)]
    source = program_source(chain, (FEATURES,), LOSSES["mse"], 32)
    wrong = source.replace("d[o] = 2 * e;", "d[o] = 2.02f * e;")
    assert wrong != source
    monkeypatch.setattr(trainer, "program_source", lambda *given: wrong)
    engine = VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings())
    assert engine.kernel == "eager"
    assert "results differ" in engine.notes[0]


@pytest.mark.skipif("native" not in KERNELS, reason="needs a C compiler")
def test_programs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = []
    for _ in range(2):
        library.cache_clear()
        VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings(), kernel="native")
        files.append([path.stat().st_mtime_ns for path in tmp_path.glob("sweep-lr/*")])
    assert files[0] == files[1]
    assert len(files[0]) == 2  # the program and its checksum


@pytest.mark.slow
def test_a_compiler_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "slow-cc"
    program.write_text("#!/bin/sh\nsleep 1000 & echo $! > child; wait\n")
    program.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CC", str(program))
    monkeypatch.setattr(compiler, "_COMPILE_SECS", 2)
    with pytest.raises(TrainingError, match="slow-cc was given up after 2 s"):
        library("int main() { return 0; }  // for a compiler that hangs")


@pytest.mark.skipif("native" not in KERNELS, reason="needs a C compiler")
def test_a_folder_that_others_can_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiler, "kept_program", lambda *given: pytest.fail("it was used"))
    (tmp_path / "sweep-lr").mkdir()
    (tmp_path / "sweep-lr").chmod(0o777)
    library.cache_clear()
    engine = VectorizedEngine(make_data(), builder(CONFIGS["linear"]), settings())
    library.cache_clear()
    assert engine.kernel == "native"
    assert engine.notes == [
        f"programs are compiled for this run alone: {tmp_path / 'sweep-lr'} can be written by "
        "others"
    ]
    assert not list((tmp_path / "sweep-lr").iterdir())
    engine.add(spec(0))
    assert len(train(engine)) == 1
