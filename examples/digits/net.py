"""A small convolutional network on scikit-learn's digits, without a training loop.

sweep run examples/digits/cnn.toml
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from torch import Tensor, nn


def images() -> tuple[np.ndarray, np.ndarray]:
    """Images, (1797, 1, 8, 8) from 0 to 1, and which digit each shows, (1797,)."""
    pixels, digits = load_digits(return_X_y=True)
    return (pixels / 16).reshape(-1, 1, 8, 8), digits


class Net(nn.Module):
    """The network of train.py, for as many classes as there are: 9,466 weights for ten."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(128, 32),
            nn.ReLU(),
            nn.Linear(32, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (rows, classes), of images, (rows, 1, 8, 8)."""
        logits: Tensor = self.layers(x)
        return logits
