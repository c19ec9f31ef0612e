"""PartialLoading's agent: how `SchedulingNetwork` acts in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agents.agent import TrainedAgent
from agents.partial_loading.network import NetworkConfig, SchedulingNetwork, load_fraction
from agents.partial_loading.observing import plan_of
from pl_env.partial_loading.env import PartialLoadingEnv
from pl_env.ranges import require

if TYPE_CHECKING:
    from agents.partial_loading.decoding import BestOf


class Agent(TrainedAgent):
    """A policy that takes the legal action with the highest score.

    It plays any number of models and users, any library and any fading, but only the batch cap it was trained with.
    """

    SYSTEM = "partial_loading"
    network: SchedulingNetwork

    @property
    def network_config(self) -> dict[str, Any]:
        """The fields of its `NetworkConfig`."""
        return self.network.config.to_dict()

    @classmethod
    def build_network(cls, config: dict[str, Any]) -> SchedulingNetwork:
        """A network with fresh weights.

        Raises:
            InvalidValue: A number is out of range.
        """
        return SchedulingNetwork(NetworkConfig(**config))

    def best_of(self, samples: int) -> BestOf:
        """A policy that samples so many schedules from the agent and follows the best one."""
        from agents.partial_loading.decoding import BestOf  # it imports this module

        return BestOf(self, samples)

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
