"""Many copies of a model as one: their weights stacked along a first lane axis."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from sweep.study.training.settings import Precision
from sweep.training.criterion import Criterion
from sweep.training.lanes.layers import prepare
from sweep.training.models import precision_of, squared
from sweep.training.randomness import LaneDropout

Constants = dict[str, Tensor]
"""Frozen parameters and buffers by name, each (lanes, ...)."""


class StackedModel:
    """A model whose weights live elsewhere: one flat row per lane.

    Args:
        model: Gives the structure; its weights are not used.
        criterion: What it is trained by.
        precision: Of its products.
        folded: Whether lanes and channels may be neighbours in memory.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion,
        precision: Precision = "highest",
        folded: bool = True,
    ) -> None:
        self._precision = precision
        self.criterion = criterion
        self._model = copy.deepcopy(model).requires_grad_(False)
        self._layers = prepare(self._model, folded)
        trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.shapes = {name: p.shape for name, p in trainable.items()}
        self.width = sum(shape.numel() for shape in self.shapes.values())
        self._sizes = [shape.numel() for shape in self.shapes.values()]
        owners = {id(tensor): name for name, tensor in _tensors(model).items()}
        state = model.state_dict(keep_vars=True)
        self._state = {key: owners.get(id(value), "") for key, value in state.items()}

    def flat(self, model: nn.Module) -> Tensor:
        """A model's trainable parameters, (width,)."""
        parameters = dict(model.named_parameters())
        return torch.cat([parameters[name].detach().reshape(-1) for name in self.shapes])

    def constants(self, model: nn.Module) -> Constants:
        """A model's frozen parameters and buffers."""
        tensors = _tensors(model)
        return {name: t.detach() for name, t in tensors.items() if name not in self.shapes}

    def parameters(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of a flat row by name.

        Args:
            flat: (width,).
        """
        parts = torch.split(flat, self._sizes)
        return {
            name: part.view(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def state_dict(self, flat: Tensor, constants: Constants) -> dict[str, Tensor]:
        """What the `state_dict` of a lane's model would be, as copies.

        Args:
            flat: (width,).
            constants: Of this lane.
        """
        tensors = self.parameters(flat) | constants
        return {key: tensors[owner].clone() for key, owner in self._state.items() if owner}

    @contextlib.contextmanager
    def mode(self, training: bool) -> Iterator[None]:
        """Inside this context lanes are trained, or predict."""
        self._model.train(training)
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # has no batching rule, nor has flash
        try:
            with sdpa_kernel(SDPBackend.MATH):
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)

    def named_modules(self) -> dict[str, nn.Module]:
        """The modules by path."""
        return dict(self._model.named_modules())

    def predict(self, flat: Tensor, constants: Constants, x: Tensor) -> Tensor:
        """Predictions of one lane, (rows, ...); differentiable.

        Args:
            flat: (width,).
            constants: Of this lane.
            x: (rows, ...).
        """
        with self._layers, precision_of(self._precision, x.device):
            output = functional_call(self._model, self.parameters(flat) | constants, (x,))
        name = type(self._model).__name__
        return squared(output, len(x), name, self.criterion.outputs)

    def loss(
        self, flat: Tensor, constants: Constants, x: Tensor, y: Tensor, keys: Tensor
    ) -> Tensor:
        """The loss of one lane in training, a scalar; differentiable.

        Args:
            flat: (width,).
            constants: Of this lane; what a layer changes of them, it changes in place.
            x: (rows, ...).
            y: (rows, ...).
            keys: Of the dropout calls, (calls,) int32.
        """
        with LaneDropout(keys):
            prediction = self.predict(flat, constants, x)  # (rows, ...)
        return self.criterion.training_loss(prediction, y)

    def losses(
        self,
        flat: Tensor,
        constants: Constants,
        x: Tensor,
        y: Tensor,
        keys: Tensor,
        *,
        shared: bool,
    ) -> Tensor:
        """Each lane's loss in training, (lanes,); differentiable.

        Args:
            flat: (lanes, width).
            constants: By name, (lanes, ...).
            x: (rows, ...) for all lanes, or (lanes, rows, ...).
            y: (rows, ...) for all lanes, or (lanes, rows, ...).
            keys: Of the dropout calls, (calls,) for all lanes, or (lanes, calls), int32.
            shared: Whether the last three are the same for all lanes.
        """
        axis = None if shared else 0
        mapped: Callable[..., Tensor] = vmap(self.loss, in_dims=(0, 0, axis, axis, axis))
        return mapped(flat, constants, x, y, keys)

    def predictions(self, flat: Tensor, constants: Constants, x: Tensor) -> Tensor:
        """Each lane's predictions, (lanes, rows, ...).

        Args:
            flat: (lanes, width).
            constants: By name, (lanes, ...).
            x: (rows, ...).
        """
        mapped: Callable[..., Tensor] = vmap(self.predict, in_dims=(0, 0, None))
        return mapped(flat, constants, x)

    def sums(self, flat: Tensor, constants: Constants, x: Tensor, y: Tensor) -> Tensor:
        """What the criterion sums over rows of each lane's predictions, (sums, lanes).

        Args:
            flat: (lanes, width).
            constants: By name, (lanes, ...).
            x: (rows, ...).
            y: (rows, ...).
        """
        predictions = self.predictions(flat, constants, x)
        mapped: Callable[..., list[Tensor]] = vmap(self.criterion.sums, in_dims=(0, None))
        return torch.stack(mapped(predictions, y))


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())
