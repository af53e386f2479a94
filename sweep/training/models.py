"""The built-in models, the user's own, and the one way to call a model."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sweep.base.errors import ModelError, did_you_mean
from sweep.base.user_code import load_object
from sweep.base.wording import listed
from sweep.study.registries.models import MODELS
from sweep.study.training.settings import Precision
from sweep.training.criterion import Criterion, Outputs
from sweep.training.generators import seeded

if TYPE_CHECKING:
    from sweep.study.sections import ModelConfig

# Names under which a user's class may take its number of inputs.
FEATURE_ARGUMENTS = (
    "features", "in_features", "n_features", "num_features",
    "input_size", "input_dim", "in_dim", "n_inputs",
)  # fmt: skip

# And those under which it may take the number of classes.
CLASS_ARGUMENTS = (
    "classes", "n_classes", "num_classes", "outputs", "n_outputs", "num_outputs",
    "out_features", "output_size", "output_dim", "out_dim",
)  # fmt: skip

CHECKED_ROWS = 32

CHECKED_PASSES = 30
"""A part that is skipped four times in five is missed by all of them once in 800 times."""


class BuiltInModel(nn.Module):
    """A model of the registry: its layers, one after the other."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs of shape (rows, features) to predictions of shape (rows, outputs)."""
        output: Tensor = self.layers(x)
        return output


def build_model(
    config: ModelConfig,
    inputs: int | tuple[int, ...],
    seed: int,
    folders: tuple[Path, ...] = (),
    outputs: int = 1,
) -> nn.Module:
    """Build a model on the CPU; the same seed gives the same weights.

    Args:
        config: A built-in name, or `module:Class` and its arguments.
        inputs: Number of features, or the shape of a row.
        seed: What the initial weights derive from; Python's, NumPy's and torch's own generators
            stay as they were.
        folders: Where a user's module is looked for, in this order.
        outputs: Numbers that it has for a row; a user's own class is told if they are several.

    Raises:
        ModelError: The name is unknown, or the user's class cannot be built.
    """
    features = inputs if isinstance(inputs, int) else inputs[0] if len(inputs) == 1 else None
    with seeded(seed):
        if config.name in MODELS:
            if config.args:
                raise ModelError(f"model.args belongs to 'module:Class', not to {config.name!r}")
            if features is None:
                raise ModelError(
                    f"model {config.name!r} learns from (rows, features), but x is of shape (rows, "
                    f"{str(inputs)[1:]}: name a model of your own, model.name = 'module:Class'"
                )
            entry = MODELS[config.name]
            kind: type[BuiltInModel] = type(entry.class_name, (BuiltInModel,), {})
            return kind(entry.layers(config, features, outputs))
        return _build_own(config, features, folders, outputs)


def _build_own(
    config: ModelConfig, features: int | None, folders: tuple[Path, ...], outputs: int
) -> nn.Module:
    """Build `module:Class` with the numbers of features and outputs, where it takes them."""
    name = config.name
    factory = load_object(name, folders, ModelError)
    if isinstance(factory, nn.Module):
        raise ModelError(
            f"model {name!r} is built already; name its class, or a function that builds it, "
            "so that each trial gets fresh weights"
        )
    other_class = inspect.isclass(factory) and not issubclass(factory, nn.Module)
    if other_class or not (inspect.isclass(factory) or inspect.isroutine(factory)):
        raise ModelError(f"model {name!r} is neither a torch.nn.Module nor a function building one")
    positional, keywords = _arguments(config, factory, features, outputs)
    try:
        model = factory(*positional, **keywords)
    except Exception as error:
        kind = type(error).__name__
        raise ModelError(f"model {name!r}: building it failed: {kind}: {error}") from error
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise ModelError(f"model {name!r} built an object of type {kind}, not a torch.nn.Module")
    return model


def _arguments(
    config: ModelConfig, factory: Callable[..., Any], features: int | None, outputs: int
) -> tuple[list[Any], dict[str, Any]]:
    """What to call the factory with, checked against its signature."""
    signature = inspect.signature(factory)
    keywords = dict(config.args)
    if outputs > 1:
        takers = [n for n in signature.parameters if n in CLASS_ARGUMENTS]
        if takers and not keywords.keys() & {*takers}:
            keywords[takers[0]] = outputs
    positional: list[Any] = []
    taker = None if features is None else _features_parameter(signature, keywords)
    if taker is not None and taker.kind is inspect.Parameter.POSITIONAL_ONLY:
        positional.append(features)
    elif taker is not None:
        keywords[taker.name] = features
    try:
        signature.bind(*positional, **keywords)
    except TypeError as error:
        unknown = [key for key in config.args if key not in signature.parameters]
        near = did_you_mean(unknown[0], signature.parameters) if unknown else ""
        shown = f"{config.name.rpartition(':')[2]}{signature}"
        raise ModelError(
            f"model {config.name!r}: {error}; its signature is {shown}, "
            f"and model.args in the study file gives it arguments{near}"
        ) from None
    return positional, keywords


def _features_parameter(
    signature: inspect.Signature, given: dict[str, Any]
) -> inspect.Parameter | None:
    """The parameter that takes the number of features: by its name, or the only required one."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = [p for p in signature.parameters.values() if p.kind not in variable]
    named = [p for p in parameters if p.name in FEATURE_ARGUMENTS]
    if named:
        return None if any(p.name in given for p in named) else named[0]
    required = [
        p
        for p in parameters
        if p.default is p.empty and p.name not in given and p.kind is not p.KEYWORD_ONLY
    ]
    return required[0] if len(required) == 1 else None


def predict(model: nn.Module, x: Tensor, outputs: Outputs = ()) -> Tensor:
    """Call a model and square its output, the only way in which `sweep` calls one.

    The loss of a prediction (rows, 1) and a target (rows,) would broadcast to (rows, rows) and
    could only learn the mean.

    Args:
        model: Any model, in the mode and on the device that the caller chose.
        x: Inputs of shape (rows, ...).
        outputs: What is expected for a row.

    Returns:
        Predictions of shape (rows, *outputs).

    Raises:
        ModelError: The output is no tensor, or of another shape.
    """
    return squared(model(x), len(x), type(model).__name__, outputs)


_FIRST_WITH_TF32 = (8, 0)
"""Compute capability: Ampere."""


def precision_of(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """What a model is called in, so that its products have a precision."""
    if precision != "bf16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def set_products_of(precision: Precision) -> None:
    """Let float32 products and convolutions on a GPU of this process be rounded so, or not."""
    torch.backends.cuda.matmul.allow_tf32 = precision != "highest"
    torch.backends.cudnn.allow_tf32 = precision != "highest"


def lacks(precision: Precision, device: torch.device) -> str:
    """That a device has no such products, in a sentence; empty where it has."""
    if precision != "tf32":
        return ""
    if device.type != "cuda":
        here = "on a CPU"
    elif torch.cuda.get_device_capability(device) < _FIRST_WITH_TF32:
        here = f"on {torch.cuda.get_device_name(device)}"
    else:
        return ""
    return f"training.precision = 'tf32' does nothing {here}: products are float32, as by default"


def squared(output: object, rows: int, name: str, outputs: Outputs = ()) -> Tensor:
    """A model's output as predictions of shape (rows, *outputs).

    Args:
        output: What the model returned for `rows` rows: shape (rows, *outputs); of one number also
            (rows, 1), or a single number for a single row.
        rows: Number of rows that went in.
        name: What an error message calls the model.
        outputs: What is expected for a row.

    Raises:
        ModelError: The output is no tensor, or of another shape.
    """
    wanted = f"({rows},) or ({rows}, 1)" if outputs == () else f"({rows}, ...)"
    if outputs:
        wanted = f"{(rows, *outputs)}, a number for each of {outputs[-1]} classes or outputs"
    if not isinstance(output, Tensor):
        raise ModelError(
            f"model {name!r} returned an object of type {type(output).__name__}; "
            f"expected a tensor of shape {wanted}"
        )
    shape = tuple(output.shape)
    if output.dtype == torch.bfloat16:  # of products in this precision; a loss is not
        output = output.float()
    if outputs is None:
        if shape[:1] == (rows,):
            return output.reshape(rows) if shape == (rows, 1) else output
    elif outputs:
        if shape == (rows, *outputs):
            return output
    elif shape in ((rows,), (rows, 1)) or (rows == 1 and shape == ()):
        return output.reshape(rows)
    raise ModelError(f"model {name!r} returned shape {shape} for {rows} rows; expected {wanted}")


def left_out_hint(constant: Sequence[str]) -> str:
    """What to say of columns that were left out of a model's input for having one value."""
    several = len(constant) > 1
    return (
        f"column{'s' if several else ''} {listed(map(repr, constant))} "
        f"{'were' if several else 'was'} left out for having one value in all training rows; "
        'data.constant = "keep" keeps what is constant'
    )


def check_model(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    criterion: Criterion,
    constant: Sequence[str] = (),
) -> None:
    """Take one step's gradient on a copy of the model, so that its faults show before training.

    A model may skip parts of itself by chance (stochastic depth), so a parameter that no gradient
    reaches is given more passes, of other seeds. The passes are the same every time. Neither the
    model nor the random generators change.

    Args:
        model: The model, on the device of x.
        x: Inputs of shape (rows, ...); the first few are used.
        y: Targets of shape (rows, ...).
        criterion: What it is trained by.
        constant: Columns that were left out of x for having one value, for the error to name.

    Raises:
        ModelError: The model cannot be copied, called or differentiated, its output is of a
            wrong type or shape or not finite, or a trainable parameter gets no gradient. A
            parameter whose gradient is 0 is fine, and so is a frozen one.
    """
    name = type(model).__name__
    x, y = x[:CHECKED_ROWS], y[:CHECKED_ROWS]
    probe = copied(model, name)
    trainable = {n: p for n, p in probe.named_parameters() if p.requires_grad}
    if not trainable:
        raise ModelError(f"model {name!r} has no trainable parameters")
    depends = False
    for seed in range(CHECKED_PASSES):
        with seeded(seed, x.device):
            depends |= _pass_back(probe, x, y, name, constant, criterion)
        idle = [n for n, parameter in trainable.items() if parameter.grad is None]
        if not idle:
            return
    if not depends:
        raise ModelError(
            f"model {name!r}: its output does not depend on its parameters; forward must not "
            "run under torch.no_grad(), nor call detach(), item() or numpy() on the way"
        )
    raise ModelError(
        f"model {name!r}: no gradient reaches {', '.join(idle)}; use every parameter in "
        "forward, or freeze those that are not trained with requires_grad_(False)"
    )


def _pass_back(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    name: str,
    constant: Sequence[str],
    criterion: Criterion,
) -> bool:
    """Pass rows forward and, where the output depends on any parameter, back; whether it does."""
    given = x.clone()
    prediction = _checked_output(model, given, name, constant, criterion.outputs)
    loss = criterion.checked_loss(prediction, y)
    if not torch.equal(given, x):
        raise ModelError(
            f"model {name!r} changes its input in place; begin forward with x = x.clone()"
        )
    if not loss.requires_grad:
        return False
    try:
        loss.backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ModelError(f"model {name!r}: its backward pass failed: {error}") from error
    return True


def copied(model: nn.Module, name: str) -> nn.Module:
    """A copy in training mode; gradients are not copied.

    Tensors that a module computes and keeps, as the old `weight_norm` does, cannot be copied with
    their history; the copy holds their values until it computes them itself.

    Raises:
        ModelError: It cannot be copied.
    """
    if lazy := [n for n, p in model.named_parameters() if nn.parameter.is_lazy(p)]:
        raise ModelError(f"model {name!r}: give its lazy layers their size: {', '.join(lazy)}")
    try:
        return copy.deepcopy(model, _values_of_computed(model)).train()
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"model {name!r} cannot be copied: {error}") from error


def _values_of_computed(model: nn.Module) -> dict[int, Any]:
    """The values of tensors with a history that modules keep, by identity, as deepcopy's memo."""
    kept = (value for module in model.modules() for value in vars(module).values())
    return {
        id(value): value.detach().clone()
        for value in kept
        if isinstance(value, Tensor) and not value.is_leaf
    }


def _checked_output(
    model: nn.Module, x: Tensor, name: str, constant: Sequence[str], outputs: Outputs
) -> Tensor:
    """Predictions, (rows, *outputs), finite and float32."""
    shape = tuple(x.shape)
    try:
        output = model(x)
    except Exception as error:
        kind = type(error).__name__
        hint = f" ({left_out_hint(constant)})" if constant else ""
        if x.dtype != torch.float32 and not hint:
            hint = f" (x is {x.dtype}, as the data's function returns it)"
        raise ModelError(
            f"model {name!r}: its forward pass failed on an input of shape {shape}: "
            f"{kind}: {error}{hint}"
        ) from error
    try:
        prediction = squared(output, len(x), name, outputs)
    except ModelError as problem:
        hint = f" ({left_out_hint(constant)})" if constant else ""
        raise ModelError(f"{problem}{hint}") from None
    if prediction.dtype != torch.float32:
        raise ModelError(f"model {name!r} returned {prediction.dtype}; expected {torch.float32}")
    if not prediction.isfinite().all():
        raise ModelError(f"model {name!r} returned values that are not finite before any training")
    return prediction
