"""The network: a score for every legal action, from attention over the devices that are free."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.cold_start.describing import ACTION_FEATURES, DEVICE_FEATURES, PAIR_FEATURES, PLANNED, Described
from pl_env.ranges import require, require_integer

_TRUST = 50.0
"""At first: by how much an action's score falls where all is done twice as late as planned after the best."""


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        width: Numbers of a device's embedding; a multiple of ``heads``.
        layers: Layers of attention.
        heads: Heads of each.
        hidden: Units of the two hidden layers that score an action.

    Raises:
        InvalidValue: A number is out of range.
    """

    width: int = 64
    layers: int = 3
    heads: int = 4
    hidden: int = 128

    def __post_init__(self) -> None:
        require_integer("width", self.width, 1, 4096)
        require_integer("layers", self.layers, 1, 16)
        require_integer("heads", self.heads, 1, 64)
        require(self.width % self.heads == 0, "width", self.width, f"a multiple of heads, {self.heads}")
        require_integer("hidden", self.hidden, 1, 4096)

    def to_dict(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


class PlacementNetwork(nn.Module):
    """Devices see each other, with the links between them; then every action is scored by its device and by itself.

    The score corrects what the planner says of the action.
    """

    def __init__(self, config: NetworkConfig) -> None:
        """Draw fresh weights."""
        super().__init__()
        self.config = config
        self.embed = nn.Linear(DEVICE_FEATURES, config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.trust = nn.Parameter(torch.tensor(_TRUST))
        self.of_device = nn.Linear(2 * config.width, config.hidden)
        self.of_action = nn.Linear(ACTION_FEATURES, config.hidden)
        self.score = nn.Sequential(
            nn.SiLU(), nn.Linear(config.hidden, config.hidden), nn.SiLU(), nn.Linear(config.hidden, 1)
        )

    def forward(self, states: Described) -> Tensor:
        """Scores of the legal actions, float32 (R,); probabilities are their softmax, state by state."""
        devices = self.embed(states.devices)
        hidden = torch.where(states.is_device[:, None, None, :], 0.0, -1e9)
        for block in self.blocks:
            devices = block(devices, states.pairs, hidden)
        devices = self.norm(devices) * states.is_device[..., None]
        mean = devices.sum(dim=1) / states.is_device.sum(dim=1, keepdim=True)
        own = self.of_device(torch.cat([devices, mean[:, None].expand_as(devices)], dim=2))
        scores = self.score(own[states.state, states.owner] + self.of_action(states.actions))[:, 0]
        return torch.as_tensor(scores - self.trust * states.actions[:, PLANNED])


class _Block(nn.Module):
    """Attention with a bias from what is between two devices, then two layers for each of them."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.first, self.second = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, 3 * config.width)
        self.bias = nn.Sequential(nn.Linear(2 * PAIR_FEATURES, 16), nn.SiLU(), nn.Linear(16, config.heads))
        self.out = nn.Linear(config.width, config.width)
        self.own = nn.Sequential(
            nn.Linear(config.width, 2 * config.width), nn.SiLU(), nn.Linear(2 * config.width, config.width)
        )

    def forward(self, devices: Tensor, pairs: Tensor, hidden: Tensor) -> Tensor:
        """Devices (B, U, d), pairs (B, U, U, E), and what is added to scores of devices that are not there."""
        n, most, width = devices.shape
        query, key, value = self.project(self.first(devices)).view(n, most, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        both = torch.cat([pairs, pairs.transpose(1, 2)], dim=3)  # from here, and to here
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5 + self.bias(both).permute(0, 3, 1, 2) + hidden
        mixed = (torch.softmax(scores, dim=3) @ value).transpose(1, 2).reshape(n, most, width)
        devices = devices + self.out(mixed)
        return torch.as_tensor(devices + self.own(self.second(devices)))
