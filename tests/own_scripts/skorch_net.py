"""Handwritten digits with a skorch classifier, as scikit-learn's estimators are used."""

import torch
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn

X, y = load_digits(return_X_y=True)
X = (X / 16).astype("float32")


class Net(nn.Module):
    def __init__(self, num_units=32):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, num_units), nn.ReLU(), nn.Linear(num_units, 10), nn.Softmax(dim=-1)
        )

    def forward(self, X):
        return self.layers(X)


net = NeuralNetClassifier(
    Net,
    max_epochs=5,
    optimizer=torch.optim.SGD,
    optimizer__momentum=0.9,
    lr=0.05,
    batch_size=64,
    callbacks=[("scheduler", LRScheduler(policy="StepLR", step_size=2))],
)
net.fit(X, y)
print("final:", net.history[-1, "valid_acc"])
