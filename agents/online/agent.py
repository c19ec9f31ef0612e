"""PartialLoadingOnline's agent, which decides in microseconds."""

from __future__ import annotations

from typing import Any

from agents.agent import TrainedAgent
from agents.online.families import parameters_of
from agents.online.network import CompiledNetwork, NetworkConfig
from agents.online.playing import choose_one, compiled_weights, sizes_of
from pl_env.online.arrays import Episode, Tables, allocate
from pl_env.online.env import PartialLoadingOnlineEnv


class Agent(TrainedAgent):
    """A policy that runs the batch with the highest score; it plays any library, load, memory and rule of eviction.

    It never waits, and where it may name a model to evict it names none.
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
        scratch, shapes = self._scratch, (e.pending.shape, e.resident.shape)
        if scratch is None or (scratch.pending.shape, scratch.resident.shape) != shapes:
            scratch = allocate(tables, int(e.cap[0]), e.pending.shape[1], has_users=False, keeps_finish=False)
        self._scratch = scratch = scratch._replace(users=e.users, before=e.before, cap=e.cap)
        return choose_one(tables, e, scratch, self._weights, self._sizes, parameters_of(tables))

    def act(self, observation: dict[str, Any], info: dict[str, Any], env: PartialLoadingOnlineEnv) -> int:
        """The batch with the highest score; the observation and the info are not needed, nobody to come is seen."""
        return self.choice(env.tables, env.episode)
