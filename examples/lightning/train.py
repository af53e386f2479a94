"""Handwritten digits with a LightningModule and its Trainer."""

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from sweep.integrations.lightning import SweepCallback, optimizer_config


class Digits(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self.layers(x), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self.layers(x)
        self.log("val_loss", nn.functional.cross_entropy(logits, y))
        self.log("val_accuracy", (logits.argmax(dim=1) == y).float().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return optimizer_config(self, optimizer)


pixels, digits = load_digits(return_X_y=True)
images = TensorDataset(torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(digits))
train_set, val_set = random_split(images, [1200, len(images) - 1200])

trainer = L.Trainer(
    max_epochs=5,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    callbacks=[SweepCallback()],
)
trainer.fit(
    Digits(),
    DataLoader(train_set, batch_size=64, shuffle=True),
    DataLoader(val_set, batch_size=256),
)
print("final:", trainer.callback_metrics["val_accuracy"].item())
