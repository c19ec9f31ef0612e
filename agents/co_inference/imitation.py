"""Imitation: states that the learner itself comes to, labelled with the online optimum's action values (DAgger).

A label takes microseconds, so none are kept: every round plays fresh episodes, labels them and learns from them. A
round depends on nothing but the weights and the optimiser that it starts from, the seed, and its number.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.co_inference.agent import best_levels
from agents.co_inference.network import STATE, BatteryNetwork, Observation
from agents.training import Measure, update_average
from baselines.co_inference.forecast import family_of, quality_of
from baselines.co_inference.online_dp import action_values, tables
from pl_env.co_inference.env import CoInferenceEnv
from pl_env.co_inference.scenario import Scenario
from pl_env.ranges import require_integer, require_real
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class ImitationConfig:
    """How to imitate.

    Attributes:
        rounds: Rounds of playing and learning.
        episodes: Episodes that a round plays, side by side.
        exploration: Probability of a random action.
        updates: Minibatches that a round learns from.
        minibatch_size: States in a minibatch.
        learning_rate: AdamW's at its highest; it falls linearly to 0.
        averaging: Each update's share in the moving average of weights, which is what is evaluated.
        regret_weight: Weight of what a sampled action loses, beside the error of the values.
        temperature: Largest weights; an action is sampled with weight exp(its value / temperature).

    Raises:
        InvalidValue: A field is out of range.
    """

    rounds: int = 12
    episodes: int = 80
    exploration: float = 0.1
    updates: int = 300
    minibatch_size: int = 256
    learning_rate: float = 3e-3
    averaging: float = 0.005
    regret_weight: float = 3.0
    temperature: float = 0.005

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, 1)
        require_integer("episodes", self.episodes, 1)
        require_real("exploration", self.exploration, 0, 1)
        require_integer("updates", self.updates, 1)
        require_integer("minibatch_size", self.minibatch_size, 1)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("averaging", self.averaging, 0, 1, above=True)
        require_real("regret_weight", self.regret_weight, 0)
        require_real("temperature", self.temperature, 0, above=True)


@dataclass(frozen=True)
class Labels:
    """States and what their actions are worth.

    Attributes:
        observation: The keys of `STATE`, float32 (n, ...).
        mask: bool (n, 1 + K), the legal actions.
        gained: float32 (n, 1 + K), worth more than skipping, in largest weights; 0 where illegal.
    """

    observation: Observation
    mask: Tensor
    gained: Tensor

    def __len__(self) -> int:
        return len(self.gained)

    def take(self, rows: Tensor) -> Labels:
        """Some of the states."""
        chosen = {key: value[rows] for key, value in self.observation.items()}
        return Labels(chosen, self.mask[rows], self.gained[rows])


class Imitation:
    """The stage: rounds of playing, labelling and learning; see `agents.training.Stage`."""

    name = "imitation"
    measures: tuple[Measure, ...] = (Measure("regret", "largest weights lost by a sampled decision", "log"),)
    network: BatteryNetwork
    optimizer: torch.optim.Optimizer

    def __init__(self, scenario: Scenario, config: ImitationConfig, seed: int) -> None:
        """Set the stage.

        Args:
            scenario: What to play; its levels, if any fraction is allowed.
            config: How.
            seed: Seed of the training.
        """
        self.rounds = config.rounds
        self._scenario, self._config, self._seed = scenario.override(continuous=False), config, seed

    def begin(self, average: BatteryNetwork) -> None:
        """Learn from these weights on, and move them along."""
        self._average = average
        self.network = copy.deepcopy(average)
        self.optimizer = torch.optim.AdamW(self.network.worth.parameters(), weight_decay=1e-5)

    def round(self, number: int, place: int) -> dict[str, float]:
        """One round: play and label, learn.

        Args:
            number: Number of the round in the whole training, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets the learning rate.

        Returns:
            What to log: ``loss``, ``regret`` in largest weights per decision, ``quality`` by who played, ``states``.
        """
        config = self._config
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number))
        torch.manual_seed(small_seed(TRAINING_STREAM, self._seed, number))
        labels, quality = play(self._average, self._scenario, config, rng)
        reports = []
        for update in range(config.updates):
            progress = (place + update / config.updates) / config.rounds
            warm_up = min(1.0, (place * config.updates + update + 1) / 200)
            rows = torch.from_numpy(rng.integers(len(labels), size=config.minibatch_size))
            reports.append(self._update(labels.take(rows), config.learning_rate * warm_up * (1 - progress)))
        loss, regret = np.mean(reports, axis=0).tolist()
        return {"loss": loss, "regret": regret, "quality": quality, "states": float(len(labels))}

    def _update(self, labels: Labels, learning_rate: float) -> tuple[float, float]:
        """Learn from a minibatch; gives `_loss` of it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss, regret = _loss(self.network, labels, self._config)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.worth.parameters(), 1.0)
        self.optimizer.step()
        update_average(self._average.worth, self.network.worth, self._config.averaging)
        return loss.item(), regret.item()


def _loss(network: BatteryNetwork, labels: Labels, config: ImitationConfig) -> tuple[Tensor, Tensor]:
    """Loss, and its part that a sampled action loses, in the mean."""
    scores, mask, gained = network(labels.observation), labels.mask, labels.gained
    error = nn.functional.smooth_l1_loss(scores, gained, reduction="none", beta=0.01)
    value_error = (error * mask).sum(dim=1).mean()
    probability = torch.softmax((scores / config.temperature).masked_fill(~mask, -1e9), dim=1)
    best = gained.masked_fill(~mask, -1e9).max(dim=1, keepdim=True).values
    regret = (probability * (best - gained) * mask).sum(dim=1).mean()
    return value_error + config.regret_weight * regret, regret


def play(
    learner: BatteryNetwork, scenario: Scenario, config: ImitationConfig, rng: np.random.Generator
) -> tuple[Labels, float]:
    """Play a round's episodes to their ends, side by side, and label every state with a choice.

    Half of them start with a battery drawn from all there are.

    Args:
        learner: Who plays.
        scenario: What to play.
        config: How.
        rng: The source of all randomness.

    Returns:
        The labels, and the mean weighted quality attained.
    """
    envs = [CoInferenceEnv(scenario) for _ in range(config.episodes)]
    seen = []
    for number, env in enumerate(envs):
        instance = scenario.sample(rng)
        if number % 2:
            instance = instance.remaining(0, float(rng.random()) * scenario.capacity_j)
        seen.append(env.reset(options={"instance": instance})[0])
    teacher = _Teacher(scenario)
    observed: dict[str, list[NDArray[np.float32]]] = {key: [] for key in STATE}
    masks, gains = [], []
    for _ in range(scenario.n_tasks):
        batch = {key: torch.from_numpy(np.stack([one[key] for one in seen])) for key in STATE}
        with torch.inference_mode():
            actions = best_levels(learner, batch).numpy()
        for number, env in enumerate(envs):
            mask = env.action_masks()
            if mask[1:].any():
                for key in STATE:
                    observed[key].append(seen[number][key])
                masks.append(mask)
                gains.append(teacher.gained(env, mask))
            action = int(actions[number]) if mask[actions[number]] else 0
            if rng.random() < config.exploration:
                action = int(rng.choice(np.flatnonzero(mask)))
            seen[number] = env.step(np.int64(action))[0]
    observation = {key: torch.from_numpy(np.stack(values)) for key, values in observed.items()}
    labels = Labels(observation, torch.from_numpy(np.stack(masks)), torch.from_numpy(np.stack(gains)))
    return labels, float(np.mean([env.plan.objective for env in envs]))


class _Teacher:
    """The online optimum's action values."""

    def __init__(self, scenario: Scenario) -> None:
        nothing = scenario.nothing
        self._future = tables(family_of(nothing), nothing.capacity_j, scenario.n_tasks)
        self._quality = quality_of(nothing.levels)
        self._high_weight = scenario.high_weight

    def gained(self, env: CoInferenceEnv, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """What each action is worth more than skipping, in largest weights; 0 where illegal."""
        instance, task = env.instance, env.task
        future = self._future[instance.n_tasks - 1 - task, instance.link[task], instance.sun[task]]
        numbers = float(instance.weight[task]), env.battery_j, float(instance.harvest[task]), instance.capacity_j
        worth = action_values(future, env.costs, self._quality, *numbers)
        return np.where(mask, (worth - worth[0]) / self._high_weight, 0.0).astype(np.float32)
