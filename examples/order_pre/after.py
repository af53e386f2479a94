r"""The answer: a schedule that a sweep has found, stepped after every optimizer step.

sweep run --loop after.py:train --epochs 49 --trials 150 --lr 5e-3:5:log --decay 1e-3:1:log \
    --set objective=final
python after.py studies/after/best_schedule.json
"""

import sys

import torch
from torch import nn

from sweep import Schedule, behaviour_log  # in the place of pd.read_csv("log.csv")


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
        return self.layers(x).squeeze(1)  # (N,), as the target is; (N, 1) would broadcast


def load():
    log = behaviour_log(2000)
    table = log.groupby("user_id")["behavior_type"].value_counts().unstack(fill_value=0)
    counts = torch.tensor(table.to_numpy(), dtype=torch.float32)
    counts = (counts - counts.mean(0)) / counts.std(0)
    return counts[:, :3], counts[:, 3]


def train(schedule, epochs=49, seed=0):
    torch.manual_seed(seed)
    x, y = load()
    model = Order_pre()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    scheduler = schedule.attach(optimizer, steps_per_epoch=1, epochs=epochs)
    loss_function = nn.MSELoss()
    for _ in range(epochs):
        model.train()
        loss = loss_function(model(x[:1500]), y[:1500])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            yield ((model(x[1500:]) - y[1500:]) ** 2).mean().item()


if __name__ == "__main__":
    print(f"validation MSE: {list(train(Schedule.load(sys.argv[1])))[-1]:.4f}")
