"""A deep Q-network that knows which actions are legal, for comparison with policy gradients and imitation.

Double DQN (van Hasselt et al., 2016) on `SchedulingNetwork`, whose scores stand for action values: the served ratio
from here on. Illegal actions are neither taken nor maximised over. `JOBS` are what a sweep can train.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor, nn

from agents import Agent, Family
from agents.partial_loading.jobs import JOBS as AGENT_JOBS
from agents.partial_loading.jobs import Job as AgentJob
from agents.partial_loading.network import NetworkConfig, SchedulingNetwork
from agents.partial_loading.observing import loading_of, observe, present_scores
from agents.training import Measure, TrainingResult, Watch, train_in_stages, update_average
from pl_env.files import load_arrays, save_arrays
from pl_env.partial_loading.episodes import Episodes
from pl_env.ranges import require_integer, require_real
from pl_env.seeds import TRAINING_STREAM, small_seed

_KIND = "masked-dqn-actions"


@dataclass(frozen=True)
class DQNConfig:
    """How to train.

    Attributes:
        rounds: Rounds of episodes.
        seed: Seed of weights, episodes and minibatches.
        n_envs: Episodes of a round, which run side by side to their ends.
        capacity: Steps in the replay memory.
        minibatch_size: Steps in a minibatch.
        updates_per_step: Updates after each step of all episodes.
        learning_rate: Adam's, falling linearly to 0.
        exploration: Probability of a random legal action, falling linearly to a tenth.
        target_share: How far the target network moves towards the other after an update.
    """

    rounds: int = 110
    seed: int = 0
    n_envs: int = 64
    capacity: int = 50_000
    minibatch_size: int = 128
    updates_per_step: int = 1
    learning_rate: float = 5e-4
    exploration: float = 0.5
    target_share: float = 0.01

    def __post_init__(self) -> None:
        for name in ("rounds", "n_envs", "capacity", "minibatch_size", "updates_per_step"):
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


class _Pair(nn.Module):
    """The network that learns, and the slower one that says what is to come."""

    def __init__(self, online: SchedulingNetwork) -> None:
        super().__init__()
        self.online, self.target = online, copy.deepcopy(online)


class MaskedDQN:
    """The stage; see `agents.training.Stage`.

    The replay memory takes hundreds of megabytes, so what is kept of a round are its actions: a run that goes on after
    a kill takes them again, and so comes to the same memory.
    """

    name = "masked DQN"
    measures: tuple[Measure, ...] = (Measure("served_ratio", "served user ratio, exploring"),)
    network: _Pair
    optimizer: torch.optim.Optimizer

    def __init__(self, family: Family, config: DQNConfig, folder: Path) -> None:
        """Set the stage.

        Args:
            family: What to play: one scenario with one library, channels that stay.
            config: How.
            folder: Where the actions of each round are kept.
        """
        self.rounds = config.rounds
        self._family, self._config, self._folder = family, config, folder
        self._memory: _Memory | None = None
        self._remembered = 0

    def begin(self, average: SchedulingNetwork) -> None:
        """Learn from these weights on, and move them along."""
        self._average = average
        self.network = _Pair(copy.deepcopy(average))
        self.optimizer = torch.optim.Adam(self.network.online.parameters())

    def round(self, number: int, place: int) -> dict[str, float]:
        """Play a round of episodes, and learn after every step of them; see `agents.training.Stage`."""
        for earlier in range(self._remembered, number):
            self._remember(earlier)
        config, online = self._config, self.network.online
        left = 1 - place / config.rounds
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * left
        explored_share = config.exploration * (0.1 + 0.9 * left)
        rng, episodes = self._episodes(number)
        loading = loading_of(episodes)
        seen = observe(episodes, online.config)
        taken = []
        while (rows := np.flatnonzero(episodes.running)).size > 0:
            actions = np.full(config.n_envs, -1, dtype=np.int64)
            actions[rows] = present_scores(online, episodes, loading, rows).argmax(axis=1)
            mask = episodes.mask
            explored = (mask * rng.random(mask.shape)).argmax(axis=1)
            explores = rng.random(config.n_envs) < explored_share
            actions = np.where(explores & episodes.running, explored, actions)
            memory = self._step(episodes, seen, rows, actions)
            taken.append(actions)
            for _ in range(config.updates_per_step):
                self._update(memory.draw(rng, config.minibatch_size, torch.from_numpy(loading)))
        save_arrays(self._file(number), _KIND, {}, {"actions": np.array(taken)})
        self._remembered = number + 1
        update_average(self._average, online, 1.0)
        served = float((episodes.served / episodes.n_users).mean())
        return {"states": float(sum((actions >= 0).sum() for actions in taken)), "served_ratio": served}

    def _episodes(self, number: int) -> tuple[np.random.Generator, Episodes]:
        """A round's generator, and its episodes, which it draws first."""
        rng = np.random.default_rng((TRAINING_STREAM, self._config.seed, number))
        cap = self._family.scenario.max_batch_size
        return rng, Episodes(self._family.sample(rng, self._config.n_envs), cap)

    def _remember(self, number: int) -> None:
        """Take the actions of a round again."""
        _, arrays = load_arrays(self._file(number), _KIND)
        _, episodes = self._episodes(number)
        seen = observe(episodes, self.network.online.config)
        for actions in arrays["actions"]:
            self._step(episodes, seen, np.flatnonzero(episodes.running), actions)
        self._remembered = number + 1

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:04d}.npz"

    def _step(
        self,
        episodes: Episodes,
        seen: dict[str, NDArray[np.float32]],
        rows: NDArray[np.intp],
        actions: NDArray[np.int64],
    ) -> _Memory:
        """Step the episodes, put the steps of those that were running into the memory; the memory."""
        before = {name: value[rows] for name, value in seen.items()}
        self._memory = self._memory or _Memory(self._config.capacity, seen, episodes.mask.shape[1])
        episodes.step(actions)
        rewards = (actions[rows] % self._family.scenario.max_batch_size + 1) / episodes.n_users[rows]
        after = {name: value[rows] for name, value in seen.items()}  # which are views of the episodes
        self._memory.add(before, actions[rows], rewards, after, episodes.mask[rows])
        return self._memory

    def _update(self, batch: tuple[dict[str, Tensor], ...]) -> None:
        before, after, step = batch
        online, target = self.network.online, self.network.target
        with torch.no_grad():
            best = online(after)[0].masked_fill(~step["mask"], -torch.inf).argmax(dim=1, keepdim=True)
            following = target(after)[0].gather(1, best)[:, 0] * step["mask"].any(dim=1)
        value = online(before)[0].gather(1, step["action"][:, None])[:, 0]
        loss = nn.functional.smooth_l1_loss(value, step["reward"] + following)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(online.parameters(), 1.0)
        self.optimizer.step()
        update_average(target, online, self._config.target_share)


@dataclass(frozen=True)
class Job(AgentJob):
    """Train a masked DQN; see `agents.jobs.Job`.

    Attributes:
        name: Name of the preset.
        scenario: As in PartialLoading's other jobs.
        training: How to train.
    """

    training: Annotated[DQNConfig, tyro.conf.arg(name="")]  # type: ignore[assignment]

    def train(self, out: Path, *, resume: bool, watch: Watch[Agent] | None = None) -> TrainingResult[Agent]:
        """Train; leaves ``actions/`` in the folder, too."""
        torch.set_num_threads(1)
        torch.manual_seed(small_seed(TRAINING_STREAM, self.training.seed))
        network = SchedulingNetwork(NetworkConfig(self.family.scenario.max_batch_size))
        trained_on: dict[str, Any] = {"family": self.family.to_dict(), "config": asdict(self.training)}
        stage = MaskedDQN(self.family, self.training, out / "actions")
        return train_in_stages(
            Agent(network, trained_on), [stage], out, resume=resume, progress=watch is None, watch=watch
        )


JOBS = {name: Job(name, AGENT_JOBS[name].scenario, DQNConfig()) for name in ("bls", "tiny")}
"""By name, a job for each preset of one library, clustered sharing and channels that stay."""
