"""Decoding with the known model, which says what a schedule is worth: the best of many sampled ones, and rollouts."""

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


class _Decoding(Replanning):
    """Base of policies that plan with an agent where channels stay for the episode."""

    agent: Agent
    seed: int

    def plan(self, instance: Instance) -> list[int]:
        """Actions of a schedule for what an instance holds; the same instance gives the same schedule.

        Raises:
            UnsupportedInstance: Channels are drawn anew before every batch; no schedule is known to be the best.
        """
        if instance.fading == "batch":
            name = type(self).__name__
            raise UnsupportedInstance(f"{name} needs channels that stay for the episode; use the agent itself")
        rng = np.random.default_rng((DECODING_STREAM, self.seed, int(instance.upload_ns.sum()) % 2**63))
        return self._plan(Episodes([instance], self.agent.network.config.batch_cap), rng)

    def planned_actions(self, env: PartialLoadingEnv) -> list[int]:
        """The plan for what is left of the environment's episode.

        Raises:
            InvalidValue: The environment has another batch cap.
        """
        self.agent.require_batch_cap(env)
        return self.plan(env.remaining())

    def _plan(self, episode: Episodes, rng: np.random.Generator) -> list[int]:
        raise NotImplementedError


class BestOf(_Decoding):
    """A policy that samples schedules from an agent, arg-max being the first of them, and follows the best one."""

    def __init__(self, agent: Agent, samples: int = 64, *, temperature: float = 1.0, seed: int = 0) -> None:
        """Make a policy of an agent.

        Args:
            agent: The agent.
            samples: Schedules to choose from.
            temperature: What scores are divided by before sampling.
            seed: Seed of the sampling.

        Raises:
            InvalidValue: An argument is out of range.
        """
        require_integer("samples", samples, 1)
        require_real("temperature", temperature, 0, above=True)
        require_integer("seed", seed, 0)
        self.agent, self.samples, self.temperature, self.seed = agent, samples, temperature, seed

    def _plan(self, episode: Episodes, rng: np.random.Generator) -> list[int]:
        first = np.full(self.samples, -1, dtype=np.int64)
        value, actions = _play_on(self.agent, episode, first, np.arange(self.samples) > 0, self.temperature, rng)
        return _taken(actions[int(value.argmax())])


class Rollout(_Decoding):
    """A policy that plays an agent's favourite actions to the end of the episode, by the agent, and takes the best one.

    Before every batch, that is, each of the actions that the agent likes best is followed by the agent's own, by
    arg-max (Bertsekas, Tsitsiklis and Wu, 1997); beside them are schedules that are sampled from there on. The best
    schedule so far is followed until a better one is found, so the end is never worse than by arg-max.
    """

    def __init__(
        self, agent: Agent, actions: int = 8, samples: int = 0, *, temperature: float = 1.0, seed: int = 0
    ) -> None:
        """Make a policy of an agent.

        Args:
            agent: The agent.
            actions: Actions that are tried before every batch.
            samples: Schedules that are sampled beside them.
            temperature: What scores are divided by before sampling.
            seed: Seed of the sampling.

        Raises:
            InvalidValue: An argument is out of range.
        """
        require_integer("actions", actions, 1)
        require_integer("samples", samples, 0)
        require_real("temperature", temperature, 0, above=True)
        require_integer("seed", seed, 0)
        self.agent, self.actions, self.samples = agent, actions, samples
        self.temperature, self.seed = temperature, seed

    def _plan(self, episode: Episodes, rng: np.random.Generator) -> list[int]:
        plan: list[int] = []
        highest, step = -1.0, 0
        while episode.running[0]:
            scores = _scores(self.agent, episode)
            favourites = np.argsort(-scores, kind="stable")[: min(self.actions, int(np.isfinite(scores).sum()))]
            first = np.concatenate([favourites, np.full(self.samples, -1)])
            sampled = np.arange(len(first)) >= len(favourites)
            value, actions = _play_on(self.agent, episode, first, sampled, self.temperature, rng)
            best = int(value.argmax())
            if value[best] > highest:
                highest, plan = float(value[best]), plan[:step] + _taken(actions[best])
            episode.step(np.array([plan[step]]))
            step += 1
        return plan


def _scores(agent: Agent, episode: Episodes) -> NDArray[np.float32]:
    """Scores of all actions of the one episode, (A,), -inf where not legal."""
    if isinstance(agent, CompiledAgent):
        scores = agent.scores(episode, later_upload_ns(episode))
    else:
        scores = present_scores(agent.network, episode, loading_of(episode), np.zeros(1, dtype=np.int64))
    return np.asarray(scores[0])


def _play_on(
    agent: Agent,
    episode: Episodes,
    first: NDArray[np.int64],
    sampled: NDArray[np.bool_],
    temperature: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Let an agent play copies of an episode to their ends, as `CompiledAgent.play_on`; others count whole users."""
    episodes = episode.branch(np.zeros(len(first), dtype=np.int64))
    if isinstance(agent, CompiledAgent):
        return agent.play_on(episodes, first, sampled, temperature, rng)
    loading, taken = loading_of(episodes), []
    twin = np.unique(first, return_inverse=True)[1]  # alike where the same actions were taken
    given = first
    while (rows := np.flatnonzero(episodes.running)).size > 0:
        actions = np.full(len(first), -1, dtype=np.int64)
        actions[rows] = given[rows]
        rows = rows[given[rows] < 0]
        if rows.size > 0:
            _, one, place = np.unique(twin[rows], return_index=True, return_inverse=True)
            scores = present_scores(agent.network, episodes, loading, rows[one])[place] / temperature
            scores += np.where(sampled[rows, None], rng.gumbel(size=scores.shape), 0.0)
            actions[rows] = scores.argmax(axis=1)
        episodes.step(actions)
        taken.append(actions)
        given = np.full(len(first), -1, dtype=np.int64)
        twin = np.unique(twin * (episodes.arrays.mask.shape[1] + 1) + actions, return_inverse=True)[1]
    return episodes.served.astype(np.float64), np.array(taken, dtype=np.int64).reshape(-1, len(first)).T


def _taken(actions: NDArray[np.int64]) -> list[int]:
    return [int(action) for action in actions[actions >= 0]]
