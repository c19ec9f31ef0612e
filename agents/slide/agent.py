"""Slide's agent: how `AdmissionNetwork` acts in the environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from agents.agent import TrainedAgent
from agents.slide.network import AdmissionNetwork, NetworkConfig
from pl_env.slide.env import SlideEnv


class Agent(TrainedAgent):
    """A policy that takes the legal action that gains most users; it plays any number of models and users."""

    SYSTEM = "slide"
    network: AdmissionNetwork

    @property
    def network_config(self) -> dict[str, Any]:
        """The fields of its `NetworkConfig`."""
        return self.network.config.to_dict()

    @classmethod
    def build_network(cls, config: dict[str, Any]) -> AdmissionNetwork:
        """A network with fresh weights.

        Raises:
            InvalidValue: A number is out of range.
        """
        return AdmissionNetwork(NetworkConfig(**config))

    def act(self, observation: dict[str, Any], info: dict[str, Any], env: SlideEnv) -> int:
        """The legal action that gains most.

        Args:
            observation: What the environment returned last.
            info: Likewise; holds the action mask.
            env: The environment; not needed.
        """
        return best_action(self.network, observation, info["action_mask"])


def best_action(network: AdmissionNetwork, observation: dict[str, Any], mask: Any) -> int:
    """The legal action that the network values most."""
    if not mask[1:].any():
        return 0
    batch = {key: torch.from_numpy(value)[None] for key, value in observation.items()}
    with torch.inference_mode():
        gained = network(batch)[0].numpy()
    return int(np.where(mask, gained, -np.inf).argmax())
