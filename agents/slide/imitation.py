"""Imitation: states that the learner itself comes to, labelled with what rollouts make of every legal action (DAgger).

A label takes longer than all the learning from it, so labels are kept: every round adds some, in a file of its own, and
learns from all there are. A round depends on nothing but the weights and the optimiser that it starts from, the labels
of the rounds before, the seed, and its number.
"""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.slide.agent import best_action
from agents.slide.network import AdmissionNetwork, Observation
from agents.training import Measure, update_average
from baselines.slide.online import BACKLOG, Rollout
from pl_env.errors import FileFormatError
from pl_env.files import write_atomically
from pl_env.ranges import require, require_integer, require_real
from pl_env.seeds import TRAINING_STREAM, small_seed
from pl_env.slide.env import SlideEnv
from pl_env.slide.scenario import Scenario

_OBSERVED = ("time", "to_come", "load", "need", "download")
"""What the network reads of an observation."""


@dataclass(frozen=True)
class ImitationConfig:
    """How to imitate.

    Attributes:
        rounds: Rounds of playing and learning.
        episodes: Episodes that a round plays.
        futures: Futures that a label is the mean of. Noise averages out over states, so few futures and many states
            teach more in a given time than the reverse.
        rule: Parameters of the `backlog` rule that decides on users to come in these futures.
        teacher_rounds: In so many rounds at first the rollouts play; then the learner.
        exploration: Probability of a random action.
        updates: Minibatches that a round learns from.
        minibatch_size: States in a minibatch.
        learning_rate: AdamW's at its highest; it falls linearly to 0.
        averaging: Each update's share in the moving average of weights, which is what is evaluated.
        regret_weight: Weight of the users lost by a sampled action, beside the error of the values.
        temperature: Users; an action is sampled with weight exp(its value / temperature).

    Raises:
        InvalidValue: A field is out of range.
    """

    rounds: int = 12
    episodes: int = 40
    futures: int = 20
    rule: tuple[float, float, float, float] = BACKLOG
    teacher_rounds: int = 1
    exploration: float = 0.08
    updates: int = 600
    minibatch_size: int = 256
    learning_rate: float = 2e-3
    averaging: float = 0.005
    regret_weight: float = 1.0
    temperature: float = 0.1

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, 1)
        require_integer("episodes", self.episodes, 1)
        require_integer("futures", self.futures, 1)
        good = isinstance(self.rule, (tuple, list)) and len(self.rule) == len(BACKLOG)
        require(good, "rule", self.rule, f"{len(BACKLOG)} numbers")
        for place, number in enumerate(self.rule):
            require_real(f"rule[{place}]", number, 0)
        require_integer("teacher_rounds", self.teacher_rounds, 0)
        require_real("exploration", self.exploration, 0, 1)
        require_integer("updates", self.updates, 1)
        require_integer("minibatch_size", self.minibatch_size, 1)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("averaging", self.averaging, 0, 1, above=True)
        require_real("regret_weight", self.regret_weight, 0)
        require_real("temperature", self.temperature, 0, above=True)


@dataclass(frozen=True)
class Labels:
    """States in which more than one action is legal, and the values of their actions.

    Attributes:
        time: float32 (n, 1), as observed; the next four likewise.
        to_come: float32 (n, 1).
        load: float32 (n, H).
        need: float32 (n, I, H).
        download: float32 (n, I).
        mask: bool (n, 1 + I), the legal actions.
        gained: float32 (n, 1 + I), users more than if the present one is refused; 0 where illegal.
    """

    time: Tensor
    to_come: Tensor
    load: Tensor
    need: Tensor
    download: Tensor
    mask: Tensor
    gained: Tensor

    def __len__(self) -> int:
        return len(self.gained)

    def take(self, rows: Tensor) -> Labels:
        """Some of the states."""
        return Labels(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def observation(self) -> Observation:
        """What the network reads."""
        return {key: getattr(self, key) for key in _OBSERVED}

    def write(self, path: Path) -> None:
        """Write a file, whole or not at all."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{field.name: getattr(self, field.name).numpy() for field in fields(self)})
        write_atomically(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> Labels:
        """Read a file.

        Raises:
            FileFormatError: There is none, or it is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(*(torch.from_numpy(arrays[field.name]) for field in fields(cls)))
        except Exception as error:  # NumPy and zipfile raise many kinds
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise FileFormatError(f"{path}: its labels cannot be read ({reason})") from None

    @classmethod
    def join(cls, parts: list[Labels]) -> Labels:
        """All of them."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))


class Imitation:
    """The stage: rounds of playing, labelling and learning; see `agents.training.Stage`."""

    name = "imitation"
    measure = Measure("regret", "users lost by a sampled decision", "log")
    network: AdmissionNetwork
    optimizer: torch.optim.Optimizer

    def __init__(self, scenario: Scenario, config: ImitationConfig, seed: int, folder: Path) -> None:
        """Set the stage.

        Args:
            scenario: What to play.
            config: How.
            seed: Seed of the training.
            folder: Where the labels are kept.
        """
        self.rounds = config.rounds
        self._scenario, self._config, self._seed, self._folder = scenario, config, seed, folder

    def begin(self, average: AdmissionNetwork) -> None:
        """Learn from these weights on, and move them along."""
        self._average = average
        self.network = copy.deepcopy(average)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=1e-4)

    def round(self, number: int, place: int) -> dict[str, float]:
        """One round: play and label, learn.

        Args:
            number: Number of the round in the whole training, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets the learning rate and who plays.

        Returns:
            What to log: ``loss``, ``regret`` in users per decision, ``served`` by who played, ``states``.
        """
        config = self._config
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number))
        torch.manual_seed(small_seed(TRAINING_STREAM, self._seed, number))
        learner = None if place < config.teacher_rounds else self._average
        new, served = play(learner, self._scenario, config, rng)
        self._folder.mkdir(parents=True, exist_ok=True)
        new.write(self._path(place))
        labels = Labels.join([*(Labels.read(self._path(before)) for before in range(place)), new])
        reports = []
        for update in range(config.updates):
            progress = (place + update / config.updates) / config.rounds
            warm_up = min(1.0, (place * config.updates + update + 1) / 200)
            rows = torch.from_numpy(rng.integers(len(labels), size=config.minibatch_size))
            reports.append(self._update(labels.take(rows), config.learning_rate * warm_up * (1 - progress)))
        loss, regret = np.mean(reports, axis=0).tolist()
        return {"loss": loss, "regret": regret, "served": served, "states": float(len(new))}

    def _path(self, place: int) -> Path:
        return self._folder / f"round-{place:04d}.npz"

    def _update(self, labels: Labels, learning_rate: float) -> tuple[float, float]:
        """Learn from a minibatch; gives `_loss` of it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss, regret = _loss(self.network, labels, self._config)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        update_average(self._average, self.network, self._config.averaging)
        return loss.item(), regret.item()


def _loss(network: AdmissionNetwork, labels: Labels, config: ImitationConfig) -> tuple[Tensor, Tensor]:
    """Loss, and its part that is the users lost by a sampled action, in the mean.

    The error of the values says how much an action gains, which matters little where it is much; the users lost say
    where it matters. Both are fair to noise: in the mean over futures they ask for the mean.
    """
    scores, mask, gained = network(labels.observation), labels.mask, labels.gained
    error = nn.functional.smooth_l1_loss(scores, gained, reduction="none", beta=0.5)
    value_error = (error * mask).sum(dim=1).mean()
    probability = torch.softmax((scores / config.temperature).masked_fill(~mask, -1e9), dim=1)
    best = gained.masked_fill(~mask, -1e9).max(dim=1, keepdim=True).values
    regret = (probability * (best - gained) * mask).sum(dim=1).mean()
    return value_error + config.regret_weight * regret, regret


def play(
    learner: AdmissionNetwork | None, scenario: Scenario, config: ImitationConfig, rng: np.random.Generator
) -> tuple[Labels, float]:
    """Play a round's episodes to their ends, and label the states in which there is a choice.

    Args:
        learner: Who plays; None for the rollouts themselves.
        scenario: What to play.
        config: How.
        rng: The source of all randomness.

    Returns:
        The labels, and the mean number of users served.
    """
    env, teacher = SlideEnv(scenario), Rollout(rng, config.futures, config.rule)
    rows: list[tuple[NDArray[np.float32], ...]] = []
    served = 0
    for _ in range(config.episodes):
        observation, info = env.reset(options={"instance": scenario.sample(rng)})
        while env.any_legal:
            mask, action = info["action_mask"].astype(bool), 0
            if mask[1:].any():
                gained = _gained(teacher.values(env), len(mask), config.futures)
                rows.append((*(observation[key] for key in _OBSERVED), mask, gained))
                if rng.random() < config.exploration:
                    action = int(rng.choice(np.flatnonzero(mask)))
                elif learner is None:
                    action = int(np.where(mask, gained, -np.inf).argmax())
                else:
                    action = best_action(learner, observation, mask)
            observation, _, _, _, info = env.step(np.int64(action))
        served += info["served"]
    require(len(rows) > 0, "scenario", scenario, "one in which some user can be served")
    labels = Labels(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))
    return labels, served / config.episodes


def _gained(served: dict[int, int], n_actions: int, futures: int) -> NDArray[np.float32]:
    gained = np.zeros(n_actions, dtype=np.float32)
    for action, total in served.items():
        gained[action] = (total - served[0]) / futures
    return gained
