"""Whether a model can be trained as lanes; if not, the module or operation in the way."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sweep.training.contract import ModelBuilder
from sweep.training.criterion import Criterion, Outputs
from sweep.training.generators import python_state, seeded
from sweep.training.lanes.stacked_model import StackedModel
from sweep.training.models import CHECKED_ROWS, predict
from sweep.training.randomness import SeededDropout, dropout_keys

_SEEDS = (0, 1)
_CONTAINERS = (list, dict, set, deque)
_OWN_ATTRIBUTES = {"training", *vars(nn.Module())}
_FAMILIAR = {
    "data-dependent control flow": "its control flow depends on a tensor's values",
    ".item()": "it reads a tensor's value with .item()",
    "randomness error mode": "it draws random numbers otherwise than by dropout",
    "There is a performance drop": "an operation of it has no batching rule",
}


@dataclass(frozen=True)
class Survey:
    """What a trial step shows of a model.

    Args:
        reason: Why it cannot be stacked, in half a sentence; None if it can.
        dropout_calls: Calls of `dropout` in a training step.
        floats_per_row: Numbers that a row's forward pass leaves for the backward pass.
        weights: Trainable numbers of the model.
        changing: The buffers that training changes, by name.
        folded: Whether all operations of it take lanes and channels that are neighbours in memory.
    """

    reason: str | None
    dropout_calls: int = 0
    floats_per_row: int = 0
    weights: int = 0
    changing: tuple[str, ...] = ()
    folded: bool = True


def survey(build_model: ModelBuilder, x: Tensor, y: Tensor, criterion: Criterion) -> Survey:
    """Train one step of two models, each alone and as lanes, and compare.

    Args:
        build_model: Builds it, with the initial weights of a seed.
        x: Inputs, (rows, ...); the first few are used.
        y: Targets, (rows, ...).
        criterion: What the models are trained by.
    """
    x, y = x[:CHECKED_ROWS], y[:CHECKED_ROWS]
    with seeded(0, x.device):
        models = [build_model(seed).to(x.device).train() for seed in _SEEDS]
        reason = _ragged(models)
        if reason:
            return Survey(reason)
        before = [{name: b.clone() for name, b in model.named_buffers()} for model in models]
        alone = [
            _Alone(model, seed, x, y, criterion) for model, seed in zip(models, _SEEDS, strict=True)
        ]
        reason = alone[0].reason or alone[1].reason
        if reason:
            return Survey(reason)
        for folded in (True, False):
            reason = _Lanes(models, before, criterion, folded).difference(alone, x, y)
            if not reason:
                break
        reason = reason or _mixes_rows(models[0], x, criterion.outputs)
        one = alone[0]
        weights = one.gradient.numel()
        return Survey(reason, one.dropout_calls, one.floats_per_row, weights, one.changing, folded)


def _ragged(models: list[nn.Module]) -> str | None:
    """Why the weights of two seeds do not stack."""
    shapes = [
        {
            name: (t.shape, t.dtype, t.requires_grad)
            for name, t in model.state_dict(keep_vars=True).items()
        }
        for model in models
    ]
    if shapes[0] != shapes[1]:
        return f"{type(models[0]).__name__} has other weights for another seed"
    odd = [n for n, p in models[0].named_parameters() if p.dtype != torch.float32]
    return f"{odd[0]} is not float32" if odd else None


class _Alone:
    """A training step of one model, and its validation."""

    def __init__(
        self, model: nn.Module, seed: int, x: Tensor, y: Tensor, criterion: Criterion
    ) -> None:
        self.reason: str | None = None
        before = {name: buffer.clone() for name, buffer in model.named_buffers()}
        attributes = _attributes(model)
        saved: list[int] = []

        def count(tensor: Tensor) -> Tensor:
            saved.append(tensor.numel() if len(x) in tensor.shape[:1] else 0)
            return tensor

        generators = python_state()
        dropout = SeededDropout(seed)
        with dropout, torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            self.loss = criterion.training_loss(predict(model, x, criterion.outputs), y)
        if python_state() != generators:
            kind = type(model).__name__
            self.reason = f"{kind} draws from the random numbers of Python or NumPy"
            return
        parameters = [p for p in model.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(self.loss, parameters, allow_unused=True)
        if any(gradient is None for gradient in gradients):
            self.reason = f"{type(model).__name__} leaves parts of itself out in training"
            return
        self.gradient = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self.dropout_calls = dropout.calls
        self.floats_per_row = sum(saved) // len(x) + x[0].numel() + y[0].numel()
        self.buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        changed = [n for n, buffer in self.buffers.items() if not torch.equal(buffer, before[n])]
        self.changing = tuple(changed)
        model.eval()
        with torch.no_grad():
            self.prediction = predict(model, x, criterion.outputs)
        model.train()
        for name, value in _attributes(model).items():
            if name not in attributes or not _unchanged(attributes[name], value):
                self.reason = f"{type(model).__name__} changes its attribute {name} in training"


def _attributes(model: nn.Module) -> dict[str, Any]:
    """What modules hold beside parameters, buffers and modules; of containers, their length."""
    return {
        f"{path}.{name}" if path else name: len(v) if isinstance(v, _CONTAINERS) else v
        for path, module in model.named_modules()
        for name, v in vars(module).items()
        if name not in _OWN_ATTRIBUTES
    }


def _unchanged(before: Any, after: Any) -> bool:
    plain = isinstance(before, (bool, int, float, str)) and type(before) is type(after)
    return before is after or (plain and bool(before == after))


def _mixes_rows(model: nn.Module, x: Tensor, outputs: Outputs) -> str | None:
    """Validation is split by rows, at other places than in the sequential engine."""
    model.eval()
    with torch.no_grad():
        prediction = predict(model, x, outputs)
        half = predict(model, x[: len(x) // 2 + 1], outputs)
    same = _close(prediction[: len(half)], half)
    return None if same else f"{type(model).__name__} predicts a row from other rows"


class _Lanes:
    """Models as lanes, with the buffers that they had before they were trained alone."""

    def __init__(
        self,
        models: list[nn.Module],
        buffers: list[dict[str, Tensor]],
        criterion: Criterion,
        folded: bool,
    ) -> None:
        self._name, self._loss = type(models[0]).__name__, criterion.loss.function
        self._stacked = StackedModel(models[0], criterion, folded=folded)
        self._flat = torch.stack([self._stacked.flat(model) for model in models])
        each = [
            self._stacked.constants(model) | own for model, own in zip(models, buffers, strict=True)
        ]
        self._constants = {name: torch.stack([c[name] for c in each]) for name in each[0]}

    def difference(self, alone: list[_Alone], x: Tensor, y: Tensor) -> str | None:
        """Why lanes do not do the same in a step as the models alone."""
        firsts = [0 for _ in _SEEDS]
        drawn = dropout_keys(_SEEDS, firsts, 1, alone[0].dropout_calls)
        keys = torch.from_numpy(drawn[0]).to(x.device)
        stacked, flat = self._stacked, self._flat.requires_grad_()
        entered: list[str] = []
        with _tracked(stacked.named_modules(), entered), warnings.catch_warnings():
            warnings.filterwarnings("error", "There is a performance drop")
            try:
                with stacked.mode(training=True):
                    # values of the inputs differ between lanes too
                    rows, targets = x.expand(2, *x.shape), y.expand(2, *y.shape)
                    losses = stacked.losses(
                        flat, self._constants, rows, targets, keys, shared=False
                    )
                    (gradients,) = torch.autograd.grad(losses.sum(), flat)
                with torch.no_grad(), stacked.mode(training=False):
                    predictions = stacked.predictions(flat, self._constants, x)
            except Exception as error:
                if _is_of_the_loss(error):
                    return f"the loss {self._loss}: {_explained(error)}"
                where = entered[-1] if entered else f"the backward pass of {self._name}"
                return f"{where}: {_explained(error)}"
        for lane, one in enumerate(alone):
            for name, buffer in one.buffers.items():
                if not _close(self._constants[name][lane].double(), buffer.double()):
                    return f"{self._name} changes its buffer {name} in training"
            if not (
                _close(losses[lane], one.loss)
                and _close(gradients[lane], one.gradient)
                and _close(predictions[lane], one.prediction)
            ):
                return f"{self._name} computes something else as lanes"
        return None


@contextlib.contextmanager
def _tracked(modules: dict[str, nn.Module], entered: list[str]) -> Iterator[None]:
    """Keep in `entered` the modules whose forward pass has begun but not ended."""
    handles = []
    for path, module in modules.items():
        shown = _shown(path, module)
        handles += [
            module.register_forward_pre_hook(lambda *_, shown=shown: entered.append(shown)),
            module.register_forward_hook(lambda *_: entered.pop() and None),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _shown(path: str, module: nn.Module) -> str:
    kind = type(module).__name__
    return f"{path} ({kind})" if path else kind


def _is_of_the_loss(error: Exception) -> bool:
    """Whether it was raised while the loss was computed."""
    code = Criterion.training_loss.__code__
    return any(frame.f_code is code for frame, _ in traceback.walk_tb(error.__traceback__))


def _explained(error: Exception) -> str:
    text = str(error)
    for part, explanation in _FAMILIAR.items():
        if part in text:
            return explanation
    first_line = text.strip().split("\n")[0]
    return f"{type(error).__name__}: {first_line[:200]}"


def _close(actual: Tensor, expected: Tensor) -> bool:
    scale = expected.detach().abs().max().item() if expected.numel() else 0.0
    return torch.allclose(actual, expected, rtol=1e-3, atol=1e-5 * scale, equal_nan=True)
