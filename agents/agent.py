"""A trained agent: a network and what it was trained on."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.network import NetworkConfig, SchedulingNetwork
from pl_env.errors import FileFormatError, InvalidValue
from pl_env.partial_loading.env import PartialLoadingEnv
from pl_env.ranges import require


class Agent:
    """A policy that takes the legal action with the highest score.

    It plays any number of models and users, any library and any fading, but only the batch cap it was trained with.
    """

    def __init__(self, network: SchedulingNetwork, trained_on: dict[str, Any] | None = None) -> None:
        """Wrap a network.

        Args:
            network: The network; set to evaluation mode.
            trained_on: What to remember of its training, as JSON types.
        """
        self.network = network.eval()
        self.trained_on = trained_on or {}

    def act(self, observation: dict[str, Any], info: dict[str, Any], env: PartialLoadingEnv | None = None) -> int:
        """The legal action with the highest score; ``env`` is not needed.

        Raises:
            InvalidValue: The observation is of an environment with another batch cap.
        """
        cap, expected = observation["batch_time"].shape[-1], self.network.config.batch_cap
        require(cap == expected, "max_batch_size of the environment", cap, f"{expected}, as in the agent's training")
        with torch.inference_mode():
            scores, _ = self.network({key: torch.from_numpy(value)[None] for key, value in observation.items()})
        legal = np.where(info["action_mask"], scores[0].numpy(), -np.inf)
        return int(legal.argmax())

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the agent to a folder: weights.safetensors and checkpoint.json."""
        header = {"network": self.network.config.to_dict(), "trained_on": self.trained_on}
        save_checkpoint(folder, header, {"weights": self.network.state_dict()})


def load(folder: str | os.PathLike[str]) -> Agent:
    """Read an agent that `Agent.save` or a training run wrote.

    Raises:
        FileFormatError: The folder is no checkpoint, or damaged; nothing in it is executed.
    """
    header, parts = load_checkpoint(folder, "weights")
    try:
        network = SchedulingNetwork(NetworkConfig(**header["network"]))
        network.load_state_dict(parts["weights"])
    except (KeyError, TypeError, RuntimeError, InvalidValue) as error:
        reason = str(error).splitlines()[0]
        raise FileFormatError(f"{folder}: its weights do not fit its network ({reason})") from None
    return Agent(network, header.get("trained_on"))
