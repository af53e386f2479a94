"""The next value of a time series from a window of the last ones, by a 1-D convolution.

sweep run examples/series/forecast.toml
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

WINDOW = 32


def demand(hours: int = 3000) -> np.ndarray:
    """An hourly demand with a day, a week, a trend and noise, (hours,)."""
    t = np.arange(hours)
    noise = np.random.default_rng(0).normal(size=hours)
    daily = np.sin(2 * np.pi * t / 24) + 0.4 * np.sin(4 * np.pi * t / 24)
    weekly = np.where(t // 24 % 7 < 5, 1.0, 0.4)
    return 2 + daily * weekly + t / hours + 0.15 * noise


def windows() -> tuple[np.ndarray, ...]:
    """Windows, (rows, WINDOW, 1), and the values behind them, (rows,), split by time.

    For training, for validation and for the test; a split at random would let a model see what
    comes after the rows that it is judged by.
    """
    series = demand()
    x = np.lib.stride_tricks.sliding_window_view(series[:-1], WINDOW)[:, :, None]
    y = series[WINDOW:]
    first, second = int(0.7 * len(y)), int(0.85 * len(y))
    parts = [slice(first), slice(first, second), slice(second, None)]
    return tuple(values[part] for part in parts for values in (x, y))


def jitter(x: Tensor, seed: int) -> Tensor:
    """A batch of windows, each with a little noise of its own."""
    generator = torch.Generator().manual_seed(seed)
    return x + 0.05 * torch.randn(x.shape, generator=generator).to(x.device)


class Forecast(nn.Module):
    """Two convolutions over time, and a linear layer."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.over_time = nn.Sequential(
            nn.Conv1d(1, channels, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(channels, channels, 5, padding=2),
            nn.GELU(),
        )
        self.out = nn.Linear(channels * WINDOW, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Forecasts, (rows, 1), of windows, (rows, WINDOW, 1)."""
        found: Tensor = self.out(self.over_time(x.transpose(1, 2)).flatten(1))
        return found
