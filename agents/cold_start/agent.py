"""The cold start's agent: how `PlacementNetwork` acts in the environment."""

from __future__ import annotations

from typing import Any

import torch

from agents.agent import TrainedAgent
from agents.cold_start.describing import begun, describe
from agents.cold_start.network import NetworkConfig, PlacementNetwork
from pl_env.cold_start.env import ColdStartEnv


class Agent(TrainedAgent):
    """A policy that takes the legal action with the highest score; it plays any devices and any layers."""

    SYSTEM = "cold_start"
    network: PlacementNetwork

    @property
    def network_config(self) -> dict[str, Any]:
        """The fields of its `NetworkConfig`."""
        return self.network.config.to_dict()

    @classmethod
    def build_network(cls, config: dict[str, Any]) -> PlacementNetwork:
        """A network with fresh weights.

        Raises:
            InvalidValue: A number is out of range.
        """
        return PlacementNetwork(NetworkConfig(**config))

    def act(self, observation: dict[str, Any], info: dict[str, Any], env: ColdStartEnv) -> int:
        """The legal action with the highest score.

        Args:
            observation: Not needed; it does not tell the links before the first step.
            info: Not needed.
            env: The environment, unwrapped.
        """
        left = env.remaining()
        states = describe([begun(left)])
        with torch.inference_mode():
            best = int(states.number[self.network(states).argmax()])
        return best // left.n_layers * env.most_layers + best % left.n_layers
