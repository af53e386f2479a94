"""Predict the progression of diabetes: a training script as many people have one.

python before.py
"""

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def load():
    x, y = load_diabetes(return_X_y=True)
    x = torch.tensor(x, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    y = (y - y.mean()) / y.std()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    return TensorDataset(x[:340], y[:340]), TensorDataset(x[340:], y[340:])


class Net(nn.Module):
    def __init__(self, features, width=32):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 1),
        )

    def forward(self, x):
        return self.layers(x).squeeze(1)  # (N,), as the target is


def train(epochs=20, seed=0):
    torch.manual_seed(seed)
    training, validation = load()
    loader = DataLoader(training, batch_size=32, shuffle=True)
    model = Net(features=10)
    loss_function = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=110, gamma=0.3)
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            loss = loss_function(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        model.eval()
        with torch.no_grad():
            x, y = validation.tensors
            yield loss_function(model(x), y).item()


if __name__ == "__main__":
    for epoch, mse in enumerate(train(), start=1):
        print(f"epoch {epoch}: validation MSE {mse:.4f}")
