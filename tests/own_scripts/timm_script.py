"""A small vision transformer of timm with layer decay, on handwritten digits."""

import timm
import torch
from sklearn.datasets import load_digits
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

epochs = 3
pixels, digits = load_digits(return_X_y=True)
images = torch.tensor(pixels / 16, dtype=torch.float32).view(-1, 1, 8, 8)
labels = torch.tensor(digits)
loader_train = DataLoader(TensorDataset(images[:640], labels[:640]), 64, shuffle=True)
eval_images, eval_labels = images[1400:], labels[1400:]

model = timm.create_model(
    "vit_tiny_patch16_224",
    img_size=8,
    patch_size=4,
    in_chans=1,
    num_classes=10,
    embed_dim=32,
    depth=2,
    num_heads=2,
)
optimizer = create_optimizer_v2(model, opt="adamw", lr=3e-3, weight_decay=0.05, layer_decay=0.6)
updates_per_epoch = len(loader_train)
lr_scheduler, num_epochs = create_scheduler_v2(
    optimizer,
    sched="cosine",
    num_epochs=epochs,
    warmup_epochs=1,
    step_on_epochs=False,
    updates_per_epoch=updates_per_epoch,
)

for epoch in range(num_epochs):
    model.train()
    for batch_idx, (x, target) in enumerate(loader_train):
        loss = nn.functional.cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lr_scheduler.step_update(num_updates=epoch * updates_per_epoch + batch_idx + 1)

    model.eval()
    with torch.no_grad():
        top1 = 100 * (model(eval_images).argmax(1) == eval_labels).float().mean().item()
    lr_scheduler.step(epoch + 1, top1)
    print(f"Test: [{epoch}] Acc@1: {top1:.3f}")
