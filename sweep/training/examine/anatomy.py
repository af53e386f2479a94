"""What one forward and one backward pass show of a model."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sweep.base.errors import InputError
from sweep.training.build import check_training
from sweep.training.contract import TrainingData, TrainingSettings
from sweep.training.criterion import Criterion
from sweep.training.examine.gradient_graph import Node, gradient_graph
from sweep.training.examine.inputs import input_notes
from sweep.training.generators import seeded
from sweep.training.models import CHECKED_PASSES, CHECKED_ROWS, copied, predict


@dataclass(frozen=True)
class Layer:
    """A module that holds no others, as the forward pass came through it.

    Args:
        name: Its path in the model; the model's class if it is the model itself.
        kind: Its class.
        inputs: The shape of its first input; None if that is no tensor.
        outputs: The shape of its output; None if that is no tensor.
        parameters: Numbers that it holds.
    """

    name: str
    kind: str
    inputs: tuple[int, ...] | None
    outputs: tuple[int, ...] | None
    parameters: int


@dataclass(frozen=True)
class Gradient:
    """What reaches a parameter.

    Args:
        name: The parameter's path.
        shape: Its shape.
        trainable: Whether it wants a gradient.
        norm: The gradient's L2 norm; None if none reaches it.
    """

    name: str
    shape: tuple[int, ...]
    trainable: bool
    norm: float | None


@dataclass(frozen=True)
class Anatomy:
    """What is known of a model.

    Args:
        name: Its class.
        trainable: Numbers that are trained.
        frozen: Numbers in parameters that are not.
        buffers: Numbers in buffers.
        rows: How many rows were passed through it.
        layers: In the order of the forward pass, as far as it came.
        gradients: Of each parameter; empty if there was no backward pass.
        loss: The loss before any training, of standardised targets; None without a forward pass.
        graph: From the loss to the parameters; None if there is none.
        problems: What is wrong, a sentence each.
        notes: What a user should know of it beside that, a sentence each.
    """

    name: str
    trainable: int
    frozen: int
    buffers: int
    rows: int
    layers: tuple[Layer, ...]
    gradients: tuple[Gradient, ...]
    loss: float | None
    graph: Node | None
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def without_gradient(self) -> tuple[str, ...]:
        """The trainable parameters that no gradient reaches."""
        return tuple(g.name for g in self.gradients if g.trainable and g.norm is None)

    @property
    def zero_gradient(self) -> tuple[str, ...]:
        """The parameters whose gradient is 0 in every entry."""
        return tuple(g.name for g in self.gradients if g.norm == 0)


def examine(model: nn.Module, data: TrainingData, settings: TrainingSettings) -> Anatomy:
    """Pass a few rows through a copy of a model, forward and backward.

    Args:
        model: The model, on the device of the data.
        data: The rows.
        settings: What all trials share; the last batch of an epoch is tried too.
    """
    problems: list[str] = []
    criterion = Criterion.of(settings, data)
    try:
        check_training(model, data, settings, criterion)
    except InputError as problem:
        problems.append(str(problem))
    x, y = data.x_train[:CHECKED_ROWS], data.y_train[:CHECKED_ROWS]
    layers: list[Layer] = []
    loss: Tensor | None = None
    named = dict(model.named_parameters())
    for seed in range(CHECKED_PASSES):  # the first that goes through all of a model
        layers.clear()
        with seeded(seed, x.device), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(Exception):  # then check_model has said why
                probe = copied(model, type(model).__name__)
                probe.zero_grad()
                named = dict(probe.named_parameters())
                with _watched(probe, layers):
                    prediction = predict(probe, x.clone(), criterion.outputs)
                    loss = criterion.checked_loss(prediction, y)
                if loss.requires_grad:
                    loss.backward()  # type: ignore[no-untyped-call]
        if loss is None or all(p.grad is not None for p in named.values() if p.requires_grad):
            break
    outputs = criterion.outputs
    differentiable = loss is not None and loss.requires_grad
    return Anatomy(
        name=type(model).__name__,
        trainable=sum(_size(p) for p in named.values() if p.requires_grad),
        frozen=sum(_size(p) for p in named.values() if not p.requires_grad),
        buffers=sum(_size(buffer) for buffer in model.buffers()),
        rows=len(x),
        layers=tuple(layers),
        gradients=tuple(_gradient(n, p) for n, p in named.items()) if differentiable else (),
        loss=None if loss is None else loss.item(),
        graph=gradient_graph(loss, named) if loss is not None and differentiable else None,
        problems=tuple(problems),
        notes=() if problems else tuple(input_notes(model, data.x_train, data.constant, outputs)),
    )


def _gradient(name: str, parameter: nn.Parameter) -> Gradient:
    norm = None if parameter.grad is None else parameter.grad.norm().item()
    return Gradient(name, tuple(parameter.shape), parameter.requires_grad, norm)


def _size(tensor: Tensor) -> int:
    return 0 if nn.parameter.is_lazy(tensor) else tensor.numel()


@contextlib.contextmanager
def _watched(model: nn.Module, layers: list[Layer]) -> Iterator[None]:
    """Write each innermost module down as the forward pass comes through it."""

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            size = sum(_size(parameter) for parameter in module.parameters())
            first = inputs[0] if inputs else None
            kind = type(module).__name__
            layers.append(Layer(name or kind, kind, _shape(first), _shape(output), size))

        return module.register_forward_hook(note)

    handles = [
        watch(name, module)
        for name, module in model.named_modules()
        if not any(True for _ in module.children())
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _shape(value: object) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None
