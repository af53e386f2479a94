"""Training loops of one's own for budget.py: models that are no regression on a table.

Each is a function as a user would write it, with its split of the rows fixed. Tens of thousands are
trained, so they are NumPy with gradients by hand: a tenth of a second for 32 epochs of 25 steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from tables import series

from sweep import Schedule

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

_TRAINING_ROWS = 400
_BATCH = 16
_MONTHS = 24
_AHEAD = 6
_HIDDEN = 32


class _Parameters:
    """Arrays that are views of one vector, beside their gradients, in the same places."""

    def __init__(self, rng: np.random.Generator, *shapes: tuple[int, int]) -> None:
        """Random weights, (inputs, outputs) each, and one more input, which is a bias, at 0."""
        ends = np.cumsum([0, *((inputs + 1) * outputs for inputs, outputs in shapes)])
        self.all = np.zeros(ends[-1], np.float32)
        self.gradients = np.zeros_like(self.all)
        self.values: list[Floats] = []
        self.slopes: list[Floats] = []
        for (inputs, outputs), begin, end in zip(shapes, ends, ends[1:], strict=False):
            place = slice(begin, end)
            self.values.append(self.all[place].reshape(inputs + 1, outputs))
            self.slopes.append(self.gradients[place].reshape(inputs + 1, outputs))
            self.values[-1][:-1] = rng.normal(0, (2 / inputs) ** 0.5, (inputs, outputs))


@cache
def _digits() -> tuple[tuple[Floats, Whole], tuple[Floats, Whole]]:
    """Handwritten digits to train on and, 500 of them, for validation.

    Of each image the 16 patches that a convolution of 3 x 3 with stride 2 sees: (rows, 16, 9).
    """
    pixels, digits = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))[: _TRAINING_ROWS + 500]
    images = np.pad(pixels[order].reshape(-1, 8, 8) / 16, ((0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))[:, ::2, ::2]
    x, y = patches.reshape(-1, 16, 9).astype(np.float32), digits[order].astype(np.int64)
    return (x[:_TRAINING_ROWS], y[:_TRAINING_ROWS]), (x[_TRAINING_ROWS:], y[_TRAINING_ROWS:])


def digits(schedule: Schedule, *, epochs: int, seed: int) -> Iterator[dict[str, float]]:
    """A small convolutional network on few images, by SGD with momentum."""
    (x, y), (x_validation, y_validation) = _digits()
    rng = np.random.default_rng(seed)
    parameters = _Parameters(rng, (9, 8), (128, 10))
    (kernel, weight), (kernel_slope, weight_slope) = parameters.values, parameters.slopes
    momentum = np.zeros_like(parameters.all)

    def forward(x: Floats) -> tuple[Floats, Floats]:
        seen = np.maximum(x @ kernel[:-1] + kernel[-1], 0).reshape(len(x), -1)
        return seen, seen @ weight[:-1] + weight[-1]

    rates = iter(schedule.rates(epochs * _steps(x)).tolist())
    for _ in range(epochs):
        for rows in _batches(rng, len(x)):
            seen, scores = forward(x[rows])
            slope = _slope(scores, y[rows])
            weight_slope[:-1], weight_slope[-1] = seen.T @ slope, slope.sum(0)
            below = ((slope @ weight[:-1].T) * (seen > 0)).reshape(-1, 8)
            kernel_slope[:-1], kernel_slope[-1] = x[rows].reshape(-1, 9).T @ below, below.sum(0)
            momentum *= 0.9
            momentum += parameters.gradients
            parameters.all -= next(rates) * momentum
        yield {"val_loss": _cross_entropy(forward(x_validation)[1], y_validation)}


@cache
def _sunspots() -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Two years of monthly sunspot numbers, (rows, 24), and the month half a year later, (rows, 1).

    Those for validation are from 1937 on. Square roots, for their noise has about the same size.
    """
    months = np.sqrt(series("datasets", "sunspot.month")) / 10
    windows = np.lib.stride_tricks.sliding_window_view(months, _MONTHS + _AHEAD)
    rng = np.random.default_rng(0)
    first = 2 * len(windows) // 3
    known, unknown = windows[:first], windows[first + _MONTHS + _AHEAD :]
    parts = []
    for part, count in ((known, _TRAINING_ROWS), (unknown, 500)):
        chosen = part[rng.permutation(len(part))[:count]].astype(np.float32)
        parts.append((chosen[:, :_MONTHS], chosen[:, -1:]))
    return parts[0], parts[1]


def sunspots(schedule: Schedule, *, epochs: int, seed: int) -> Iterator[dict[str, float]]:
    """A time series half a year ahead, by a hidden layer and AdamW."""
    (x, y), (x_validation, y_validation) = _sunspots()
    rng = np.random.default_rng(seed)
    parameters = _Parameters(rng, (_MONTHS, _HIDDEN), (_HIDDEN, 1))
    (first, second), (first_slope, second_slope) = parameters.values, parameters.slopes
    mean, square = np.zeros_like(parameters.all), np.zeros_like(parameters.all)

    def forward(x: Floats) -> tuple[Floats, Floats]:
        hidden = np.maximum(x @ first[:-1] + first[-1], 0)
        return hidden, hidden @ second[:-1] + second[-1]

    rates = schedule.rates(epochs * _steps(x)).tolist()
    step = 0
    for _ in range(epochs):
        for rows in _batches(rng, len(x)):
            hidden, forecast = forward(x[rows])
            slope = (forecast - y[rows]) * np.float32(2 / len(rows))
            second_slope[:-1], second_slope[-1] = hidden.T @ slope, slope.sum(0)
            below = (slope @ second[:-1].T) * (hidden > 0)
            first_slope[:-1], first_slope[-1] = x[rows].T @ below, below.sum(0)
            rate, step = rates[step], step + 1
            mean += 0.1 * (parameters.gradients - mean)
            square += 0.001 * (parameters.gradients * parameters.gradients - square)
            height = (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
            parameters.all *= 1 - 0.01 * rate
            parameters.all -= rate * height * mean / (np.sqrt(square) + 1e-8)
        yield {"val_loss": float(((forward(x_validation)[1] - y_validation) ** 2).mean())}


def _steps(x: Floats) -> int:
    """Of an epoch."""
    return -(-len(x) // _BATCH)


def _batches(rng: np.random.Generator, rows: int) -> Iterator[Whole]:
    order = rng.permutation(rows)
    return (order[first : first + _BATCH] for first in range(0, rows, _BATCH))


def _slope(scores: Floats, y: Whole) -> Floats:
    """Of the mean cross-entropy, by the scores: (rows, classes)."""
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(y)), y] -= 1
    slope: Floats = shares / np.float32(len(y))
    return slope


def _cross_entropy(scores: Floats, y: Whole) -> float:
    highest = scores.max(axis=1)
    total = np.log(np.exp(scores - highest[:, None]).sum(axis=1)) + highest
    return float((total - scores[np.arange(len(y)), y]).mean())
