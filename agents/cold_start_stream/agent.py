"""The agent of streams: chooses one of some plans when a prompt begins, and plays it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from agents.agent import TrainedAgent
from agents.cold_start_stream.network import CandidateNetwork, NetworkConfig
from baselines.cold_start_stream.candidates import Scene, describe, new_scene
from pl_env.cold_start_stream.dynamics import N_STAGES, Memory
from pl_env.cold_start_stream.env import ColdStartStreamEnv
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.stepping import legal_victim


class Agent(TrainedAgent):
    """A policy that plans when a prompt begins, and plays the plan; it plays any devices, models and prompts."""

    SYSTEM = "cold_start_stream"
    network: CandidateNetwork

    def __init__(self, network: CandidateNetwork, trained_on: dict[str, Any] | None = None) -> None:
        """Wrap a network; see `agents.agent.TrainedAgent`."""
        super().__init__(network, trained_on)
        self._stages: list[list[int]] = []
        self._instance: Instance | None = None
        self._next = -1

    @property
    def network_config(self) -> dict[str, Any]:
        """The fields of its `NetworkConfig`."""
        return self.network.config.to_dict()

    @classmethod
    def build_network(cls, config: dict[str, Any]) -> CandidateNetwork:
        """A network with fresh weights.

        Raises:
            InvalidValue: A number is out of range.
        """
        return CandidateNetwork(NetworkConfig(**config))

    def act(self, observation: Any, info: dict[str, Any], env: ColdStartStreamEnv) -> int:
        """The next stage of the present prompt's plan.

        Args:
            observation: Not needed.
            info: Not needed.
            env: The environment, unwrapped; of its instance prompts that have not arrived are not looked at.
        """
        instance, m, number = env.instance, env.memory, int(env.memory.state[N_STAGES])
        if not self._stages or instance is not self._instance or number != self._next:
            self._stages = self.plan_prompt(instance, m)
        device, count, victim = self._stages.pop(0)
        self._instance, self._next = instance, number + 1
        victim = int(legal_victim(instance.tables, m, device, count, victim))
        return (device * env.most_layers + count - 1) * (env.most_models + 1) + victim + 1

    def plan_prompt(self, instance: Instance, memory: Memory) -> list[list[int]]:
        """Device, layers, and the model to leave first, of each stage of what is left of the present prompt."""
        scene: Scene = new_scene(instance.n_devices, instance.n_models)
        trial = Memory(*(array.copy() for array in memory))
        describe(instance.tables, memory, trial, scene)
        best = best_candidate(self.network, scene)
        return [list(row) for row in scene.stages[best, : scene.counts[best]].tolist()]


def best_candidate(network: CandidateNetwork, scene: Scene) -> int:
    """The candidate with the lowest score; of equals the first, and the myopic plan before all."""
    with torch.inference_mode():
        context, after = (torch.from_numpy(array.astype(np.float32))[None] for array in (scene.context, scene.after))
        return int(network(context, after)[0].argmin())
