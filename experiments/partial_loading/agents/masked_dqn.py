"""A deep Q-network that knows which actions are legal, for comparison with policy gradients and imitation.

Double DQN (van Hasselt et al., 2016) on `SchedulingNetwork`, whose scores stand for action values: the served ratio
from here on. Illegal actions are neither taken nor maximised over.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents import Agent, Family
from agents.partial_loading.network import NetworkConfig, SchedulingNetwork
from agents.partial_loading.observing import loading_of, observe, present_scores
from agents.training import update_average
from pl_env.partial_loading.episodes import Episodes
from pl_env.ranges import require_integer, require_real
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class DQNConfig:
    """How to train.

    Attributes:
        states: Environment steps.
        seed: Seed of weights, episodes and minibatches.
        n_envs: Episodes that run side by side; they begin together.
        capacity: Steps in the replay memory.
        minibatch_size: Steps in a minibatch.
        updates_per_step: Updates after each step of all episodes.
        learning_rate: Adam's, falling linearly to 0.
        exploration: Probability of a random legal action, falling linearly to a tenth.
        target_share: How far the target network moves towards the other after an update.
    """

    states: int = 180_000
    seed: int = 0
    n_envs: int = 64
    capacity: int = 50_000
    minibatch_size: int = 128
    updates_per_step: int = 1
    learning_rate: float = 5e-4
    exploration: float = 0.5
    target_share: float = 0.01

    def __post_init__(self) -> None:
        for name in ("states", "n_envs", "capacity", "minibatch_size", "updates_per_step"):
            require_integer(name, getattr(self, name), 1)
        require_integer("seed", self.seed, 0, 2**31)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("exploration", self.exploration, 0, 1)
        require_real("target_share", self.target_share, 0, 1, above=True)


class _Memory:
    """The last steps, in arrays that go round."""

    def __init__(self, capacity: int, observations: dict[str, NDArray[np.float32]], n_actions: int) -> None:
        shapes = {name: value.shape[1:] for name, value in observations.items()}
        self._arrays = {
            side: {name: np.zeros((capacity, *shape), dtype=np.float32) for name, shape in shapes.items()}
            for side in ("before", "after")
        }
        self._action = np.zeros(capacity, dtype=np.int64)
        self._reward = np.zeros(capacity, dtype=np.float32)
        self._mask = np.zeros((capacity, n_actions), dtype=np.bool_)
        self._capacity, self._next, self.size = capacity, 0, 0

    def add(
        self,
        before: dict[str, NDArray[np.float32]],
        actions: NDArray[np.int64],
        rewards: NDArray[np.float64],
        after: dict[str, NDArray[np.float32]],
        mask: NDArray[np.bool_],
    ) -> None:
        places = (self._next + np.arange(len(actions))) % self._capacity
        for side, observations in (("before", before), ("after", after)):
            for name, value in observations.items():
                self._arrays[side][name][places] = value
        self._action[places], self._reward[places], self._mask[places] = actions, rewards, mask
        self._next = int(places[-1] + 1) % self._capacity
        self.size = min(self._capacity, self.size + len(actions))

    def draw(self, rng: np.random.Generator, count: int, loading: Tensor) -> tuple[dict[str, Tensor], ...]:
        """Observations before, observations after, and the rest."""
        rows = rng.integers(self.size, size=count)
        sides = [
            {name: torch.from_numpy(value[rows]) for name, value in self._arrays[side].items()} | {"loading": loading}
            for side in ("before", "after")
        ]
        rest = {"action": self._action[rows], "reward": self._reward[rows], "mask": self._mask[rows]}
        return sides[0], sides[1], {name: torch.from_numpy(value) for name, value in rest.items()}


def train_dqn(family: Family, config: DQNConfig, watch: Callable[[Agent, float], None]) -> Agent:
    """Train, and show ``watch`` the agent after every round of episodes with the steps so far.

    Args:
        family: What to play: one scenario with one library, channels that stay.
        config: How.
        watch: Is shown the agent.
    """
    rng = np.random.default_rng((TRAINING_STREAM, config.seed))
    torch.manual_seed(small_seed(TRAINING_STREAM, config.seed))
    cap = family.scenario.max_batch_size
    network = SchedulingNetwork(NetworkConfig(cap))
    target = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters())
    memory: _Memory | None = None
    done = 0
    while done < config.states:
        episodes = Episodes(family.sample(rng, config.n_envs), cap)
        loading = loading_of(episodes)
        seen = observe(episodes, network.config)
        memory = memory or _Memory(config.capacity, seen, episodes.mask.shape[1])
        while (rows := np.flatnonzero(episodes.running)).size > 0:
            progress = min(1.0, done / config.states)
            before = {name: value[rows] for name, value in seen.items()}
            actions = np.full(config.n_envs, -1, dtype=np.int64)
            actions[rows] = present_scores(network, episodes, loading, rows).argmax(axis=1)
            mask = episodes.mask
            explored = (mask * rng.random(mask.shape)).argmax(axis=1)
            explores = rng.random(config.n_envs) < config.exploration * (1 - 0.9 * progress)
            actions = np.where(explores & episodes.running, explored, actions)
            episodes.step(actions)
            rewards = (actions[rows] % cap + 1) / episodes.n_users[rows]
            after = {name: value[rows] for name, value in seen.items()}
            memory.add(before, actions[rows], rewards, after, episodes.mask[rows])
            done += len(rows)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * (1 - progress)
            for _ in range(config.updates_per_step):
                _update(network, target, optimizer, memory.draw(rng, config.minibatch_size, torch.from_numpy(loading)))
                update_average(target, network, config.target_share)
        watch(Agent(copy.deepcopy(network)), float(done))
    return Agent(network)


def _update(
    network: SchedulingNetwork,
    target: SchedulingNetwork,
    optimizer: torch.optim.Optimizer,
    batch: tuple[dict[str, Tensor], ...],
) -> None:
    before, after, step = batch
    with torch.no_grad():
        best = network(after)[0].masked_fill(~step["mask"], -torch.inf).argmax(dim=1, keepdim=True)
        following = target(after)[0].gather(1, best)[:, 0] * step["mask"].any(dim=1)
    value = network(before)[0].gather(1, step["action"][:, None])[:, 0]
    loss = nn.functional.smooth_l1_loss(value, step["reward"] + following)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
