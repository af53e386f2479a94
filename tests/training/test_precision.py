"""bf16 in both engines: the same numbers as far as bf16 has digits, and other ones than float32."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from twins import CONFIGS, EPOCHS, ZOO, builder, make_data, own, settings, spec, train

from sweep.data.load import load_dataset
from sweep.study.sections import DataConfig, ModelConfig
from sweep.training.build import build_engine
from sweep.training.contract import ModelBuilder
from sweep.training.lanes.engine import VectorizedEngine
from sweep.training.lanes.layers import prepare
from sweep.training.models import lacks, set_products_of
from sweep.training.sequential import SequentialEngine

pytestmark = pytest.mark.usefixtures("one_thread")

MODELS: dict[str, ModelBuilder] = {
    "mlp": builder(CONFIGS["mlp"]),
    "conv2d": own(ZOO["conv2d"]),
    "attention": own(ZOO["attention"]),
}


@pytest.mark.parametrize("kernel", ["auto", "captured"])
@pytest.mark.parametrize("model", MODELS)
def test_engines_agree_in_bf16(model: str, kernel: str) -> None:
    data, build, shared = make_data(), MODELS[model], replace(settings(), precision="bf16")
    engine = VectorizedEngine(data, build, shared, kernel=kernel)  # type: ignore[arg-type]
    assert engine.kernel != "native"
    twin, exact = SequentialEngine(data, build, shared), SequentialEngine(data, build, settings())
    for each in (engine, twin, exact):
        for number in range(3):
            each.add(spec(number, number))
    for _ in range(EPOCHS):
        ours, theirs, others = train(engine), train(twin), train(exact)
        for one, other, precise in zip(ours, theirs, others, strict=True):
            assert one.value == pytest.approx(other.value, rel=2e-2)
            assert one.training == pytest.approx(other.training, rel=2e-2)
            assert other.value == pytest.approx(precise.value, rel=5e-2)
            assert other.value != precise.value
    assert all(value.dtype == torch.float32 for value in engine.weights(0).values())


def test_layers_of_lanes_are_as_precise_as_their_own() -> None:
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), torch.randn(5, 3)
    lanes = copy.deepcopy(model)
    with torch.autocast("cpu", torch.bfloat16), prepare(lanes):
        ours, theirs = lanes(x), model(x)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    torch.testing.assert_close(ours, theirs)


def test_tf32_is_asked_for() -> None:
    for precision, expected in (("tf32", True), ("bf16", True), ("highest", False)):
        set_products_of(precision)  # type: ignore[arg-type]
        assert torch.backends.cudnn.allow_tf32 is expected
        assert torch.backends.cuda.matmul.allow_tf32 is expected


def test_what_does_nothing_on_this_device_is_said() -> None:
    said = lacks("tf32", torch.device("cpu"))
    assert said.startswith("training.precision = 'tf32' does nothing on a CPU")
    for precision in ("highest", "bf16"):  # a CPU has both
        assert lacks(precision, torch.device("cpu")) == ""
    data = load_dataset(DataConfig(source="diabetes"), 0)
    shared = replace(settings(), precision="tf32")
    built = build_engine(data, ModelConfig(name="linear"), (), shared, "sequential", lanes=8)
    assert said in built.notes
    assert "lanes = 8 does nothing with the sequential engine" in built.notes
    plain = build_engine(data, ModelConfig(name="linear"), (), settings(), "vectorized", lanes=8)
    assert not any("nothing" in note for note in plain.notes)
