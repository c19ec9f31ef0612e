"""The agent of streams: plans every prompt with prices that `PriceNetwork` sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.agent import TrainedAgent
from agents.cold_start_stream.network import PriceNetwork, layers_of
from agents.cold_start_stream.playing import plan_with_prices
from agents.evolution import weights_of
from pl_env.cold_start_stream.dynamics import N_STAGES
from pl_env.cold_start_stream.env import ColdStartStreamEnv
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.stepping import legal_victim


class Agent(TrainedAgent):
    """A policy that plans when a prompt begins, and plays the plan; it plays any devices, models and prompts."""

    SYSTEM = "cold_start_stream"
    network: PriceNetwork

    def __init__(self, network: PriceNetwork, trained_on: dict[str, Any] | None = None) -> None:
        """Wrap a network; see `agents.agent.TrainedAgent`."""
        super().__init__(network, trained_on)
        self._layers = layers_of(weights_of(network))
        self._stages: list[list[int]] = []
        self._instance: Instance | None = None
        self._next = -1

    @property
    def network_config(self) -> dict[str, Any]:
        """Nothing: all are alike."""
        return {}

    @classmethod
    def build_network(cls, config: dict[str, Any]) -> PriceNetwork:
        """A network with fresh weights."""
        return PriceNetwork(**config)

    def act(self, observation: Any, info: dict[str, Any], env: ColdStartStreamEnv) -> int:
        """The next stage of the present prompt's plan.

        Args:
            observation: Not needed.
            info: Not needed.
            env: The environment, unwrapped; of its instance prompts that have not arrived are not looked at.
        """
        t, m, number = env.instance.tables, env.memory, int(env.memory.state[N_STAGES])
        if not self._stages or env.instance is not self._instance or number != self._next:
            stages = np.empty((env.instance.n_devices, 3), dtype=np.int64)
            count = plan_with_prices(t, m, self._layers, stages)
            self._stages = stages[:count].tolist()
        device, count, victim = self._stages.pop(0)
        self._instance, self._next = env.instance, number + 1
        victim = legal_victim(t, m, device, count, victim)
        return (device * env.most_layers + count - 1) * (env.most_models + 1) + victim + 1
