"""A trained agent: a network and what it was trained on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.partial_loading.network import NetworkConfig, SchedulingNetwork, load_fraction
from agents.partial_loading.observing import plan_of
from pl_env.errors import FileFormatError, InvalidValue
from pl_env.partial_loading.env import PartialLoadingEnv
from pl_env.ranges import require
from pl_env.systems import FIRST

TRAINED = Path(__file__).parent / "trained"
"""Where the agents lie that come with the package."""


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

    def act(self, observation: dict[str, Any], info: dict[str, Any], env: PartialLoadingEnv) -> int:
        """The legal action with the highest score.

        Args:
            observation: What the environment returned last.
            info: Likewise; holds the action mask.
            env: The environment, unwrapped: its instance has the loading times between models.

        Raises:
            InvalidValue: The environment has another batch cap.
            UnsupportedInstance: The network is shown a planner's values, and the sharing is not clustered.
        """
        self.require_batch_cap(env)
        instance = env.instance
        batch = {key: torch.from_numpy(value)[None] for key, value in observation.items()}
        deadline_ns = np.array([instance.deadline_ns])
        batch["loading"] = torch.from_numpy(load_fraction(instance.load_ns[None], deadline_ns))
        if self.network.config.planned_values:
            batch |= {key: torch.from_numpy(value) for key, value in plan_of(env.episodes).items()}
        with torch.inference_mode():
            scores, _ = self.network(batch)
        return int(np.where(info["action_mask"], scores[0].numpy(), -np.inf).argmax())

    def require_batch_cap(self, env: PartialLoadingEnv) -> None:
        """Raise unless the environment's actions are the agent's.

        Raises:
            InvalidValue: The environment has another batch cap.
        """
        cap, expected = env.scenario.max_batch_size, self.network.config.batch_cap
        require(cap == expected, "max_batch_size of the environment", cap, f"{expected}, as in the agent's training")

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the agent to a folder: weights.safetensors and checkpoint.json.

        Raises:
            InvalidValue: The folder holds something else than an agent, which would be lost.
        """
        header = {"network": self.network.config.to_dict(), "trained_on": self.trained_on}
        save_checkpoint(folder, header, {"weights": self.network.state_dict()})


def trained_agents() -> list[str]:
    """Names of the agents that come with the package, such as "partial_loading/bls"."""
    return sorted(path.parent.relative_to(TRAINED).as_posix() for path in TRAINED.glob("*/*/checkpoint.json"))


def load(name_or_folder: str | os.PathLike[str]) -> Agent:
    """An agent that comes with the package, by its name; or one that `Agent.save` or a training run wrote.

    Args:
        name_or_folder: One of `trained_agents()`, which have precedence ("bls" is short for "partial_loading/bls"), or
            a folder.

    Raises:
        FileFormatError: The folder is no checkpoint, or damaged; nothing in it is executed.
    """
    named = os.fspath(name_or_folder) if "/" in os.fspath(name_or_folder) else f"{FIRST}/{os.fspath(name_or_folder)}"
    folder = TRAINED / named if named in trained_agents() else Path(name_or_folder)
    header, parts = load_checkpoint(folder, "weights")
    try:
        network = SchedulingNetwork(NetworkConfig(**header["network"]))
        network.load_state_dict(parts["weights"])
    except (KeyError, TypeError, RuntimeError, InvalidValue) as error:
        reason = str(error).splitlines()[0]
        raise FileFormatError(f"{folder}: its weights do not fit its network ({reason})") from None
    return Agent(network, header.get("trained_on"))
