"""Accelerate, with gradients accumulated over two batches."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

num_epochs = 3
accelerator = Accelerator(gradient_accumulation_steps=2, cpu=True)

x = torch.randn(480, 8)
y = (x[:, 0] + x[:, 1] > 0).long()
train_loader = DataLoader(TensorDataset(x[:240], y[:240]), batch_size=16, shuffle=True)
eval_loader = DataLoader(TensorDataset(x[240:], y[240:]), batch_size=64)

model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
model, optimizer, train_loader, eval_loader = accelerator.prepare(
    model, optimizer, train_loader, eval_loader
)
updates = num_epochs * -(-len(train_loader) // accelerator.gradient_accumulation_steps)
scheduler = accelerator.prepare(torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, updates))

for _ in range(num_epochs):
    model.train()
    for inputs, targets in train_loader:
        with accelerator.accumulate(model):
            loss = nn.functional.cross_entropy(model(inputs), targets)
            accelerator.backward(loss)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()

    model.eval()
    right = []
    for inputs, targets in eval_loader:
        with torch.no_grad():
            predictions = model(inputs).argmax(dim=-1)
        predictions, targets = accelerator.gather_for_metrics((predictions, targets))
        right.append((predictions == targets).float())
    accuracy = torch.cat(right).mean().item()
    accelerator.print(f"accuracy {accuracy:.4f}")
