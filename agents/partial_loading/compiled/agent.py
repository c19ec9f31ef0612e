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

    def best_plan(self, instance: Instance, samples: int, temperature: float, rng: np.random.Generator) -> list[int]:
        """Actions of the best of some schedules, of which the first is by arg-max; see `agents.BestOf`.

        Args:
            instance: What to play; its channels stay.
            samples: Schedules to choose from.
            temperature: 1 is the agent's own.
            rng: The source of all randomness.
        """
        episodes = Episodes([instance], self.network.config.batch_cap).branch(np.zeros(samples, dtype=np.int64))
        nothing, most = np.zeros((samples, 0), dtype=np.int64), instance.n_users
        first = self._player.play(episodes.branch(np.zeros(1, dtype=np.int64)), self._weights, nothing[:1])
        others = self._player.play(
            episodes, self._weights, nothing,
            uniforms=rng.random((samples, most)), temperature=_SAMPLED_AT * temperature,
        )  # fmt: skip
        ends, actions = np.append(first.value, others.value[1:]), np.concatenate([first.actions, others.actions[1:]])
        best = actions[int(ends.argmax())]
        return [int(action) for action in best[best >= 0]]


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
