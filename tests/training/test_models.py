"""Building, calling and checking of models."""

from __future__ import annotations

import copy
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from twins import MSE_ALONE

from sweep.base.errors import ModelError
from sweep.study.registries.models import MODELS
from sweep.study.sections import ModelConfig
from sweep.training.models import (
    FEATURE_ARGUMENTS,
    build_model,
    check_model,
    predict,
)

ROWS = 40


@pytest.fixture(autouse=True)
def own_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def x() -> Tensor:
    return torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def y() -> Tensor:
    return torch.randn(ROWS, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Calls a function of the inputs and of a linear layer's output."""

    def __init__(self, function: Any = lambda x, output: output) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x, self.layer(x))


def check_error(model: nn.Module, x: Tensor, y: Tensor) -> str:
    with pytest.raises(ModelError) as raised:
        check_model(model, x, y, MSE_ALONE)
    return str(raised.value)


def build(folder: Path, module: str, code: str, **args: Any) -> nn.Module:
    """Build `Net` from a module of the user's with 5 features."""
    (folder / f"{module}.py").write_text(f"import torch\nfrom torch import nn\n{code}\n")
    return build_model(ModelConfig(name=f"{module}:Net", args=args), 5, 0, (folder,))


def build_error(folder: Path, module: str, code: str, **args: Any) -> str:
    with pytest.raises(ModelError) as raised:
        build(folder, module, code, **args)
    return str(raised.value)


def own_net(signature: str) -> str:
    """Code of a class that keeps what it is built with."""
    return (
        "class Net(nn.Module):\n"
        f"    def __init__(self, {signature}):\n"
        "        given = dict(locals())\n"
        "        super().__init__()\n"
        "        self.given = {k: v for k, v in given.items() if k not in ('self', '__class__')}\n"
    )


class TestBuiltIn:
    @pytest.mark.parametrize("name", MODELS)
    @pytest.mark.parametrize("features", [1, 3, 7])
    def test_every_model_predicts_and_passes_the_check(self, name: str, features: int) -> None:
        model = build_model(ModelConfig(name=name), features, seed=0)
        x, y = torch.randn(ROWS, features), torch.randn(ROWS)
        check_model(model, x, y, MSE_ALONE)
        assert predict(model, x).shape == (ROWS,)
        assert predict(model, x[:1]).shape == (1,)
        assert predict(model, x[:0]).shape == (0,)

    @pytest.mark.parametrize("name", MODELS)
    def test_seed_decides_the_weights(self, name: str) -> None:
        weights = [
            nn.utils.parameters_to_vector(build_model(ModelConfig(name=name), 3, seed).parameters())
            for seed in (0, 0, 1)
        ]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])

    def test_building_leaves_the_generator_as_it_was(self) -> None:
        before = torch.get_rng_state()
        build_model(ModelConfig(), 3, seed=0)
        assert torch.equal(torch.get_rng_state(), before)

    def test_layers_of_order_pre(self) -> None:
        expected = [
            nn.LayerNorm(3),
            nn.Linear(3, 6),
            nn.ReLU(),
            nn.Linear(6, 12),
            nn.ReLU(),
            nn.Linear(12, 24),
            nn.Dropout(0.5),
            nn.ReLU(),
            nn.Linear(24, 48),
            nn.ReLU(),
            nn.Linear(48, 96),
            nn.ReLU(),
            nn.Linear(96, 1),
        ]
        model = build_model(ModelConfig(name="order-pre"), 3, seed=0)
        assert str(model.get_submodule("layers")) == str(nn.Sequential(*expected))
        assert type(model).__name__ == "OrderPre"

    def test_order_pre_takes_any_number_of_features(self) -> None:
        layers, three = (
            build_model(ModelConfig(name="order-pre"), features, seed=0).get_submodule("layers")
            for features in (8, 3)
        )
        assert str(layers.get_submodule("0")) == str(nn.LayerNorm(8))
        assert str(layers.get_submodule("1")) == str(nn.Linear(8, 6))
        assert [*map(str, layers.children())][2:] == [*map(str, three.children())][2:]

    def test_layers_of_mlp(self) -> None:
        config = ModelConfig(name="mlp", hidden=[8, 4], dropout=0.1)
        model = build_model(config, 3, seed=0)
        assert type(model).__name__ == "MLP"
        plain = build_model(ModelConfig(name="mlp", hidden=[4]), 3, seed=0)
        assert [type(layer).__name__ for layer in model.get_submodule("layers").children()] == [
            *("Linear", "ReLU", "Dropout"),
            *("Linear", "ReLU", "Dropout"),
            "Linear",
        ]
        assert [type(layer).__name__ for layer in plain.get_submodule("layers").children()] == [
            "Linear",
            "ReLU",
            "Linear",
        ]

    def test_built_in_models_take_no_args(self) -> None:
        with pytest.raises(ModelError) as raised:
            build_model(ModelConfig(name="mlp", args={"width": 3}), 3, 0)
        assert str(raised.value) == "model.args belongs to 'module:Class', not to 'mlp'"


class TestOwnModel:
    def test_imports_its_neighbours(self, tmp_path: Path, x: Tensor, y: Tensor) -> None:
        (tmp_path / "net_blocks.py").write_text(
            "from torch import nn\ndef block(a, b):\n    return nn.Sequential(nn.Linear(a, b))\n"
        )
        (tmp_path / "net_own.py").write_text(
            "from torch import nn\n"
            "from net_blocks import block\n"
            "class Net(nn.Module):\n"
            "    def __init__(self, n_features, depth=1):\n"
            "        super().__init__()\n"
            "        self.body = nn.Sequential(*[block(n_features, n_features)] * depth)\n"
            "        self.head = nn.Linear(n_features, 1)\n"
            "    def forward(self, x):\n"
            "        return self.head(self.body(x)).squeeze(-1)\n"
        )
        for name in ("net_own:Net", "net_own.py:Net"):
            config = ModelConfig(name=name, args={"depth": 2})
            first, second = (build_model(config, 3, seed=5, folders=(tmp_path,)) for _ in range(2))
            check_model(first, x, y, MSE_ALONE)
            assert torch.equal(predict(first, x), predict(second, x))

    @pytest.mark.parametrize("name", FEATURE_ARGUMENTS)
    def test_features_by_name(self, tmp_path: Path, name: str) -> None:
        model = build(tmp_path, f"net_by_{name}", own_net(f"{name}, width, depth=1"), width=9)
        assert model.given == {name: 5, "width": 9, "depth": 1}

    @pytest.mark.parametrize(
        ("module", "signature", "args", "given"),
        [
            ("net_only", "n, depth=1", {}, {"n": 5, "depth": 1}),
            ("net_rest", "n, depth", {"depth": 2}, {"n": 5, "depth": 2}),
            ("net_slash", "n, /, depth=1", {}, {"n": 5, "depth": 1}),
            ("net_default", "features=3", {}, {"features": 5}),
            ("net_told", "features=3", {"features": 4}, {"features": 4}),
            ("net_none", "depth=1", {}, {"depth": 1}),
        ],
    )
    def test_features_by_place(
        self, tmp_path: Path, module: str, signature: str, args: dict[str, Any], given: Any
    ) -> None:
        assert build(tmp_path, module, own_net(signature), **args).given == given

    def test_function_that_builds_a_model(self, tmp_path: Path) -> None:
        code = "def Net(in_features): return nn.Linear(in_features, 1)"
        assert str(build(tmp_path, "net_function", code)) == (
            "Linear(in_features=5, out_features=1, bias=True)"
        )

    def test_wrong_argument(self, tmp_path: Path) -> None:
        code = own_net("features, width=8")
        assert build_error(tmp_path, "net_argument", code, widht=3) == (
            "model 'net_argument:Net': got an unexpected keyword argument 'widht'; "
            "its signature is Net(features, width=8), "
            "and model.args in the study file gives it arguments; did you mean 'width'?"
        )

    def test_missing_argument(self, tmp_path: Path) -> None:
        assert build_error(tmp_path, "net_missing", own_net("features, width")) == (
            "model 'net_missing:Net': missing a required argument: 'width'; "
            "its signature is Net(features, width), "
            "and model.args in the study file gives it arguments"
        )

    @pytest.mark.parametrize(
        ("module", "code", "expected"),
        [
            (
                "net_class",
                "class Net: ...",
                "model 'net_class:Net' is neither a torch.nn.Module nor a function building one",
            ),
            (
                "net_number",
                "Net = 3",
                "model 'net_number:Net' is neither a torch.nn.Module nor a function building one",
            ),
            (
                "net_built",
                "Net = nn.Linear(5, 1)",
                "model 'net_built:Net' is built already; name its class, or a function that builds "
                "it, so that each trial gets fresh weights",
            ),
            (
                "net_returns",
                "def Net(): return 3",
                "model 'net_returns:Net' built an object of type int, not a torch.nn.Module",
            ),
            (
                "net_raises",
                "def Net(): raise ValueError('too wide')",
                "model 'net_raises:Net': building it failed: ValueError: too wide",
            ),
            (
                "net_import",
                "import no_such_library",
                "'net_import:Net': importing it failed: No module named 'no_such_library'",
            ),
            (
                "net_typo",
                "Ned = 3",
                "'net_typo:Net': module 'net_typo' has no 'Net'; did you mean 'Ned'?",
            ),
        ],
    )
    def test_wrong_objects(self, tmp_path: Path, module: str, code: str, expected: str) -> None:
        assert build_error(tmp_path, module, code) == expected


class TestPredict:
    @pytest.mark.parametrize(
        "function", [lambda x, output: output, lambda x, output: output.squeeze(1)]
    )
    def test_loss_never_broadcasts(self, function: Any, x: Tensor, y: Tensor) -> None:
        prediction = predict(Net(function), x)
        assert prediction.shape == y.shape == (ROWS,)
        assert (prediction - y).shape == (ROWS,)

    def test_single_row_that_lost_its_shape(self, x: Tensor) -> None:
        assert predict(Net(lambda x, output: output.squeeze()), x[:1]).shape == (1,)

    @pytest.mark.parametrize(
        ("function", "shape"),
        [
            (lambda x, output: output.expand(-1, 3), "(40, 3)"),
            (lambda x, output: output.T, "(1, 40)"),
            (lambda x, output: output.mean(), "()"),
            (lambda x, output: output[:-1], "(39, 1)"),
        ],
    )
    def test_other_shapes(self, function: Any, shape: str, x: Tensor) -> None:
        with pytest.raises(ModelError) as raised:
            predict(Net(function), x)
        assert str(raised.value) == (
            f"model 'Net' returned shape {shape} for 40 rows; expected (40,) or (40, 1)"
        )

    def test_output_that_is_no_tensor(self, x: Tensor) -> None:
        with pytest.raises(ModelError) as raised:
            predict(Net(lambda x, output: (output, None)), x)
        assert str(raised.value) == (
            "model 'Net' returned an object of type tuple; "
            "expected a tensor of shape (40,) or (40, 1)"
        )


class Parts(nn.Module):
    """A model with parts that forward does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(3, 1)
        self.unused = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.used(x)
        return output


class TestCheck:
    def test_changes_neither_model_nor_generator(self, x: Tensor, y: Tensor) -> None:
        model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1)).eval()
        state = copy.deepcopy(model.state_dict())
        before = torch.get_rng_state()
        check_model(model, x, y, MSE_ALONE)
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert not model.training
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_parameters_without_a_gradient(self, x: Tensor, y: Tensor) -> None:
        model = Parts()
        assert check_error(model, x, y) == (
            "model 'Parts': no gradient reaches unused.weight, unused.bias; use every parameter "
            "in forward, or freeze those that are not trained with requires_grad_(False)"
        )
        model.unused.requires_grad_(False)
        check_model(model, x, y, MSE_ALONE)

    def test_gradient_left_from_before_does_not_count(self, x: Tensor, y: Tensor) -> None:
        model = Parts()
        model.unused(x).sum().backward()
        assert "no gradient reaches unused.weight" in check_error(model, x, y)

    @pytest.mark.parametrize("library", [torch.rand, np.random.rand, lambda n: [random.random()]])
    def test_parts_that_are_skipped_by_chance_are_used(
        self, library: Any, x: Tensor, y: Tensor
    ) -> None:
        class Skips(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.blocks = nn.ModuleList([nn.Linear(3, 3) for _ in range(12)])
                self.out = nn.Linear(3, 1)

            def forward(self, x: Tensor) -> Tensor:
                for block in self.blocks:
                    if library(1)[0] < 0.5:
                        x = x + block(x)
                output: Tensor = self.out(x)
                return output

        for seed in range(20):  # whatever was drawn before
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            check_model(Skips(), x, y, MSE_ALONE)

    @pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
    @pytest.mark.parametrize("decorate", [nn.utils.weight_norm, nn.utils.spectral_norm])
    def test_weights_that_are_computed(self, decorate: Any, x: Tensor, y: Tensor) -> None:
        check_model(nn.Sequential(decorate(nn.Linear(3, 4)), nn.Linear(4, 1)), x, y, MSE_ALONE)

    def test_gradient_of_zero_is_a_gradient(self, x: Tensor, y: Tensor) -> None:
        model = Net(lambda x, output: output.clamp(max=-1e9) + x[:, :1])
        check_model(model, x, y, MSE_ALONE)

    def test_no_trainable_parameters(self, x: Tensor, y: Tensor) -> None:
        model = Net().requires_grad_(False)
        assert check_error(model, x, y) == "model 'Net' has no trainable parameters"

    @pytest.mark.parametrize(
        "function",
        [
            lambda x, output: output.detach(),
            lambda x, output: torch.from_numpy(output.detach().numpy()),
            lambda x, output: x[:, 0],
        ],
    )
    def test_output_without_a_graph(self, function: Any, x: Tensor, y: Tensor) -> None:
        assert check_error(Net(function), x, y) == (
            "model 'Net': its output does not depend on its parameters; forward must not run under "
            "torch.no_grad(), nor call detach(), item() or numpy() on the way"
        )

    def test_forward_that_fails(self, x: Tensor, y: Tensor) -> None:
        assert check_error(nn.Linear(4, 1), x, y) == (
            "model 'Linear': its forward pass failed on an input of shape (32, 3): RuntimeError: "
            "mat1 and mat2 shapes cannot be multiplied (32x3 and 4x1)"
        )

    def test_backward_that_fails(self, x: Tensor, y: Tensor) -> None:
        def overwrite(x: Tensor, output: Tensor) -> Tensor:
            root = output.exp()
            result = root * 2
            root += 1
            return result

        text = check_error(Net(overwrite), x, y)
        assert text.startswith("model 'Net': its backward pass failed: one of the variables needed")

    def test_wrong_type(self, x: Tensor, y: Tensor) -> None:
        assert check_error(Net(lambda x, output: output.double()), x, y) == (
            "model 'Net' returned torch.float64; expected torch.float32"
        )

    def test_wrong_shape(self, x: Tensor, y: Tensor) -> None:
        assert check_error(Net(lambda x, output: output.expand(-1, 2)), x, y) == (
            "model 'Net' returned shape (32, 2) for 32 rows; expected (32,) or (32, 1)"
        )

    def test_output_that_is_not_finite(self, x: Tensor, y: Tensor) -> None:
        assert check_error(Net(lambda x, output: output / 0), x, y) == (
            "model 'Net' returned values that are not finite before any training"
        )

    def test_lazy_layers(self, x: Tensor, y: Tensor) -> None:
        model = nn.Sequential(nn.LazyLinear(1))
        assert check_error(model, x, y) == (
            "model 'Sequential': give its lazy layers their size: 0.weight, 0.bias"
        )

    def test_model_that_cannot_be_copied(self, x: Tensor, y: Tensor) -> None:
        model = Net()
        model.layer.cached = [model.layer(x)]  # type: ignore[assignment]
        assert check_error(model, x, y).startswith("model 'Net' cannot be copied: ")


class InPlace(nn.Module):
    """Halves what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.mul_(0.5)
        output: torch.Tensor = self.layer(x)
        return output


def test_a_model_that_changes_its_input_in_place_is_refused() -> None:
    x, y = torch.ones(8, 3), torch.ones(8)
    with pytest.raises(ModelError) as raised:
        check_model(InPlace(), x, y, MSE_ALONE)
    assert str(raised.value) == (
        "model 'InPlace' changes its input in place; begin forward with x = x.clone()"
    )
    assert torch.equal(x, torch.ones(8, 3))
