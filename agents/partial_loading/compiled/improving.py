"""Policy improvement by own play: not a planner says what an action is worth, but how the policy itself ends after it.

In states that the policy comes to, some actions are tried, and each is played to the end of the episode by the policy.
Where channels stay that is exactly what the action is worth under the policy; where they are drawn anew, all actions of
a state are tried under the same draws. The network then learns to prefer what ended better (Lagoudakis and Parr, 2003;
the "vine" of Schulman et al., 2015, arXiv 1502.05477). The value of an end counts the part that is left over of the
time for one user more, so that of two ends with as many users the one that is nearer to the next counts more.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.muon import Muon
from agents.pairwise import States
from agents.partial_loading.compiled.network import CompiledNetwork
from agents.partial_loading.compiled.playing import NO_CHANNELS, Player, compiled_weights, record
from agents.partial_loading.families import Family
from agents.training import Measure, update_average
from baselines.partial_loading.expected_uploads import later_upload_ns
from pl_env.partial_loading.episodes import Episodes
from pl_env.ranges import require_integer, require_real
from pl_env.seeds import TRAINING_STREAM

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_STATES_PER_EPISODE = 2


@dataclass(frozen=True)
class ImprovementConfig:
    """How to improve.

    Attributes:
        rounds: Rounds, each with a checkpoint at its end; 0 for none.
        updates: Times that a round plays and learns.
        episodes: Episodes that are played for that; two states of each are learnt from.
        choice: States of which one is learnt from, that where the policy is least sure.
        actions: Actions that are tried in a state: those with the highest scores, and one at random.
        futures: Draws of the channels under which they are tried, where channels are drawn anew.
        temperature: What scores are divided by to sample the play that leads to the states.
        softness: Users; the share of a tried action in what is to be learnt falls by 1/e for so many users less.
        passes: Steps of the optimiser on the same states.
        learning_rate: Muon's at its highest; it falls linearly to 0.
        averaging: Each step's share in the moving average of weights, which is what is evaluated.

    Raises:
        InvalidValue: A field is out of range.
    """

    rounds: int = 40
    updates: int = 25
    episodes: int = 128
    choice: int = 3
    actions: int = 4
    futures: int = 1
    temperature: float = 0.3
    softness: float = 0.3
    passes: int = 4
    learning_rate: float = 1e-2
    averaging: float = 0.01

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, 0)
        for name in ("updates", "episodes", "choice", "futures", "passes"):
            require_integer(name, getattr(self, name), 1)
        require_integer("actions", self.actions, 2)
        require_real("temperature", self.temperature, 0, above=True)
        require_real("softness", self.softness, 0, above=True)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("averaging", self.averaging, 0, 1, above=True)


class Trials(NamedTuple):
    """What was tried.

    Attributes:
        states: The states and the actions that were tried in them.
        tried: bool (B, C); where there were fewer, the others repeat one.
        value: float32 (B, C), users in the mean at the end; of no meaning where nothing was tried.
        decisions: Decisions that were taken to find out.
        served: Mean served ratio of the play that led there.
    """

    states: States
    tried: Tensor
    value: Tensor
    decisions: int
    served: float


class Improvement:
    """The stage: rounds of playing, trying and learning; see `agents.training.Stage`."""

    name = "improvement"
    measures: tuple[Measure, ...] = (
        Measure("served", "served ratio, sampled"),
        Measure("regret", "users lost by a sampled action,\nof those tried", "log"),
    )
    network: CompiledNetwork
    optimizer: torch.optim.Optimizer

    def __init__(self, family: Family, config: ImprovementConfig, seed: int, threads: int) -> None:
        """Set the stage.

        Args:
            family: What to play.
            config: How.
            seed: Seed of the training.
            threads: That play; they change nothing.
        """
        self.rounds = config.rounds
        self._family, self._config, self._seed, self._threads = family, config, seed, threads

    def begin(self, average: CompiledNetwork) -> None:
        """Learn from these weights on, and move them along."""
        self._average = average
        self.network = copy.deepcopy(average)
        self.optimizer = Muon(self.network.parameters())
        self._player = Player(average.config, self._threads)

    def round(self, number: int, place: int) -> dict[str, float]:
        """One round.

        Args:
            number: Number of the round in the whole training, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets the learning rate.

        Returns:
            What to log: ``loss``, ``regret`` in users, ``served``, ``states``.
        """
        config = self._config
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number))
        reports, states = [], 0
        for update in range(config.updates):
            progress = (place + update / config.updates) / config.rounds
            warm_up = min(1.0, (place * config.updates + update + 1) / 20)
            trials = try_actions(self._player, self.network, self._family, config, rng)
            for _ in range(config.passes):
                loss, regret = self._update(trials, config.learning_rate * warm_up * (1 - progress))
            reports.append((loss, regret, trials.served))
            states += trials.decisions
        means = np.mean(reports, axis=0).tolist()
        return dict(zip(("loss", "regret", "served"), means, strict=True)) | {"states": float(states)}

    def _update(self, trials: Trials, learning_rate: float) -> tuple[float, float]:
        """Learn from trials; gives `_loss` of them."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss, regret = _loss(self.network, trials, self._config.softness)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        update_average(self._average, self.network, self._config.averaging)
        return loss.item(), regret.item()


def _loss(network: CompiledNetwork, trials: Trials, softness: float) -> tuple[Tensor, Tensor]:
    """Loss, and its part that is the users lost by a sampled action of those tried, in the mean.

    The other part is the cross-entropy from probabilities ~ exp(value / softness), which does not vanish where the
    network is sure of a worse action.
    """
    tried, value = trials.tried, trials.value
    log_probability = torch.log_softmax(network(trials.states).masked_fill(~tried, -1e9), dim=1)
    less = (value.masked_fill(~tried, -1e9).max(dim=1, keepdim=True).values - value).masked_fill(~tried, 0.0)
    wanted = torch.softmax((-less / softness).masked_fill(~tried, -1e9), dim=1)
    regret = (log_probability.exp() * less).sum(dim=1).mean()
    return regret - (wanted * log_probability).sum(dim=1).mean(), regret


def try_actions(
    player: Player, network: CompiledNetwork, family: Family, config: ImprovementConfig, rng: np.random.Generator
) -> Trials:
    """Play fresh episodes, and in some states on the way try some actions.

    Args:
        player: Plays.
        network: The policy.
        family: What to play.
        config: How.
        rng: The source of all randomness.
    """
    weights, n = compiled_weights(network), config.episodes
    begun = Episodes(family.sample(rng, n), network.config.batch_cap)
    later_ns, most, redraws = later_upload_ns(begun), int(begun.n_users.max()), begun.redraws
    channels = rng.random((n, most, most)) if redraws else NO_CHANNELS
    channel = np.arange(n) if redraws else np.zeros(n, dtype=np.int64)
    played = begun.branch(np.arange(n))
    play = player.play(
        played, weights, later_ns,
        channels=channels, channel=channel, uniforms=rng.random((n, most)), temperature=config.temperature,
    )  # fmt: skip
    which = np.repeat(np.arange(n), _STATES_PER_EPISODE * config.choice)
    batches = (play.actions >= 0).sum(axis=1)
    stop = (rng.random(len(which)) * batches[which]).astype(np.int64)
    states = begun.branch(which)
    player.follow(states, play.actions[which], stop, channels, channel[which])
    scores = player.scores(states, weights, later_ns[which])
    least_sure = _chance_of_first(scores).reshape(-1, config.choice).argmin(axis=1)
    kept = least_sure + config.choice * np.arange(len(least_sure))
    states, scores, later_ns = states.branch(kept), scores[kept], later_ns[which[kept]]
    cells, tried = _to_try(scores, config.actions, rng)
    value, decisions = _try(player, weights, states, later_ns, cells, tried, config.futures, rng)
    served = float((played.served / played.n_users).mean())
    return Trials(
        record(states, later_ns, cells), torch.from_numpy(tried), torch.from_numpy(value),
        play.decisions + decisions, served,
    )  # fmt: skip


def _chance_of_first(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of the action with the highest score in each state, (B,)."""
    return np.asarray(1 / np.exp(scores - scores.max(axis=1, keepdims=True)).sum(axis=1))


def _to_try(scores: NDArray[np.float32], count: int, rng: np.random.Generator) -> tuple[Ints, NDArray[np.bool_]]:
    """The actions with the highest scores and one of all legal ones at random, (B, C), and which there are."""
    legal = np.isfinite(scores)
    rank = scores.copy()
    rank[np.arange(len(scores)), (legal * rng.random(scores.shape)).argmax(axis=1)] = np.inf
    cells = np.argsort(-rank, axis=1, kind="stable")[:, :count]
    tried = np.take_along_axis(legal, cells, axis=1)
    return np.where(tried, cells, cells[:, :1]), tried


def _try(
    player: Player,
    weights: NDArray[np.float32],
    states: Episodes,
    later_ns: Ints,
    cells: Ints,
    tried: NDArray[np.bool_],
    futures: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], int]:
    """Mean value of each tried action, float32 (B, C), and the decisions that were taken."""
    futures, most = (futures if states.redraws else 1), int(states.n_users.max())
    rows, columns = (np.repeat(places, futures) for places in np.nonzero(tried))
    channels, channel = NO_CHANNELS, np.zeros(len(rows), dtype=np.int64)
    if states.redraws:
        channels = rng.random((len(cells) * futures, most, most))
        channel = rows * futures + np.arange(len(rows)) % futures
    ends = player.play(
        states.branch(rows), weights, later_ns[rows], channels=channels, channel=channel, first=cells[rows, columns]
    )
    value = np.zeros(cells.shape, dtype=np.float32)
    value[rows[::futures], columns[::futures]] = ends.value.reshape(-1, futures).mean(axis=1)
    return value, ends.decisions
