"""Small networks for scikit-learn's digits, that throughput.py measures."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


def images() -> tuple[np.ndarray, np.ndarray]:
    """Images, (1797, 1, 8, 8) from 0 to 1, and which digit each shows, (1797,)."""
    pixels, digits = load_digits(return_X_y=True)
    return (pixels / 16).reshape(-1, 1, 8, 8), digits


class Cnn(nn.Sequential):
    """Two convolutions with pools, and two linear layers: that of examples/digits."""

    def __init__(self, classes: int) -> None:
        layers: list[nn.Module] = []
        for channels, width in ((1, 16), (16, 32)):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Flatten(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, classes)]
        super().__init__(*layers)


class Transformer(nn.Module):
    """Two layers of width 32 with four heads, over the rows of an image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.up = nn.Linear(8, 32)
        self.place = nn.Parameter(torch.zeros(8, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (rows, classes), of images, (rows, 1, 8, 8)."""
        tokens = self.encoder(self.up(x.squeeze(1)) + self.place)
        logits: Tensor = self.out(tokens.mean(1))
        return logits
