"""Training loops of one's own for budget.py: models that are no regression on a table.

Each is a function as a user would write it, with its split of the rows fixed, and takes about a
tenth of a second for 32 epochs: many thousands are trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from sklearn import datasets
from torch import Tensor, nn

from sweep import Schedule

Rows = tuple[Tensor, Tensor]

_TRAINING_IMAGES = 400
_CONTEXT = 8
_TRAINING_CHARACTERS = 1_024
_VALIDATION_CHARACTERS = 512


@cache
def _images() -> tuple[Rows, Rows]:
    """Handwritten digits to train on and, 500 of them, for validation: (rows, 1, 8, 8)."""
    pixels, digits = datasets.load_digits(return_X_y=True)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(pixels / 16, dtype=torch.float32).view(-1, 1, 8, 8)[order]
    y = torch.tensor(digits)[order]
    end = _TRAINING_IMAGES + 500
    training = x[:_TRAINING_IMAGES], y[:_TRAINING_IMAGES]
    return training, (x[_TRAINING_IMAGES:end], y[_TRAINING_IMAGES:end])


@cache
def _characters() -> tuple[Rows, Rows, int]:
    """Windows of scikit-learn's descriptions of its data, the character after each; the alphabet.

    Windows: (rows, context). Those for validation come from other descriptions.
    """
    loaders = (datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer)
    text = "".join(loader().DESCR for loader in loaders)
    alphabet = sorted({*text})
    codes = torch.tensor([alphabet.index(character) for character in text])
    windows = codes.unfold(0, _CONTEXT + 1, 1)  # (windows, context + 1)
    known, unknown = windows[: len(windows) // 2], windows[len(windows) // 2 :]
    parts = []
    for part, count in ((known, _TRAINING_CHARACTERS), (unknown, _VALIDATION_CHARACTERS)):
        order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))[:count]
        parts.append((part[order, :-1], part[order, -1]))
    return parts[0], parts[1], len(alphabet)


def digits(schedule: Schedule, *, epochs: int, seed: int) -> Iterator[dict[str, float]]:
    """A small convolutional network on few images, by SGD with momentum."""
    training, validation = _images()
    torch.manual_seed(seed)
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(128, 10)),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return _trained(model, optimizer, schedule, training, validation, epochs, batch=100)


def characters(schedule: Schedule, *, epochs: int, seed: int) -> Iterator[dict[str, float]]:
    """The next character from the last eight (Bengio et al. 2003), by AdamW."""
    training, validation, alphabet = _characters()
    torch.manual_seed(seed)
    model = nn.Sequential(
        *(nn.Embedding(alphabet, 8), nn.Flatten()),
        *(nn.Linear(8 * _CONTEXT, 64), nn.ReLU(), nn.Linear(64, alphabet)),
    )
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    return _trained(model, optimizer, schedule, training, validation, epochs, batch=256)


def _trained(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    training: Rows,
    validation: Rows,
    epochs: int,
    batch: int,
) -> Iterator[dict[str, float]]:
    """Yield the validation rows' cross-entropy after each epoch."""
    x, y = training
    x_validation, y_validation = validation
    scheduler = schedule.attach(optimizer, steps_per_epoch=-(-len(x) // batch), epochs=epochs)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x)), batch):
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
        with torch.no_grad():
            loss = nn.functional.cross_entropy(model(x_validation), y_validation)
        yield {"val_loss": loss.item()}
