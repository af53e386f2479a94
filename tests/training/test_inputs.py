"""What is said of a model that makes of its input what its user does not expect."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from twins import MSE_ALONE

from sweep.base.errors import ModelError
from sweep.study.sections import ModelConfig
from sweep.training.contract import TrainingData, TrainingSettings
from sweep.training.examine.anatomy import examine
from sweep.training.examine.inputs import input_notes
from sweep.training.models import build_model, check_model


def inputs(features: int) -> Tensor:
    return torch.randn(40, features, generator=torch.Generator().manual_seed(0))


class Called(nn.Module):
    """A linear layer after a function of the input."""

    def __init__(self, features: int, before: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.before = nn.Linear(features, 1), before

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(self.before(x))
        return output


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
def test_a_model_that_keeps_what_it_has_computed() -> None:
    model = nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 1)))
    model(inputs(3))
    assert input_notes(model, inputs(3), ("fixed",)) == []


def built_in(name: str, features: int) -> nn.Module:
    return build_model(ModelConfig(name=name), features, seed=0)


class TestBlind:
    def test_layer_norm_of_a_single_feature(self) -> None:
        assert input_notes(built_in("order-pre", 1), inputs(1)) == [
            "model 'OrderPre' gives the same prediction for every row, whatever its weights: "
            "LayerNorm makes a single feature constant; take a model without it, such as mlp"
        ]
        assert input_notes(built_in("order-pre", 2), inputs(2)) == []

    def test_a_model_that_uses_nothing_of_its_input(self) -> None:
        (note,) = input_notes(Called(3, lambda x: x * 0), inputs(3))
        assert note == (
            "model 'Called' gives the same prediction for every row, whatever its weights"
        )

    def test_a_last_layer_that_begins_with_zeros_is_not(self) -> None:
        model = built_in("linear", 3)
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        assert input_notes(model, inputs(3)) == []

    @pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
    def test_a_model_that_keeps_what_it_computes(self) -> None:
        model = built_in("linear", 3)
        for layer in [module for module in model.modules() if isinstance(module, nn.Linear)]:
            nn.utils.weight_norm(layer)
        assert input_notes(model, inputs(3), ("year",)) == []

    def test_rows_that_are_all_the_same(self) -> None:
        assert input_notes(built_in("linear", 3), torch.ones(40, 3)) == []

    def test_nothing_changes(self) -> None:
        model = built_in("order-pre", 1)
        before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
        input_notes(model, inputs(1), ["c"])
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert torch.equal(torch.get_rng_state(), state)


class TestPositions:
    @pytest.mark.parametrize(
        ("features", "before", "by"),
        [
            (3, lambda x: x.view(len(x), -1, 3)[:, 0], "view"),
            (3, lambda x: x.reshape(len(x), 2, 3).mean(1), "reshape"),
            (3, lambda x: nn.Unflatten(1, (2, 3))(x).mean(1), "unflatten"),
            (2, lambda x: x[:, 1:3], "getitem"),
            (3, lambda x: x.chunk(2, dim=1)[0], "chunk"),
        ],
    )
    def test_are_told_where_columns_were_left_out(
        self, features: int, before: Callable[[Tensor], Tensor], by: str
    ) -> None:
        (note,) = input_notes(Called(features, before), inputs(6), ["a", "b"])
        assert note == (
            f"model 'Called' takes its input apart by position ({by}): columns 'a', 'b' were left "
            'out for having one value in all training rows; data.constant = "keep" keeps what is '
            "constant"
        )
        assert input_notes(Called(features, before), inputs(6)) == []

    @pytest.mark.parametrize("before", [lambda x: x, lambda x: x.flatten(1), lambda x: x[:, None]])
    def test_do_not_matter_to_others(self, before: Callable[[Tensor], Tensor]) -> None:
        assert input_notes(Called(6, before), inputs(6), ["a"])[:1] == []

    def test_an_error_names_what_was_left_out(self) -> None:
        model = Called(4, lambda x: x.view(len(x), -1, 4)[:, 0])
        with pytest.raises(ModelError) as raised:
            check_model(model, inputs(6), torch.zeros(40), MSE_ALONE, ["a"])
        assert str(raised.value).endswith(
            "(column 'a' was left out for having one value in all training rows; "
            'data.constant = "keep" keeps what is constant)'
        )
        x, y = inputs(6), torch.zeros(40)
        data = TrainingData(x, y, x, y, 1.0, constant=("a",))
        found = examine(model, data, TrainingSettings(epochs=1, batch_size=8))
        assert "column 'a' was left out" in found.problems[0] and found.notes == ()
