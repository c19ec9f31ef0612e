from __future__ import annotations

import torch
from torch import nn

from agents.muon import Muon, orthogonal


def test_singular_values_are_about_one_and_vectors_stay():
    generator = torch.Generator().manual_seed(0)
    for shape in ((8, 20), (20, 8), (16, 16)):
        matrix = torch.randn(shape, generator=generator)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        found = left.T @ orthogonal(matrix) @ right.T
        size = torch.diagonal(found)
        assert (size > 0.5).all()
        assert (size < 1.3).all()
        torch.testing.assert_close(found, torch.diag(size), rtol=0, atol=1e-4)


def test_the_scale_of_gradients_does_not_matter():
    def learnt(scale):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
        optimizer = Muon(network.parameters(), 0.05)
        inputs = torch.rand(16, 3)
        for _ in range(5):
            optimizer.zero_grad()
            (scale * (network(inputs) - 1) ** 2).mean().backward()
            optimizer.step()
        return network.state_dict()

    torch.testing.assert_close(learnt(1.0), learnt(64.0), rtol=1e-3, atol=1e-4)


def test_it_learns_what_a_network_can():
    torch.manual_seed(0)
    network, target = nn.Linear(6, 4), nn.Linear(6, 4)
    optimizer = Muon(network.parameters())
    inputs = torch.randn(64, 6)
    losses = []
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - step / 300)
        optimizer.zero_grad()
        loss = ((network(inputs) - target(inputs)) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]
