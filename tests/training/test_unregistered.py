"""A model whose layers are not its own is told of: it would be saved without them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from twins import settings

from sweep.base.errors import ModelError
from sweep.training.build import check_training
from sweep.training.contract import TrainingData
from sweep.training.criterion import Criterion

_OUTSIDE = nn.Linear(3, 4)


class Net(nn.Module):
    """Has a layer of its own, and one before it that it may keep anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 1)

    def before(self) -> Callable[[Tensor], Tensor]:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.before()(x))  # type: ignore[no-any-return]


class InList(Net):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.ReLU(), nn.Linear(3, 4)]

    def before(self) -> Callable[[Tensor], Tensor]:
        return self.layers[1]


class InDict(Net):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Module()
        vars(self.inner)["by_name"] = {"a": nn.Linear(3, 4)}

    def before(self) -> Callable[[Tensor], Tensor]:
        layer: nn.Module = vars(self.inner)["by_name"]["a"]
        return layer


class PlainTensor(Net):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.ones(4, 3, requires_grad=True)

    def before(self) -> Callable[[Tensor], Tensor]:
        return lambda x: x @ self.weight.T


class Outside(Net):
    def before(self) -> Callable[[Tensor], Tensor]:
        return lambda x: x @ _OUTSIDE.weight.T


class Registered(Net):
    """Keeps its own layers in a list as well."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.all_layers = [self.layer, self.head]

    def before(self) -> Callable[[Tensor], Tensor]:
        return self.all_layers[0]


class Slope(nn.Module):
    """The gradient of a potential with respect to its input, which the pass makes a leaf of."""

    def __init__(self) -> None:
        super().__init__()
        self.potential = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            place = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.potential(place).sum(), place, create_graph=True)
        return slope.sum(1, keepdim=True)


def _check(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(40, 3, generator=generator), torch.rand(40, generator=generator)
    rows = TrainingData(x, y, x, y, 1.0)
    check_training(model, rows, settings(), Criterion.of(settings(), rows))


@pytest.mark.parametrize(
    ("net", "named"),
    [
        (InList, r"layers\[1\].weight, layers\[1\].bias"),
        (InDict, r"inner.by_name\['a'\].weight, inner.by_name\['a'\].bias"),
        (PlainTensor, "weight"),
        (Outside, r"a tensor of shape \(4, 3\)"),
    ],
)
def test_what_no_optimizer_would_be_given_is_named(net: type[Net], named: str) -> None:
    with pytest.raises(ModelError, match=f"its output depends on {named}, not among its param"):
        _check(net())


def test_a_model_may_keep_its_own_layers_twice() -> None:
    _check(Registered())


def test_a_pass_may_make_leaves_of_its_own() -> None:
    _check(Slope())
