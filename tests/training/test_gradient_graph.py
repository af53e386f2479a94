"""The graph of grad_fn as a tree of text."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from sweep.training.examine.gradient_graph import gradient_graph, tree_lines


def tree(loss: Tensor, model: nn.Module) -> list[str]:
    return tree_lines(gradient_graph(loss, dict(model.named_parameters())))


def test_a_chain_runs_straight_down_and_parameters_hang_off_it() -> None:
    model = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    loss = nn.functional.mse_loss(model(torch.randn(8, 3)).reshape(8), torch.randn(8))
    assert tree(loss, model) == [
        "MseLossBackward0 ()",
        "ViewBackward0 (8,)",
        "AddmmBackward0 (8, 1)",
        "├─ AccumulateGrad: 3.bias (1,)",
        "├─ TBackward0 (4, 1) ← AccumulateGrad: 3.weight (1, 4)",
        "ReluBackward0 (8, 4)",
        "AddmmBackward0 (8, 4)",
        "├─ AccumulateGrad: 1.bias (4,)",
        "├─ TBackward0 (3, 4) ← AccumulateGrad: 1.weight (4, 3)",
        "NativeLayerNormBackward0 (8, 3)",
        "├─ AccumulateGrad: 0.weight (3,)",
        "├─ AccumulateGrad: 0.bias (3,)",
    ]


class Residual(nn.Module):
    """Uses one layer twice, and its own input once more."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        y: Tensor = self.c(x + self.b(torch.relu(self.b(x))))
        return y


def test_what_is_used_twice_is_shown_once() -> None:
    model = Residual()
    assert tree(model(torch.randn(8, 4)).sum(), model) == [
        "SumBackward0 ()",
        "AddmmBackward0 (8, 1)",
        "├─ AccumulateGrad: c.bias (1,)",
        "├─ TBackward0 (4, 1) ← AccumulateGrad: c.weight (1, 4)",
        "AddBackward0 (8, 4)",
        "├─ #1 AddmmBackward0 (8, 4), see below",
        "AddmmBackward0 (8, 4)",
        "├─ AccumulateGrad: b.bias (4,)",
        "├─ TBackward0 (4, 4) ← AccumulateGrad: b.weight (4, 4)",
        "ReluBackward0 (8, 4)",
        "AddmmBackward0 (8, 4)",
        "├─ AccumulateGrad: b.bias (4,), again",
        "├─ TBackward0 (4, 4) ← AccumulateGrad: b.weight (4, 4), again",
        "#1 AddmmBackward0 (8, 4)",
        "├─ AccumulateGrad: a.bias (4,)",
        "├─ TBackward0 (4, 4) ← AccumulateGrad: a.weight (4, 4)",
    ]


def test_branches_of_operations_are_indented() -> None:
    w, v = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    loss = (w.exp().sin().tanh().sqrt() * v.exp().sin().tanh().sqrt().abs()).sum()
    lines = tree_lines(gradient_graph(loss, {"w": w, "v": v}))
    assert lines[:5] == [
        "SumBackward0 ()",
        "MulBackward0 (2,)",
        "├─ SqrtBackward0 (2,)",
        "│  TanhBackward0 (2,)",
        "│  SinBackward0 (2,)",
    ]
    assert lines[-6:] == [
        "AbsBackward0 (2,)",
        "SqrtBackward0 (2,)",
        "TanhBackward0 (2,)",
        "SinBackward0 (2,)",
        "ExpBackward0 (2,)",
        "AccumulateGrad: v (2,)",
    ]


def test_a_deep_graph_neither_recurses_nor_floods_the_screen() -> None:
    layer = nn.Linear(2, 2)
    x = torch.ones(1, 2)
    for _ in range(3000):
        x = layer(x)
    graph = gradient_graph(x.sum(), dict(layer.named_parameters()))
    assert len(tree_lines(graph, 10_000)) == 1 + 3 * 3000
    assert tree_lines(graph, 10)[-1] == "... and 8991 more lines"


def test_a_broadcast_shows_in_the_shapes() -> None:
    model = nn.Linear(3, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = nn.functional.mse_loss(model(torch.randn(8, 3)), torch.randn(8))
    lines = tree(loss, model)
    assert lines[:3] == ["MseLossBackward0 ()", "ExpandBackward0 (8, 8)", "AddmmBackward0 (8, 1)"]


def test_a_leaf_is_its_own_graph_and_a_constant_has_none() -> None:
    w = torch.ones(2, requires_grad=True)
    assert tree_lines(gradient_graph(w, {"w": w})) == ["AccumulateGrad: w (2,)"]
    x = (w * 2).sum()
    assert tree_lines(gradient_graph(x, {}))[-1].endswith("a tensor that is no parameter (2,)")
    with pytest.raises(ValueError, match="no graph"):
        gradient_graph(x.detach(), {"w": w})
