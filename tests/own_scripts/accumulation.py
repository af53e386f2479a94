"""Gradients accumulated over several batches for each step of the optimizer."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

num_epochs = 3
accum_iter = 4

x = torch.randn(600, 10)
y = x @ torch.randn(10, 1) + 0.1 * torch.randn(600, 1)
loader = DataLoader(TensorDataset(x[:480], y[:480]), batch_size=16, shuffle=True)

model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
total_steps = num_epochs * -(-len(loader) // accum_iter)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=total_steps)

for epoch in range(num_epochs):
    for batch_idx, (inputs, labels) in enumerate(loader):
        loss = nn.functional.mse_loss(model(inputs), labels) / accum_iter
        loss.backward()
        if (batch_idx + 1) % accum_iter == 0 or batch_idx + 1 == len(loader):
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()

    with torch.no_grad():
        val_mse = nn.functional.mse_loss(model(x[480:]), y[480:])
    print(f"epoch {epoch}: {val_mse.item():.5f}")
