"""Whether all that a model learns with is its own: registered, so that it is trained and saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from sweep.base.errors import ModelError
from sweep.base.wording import listed
from sweep.training.examine.gradient_graph import leaf_tensors
from sweep.training.generators import seeded


def check_registered(model: nn.Module, x: Tensor) -> None:
    """Look for what a gradient reaches without being one of the model's parameters.

    Such are the layers of a plain list, and tensors that are no `nn.Parameter`. No optimizer would
    be given them, and a `state_dict` has none of them, so that a saved model would predict with
    other weights than it was judged by.

    Args:
        model: A copy, on the device of x, whose forward pass works.
        x: Rows, (rows, ...).

    Raises:
        ModelError: The output depends on such a tensor.
    """
    with seeded(0, x.device):
        once, again = model(x.clone()), model(x.clone())
    known = {id(parameter) for parameter in model.parameters()}
    kept = {id(leaf) for leaf in leaf_tensors(once)} - known  # what it makes anew is not kept
    others = {id(leaf): leaf for leaf in leaf_tensors(again) if id(leaf) in kept}
    if not others:
        return
    names = {id(tensor): name for name, tensor in _kept(model) if id(tensor) in others}
    unnamed = (leaf for key, leaf in others.items() if key not in names)
    called = [*names.values(), *(f"a tensor of shape {tuple(leaf.shape)}" for leaf in unnamed)]
    raise ModelError(
        f"model {type(model).__name__!r}: its output depends on {listed(called)}, not among its "
        "parameters, and so neither trained nor saved; keep layers in nn.ModuleList or "
        "nn.ModuleDict instead of a list or dict, and tensors as nn.Parameter"
    )


def _kept(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The tensors that modules keep without registering them, by where they are."""
    for path, module in model.named_modules():
        for key, value in vars(module).items():
            yield from _tensors(f"{path}.{key}" if path else key, value)


def _tensors(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, nn.Module):
        yield from ((f"{name}.{inner}", tensor) for inner, tensor in value.named_parameters())
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            yield from _tensors(f"{name}[{place}]", each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _tensors(f"{name}[{key!r}]", each)
