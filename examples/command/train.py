"""A plain PyTorch script that is a trial of a sweep: `sweep run ... -- python train.py`.

Without a sweep, `python train.py` trains with the rate that stands here.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import sweep

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--loader-workers", type=int, default=0)
args = parser.parse_args()

trial = sweep.current_trial(epochs=args.epochs)
torch.manual_seed(trial.seed)

images, labels = load_digits(return_X_y=True)
x = torch.tensor(images, dtype=torch.float32) / 16
y = torch.tensor(labels)
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
training, validation = order[:1200], order[1200:]
loader = DataLoader(
    TensorDataset(x[training], y[training]),
    batch_size=64,
    shuffle=True,
    num_workers=args.loader_workers,
)

model = nn.Sequential(nn.Linear(64, args.width), nn.ReLU(), nn.Linear(args.width, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = trial.attach(optimizer, steps_per_epoch=len(loader))

first = 0
if trial.checkpoint.exists():  # it was interrupted, and goes on
    state = torch.load(trial.checkpoint)
    first = state["epoch"]
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])

for epoch in range(first, trial.epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
    with torch.no_grad():
        right = model(x[validation]).argmax(1) == y[validation]
    trial.report(right.float().mean())
    state = {"epoch": epoch + 1, "model": model.state_dict()}
    state |= {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    new = trial.folder / "checkpoint.new"
    torch.save(state, new)
    new.replace(trial.checkpoint)  # whole, or not at all

torch.save(model.state_dict(), trial.folder / "model.pt")
