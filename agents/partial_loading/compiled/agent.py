"""The agent of the small network, which decides in microseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.partial_loading.agent import Agent
from agents.partial_loading.compiled.network import CompiledNetwork, NetworkConfig
from agents.partial_loading.compiled.playing import Player, compiled_weights
from baselines.partial_loading.expected_uploads import LATER_SCALE, expected_upload_ns, later_upload_ns
from pl_env.partial_loading.env import PartialLoadingEnv
from pl_env.partial_loading.episodes import Episodes
from pl_env.partial_loading.instance import Instance

_SAMPLED_AT = 0.1
"""Plans are sampled at this temperature: scores are learnt as those of softer choices than play should make."""


class CompiledAgent(Agent):
    """As `Agent`, with a `CompiledNetwork`."""

    KIND = "CompiledAgent"
    network: CompiledNetwork  # type: ignore[assignment]

    def __init__(self, network: CompiledNetwork, trained_on: dict[str, Any] | None = None) -> None:
        """Wrap a network; see `agents.agent.TrainedAgent`."""
        super().__init__(network, trained_on)
        self._player, self._weights = Player(network.config), compiled_weights(network)
        self._instance: Instance | None = None
        self._later_ns: NDArray[np.int64]

    @classmethod
    def build_network(cls, config: dict[str, Any]) -> CompiledNetwork:  # type: ignore[override]
        """A network with fresh weights.

        Raises:
            InvalidValue: A number is out of range.
        """
        return CompiledNetwork(NetworkConfig(**config))

    def act(self, observation: dict[str, Any], info: dict[str, Any], env: PartialLoadingEnv) -> int:
        """The legal action with the highest score; the observation and the info are not needed.

        Raises:
            InvalidValue: The environment has another batch cap.
        """
        self.require_batch_cap(env)
        if env.instance is not self._instance:  # later uploads hold to the episode's end
            self._instance, self._later_ns = env.instance, _later_ns(env.instance)
        return int(self.scores(env.episodes, self._later_ns)[0].argmax())

    def scores(self, episodes: Episodes, later_ns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores of all actions in the present states, float32 (N, I · b_cap), -inf where not legal.

        Args:
            episodes: The episodes.
            later_ns: What `later_upload_ns` gave at their beginning, or later.
        """
        return self._player.scores(episodes, self._weights, later_ns)

    def play_on(
        self,
        episodes: Episodes,
        first: NDArray[np.int64],
        sampled: NDArray[np.bool_],
        temperature: float,
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Play episodes, whose channels stay, to their ends.

        Args:
            episodes: They.
            first: int64 (N,), an action that each begins with; -1 for none.
            sampled: bool (N,), whether its actions are sampled; else by arg-max.
            temperature: 1 is the agent's own.
            rng: The source of all randomness.

        Returns:
            Users served, and the part that is left over of the time for one more, float64 (N,); and the actions, int64
            (N, T), -1 where there is none.
        """
        uniforms = np.where(sampled[:, None], rng.random((len(first), int(episodes.n_users.max()))), -1.0)
        played = self._player.play(
            episodes, self._weights, np.zeros((len(first), 0), dtype=np.int64),
            uniforms=uniforms, temperature=_SAMPLED_AT * temperature, first=first,
        )  # fmt: skip
        return played.value, played.actions


def _later_ns(instance: Instance) -> NDArray[np.int64]:
    """What `later_upload_ns` gives at the beginning of an episode."""
    if not instance.redraws:
        return np.zeros((1, 0), dtype=np.int64)
    assert instance.mean_snr is not None
    return expected_upload_ns(instance.mean_snr, LATER_SCALE * instance.unit_upload_ns)[None]


def play_greedily(agent: CompiledAgent, instances: list[Instance]) -> NDArray[np.float64]:
    """Served users / K of each instance, whose channels stay, float64 (N,)."""
    episodes = Episodes(instances, agent.network.config.batch_cap)
    Player(agent.network.config).play(episodes, compiled_weights(agent.network), later_upload_ns(episodes))
    return np.asarray(episodes.served / episodes.n_users)
