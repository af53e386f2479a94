"""Lanes of a chain of layers trained by a C program made for this chain, on a CPU.

The program keeps a lane's weights and a block of its activations in the cache for a whole epoch,
which torch's separate operations cannot. It needs a C compiler; what is compiled is kept on disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sweep.base.errors import TrainingError
from sweep.training.contract import TrainingData, TrainingSettings
from sweep.training.lanes.native.chain import Activation, Dropout, Layer, LayerNorm, Linear
from sweep.training.lanes.native.program_cache import first_use, kept_program, made_cache_folder
from sweep.training.lanes.optimizers import StepNumbers
from sweep.training.lanes.stack import EpochPlan, LaneStack
from sweep.training.lanes.stacked_model import Constants

_BLOCK = 64  # as in kernels.c
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
PROCESSORS: tuple[tuple[str, ...], ...] = (("-march=native",), ("-mcpu=native",), ())
"""Flags for this processor's vectors, in the order in which they are tried."""

_COMPILE_SECS = 60
"""After which a compiler hangs; it takes about two."""

GREATEST_WIDTH = 256
"""Wider layers are trained as fast by torch's matrix products."""


def padded(size: int) -> int:
    """The next multiple of 16, to which features are padded."""
    return -(-size // 16) * 16


class _Program:
    """The C source of a chain's passes, written down layer by layer."""

    def __init__(self, layers: Sequence[Layer], features: int) -> None:
        self._pack: list[str] = []
        self._unpack: list[str] = []
        self._transpose: list[str] = []
        self._forward: list[str] = []
        self._backward: list[str] = []
        self._weights = 0
        self._transposed = 0
        self._activations = 0
        self._calls = 0
        self._features = features
        self._width = features
        self._at = self._buffer(padded(features))
        self._trained = False
        for layer in layers:
            self._add(layer)

    def source(self) -> str:
        """The whole program, the kernels included."""
        sizes = {
            "FEATURES": self._features,
            "WEIGHTS": self._weights,
            "TRANSPOSED": max(self._transposed, 1),
            "ACTIVATIONS": self._activations,
            "INPUT": 0,
            "OUTPUT": self._at,
        }
        defines = "".join(f"#define {name} {size}\n" for name, size in sizes.items())
        functions = {
            "pack_all(const float *flat, float *padded)": self._pack,
            "unpack_all(const float *padded, float *flat)": self._unpack,
            "transpose_all(Lane *l)": self._transpose,
            "forward(Lane *l, int rows, int first, const int *keys, int training)": self._forward,
            "backward(Lane *l, int rows)": self._backward[::-1],
        }
        program = "".join(
            f"static void {head} {{\n    " + "\n    ".join(body) + "\n}\n"
            for head, body in functions.items()
        )
        kernels = resources.files(__package__).joinpath("kernels.c").read_text(encoding="utf-8")
        return defines + kernels.replace('#include "program.h"\n', program)

    def _buffer(self, columns: int) -> int:
        begin = self._activations
        self._activations += columns * _BLOCK
        return begin

    def _weight(self, rows: int, columns: int, flat: int | None, space: int) -> str:
        """Room for a weight; its address, less the arena, or an empty string."""
        if flat is None:
            return ""
        begin = self._weights
        self._weights += space
        self._pack.append(f"pack({rows}, {columns}, flat + {flat}, padded + {begin});")
        self._unpack.append(f"unpack({rows}, {columns}, padded + {begin}, flat + {flat});")
        return f" + {begin}"

    def _add(self, layer: Layer) -> None:
        at, width = self._at, self._width
        if isinstance(layer, Linear):
            self._add_linear(layer)
        elif isinstance(layer, LayerNorm):
            self._add_layer_norm(layer)
        elif isinstance(layer, Dropout):
            mask = self._buffer(padded(width))
            least, scale = int(layer.p * (1 << 31)), 1.0 / (1.0 - layer.p)
            self._forward.append(
                f"if (training) dropout(rows, {width}, first, keys[{self._calls}], {least}u, "
                f"{scale!r}f, l->a + {at}, l->a + {mask});"
            )
            if self._trained:
                self._backward.append(f"scale_by(rows, {width}, l->a + {mask}, l->d + {at});")
            self._calls += 1
        elif isinstance(layer, Activation):
            y, slope = self._buffer(padded(width)), self._buffer(padded(width))
            self._forward.append(
                f"{layer.name}(rows, {width}, {layer.number!r}f, l->a + {at}, l->a + {y}, "
                f"l->a + {slope});"
            )
            if self._trained:
                self._backward.append(
                    f"scale_into(rows, {width}, l->a + {slope}, l->d + {y}, l->d + {at});"
                )
            self._at = y
        else:
            self._forward.append(f"relu(rows, {width}, l->a + {at});")
            if self._trained:
                self._backward.append(f"relu_backward(rows, {width}, l->a + {at}, l->d + {at});")

    def _add_linear(self, layer: Linear) -> None:
        x, inputs, outputs = self._at, layer.inputs, layer.outputs
        rows = padded(outputs) if outputs > 1 else 1
        w = self._weight(outputs, inputs, layer.weight, rows * padded(inputs))
        b = self._weight(1, outputs, layer.bias, padded(outputs))
        wt = self._transposed
        self._transposed += padded(inputs) * padded(outputs) if outputs > 1 else 0
        y = self._buffer(padded(outputs))
        sizes = f"rows, {inputs}, {outputs}"
        bias, dbias = (f"l->w{b}", f"l->g{b}") if b else ("0", "0")
        dx = f"l->d + {x}" if self._trained else "0"
        self._transpose.append(f"transpose({inputs}, {outputs}, l->w{w}, l->wt + {wt});")
        self._forward.append(
            f"linear({sizes}, l->a + {x}, l->w{w}, l->wt + {wt}, {bias}, l->a + {y});"
        )
        self._backward.append(
            f"linear_backward({sizes}, l->a + {x}, l->w{w}, l->d + {y}, {dx}, l->g{w}, {dbias});"
        )
        self._at, self._width, self._trained = y, outputs, True

    def _add_layer_norm(self, layer: LayerNorm) -> None:
        x, features = self._at, layer.features
        w = self._weight(1, features, layer.weight, padded(features))
        b = self._weight(1, features, layer.bias, padded(features))
        y, normal = self._buffer(padded(features)), self._buffer(padded(features))
        inverse = self._buffer(1)
        weight, dweight = (f"l->w{w}", f"l->g{w}") if w else ("0", "0")
        bias, dbias = (f"l->w{b}", f"l->g{b}") if b else ("0", "0")
        dx = f"l->d + {x}" if self._trained else "0"
        self._forward.append(
            f"layer_norm(rows, {features}, {layer.eps!r}f, l->a + {x}, {weight}, {bias}, "
            f"l->a + {normal}, l->a + {inverse}, l->a + {y});"
        )
        if self._trained or w or b:
            self._backward.append(
                f"layer_norm_backward(rows, {features}, {weight}, l->a + {normal}, "
                f"l->a + {inverse}, l->d + {y}, {dx}, {dweight}, {dbias});"
            )
            self._trained = True
        self._at = y


def program_source(layers: Sequence[Layer], features: int) -> str:
    """The C program that trains a chain of layers."""
    return _Program(layers, features).source()


def _compiler() -> str:
    candidates = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    for name in candidates:
        if name and (path := shutil.which(name)):
            return path
    raise TrainingError("there is no C compiler here")


def _processor() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("flags", "Features"))}))


@dataclass(frozen=True)
class Library:
    """A compiled program that is loaded.

    Args:
        functions: Its functions.
        path: Where it was loaded from; None if it is kept nowhere.
        note: What a user should know of that; empty if nothing.
    """

    functions: ctypes.CDLL
    path: Path | None
    note: str = ""


@functools.cache
def library(source: str) -> Library:
    """The compiled program, from the disk if it has been compiled before.

    Raises:
        TrainingError: There is no compiler, it fails, or its product cannot be loaded.
    """
    compiler = _compiler()
    try:
        version = _output([compiler, "--version"], b"").stdout
        parts = (
            source,
            compiler,
            version.decode(errors="replace"),
            _processor(),
            repr((FLAGS, PROCESSORS)),
        )
        name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32] + ".so"
        build = functools.partial(_compile, compiler, source)
        folder, reason = made_cache_folder()
        if not reason:
            path = kept_program(folder, name, build)
            return Library(ctypes.CDLL(str(path)), path)
        with tempfile.TemporaryDirectory(prefix="sweep-") as private:
            path = Path(private) / name
            build(path)
            note = f"programs are compiled for this run alone: {reason}"
            return Library(ctypes.CDLL(str(path)), None, note)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        raise TrainingError(f"the compiled program cannot be kept or loaded: {error}") from error


def _compile(compiler: str, source: str, path: Path) -> None:
    cause = ""
    for processor in PROCESSORS:
        command = [compiler, *FLAGS, *processor, "-x", "c", "-", "-o", str(path), "-lm"]
        done = _output(command, source.encode())
        if not done.returncode:
            return
        lines = done.stderr.decode(errors="replace").splitlines()
        cause = next((line for line in lines if "error" in line), f"exit {done.returncode}")
    raise TrainingError(f"{Path(compiler).name} failed: {cause}")


def _output(command: list[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
    """What a compiler says; one that hangs is ended with all processes that it has started.

    Raises:
        TrainingError: It takes too long.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(given, timeout=_COMPILE_SECS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            name = Path(command[0]).name
            raise TrainingError(f"{name} was given up after {_COMPILE_SECS} s") from None
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def _numbers(numbers: StepNumbers, gains: NDArray[np.float32]) -> NDArray[np.float32]:
    """The struct `Numbers` of each step and lane, (steps, lanes, 11)."""
    shape = numbers.rate.shape
    fields = [
        *(numbers.rate, numbers.shrink, numbers.spread),
        *(numbers.momentum, numbers.lookahead, numbers.weight_decay),
        *(numbers.gain1, numbers.beta2, numbers.gain2),
        np.maximum(numbers.eps, np.finfo(np.float32).tiny),  # padding is divided by it
        gains,
    ]
    return np.stack([np.broadcast_to(f, shape) for f in fields], axis=-1).astype(np.float32)


class NativeTrainer:
    """Trains lanes one after the other, each for a whole epoch.

    Args:
        data: The rows, on the CPU.
        settings: What all trials share.
        layers: The model.

    Raises:
        TrainingError: The program cannot be compiled.
    """

    def __init__(
        self, data: TrainingData, settings: TrainingSettings, layers: Sequence[Layer]
    ) -> None:
        features = data.x_train.shape[1]
        self._x_train, self._y_train = data.x_train.contiguous(), data.y_train.contiguous()
        self._x_validation = data.x_validation.contiguous()
        self._y_validation = data.y_validation.contiguous()
        self._batch_size = min(settings.batch_size or len(data.x_train), len(data.x_train))
        self._clip = settings.clip or 0.0
        self._program = library(program_source(layers, features))
        self._library = self._program.functions

    @property
    def note(self) -> str:
        """What a user should know of the program; empty if nothing."""
        return self._program.note

    def first_use(self) -> contextlib.AbstractContextManager[None]:
        """In which the program is tried: if this process dies of it, it is made again."""
        path = self._program.path
        return first_use(path) if path else contextlib.nullcontext()

    def group(self) -> int:
        """How many lanes it takes at once at most."""
        return 1 << 30

    def train(self, stack: LaneStack, plan: EpochPlan) -> tuple[Tensor, Tensor]:
        """Train lanes for an epoch."""
        weights = stack.parameters[plan.lanes]
        states = [state[plan.lanes] for state in stack.states]
        errors, norms = torch.empty(2, len(weights))
        numbers = _numbers(plan.numbers, plan.gains)
        integers = [
            *self._x_train.shape[:1],
            self._batch_size,
            plan.keys.shape[2],
            len(plan.orders),
        ]
        failed = self._library.train(
            ctypes.c_longlong(len(weights)),
            *[ctypes.c_longlong(integer) for integer in integers],
            ctypes.c_int(stack.optimizer != "sgd"),
            ctypes.c_float(self._clip),
            *_pointers(self._x_train, self._y_train, plan.course, plan.orders, plan.keys),
            *_pointers(weights, stack.averages[plan.lanes], states[0], states[-1]),
            ctypes.c_longlong(weights.shape[1]),
            *_pointers(numbers, errors, norms),
        )
        if failed:
            raise MemoryError
        return errors, norms

    def validate(self, weights: Tensor, constants: Constants) -> Tensor:
        """The sums of the squared errors over the validation rows."""
        errors = torch.empty(len(weights), dtype=torch.float64)
        failed = self._library.validate(
            ctypes.c_longlong(len(weights)),
            ctypes.c_longlong(len(self._x_validation)),
            *_pointers(self._x_validation, self._y_validation, weights),
            ctypes.c_longlong(weights.shape[1]),
            *_pointers(errors),
        )
        if failed:
            raise MemoryError
        return errors


def _pointers(*arrays: Tensor | NDArray[np.generic]) -> list[ctypes.c_void_p]:
    """Addresses, for the length of a call that the arrays outlive."""
    for array in arrays:
        contiguous = (
            array.is_contiguous() if isinstance(array, Tensor) else array.flags.c_contiguous
        )
        assert contiguous, "the program reads and writes whole arrays"
    return [
        ctypes.c_void_p(array.data_ptr() if isinstance(array, Tensor) else array.ctypes.data)
        for array in arrays
    ]
