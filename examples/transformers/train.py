"""A small network with Hugging Face's Trainer, its optimizer and its schedule."""

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from sweep.integrations.transformers import connect


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 2))

    def forward(self, x, labels=None):
        logits = self.layers(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def dataset(n):
    x = torch.randn(n, 8)
    labels = (x[:, 0] + x[:, 1] > 0).long()
    return [{"x": a, "labels": b} for a, b in zip(x, labels, strict=True)]


def compute_metrics(predicted):
    right = predicted.predictions.argmax(axis=1) == predicted.label_ids
    return {"accuracy": float(right.mean())}


args = TrainingArguments(
    output_dir="out",
    num_train_epochs=3,
    per_device_train_batch_size=16,
    learning_rate=5e-3,
    lr_scheduler_type="cosine",
    warmup_steps=10,
    eval_strategy="epoch",
    save_strategy="no",
    logging_steps=10,
    use_cpu=True,
)
trainer = Trainer(
    model=Net(),
    args=args,
    train_dataset=dataset(320),
    eval_dataset=dataset(200),
    compute_metrics=compute_metrics,
)
connect(trainer)
trainer.train()
print("final:", trainer.evaluate()["eval_accuracy"])
