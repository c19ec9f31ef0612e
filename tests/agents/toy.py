"""An agent of a system that is none of ours, and a training of it that takes milliseconds a round."""

from __future__ import annotations

import copy

import torch
from torch import nn

from agents.agent import TrainedAgent
from agents.training import Measure, train_in_stages, update_average


class ToyAgent(TrainedAgent):
    """Of a system that is none of ours, with a network of its own."""

    SYSTEM = "toy"

    @property
    def network_config(self):
        return {"inputs": self.network.in_features}

    @classmethod
    def build_network(cls, config):
        return nn.Linear(config["inputs"], 1)


class Regression:
    measures = (Measure("loss", "squared error", "log"),)

    def __init__(self, name, rounds):
        self.name, self.rounds = name, rounds

    def begin(self, average):
        self.average, self.network = average, copy.deepcopy(average)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 0.1)

    def round(self, number, place):
        inputs = torch.rand((16, 3), generator=torch.Generator().manual_seed(number))
        loss = ((self.network(inputs)[:, 0] - inputs.sum(dim=1)) ** 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        update_average(self.average, self.network, 0.5)
        return {"loss": loss.item(), "states": 16.0, "place": float(place)}


def train_toy(out, rounds=(20, 10), **arguments):
    torch.manual_seed(0)
    agent = ToyAgent(nn.Linear(3, 1), {"data": {"kind": "sums"}})
    stages = [Regression(name, count) for name, count in zip(("first", "second"), rounds, strict=True)]
    return train_in_stages(agent, stages, out, progress=False, **arguments)
