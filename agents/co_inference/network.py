"""The network: what the battery is worth after a decision; and, where the agent chooses resources too, those."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pl_env.co_inference.scenario import Scenario
from pl_env.ranges import require_integer, require_real

Observation = dict[str, Tensor]

STATE = ("battery", "tasks_left", "link", "sun", "weight", "energy")
"""What is read of an observation to choose a level; `RESOURCES` beside it to choose resources."""

RESOURCES = ("deadline", "gain")

_AFTER = 3 + 2 + 3
_FLOOR = 1e-3


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network, and what it knows of the scenario.

    Attributes:
        n_tasks: Tasks N of an episode.
        n_levels: Levels K.
        least_kept: Kept fraction of the lowest.
        harvest: Joules harvested with a task while the sun is on, as a fraction of the battery's capacity.
        n_splits: Splits to choose from; 0 where the agent chooses levels alone.
        width: Units of a hidden layer.
        layers: Hidden layers.

    Raises:
        InvalidValue: A number is out of range.
    """

    n_tasks: int = 40
    n_levels: int = 11
    least_kept: float = 0.5
    harvest: float = 1 / 3
    n_splits: int = 0
    width: int = 64
    layers: int = 2

    def __post_init__(self) -> None:
        require_integer("n_tasks", self.n_tasks, 1, 10**6)
        require_integer("n_levels", self.n_levels, 1, 10_000)
        require_real("least_kept", self.least_kept, 0, 1, above=True)
        require_real("harvest", self.harvest, 0)
        require_integer("n_splits", self.n_splits, 0, 10**6)
        require_integer("width", self.width, 1, 4096)
        require_integer("layers", self.layers, 1, 16)

    @classmethod
    def of(cls, scenario: Scenario, width: int, layers: int) -> NetworkConfig:
        """That of a scenario."""
        return cls(
            n_tasks=scenario.n_tasks,
            n_levels=scenario.n_levels,
            least_kept=scenario.least_kept,
            harvest=scenario.harvest_j / scenario.capacity_j,
            n_splits=scenario.n_splits if scenario.continuous else 0,
            width=width,
            layers=layers,
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def perceptron(inputs: int, width: int, layers: int, outputs: int) -> nn.Sequential:
    """Hidden layers with SiLU."""
    sizes = [inputs, *[width] * layers]
    hidden = [part for n, m in pairwise(sizes) for part in (nn.Linear(n, m), nn.SiLU())]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], outputs))


class BatteryNetwork(nn.Module):
    """Values each action by what it earns, and by what the battery that it leaves is worth (an afterstate's value).

    What the next tasks will attain depends on the battery after this one, on how many they are, on link and sun. What
    this one earns and costs is observed.
    """

    levels: Tensor
    quality: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        """Draw fresh weights."""
        super().__init__()
        self.config = config
        levels = torch.linspace(config.least_kept, 1.0, config.n_levels)
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("quality", levels * (1 - levels.log()), persistent=False)
        self.worth = perceptron(_AFTER, config.width, config.layers, 1)
        self.resources = perceptron(4, config.width, config.layers, 2 + config.n_splits) if config.n_splits else None

    def forward(self, observation: Observation) -> Tensor:
        """What each action gains over skipping, in units of the largest weight.

        Args:
            observation: The environment's, batched; the keys of `STATE`.

        Returns:
            float32 (B, 1 + K), 0 for skipping; of illegal actions too.
        """
        battery, energy = observation["battery"], observation["energy"]
        spent = torch.cat([torch.zeros_like(battery), energy], dim=1)
        harvest = self.config.harvest * observation["sun"][:, 1:]
        after = (battery - spent).clamp(min=0.0).add(harvest).clamp(max=1.0)
        left = observation["tasks_left"] - 1 / self.config.n_tasks
        chains = torch.cat([left, observation["link"], observation["sun"]], dim=1)[:, None].expand(
            -1, after.shape[1], -1
        )
        features = torch.cat([after[..., None], (after[..., None] + _FLOOR).sqrt(), chains], dim=2)
        earned = torch.cat([torch.zeros_like(battery), observation["weight"] * self.quality], dim=1)
        total = earned + self.worth(features)[..., 0] * (left > 0.5 / self.config.n_tasks)
        gained: Tensor = total - total[:, :1]
        return gained

    def choose_resources(self, deadline: Tensor, gain: Tensor, energy: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Power and frequency as an action says them, and scores of the splits.

        Args:
            deadline: float32 (B, 1), as observed; the next two likewise.
            gain: float32 (B, 1).
            energy: float32 (B, 1), of the level that is chosen.
            kept: float32 (B, 1), its kept fraction.

        Returns:
            float32 (B, 2) and float32 (B, S').
        """
        assert self.resources is not None
        out = self.resources(torch.cat([deadline, gain, energy, kept], dim=1))
        return out[:, :2], out[:, 2:]
