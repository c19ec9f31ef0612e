"""Imitation: states that the learner itself comes to (DAgger), labelled with what every legal action is worth there.

Labels are as cheap as a pass of the network, so no state is kept: every round plays new episodes, and learns from them
alone. While it learns, the next round's episodes are played in a process of their own, by the weights that it began
with. So a round depends on nothing but the weights that it and the one before it start from, the seed, and its number.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.ahead import Ahead
from agents.muon import Muon
from agents.partial_loading.families import Family
from agents.partial_loading.network import Observation, SchedulingNetwork, select
from agents.partial_loading.observing import Arrays, loading_of, masked_scores, observe, take
from agents.training import Measure, update_average
from baselines.partial_loading.action_values import ILLEGAL
from baselines.partial_loading.expected_uploads import later_upload_ns
from pl_env.partial_loading.episodes import Episodes
from pl_env.ranges import require, require_integer, require_real
from pl_env.seeds import TRAINING_STREAM

_ALIKE = 0.05
"""Users by which actions may differ that count as equally good."""

_UNSURE = 10.0
"""How the share of states that are learnt from rises with the probability of an action that is not one of the best."""

Label = Callable[[Episodes, NDArray[np.int64], NDArray[np.float32], np.random.Generator], NDArray[np.float32]]
"""Values of all actions in the present states, (N, I · b_cap), as `action_values` gives them; is shown the later
uploads of `later_upload_ns`, and the learner's scores, (N, I · b_cap), -inf where there are none."""


@dataclass(frozen=True)
class ImitationConfig:
    """How to imitate.

    Attributes:
        rounds: Rounds of playing and learning; 0 for none.
        episodes: Episodes that a round plays; a third of them where the teacher plays, as no state is left out.
        teacher_rounds: In so many rounds at first, the teacher plays; then the learner.
        teacher_share: Share of the later episodes that the teacher plays.
        sampled_share: Share of the learner's episodes in which it samples its actions.
        exploration: Probability of a random action.
        easy_share: Share of the states that are learnt from where the learner is sure to take a best action, as it is
            in four states of five; it rises to 1 where the learner is not.
        epochs: Passes over a round's states.
        minibatch_size: States in a minibatch.
        learning_rate: Muon's at its highest; it falls linearly to 0.
        averaging: Each update's share in the moving average of weights, which is what is evaluated.
        best_weight: Weight of -log(probability of the best actions). Where values are drawn, 0: which action is best
            is noise there, while the noise of the expected loss averages out.
        value_weight: Weight of the value's squared error, in served ratio, beside the loss of the scores, in users.
        searched_actions: Where values come from a search, it values so many of the actions that the learner likes best,
            besides its own.

    Raises:
        InvalidValue: A field is out of range.
    """

    rounds: int = 70
    episodes: int = 384
    teacher_rounds: int = 2
    teacher_share: float = 0.1
    sampled_share: float = 0.3
    exploration: float = 0.05
    easy_share: float = 0.1
    epochs: int = 2
    minibatch_size: int = 256
    learning_rate: float = 1e-2
    averaging: float = 0.01
    best_weight: float = 1.0
    value_weight: float = 10.0
    searched_actions: int = 3

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, 0)
        require_integer("episodes", self.episodes, 1)
        require_integer("teacher_rounds", self.teacher_rounds, 0)
        require_real("teacher_share", self.teacher_share, 0, 1)
        require_real("sampled_share", self.sampled_share, 0, 1)
        require_real("exploration", self.exploration, 0, 1)
        require_real("easy_share", self.easy_share, 0, 1)
        require_integer("epochs", self.epochs, 1)
        require_integer("minibatch_size", self.minibatch_size, 2)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("averaging", self.averaging, 0, 1, above=True)
        require_real("best_weight", self.best_weight, 0)
        require_real("value_weight", self.value_weight, 0)
        require_integer("searched_actions", self.searched_actions, 0)


@dataclass(frozen=True)
class LabelledStates:
    """States and the values of their actions.

    Attributes:
        observation: What the network reads, each with n rows, or one where all rows are the same.
        values: float32 (n, I · b_cap).
        n_users: float32 (n,), users K of each state's episode.
        reached: Share of the teacher's value of their first states that the learner's own episodes reached, or NaN.
    """

    observation: Observation
    values: Tensor
    n_users: Tensor
    reached: float


PlayRound = Callable[[SchedulingNetwork, int, np.random.Generator], LabelledStates]
"""Plays a round's episodes, from the network, the round's number in the stage and the source of all randomness."""


class Imitation:
    """The stage: rounds of playing, labelling and learning; see `agents.training.Stage`.

    The network that it reports holds two: the learner, and the player, which is the learner of a round ago.
    """

    name = "imitation"
    measures: tuple[Measure, ...] = (
        Measure("reached", "share of its teacher's value\nthat the learner reaches"),
        Measure("regret", "users lost by a decision,\nwhere it is not sure", "log"),
    )
    network: nn.ModuleDict
    optimizer: torch.optim.Optimizer

    def __init__(self, play_round: PlayRound, config: ImitationConfig, seed: int, processes: int = 1) -> None:
        """Set the stage.

        Args:
            play_round: Plays and labels.
            config: How.
            seed: Seed of the training.
            processes: 2 to play ahead while it learns, 1 for no process besides this one.
        """
        self.rounds = config.rounds
        self._play_round, self._config, self._seed = play_round, config, seed
        self._ahead: Ahead[LabelledStates] = Ahead(processes)

    def begin(self, average: SchedulingNetwork) -> None:
        """Learn from these weights on, and move them along."""
        self._average = average
        self.network = nn.ModuleDict({"learner": copy.deepcopy(average), "player": copy.deepcopy(average)})
        self.optimizer = Muon(self.network["learner"].parameters())

    def round(self, number: int, place: int) -> dict[str, float]:
        """One round: play, label, learn.

        Args:
            number: Number of the round in the whole training, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets the learning rate and who plays.

        Returns:
            What to log: ``loss``, ``regret`` in users per decision, ``reached``, ``states``.
        """
        config = self._config
        learner, player = self.network["learner"], self.network["player"]
        states = self._ahead.answer(number, *self._play(number, place))
        player.load_state_dict(learner.state_dict())
        if place + 1 < config.rounds:
            self._ahead.begin(number + 1, *self._play(number + 1, place + 1))
        else:
            self._ahead.close()
        if len(states.values) == 0:  # the learner was sure of all of them
            return {"loss": math.nan, "regret": math.nan, "reached": states.reached, "states": 0.0}
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number, 1))
        losses, regrets = [], []
        updates_per_epoch = -(-len(states.values) // config.minibatch_size)
        for epoch in range(config.epochs):
            order = torch.from_numpy(rng.permutation(len(states.values)))
            for update, rows in enumerate(torch.split(order, config.minibatch_size)):
                progress = (place + (epoch + update / updates_per_epoch) / config.epochs) / config.rounds
                warm_up = min(1.0, (place + 1) / 3)
                loss, regret = self._update(states, rows, config.learning_rate * warm_up * (1 - progress))
                losses.append(loss)
                regrets.append(regret)
        return {
            "loss": float(np.mean(losses)),
            "regret": float(np.mean(regrets)),
            "reached": states.reached,
            "states": float(len(states.values)),
        }

    def _play(self, number: int, place: int) -> tuple[Any, ...]:
        """What plays a round's episodes, and what it is given."""
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number))
        return self._play_round, self.network["player"], place, rng

    def _update(self, states: LabelledStates, rows: Tensor, learning_rate: float) -> tuple[float, float]:
        """Learn from a minibatch; gives `_loss` of it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        learner = self.network["learner"]
        loss, regret = _loss(learner, states, rows, self._config)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        self.optimizer.step()
        update_average(self._average, learner, self._config.averaging)
        return loss.item(), regret.item()


def _loss(
    network: SchedulingNetwork, states: LabelledStates, rows: Tensor, config: ImitationConfig
) -> tuple[Tensor, Tensor]:
    """Loss, and its part that is the users lost by a sampled action, in the mean.

    Of many optimal actions any will do: what counts is the probability of all of them together.
    """
    values = states.values[rows]
    best = values.max(dim=1, keepdim=True).values
    legal = values > ILLEGAL
    scores, value = network(select(states.observation, rows))
    log_probability = torch.log_softmax(scores.masked_fill(~legal, -1e9), dim=1)
    optimal = values >= best - _ALIKE
    surprise = -torch.logsumexp(log_probability.masked_fill(~optimal, -1e9), dim=1).mean()
    regret = (log_probability.exp() * (best - values) * legal).sum(dim=1).mean()
    value_error = ((value[:, 0] - best[:, 0] / states.n_users[rows]) ** 2).mean()
    return config.best_weight * surprise + regret + config.value_weight * value_error, regret


def play(
    learner: SchedulingNetwork,
    family: Family,
    label: Label,
    config: ImitationConfig,
    rng: np.random.Generator,
    teacher_plays: bool = False,
) -> LabelledStates:
    """Play a round's episodes to their ends and label every state on the way.

    Args:
        learner: Who plays.
        family: What to play.
        label: The teacher.
        config: How.
        rng: The source of all randomness.
        teacher_plays: The teacher plays in all episodes, and all states are learnt from.
    """
    cap = family.scenario.max_batch_size
    n = -(-config.episodes // 3) if teacher_plays else config.episodes
    episodes = Episodes(family.sample(rng, n), cap)
    by_teacher = (rng.random(n) < config.teacher_share) | teacher_plays
    by_sampling = (rng.random(n) < config.sampled_share) & ~by_teacher
    loading, later_ns = loading_of(episodes), later_upload_ns(episodes)
    size_bonus = 0.1 * np.tile(np.arange(cap), episodes.arrays.mask.shape[1] // cap)
    kept: list[Arrays] = []
    kept_values, kept_rows = [], []
    at_first: NDArray[np.float32] | None = None
    while (rows := np.flatnonzero(episodes.running)).size > 0:
        observations, mask = observe(episodes, learner.config, later_ns), episodes.mask
        scores = np.full(mask.shape, -np.inf, dtype=np.float32)
        if not teacher_plays:
            scores[rows] = masked_scores(learner, take(observations, loading, rows), mask[rows])
        values = label(episodes, later_ns, scores, rng)
        at_first = np.maximum(0, values.max(axis=1)) if at_first is None else at_first
        # The teacher takes any of the best actions, rather a larger batch, as a learner will.
        actions = (values + _ALIKE * (rng.random(values.shape) + size_bonus)).argmax(axis=1)
        sure = np.zeros(len(rows), dtype=np.float32)
        if not teacher_plays:
            sure = _chance_of_best(scores[rows], values[rows])
            wanted = scores[rows]
            wanted += by_sampling[rows, None] * rng.gumbel(size=wanted.shape)
            actions[rows] = np.where(by_teacher[rows], actions[rows], wanted.argmax(axis=1))
        learnt = rows[rng.random(len(rows)) < config.easy_share + _UNSURE * (1 - sure)]
        kept.append({key: value[learnt] for key, value in observations.items()})
        kept_values.append(values[learnt])
        kept_rows.append(learnt)
        explored = (mask * rng.random(mask.shape)).argmax(axis=1)
        actions = np.where(rng.random(n) < config.exploration, explored, actions)
        episodes.step(actions, rng.random(episodes.arrays.uniforms.shape) if episodes.redraws else None)
    require(at_first is not None, "scenario", family.scenario, "one in which some episode has a legal action")
    assert at_first is not None
    every = np.concatenate(kept_rows)
    observation = {key: torch.from_numpy(np.concatenate([part[key] for part in kept])) for key in kept[0]}
    observation["loading"] = torch.from_numpy(loading if len(loading) == 1 else loading[every])
    own = ~by_teacher & ~by_sampling
    reached = float(episodes.served[own].sum() / at_first[own].sum()) if own.any() else float("nan")
    return LabelledStates(
        observation,
        torch.from_numpy(np.concatenate(kept_values)),
        torch.from_numpy(episodes.n_users[every].astype(np.float32)),
        reached,
    )


def _chance_of_best(scores: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability that an action sampled by the scores (n, I · b_cap) is one of the best, (n,)."""
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    best = values >= values.max(axis=1, keepdims=True) - _ALIKE
    return np.asarray((weights * best).sum(axis=1) / weights.sum(axis=1))
