"""PartialLoadingOnline's agent, which decides in microseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.agent import TrainedAgent
from agents.online.families import parameters_of
from agents.online.network import CompiledNetwork, NetworkConfig
from agents.online.playing import choose_one, compiled_weights, sizes_of
from pl_env.online.arrays import Episode, Tables, allocate
from pl_env.online.env import PartialLoadingOnlineEnv


class Agent(TrainedAgent):
    """A policy that runs the batch with the highest score; it plays any library, load, memory and rule of eviction.

    It never waits. Where it may name a model whose blocks leave first, `evicting.preferred_model` does.
    """

    SYSTEM = "online"
    network: CompiledNetwork

    def __init__(self, network: CompiledNetwork, trained_on: dict[str, Any] | None = None) -> None:
        """Wrap a network; see `agents.agent.TrainedAgent`."""
        super().__init__(network, trained_on)
        self._sizes, self._weights = sizes_of(network.config), compiled_weights(network)
        self._scratch: Episode | None = None

    @property
    def network_config(self) -> dict[str, Any]:
        """The fields of its `NetworkConfig`."""
        return self.network.config.to_dict()

    @classmethod
    def build_network(cls, config: dict[str, Any]) -> CompiledNetwork:
        """A network with fresh weights.

        Raises:
            InvalidValue: A number is out of range.
        """
        return CompiledNetwork(NetworkConfig(**config))

    def choice(self, tables: Tables, e: Episode) -> int:
        """The batch with the highest score in row 0, as model · b_cap + size - 1."""
        return self._choose(tables, e)[0]

    def _choose(self, tables: Tables, e: Episode) -> tuple[int, int]:
        """That batch, and the model whose blocks leave first; -1 for none."""
        scratch, shapes = self._scratch, (e.pending.shape, e.resident.shape)
        if scratch is None or (scratch.pending.shape, scratch.resident.shape) != shapes:
            scratch = allocate(tables, int(e.cap[0]), e.pending.shape[1], has_users=False, keeps_finish=False)
        self._scratch = scratch = scratch._replace(users=e.users, before=e.before, cap=e.cap)
        return choose_one(tables, e, scratch, self._weights, self._sizes, parameters_of(tables))

    def act(self, observation: dict[str, Any], info: dict[str, Any], env: PartialLoadingOnlineEnv) -> Any:
        """The batch with the highest score; the observation and the info are not needed, nobody to come is seen.

        With ``eviction="agent"`` the batch and the model, int64 (2,).
        """
        batch, preferred = self._choose(env.tables, env.episode)
        if env.scenario.eviction != "agent":
            return batch
        return np.array([batch, preferred if preferred >= 0 else env.scenario.n_models])
