"""The network: how many users more are served if the present one is admitted with a model, rather than refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pl_env.ranges import require_integer
from pl_env.slide.stepping import HORIZON

Observation = dict[str, Tensor]

_INPUTS = 3 + 5 * HORIZON
_DOWNLOAD_SCALE = 10.0
"""Downloads are some hundredths of the longest deadline."""


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        width: Units of a hidden layer.
        layers: Hidden layers.

    Raises:
        InvalidValue: A number is out of range.
    """

    width: int = 64
    layers: int = 2

    def __post_init__(self) -> None:
        require_integer("width", self.width, 1, 4096)
        require_integer("layers", self.layers, 1, 16)

    def to_dict(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


class AdmissionNetwork(nn.Module):
    """Values each model on its own, by the same weights, so it takes any number of models and users.

    What an admission is worth depends on what is promised, on who is still to come and on what the user needs with that
    model, and not on the other models.
    """

    def __init__(self, config: NetworkConfig) -> None:
        """Draw fresh weights."""
        super().__init__()
        self.config = config
        sizes = [_INPUTS, *[config.width] * config.layers]
        hidden = [part for n, m in pairwise(sizes) for part in (nn.Linear(n, m), nn.SiLU())]
        self.body = nn.Sequential(*hidden, nn.Linear(sizes[-1], 1))

    def forward(self, observation: Observation) -> Tensor:
        """Users gained by each action over refusing.

        Args:
            observation: The environment's, batched: `time`, `to_come` (B, 1), `load` (B, H), `need` (B, I, H),
                `download` (B, I).

        Returns:
            float32 (B, 1 + I), 0 for refusing; of illegal actions too.
        """
        need = observation["need"]
        steps = torch.arange(1, HORIZON + 1, dtype=need.dtype) / HORIZON  # t_h as fractions of the longest deadline
        load = observation["load"][:, None].expand_as(need)
        parts = [
            observation["time"][:, None].expand(-1, need.shape[1], 1),
            observation["to_come"][:, None].expand(-1, need.shape[1], 1),
            observation["download"][..., None] * _DOWNLOAD_SCALE,
            load,
            need,
            load + need,
            load * steps * _DOWNLOAD_SCALE,
            need * steps * _DOWNLOAD_SCALE,
        ]
        gained = self.body(torch.cat(parts, dim=2))[..., 0]
        return torch.cat([torch.zeros_like(gained[:, :1]), gained], dim=1)
