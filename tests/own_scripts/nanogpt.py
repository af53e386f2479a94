"""A small character model, counted in iterations as nanoGPT is, whose rate is set by hand."""

import math

import torch
from torch import nn
from torch.nn import functional as F

eval_interval = 20
eval_iters = 4
batch_size = 16
block_size = 16
n_embd = 16
learning_rate = 1e-2
max_iters = 80
decay_lr = True
warmup_iters = 8
lr_decay_iters = 80
min_lr = 1e-3

text = "the quick brown fox jumps over the lazy dog " * 50
chars = sorted(set(text))
data = torch.tensor([chars.index(c) for c in text])
splits = {"train": data[:1800], "val": data[1800:]}


def get_batch(split):
    ix = torch.randint(len(splits[split]) - block_size, (batch_size,))
    x = torch.stack([splits[split][i : i + block_size] for i in ix])
    y = torch.stack([splits[split][i + 1 : i + 1 + block_size] for i in ix])
    return x, y


class Bigram(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(len(chars), n_embd)
        self.lm_head = nn.Linear(n_embd, len(chars))

    def forward(self, idx, targets):
        logits = self.lm_head(self.wte(idx))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


def get_lr(it):
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    if it > lr_decay_iters:
        return min_lr
    decay_ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return min_lr + coeff * (learning_rate - min_lr)


model = Bigram()
optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)


@torch.no_grad()
def estimate_loss():
    out = {}
    model.eval()
    for split in ["train", "val"]:
        losses = [model(*get_batch(split)).item() for _ in range(eval_iters)]
        out[split] = sum(losses) / eval_iters
    model.train()
    return out


iter_num = 0
while True:
    lr = get_lr(iter_num) if decay_lr else learning_rate
    for param_group in optimizer.param_groups:
        param_group["lr"] = lr

    loss = model(*get_batch("train"))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    iter_num += 1

    if iter_num % eval_interval == 0:
        losses = estimate_loss()
        print(f"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
    if iter_num >= max_iters:
        break
