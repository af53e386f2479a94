"""The question: how do I use a learning-rate scheduler here?

python before.py
"""

import torch
from torch import nn

from sweep import behaviour_log  # in the place of pd.read_csv("log.csv")


class Order_pre(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(3),
            nn.Linear(3, 6), nn.ReLU(),
            nn.Linear(6, 12), nn.ReLU(),
            nn.Linear(12, 24), nn.Dropout(0.5), nn.ReLU(),
            nn.Linear(24, 48), nn.ReLU(),
            nn.Linear(48, 96), nn.ReLU(),
            nn.Linear(96, 1),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)


def load():
    log = behaviour_log(2000)
    table = log.groupby("user_id")["behavior_type"].value_counts().unstack(fill_value=0)
    counts = torch.tensor(table.to_numpy(), dtype=torch.float32)
    counts = (counts - counts.mean(0)) / counts.std(0)
    return counts[:, :3], counts[:, 3]


def train(epochs=49, seed=0):
    torch.manual_seed(seed)
    x, y = load()
    model = Order_pre()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loss_function = nn.MSELoss()
    for _ in range(epochs):
        model.train()
        loss = loss_function(model(x[:1500]), y[:1500])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            yield ((model(x[1500:]).squeeze(1) - y[1500:]) ** 2).mean().item()


if __name__ == "__main__":
    print(f"validation MSE: {list(train())[-1]:.4f}")
