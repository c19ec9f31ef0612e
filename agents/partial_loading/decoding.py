"""Sampling with best-of-n: the known model says which of many sampled schedules is the best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.partial_loading.agent import Agent
from agents.partial_loading.compiled.agent import CompiledAgent
from agents.partial_loading.observing import loading_of, present_scores
from baselines.partial_loading.expected_uploads import later_upload_ns
from baselines.policies import Replanning
from pl_env.errors import UnsupportedInstance
from pl_env.partial_loading.env import PartialLoadingEnv
from pl_env.partial_loading.episodes import Episodes
from pl_env.partial_loading.instance import Instance
from pl_env.ranges import require_integer, require_real
from pl_env.seeds import DECODING_STREAM


def play_greedily(agent: Agent, instances: Sequence[Instance], seed: int = 0) -> NDArray[np.float64]:
    """Let an agent play many instances side by side by arg-max; a hundred times as quick as one by one.

    Args:
        agent: The agent.
        instances: What to play.
        seed: Seed of the channels where they are drawn anew.

    Returns:
        Served users / K of each, float64.
    """
    require_integer("seed", seed, 0)
    rng = np.random.default_rng((DECODING_STREAM, seed))
    episodes = Episodes(instances, agent.network.config.batch_cap)
    loading, later_ns = loading_of(episodes), later_upload_ns(episodes)
    while (rows := np.flatnonzero(episodes.running)).size > 0:
        actions = np.full(len(instances), -1, dtype=np.int64)
        actions[rows] = present_scores(agent.network, episodes, loading, rows, later_ns).argmax(axis=1)
        episodes.step(actions, rng.random(episodes.arrays.uniforms.shape) if episodes.redraws else None)
    return np.asarray(episodes.served / episodes.n_users)


class BestOf(Replanning):
    """A policy that samples schedules from an agent, arg-max being the first of them, and follows the best one."""

    def __init__(self, agent: Agent, samples: int = 64, *, temperature: float = 1.0, seed: int = 0) -> None:
        """Make a policy of an agent.

        Args:
            agent: The agent.
            samples: Schedules to choose from.
            temperature: What scores are divided by before sampling.
            seed: Seed of the sampling; the same instance gives the same schedule.

        Raises:
            InvalidValue: An argument is out of range.
        """
        require_integer("samples", samples, 1)
        require_real("temperature", temperature, 0, above=True)
        require_integer("seed", seed, 0)
        self.agent, self.samples, self.temperature, self.seed = agent, samples, temperature, seed

    def plan(self, instance: Instance) -> list[int]:
        """Actions of the best of the sampled schedules for what an instance holds.

        Raises:
            UnsupportedInstance: Channels are drawn anew before every batch; no schedule is known to be the best.
        """
        if instance.fading == "batch":
            raise UnsupportedInstance("BestOf needs channels that stay for the episode; use the agent itself")
        rng = np.random.default_rng((DECODING_STREAM, self.seed, int(instance.upload_ns.sum()) % 2**63))
        if isinstance(self.agent, CompiledAgent):
            return self.agent.best_plan(instance, self.samples, self.temperature, rng)
        one = Episodes([instance], self.agent.network.config.batch_cap)
        episodes = one.branch(np.zeros(self.samples, dtype=np.int64))
        loading, taken = loading_of(episodes), []
        twin = np.zeros(self.samples, dtype=np.int64)  # alike where the same actions were taken
        while (rows := np.flatnonzero(episodes.running)).size > 0:
            _, first, place = np.unique(twin[rows], return_index=True, return_inverse=True)
            scores = present_scores(self.agent.network, episodes, loading, rows[first])[place] / self.temperature
            scores += np.where(rows[:, None] > 0, rng.gumbel(size=scores.shape), 0.0)
            actions = np.full(self.samples, -1, dtype=np.int64)
            actions[rows] = scores.argmax(axis=1)
            episodes.step(actions)
            taken.append(actions)
            twin = np.unique(twin * (scores.shape[1] + 1) + actions, return_inverse=True)[1]
        return _actions_of_best(taken, episodes.served)

    def planned_actions(self, env: PartialLoadingEnv) -> list[int]:
        """The plan for what is left of the environment's episode.

        Raises:
            InvalidValue: The environment has another batch cap.
        """
        self.agent.require_batch_cap(env)
        return self.plan(env.remaining())


def _actions_of_best(taken: list[NDArray[np.int64]], served: NDArray[np.int64]) -> list[int]:
    best = int(served.argmax())
    return [int(actions[best]) for actions in taken if actions[best] >= 0]
