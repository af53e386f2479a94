"""A GAN that learns points on a ring: two optimizers with rates of their own."""

import math

import torch
from torch import nn
from torch.utils.data import DataLoader

n_epochs = 4
latent = 4


def ring(n):
    angles = 2 * math.pi * torch.rand(n)
    return torch.stack([angles.cos(), angles.sin()], dim=1) + 0.05 * torch.randn(n, 2)


loader = DataLoader(ring(640), batch_size=64, shuffle=True)
netG = nn.Sequential(nn.Linear(latent, 32), nn.ReLU(), nn.Linear(32, 2))
netD = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
criterion = nn.BCEWithLogitsLoss()
optimizerG = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
optimizerD = torch.optim.Adam(netD.parameters(), lr=4e-3, betas=(0.5, 0.999))
optimizers = [optimizerG, optimizerD]
schedulers = [torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.9) for o in optimizers]

for epoch in range(n_epochs):
    for real in loader:
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)

        optimizerD.zero_grad()
        fake = netG(torch.randn(len(real), latent))
        errD = criterion(netD(real), ones) + criterion(netD(fake.detach()), zeros)
        errD.backward()
        optimizerD.step()

        optimizerG.zero_grad()
        errG = criterion(netD(fake), ones)
        errG.backward()
        optimizerG.step()

    for scheduler in schedulers:
        scheduler.step()
    with torch.no_grad():
        radius = netG(torch.randn(500, latent)).norm(dim=1)
    distance = (radius - 1).abs().mean().item()
    print(f"[{epoch}/{n_epochs}] Loss_D: {errD:.4f} Loss_G: {errG:.4f} distance: {distance:.4f}")
