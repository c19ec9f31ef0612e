"""Imitation: states that the learner itself comes to (DAgger), labelled with what every legal action is worth there.

Labels are as cheap as a pass of the network, so no state is kept: every round plays new episodes, and learns from them
alone. While it learns, the next round's episodes are played in a process of their own, by the weights that it began
with. So a round depends on nothing but the weights that it and the one before it start from, the seed, and its number.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.ahead import Ahead, Call
from agents.muon import Muon
from agents.partial_loading.network import Observation, SchedulingNetwork
from agents.partial_loading.observing import Arrays, loading_of, masked_scores, observe, take
from agents.training import Measure, update_average
from baselines.partial_loading.action_values import ILLEGAL
from baselines.partial_loading.expected_uploads import later_upload_ns
from pl_env.partial_loading.episodes import Episodes
from pl_env.partial_loading.instance import Instance
from pl_env.ranges import require, require_integer, require_real
from pl_env.seeds import TRAINING_STREAM

_ALIKE = 0.05
"""Users by which actions may differ that count as equally good."""

_UNSURE = 10.0
"""How the share of states that are learnt from rises with the probability of an action that is not one of the best."""

_UNSURE_COSTLY = 1.5
"""The same where labels are costly, with the probability of an action other than the one it likes best."""

Label = Callable[[Episodes, NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], Generator], NDArray[np.float32]]
"""Values of all actions in the present states, (N, I · b_cap), as `action_values` gives them; is shown the later
uploads of `later_upload_ns`, the learner's scores, (N, I · b_cap), -inf where there are none, and the episodes whose
values are wanted."""


class Teacher(NamedTuple):
    """Who labels states.

    Attributes:
        label: How.
        costly: Whether a label takes much longer than a pass of the network. Then states are chosen to be learnt from
            before it is known what their actions are worth.
    """

    label: Label
    costly: bool = False


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
        parts: Parts that a round's episodes of each way of sharing are played in, side by side where there are
            processes; episodes of a part have the same number of models.

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
    epochs: int = 1
    minibatch_size: int = 256
    learning_rate: float = 1e-2
    averaging: float = 0.01
    best_weight: float = 1.0
    value_weight: float = 10.0
    searched_actions: int = 3
    parts: int = 1

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
        require_integer("parts", self.parts, 1, 64)


@dataclass(frozen=True)
class LabelledStates:
    """States and the values of their actions.

    Attributes:
        observation: What the network reads, each with n rows, but for "loading".
        loading: "loading", float32 (E, I + 1, I), or (1, I + 1, I) where it is the same for all.
        episode: int64 (n,), each state's row of ``loading``.
        values: float32 (n, I · b_cap).
        n_users: float32 (n,), users K of each state's episode.
        served: Users that the learner's own episodes served.
        reachable: The teacher's values of these episodes' first states.
    """

    observation: Arrays
    loading: NDArray[np.float32]
    episode: NDArray[np.int64]
    values: NDArray[np.float32]
    n_users: NDArray[np.float32]
    served: float
    reachable: float

    def __len__(self) -> int:
        return len(self.values)

    @property
    def reached(self) -> float:
        """Share of what could be reached that the learner did; NaN where it did not play."""
        return self.served / self.reachable if self.reachable > 0 else math.nan

    def take(self, rows: NDArray[np.int64]) -> tuple[Observation, Tensor, Tensor]:
        """Observation, values and numbers of users of some states."""
        observation = {name: torch.from_numpy(value[rows]) for name, value in self.observation.items()}
        loading = self.loading if len(self.loading) == 1 else self.loading[self.episode[rows]]
        observation["loading"] = torch.from_numpy(loading)
        return observation, torch.from_numpy(self.values[rows]), torch.from_numpy(self.n_users[rows])

    @classmethod
    def join(cls, parts: Sequence[LabelledStates]) -> LabelledStates:
        """All states of some, padded to the same number of models, of whom nobody asks for those that are added."""
        if len(parts) == 1:
            return parts[0]
        most = max(part.loading.shape[2] for part in parts)
        padded = [part._padded(most) for part in parts]
        first_row = np.cumsum([0, *(len(part.loading) for part in parts)])
        last = [part.episode + row for part, row in zip(parts, first_row, strict=False)]
        return cls(
            {name: np.concatenate([part.observation[name] for part in padded]) for name in parts[0].observation},
            np.concatenate([part.loading for part in padded]),
            np.concatenate(last),
            np.concatenate([part.values for part in padded]),
            np.concatenate([part.n_users for part in parts]),
            sum(part.served for part in parts),
            sum(part.reachable for part in parts),
        )

    def _padded(self, most: int) -> LabelledStates:
        """With more models, of whom no user asks."""
        n_models = self.loading.shape[2]
        loading = np.ones((len(self.loading), most + 1, most), dtype=np.float32)
        loading[:, :n_models, :n_models], loading[:, -1, :n_models] = self.loading[:, :-1], self.loading[:, -1]
        observation = {
            name: value if value.shape[1] < n_models else _more(value, n_models, most, float(name != "pending"))
            for name, value in self.observation.items()
        }
        return replace(
            self, observation=observation, loading=loading, values=_more(self.values, n_models, most, ILLEGAL)
        )


def _more(value: NDArray[np.float32], n_models: int, most: int, fill: float) -> NDArray[np.float32]:
    """An array whose second axis is of models, or of models and sizes, for more models."""
    n, width, *rest = value.shape
    more = np.full((n, width // n_models * most, *rest), fill, dtype=np.float32)
    more[:, :width] = value
    return more


PlayPart = Callable[[nn.Module, int, Generator], LabelledStates]
"""Plays a part of a round's episodes, from the network, the round's number in the stage and the source of all
randomness. To be pickled."""


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

    def __init__(self, plays: Sequence[PlayPart], config: ImitationConfig, seed: int, processes: int = 1) -> None:
        """Set the stage.

        Args:
            plays: Play and label, the parts of a round.
            config: How.
            seed: Seed of the training.
            processes: This one, which learns, and those that play ahead meanwhile.
        """
        self.rounds = config.rounds
        self._plays, self._config, self._seed = plays, config, seed
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
        states = LabelledStates.join(self._ahead.answers(number, self._calls(number, place)))
        player.load_state_dict(learner.state_dict())
        if place + 1 < config.rounds:
            self._ahead.begin(number + 1, self._calls(number + 1, place + 1))
        else:
            self._ahead.close()
        if len(states) == 0:  # the learner was sure of all of them
            return {"loss": math.nan, "regret": math.nan, "reached": states.reached, "states": 0.0}
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number))
        losses, regrets = [], []
        updates_per_epoch = -(-len(states) // config.minibatch_size)
        for epoch in range(config.epochs):
            for update, rows in enumerate(np.array_split(rng.permutation(len(states)), updates_per_epoch)):
                progress = (place + (epoch + update / updates_per_epoch) / config.epochs) / config.rounds
                warm_up = min(1.0, (place + 1) / 3)
                loss, regret = self._update(states, rows, config.learning_rate * warm_up * (1 - progress))
                losses.append(loss)
                regrets.append(regret)
        return {
            "loss": float(np.mean(losses)),
            "regret": float(np.mean(regrets)),
            "reached": states.reached,
            "states": float(len(states)),
        }

    def _calls(self, number: int, place: int) -> list[Call[LabelledStates]]:
        """What plays the parts of a round's episodes."""
        return [
            partial(
                play, self.network["player"], place, np.random.default_rng((TRAINING_STREAM, self._seed, number, n))
            )
            for n, play in enumerate(self._plays, 1)
        ]

    def _update(self, states: LabelledStates, rows: NDArray[np.int64], learning_rate: float) -> tuple[float, float]:
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
    network: nn.Module, states: LabelledStates, rows: NDArray[np.int64], config: ImitationConfig
) -> tuple[Tensor, Tensor]:
    """Loss, and its part that is the users lost by a sampled action, in the mean.

    Of many optimal actions any will do: what counts is the probability of all of them together.
    """
    observation, values, n_users = states.take(rows)
    best = values.max(dim=1, keepdim=True).values
    legal = values > ILLEGAL
    scores, value = network(observation)
    log_probability = torch.log_softmax(scores.masked_fill(~legal, -1e9), dim=1)
    optimal = values >= best - _ALIKE
    surprise = -torch.logsumexp(log_probability.masked_fill(~optimal, -1e9), dim=1).mean()
    regret = (log_probability.exp() * (best - values) * legal).sum(dim=1).mean()
    value_error = ((value[:, 0] - best[:, 0] / n_users) ** 2).mean()
    return config.best_weight * surprise + regret + config.value_weight * value_error, regret


def play(
    learner: SchedulingNetwork,
    instances: Sequence[Instance],
    teacher: Teacher,
    config: ImitationConfig,
    rng: Generator,
    teacher_plays: bool = False,
) -> LabelledStates:
    """Play episodes side by side to their ends and label states on the way.

    Args:
        learner: Who plays.
        instances: What.
        teacher: Who labels.
        config: How.
        rng: The source of all randomness.
        teacher_plays: The teacher plays in all episodes, and all states are learnt from.
    """
    n, cap = len(instances), learner.config.batch_cap
    episodes = Episodes(instances, cap)
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
        sure = np.zeros(len(rows), dtype=np.float32)
        if not teacher_plays:
            scores[rows] = masked_scores(learner, take(observations, loading, rows), mask[rows])
            sure = _chance_of_first(scores[rows])
        luck = rng.random(len(rows))
        wanted = rows
        if teacher.costly and at_first is not None:
            wanted = rows[by_teacher[rows] | (luck < config.easy_share + _UNSURE_COSTLY * (1 - sure))]
        values = teacher.label(episodes, later_ns, scores, wanted, rng)
        at_first = np.maximum(0, values.max(axis=1)) if at_first is None else at_first
        # The teacher takes any of the best actions, rather a larger batch, as a learner will.
        actions = (values + _ALIKE * (rng.random(values.shape) + size_bonus)).argmax(axis=1)
        if not teacher_plays:
            sure = sure if teacher.costly else _chance_of_best(scores[rows], values[rows])
            liked = scores[rows]
            liked += by_sampling[rows, None] * rng.gumbel(size=liked.shape)
            actions[rows] = np.where(by_teacher[rows], actions[rows], liked.argmax(axis=1))
        eagerness = _UNSURE_COSTLY if teacher.costly else _UNSURE
        learnt = rows[luck < config.easy_share + eagerness * (1 - sure)]
        kept.append({key: value[learnt] for key, value in observations.items()})
        kept_values.append(values[learnt])
        kept_rows.append(learnt)
        explored = (mask * rng.random(mask.shape)).argmax(axis=1)
        actions = np.where(rng.random(n) < config.exploration, explored, actions)
        episodes.step(actions, rng.random(episodes.arrays.uniforms.shape) if episodes.redraws else None)
    require(at_first is not None, "instances", instances, "ones of which some episode has a legal action")
    assert at_first is not None
    every, own = np.concatenate(kept_rows), ~by_teacher & ~by_sampling
    return LabelledStates(
        {key: np.concatenate([part[key] for part in kept]) for key in kept[0]},
        loading,
        np.zeros_like(every) if len(loading) == 1 else every,
        np.concatenate(kept_values),
        episodes.n_users[every].astype(np.float32),
        float(episodes.served[own].sum()),
        float(at_first[own].sum()),
    )


def _chance_of_first(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of the action that the scores (n, I · b_cap) say is the best, (n,)."""
    return np.asarray(1 / np.exp(scores - scores.max(axis=1, keepdims=True)).sum(axis=1))


def _chance_of_best(scores: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability that an action sampled by the scores (n, I · b_cap) is one of the best, (n,)."""
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    best = values >= values.max(axis=1, keepdims=True) - _ALIKE
    return np.asarray((weights * best).sum(axis=1) / weights.sum(axis=1))
