"""Co-inference's agent: how `BatteryNetwork` acts in either environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.agent import TrainedAgent
from agents.co_inference.network import STATE, BatteryNetwork, NetworkConfig
from pl_env.co_inference.battery_env import BatteryEnv


class Agent(TrainedAgent):
    """A policy that takes the affordable action that gains most; where it must, it chooses power and split too."""

    SYSTEM = "co_inference"
    network: BatteryNetwork

    @property
    def network_config(self) -> dict[str, Any]:
        """The fields of its `NetworkConfig`."""
        return self.network.config.to_dict()

    @classmethod
    def build_network(cls, config: dict[str, Any]) -> BatteryNetwork:
        """A network with fresh weights.

        Raises:
            InvalidValue: A number is out of range.
        """
        return BatteryNetwork(NetworkConfig(**config))

    def act(self, observation: dict[str, Any], info: dict[str, Any], env: BatteryEnv) -> Any:
        """The action that gains most.

        Args:
            observation: What the environment returned last.
            info: Likewise; not needed.
            env: The environment; not needed.
        """
        batch = {key: torch.from_numpy(value)[None] for key, value in observation.items()}
        with torch.inference_mode():
            if self.network.config.n_splits:
                return points(self.network, batch)[0]
            mask = info["action_mask"]
            return int(np.where(mask, self.network(batch)[0].numpy(), -np.inf).argmax())


def best_levels(network: BatteryNetwork, batch: dict[str, Tensor]) -> Tensor:
    """The action of each state that gains most of those that the battery allows, int64 (B,); 0 skips."""
    gained = network({key: batch[key] for key in STATE})
    affordable = torch.cat([torch.ones_like(batch["battery"]), batch["energy"] <= batch["battery"]], dim=1) > 0
    best: Tensor = gained.masked_fill(~affordable, -torch.inf).argmax(dim=1)
    return best


def points(network: BatteryNetwork, batch: dict[str, Tensor]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Continuous actions, float32 (B, 3 + S')."""
    actions = best_levels(network, batch)
    level = (actions - 1).clamp(min=0)
    kept = network.levels[level][:, None]
    energy = batch["energy"].gather(1, level[:, None])
    least = network.config.least_kept
    asked = torch.where(actions[:, None] > 0, (kept - least) / max(1e-9, 1 - least), -1.0)
    chosen, splits = network.choose_resources(batch["deadline"], batch["gain"], energy, kept)
    scores = splits - splits.max(dim=1, keepdim=True).values
    choice = torch.where(scores == 0, 1.0, -1.0)
    return torch.cat([asked, chosen.clamp(-1, 1), choice], dim=1).numpy()
