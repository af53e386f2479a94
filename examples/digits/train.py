"""A small convolutional network on scikit-learn's digits, with a training loop of its own.

sweep run examples/digits/digits.toml
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from sweep import Schedule

BATCH = 64
TRAINING = 1200  # of 1,797 images; the others are for validation


def images() -> tuple[Tensor, Tensor]:
    """Images, (1797, 1, 8, 8) from 0 to 1, and digits, (1797,), in a fixed random order."""
    pixels, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(pixels / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    return x[order], torch.tensor(digits)[order]


def network() -> nn.Module:
    """9,466 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def train(
    schedule: Schedule, *, epochs: int, seed: int, device: torch.device
) -> Iterator[dict[str, float]]:
    """Yield the accuracy on the validation images after each epoch."""
    torch.manual_seed(seed)
    x, y = (part.to(device) for part in images())
    model = network().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    steps_per_epoch = -(-TRAINING // BATCH)
    scheduler = schedule.attach(optimizer, steps_per_epoch=steps_per_epoch)
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(TRAINING).split(BATCH):
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()  # after every optimizer step
        model.eval()
        with torch.no_grad():
            right = model(x[TRAINING:]).argmax(dim=1) == y[TRAINING:]
        yield {"val_accuracy": right.float().mean().item()}
