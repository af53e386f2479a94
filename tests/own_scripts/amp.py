"""Mixed precision: autocast and a GradScaler, which skips steps whose gradients overflow."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

epochs = 3
device = "cuda" if torch.cuda.is_available() else "cpu"
dtype = torch.float16 if device == "cuda" else torch.bfloat16

x = torch.randn(640, 16)
y = (x[:, :4].prod(dim=1) > 0).long()
train_loader = DataLoader(TensorDataset(x[:512], y[:512]), batch_size=32, shuffle=True)
x_val, y_val = x[512:].to(device), y[512:].to(device)

model = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 2)).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(train_loader))
scaler = torch.amp.GradScaler(device)

for epoch in range(epochs):
    model.train()
    for inputs, targets in train_loader:
        inputs, targets = inputs.to(device), targets.to(device)
        optimizer.zero_grad()
        with torch.autocast(device_type=device, dtype=dtype):
            loss = nn.functional.cross_entropy(model(inputs), targets)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()

    model.eval()
    with torch.no_grad(), torch.autocast(device_type=device, dtype=dtype):
        val_loss = nn.functional.cross_entropy(model(x_val), y_val).item()
    print(f"Epoch {epoch + 1}/{epochs} val_loss={val_loss:.4f}")
