"""Policy improvement by own play: not a planner says what a batch is worth, but how the episode goes on after it.

At decisions that the policy comes to, some batches are tried, and each is played on, first by a rule, then by what was
learnt: users go on coming, the same for all, until a horizon, and then everybody who is there is served or given up.
The network then learns how many users more each batch has served (Lagoudakis and Parr, 2003; the "vine" of Schulman et
al., 2015, arXiv 1502.05477). That is the truth and much noise, as after another batch all else goes another way; so the
loss asks for the mean.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from agents.agent import load
from agents.online.families import Family
from agents.online.network import CompiledNetwork
from agents.online.playing import Player, Singles, Sizes, Tried, compiled_weights, room_for, sizes_of, states_of
from agents.pairwise import States
from agents.training import Measure, update_average
from pl_env.ranges import require, require_integer, require_real
from pl_env.seeds import TRAINING_STREAM


@dataclass(frozen=True)
class ImprovementConfig:
    """How to improve.

    Attributes:
        rounds: Rounds, each with a checkpoint at its end; 0 for none.
        plays_on: Who plays on after what is tried: an agent that does not look ahead, as a name or a folder for
            `agents.load`; unless given `urgent-greedy`, which takes a tenth of the time.
        updates: Times that a round plays and learns.
        episodes: Episodes that are played for that.
        share: Of the decisions, times the chance of another batch than the best, where batches are tried.
        batches: Batches that are tried at a decision: those with the highest scores, and one at random.
        horizon: Seconds until which users come.
        temperature: Users; what scores are divided by to sample the play that leads to the decisions.
        regret_weight: Of the users that a sampled batch loses, in the loss; the rest is the error of the scores.
        passes: How often each decision is learnt from.
        minibatch_size: Decisions of a step of the optimiser.
        learning_rate: Adam's at its highest; it falls linearly to 0.
        averaging: Each step's share in the moving average of weights, which is what is evaluated.

    Raises:
        InvalidValue: A field is out of range.
    """

    rounds: int = 20
    plays_on: str = ""
    updates: int = 4
    episodes: int = 12
    share: float = 0.5
    batches: int = 4
    horizon: float = 0.5
    temperature: float = 0.3
    regret_weight: float = 1.0
    passes: int = 4
    minibatch_size: int = 512
    learning_rate: float = 3e-3
    averaging: float = 0.005

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, 0)
        require(isinstance(self.plays_on, str), "plays_on", self.plays_on, "the name or folder of an agent, or empty")
        for name in ("updates", "episodes", "passes", "minibatch_size"):
            require_integer(name, getattr(self, name), 1)
        require_integer("batches", self.batches, 2)
        require_real("share", self.share, 0, 1, above=True)
        require_real("horizon", self.horizon, 0, 3600)
        require_real("temperature", self.temperature, 0, above=True)
        require_real("regret_weight", self.regret_weight, 0)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("averaging", self.averaging, 0, 1, above=True)


_MOST_TRIED = 512
"""Decisions of an episode at which batches are tried."""


class Trials(NamedTuple):
    """What was tried.

    Attributes:
        states: The decisions and the batches that were tried.
        tried: bool (B, C); where there were fewer, the others are of no meaning.
        value: float32 (B, C), users served.
        decisions: Decisions that were taken to find out.
    """

    states: States
    tried: Tensor
    value: Tensor
    decisions: int

    def take(self, rows: Tensor) -> Trials:
        """Some of them."""
        states = States(*(part[rows] for part in self.states))
        return Trials(states, self.tried[rows], self.value[rows], self.decisions)


class Improvement:
    """The stage: rounds of playing, trying and learning; see `agents.training.Stage`."""

    measures: tuple[Measure, ...] = (
        Measure("loss", "loss"),
        Measure("regret", "users lost by a sampled batch,\nof those tried"),
    )
    network: CompiledNetwork
    optimizer: torch.optim.Optimizer

    def __init__(self, name: str, family: Family, config: ImprovementConfig, seed: int, threads: int) -> None:
        """Set the stage.

        Args:
            name: Name of the stage.
            family: What to play.
            config: How.
            seed: Seed of the training.
            threads: That play; they change nothing.

        Raises:
            UnknownName: There is no agent who could play on by that name.
            InvalidValue: It looks ahead, or is of another system.
        """
        self.name, self.rounds = name, config.rounds
        self._plays_on = _network_named(config.plays_on) if config.plays_on else None
        self._family, self._config, self._seed, self._threads = family, config, seed, threads

    def begin(self, average: CompiledNetwork) -> None:
        """Learn from these weights on, and move them along."""
        self._average = average
        self.network = copy.deepcopy(average)
        self.optimizer = torch.optim.Adam(self.network.parameters())
        self._player = Player(self._family, average.config, self._threads)

    def round(self, number: int, place: int) -> dict[str, float]:
        """One round.

        Args:
            number: Number of the round in the whole training, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets the learning rate.

        Returns:
            What to log: ``loss``, ``regret`` in users, ``tried`` decisions, ``states``.
        """
        config = self._config
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number))
        reports, states, tried = [], 0, 0
        for update in range(config.updates):
            progress = (place + update / config.updates) / config.rounds
            warm_up = min(1.0, (place * config.updates + update + 1) / 20)
            trials = try_batches(self._player, self.network, self._family, config, self._plays_on, rng)
            for _ in range(config.passes):
                order = torch.from_numpy(rng.permutation(len(trials.tried)))
                for rows in torch.split(order, config.minibatch_size):
                    learning_rate = config.learning_rate * warm_up * (1 - progress)
                    reports.append(self._update(trials.take(rows), learning_rate))
            states += trials.decisions
            tried += len(trials.tried)
        loss, regret = np.mean(reports, axis=0).tolist()
        return {"loss": loss, "regret": regret, "tried": float(tried), "states": float(states)}

    def _update(self, trials: Trials, learning_rate: float) -> tuple[float, float]:
        """Learn from trials; gives `_loss` of them."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss, regret = _loss(self.network, trials, self._config)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        update_average(self._average, self.network, self._config.averaging)
        return loss.item(), regret.item()


def _network_named(name: str) -> tuple[Singles, Sizes]:
    """Weights and sizes of an agent's network."""
    agent = load(name)
    require(agent.SYSTEM == "online", "plays_on", name, "an agent of PartialLoadingOnline")
    require(agent.network.config.ahead == 0, "plays_on", name, "an agent that does not look ahead")
    return compiled_weights(agent.network), sizes_of(agent.network.config)


def _loss(network: CompiledNetwork, trials: Trials, config: ImprovementConfig) -> tuple[Tensor, Tensor]:
    """Loss, and its part that is the users lost by a sampled batch of those tried, in the mean.

    The other part is how far the scores are from the users served, each less their mean of the decision.
    """
    tried = trials.tried
    counts = tried.sum(dim=1, keepdim=True)
    score, value = (
        (each - (each * tried).sum(dim=1, keepdim=True) / counts).masked_fill(~tried, 0.0)
        for each in (network(trials.states), trials.value)
    )
    error = nn.functional.smooth_l1_loss(score, value, reduction="none").sum(dim=1).mean()
    probability = torch.softmax((score / config.temperature).masked_fill(~tried, -1e9), dim=1)
    regret = (value.max(dim=1).values - (probability * value).sum(dim=1)).mean()
    return error + config.regret_weight * regret, regret


def try_batches(
    player: Player,
    network: CompiledNetwork,
    family: Family,
    config: ImprovementConfig,
    plays_on: tuple[Singles, Sizes] | None,
    rng: np.random.Generator,
) -> Trials:
    """Play fresh episodes, and at some decisions on the way try some batches.

    Args:
        player: Plays.
        network: The policy.
        family: What to play.
        config: How.
        plays_on: Weights and sizes of the network that plays on; `urgent-greedy` if None.
        rng: The source of all randomness.
    """
    episodes = family.sample(rng, config.episodes)
    most = max(len(drawn.users) for drawn in episodes)
    uniforms = rng.random((len(episodes), most, 3))
    tried = [room_for(_MOST_TRIED, family.scenario.n_models, config.batches) for _ in episodes]
    kept, decisions = player.try_batches(
        episodes, compiled_weights(network), uniforms, config.temperature, config.share, config.horizon, plays_on, tried
    )
    parts = zip(*([array[:count] for array in each] for each, count in zip(tried, kept, strict=True)), strict=True)
    joined = Tried(*(np.concatenate(part) for part in parts))
    return Trials(
        states_of(joined),
        torch.from_numpy(np.arange(config.batches) < joined.batches[:, None]),
        torch.from_numpy(joined.value),
        decisions,
    )
