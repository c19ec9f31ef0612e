"""Learning what the continuous environment asks for besides: the power, frequency and split of least energy.

They depend on deadline, gain and kept fraction alone, and convex optimisation gives them, so this is regression: fresh
tasks and fractions in every round.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from agents.co_inference.network import BatteryNetwork
from agents.training import Measure, update_average
from pl_env.co_inference.plan import Plan
from pl_env.co_inference.scenario import Scenario
from pl_env.co_inference.stepping import GAIN_RANGE_DB, LOWEST_GAIN_DB
from pl_env.ranges import require_integer, require_real
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class ResourcesConfig:
    """How to learn resources.

    Attributes:
        rounds: Rounds of solving tasks and learning.
        tasks: Tasks that a round solves.
        updates: Minibatches that a round learns from.
        minibatch_size: Tasks in a minibatch.
        learning_rate: AdamW's at its highest; it falls linearly to 0.
        averaging: Each update's share in the moving average of weights, which is what is evaluated.

    Raises:
        InvalidValue: A field is out of range.
    """

    rounds: int = 12
    tasks: int = 10_000
    updates: int = 400
    minibatch_size: int = 512
    learning_rate: float = 3e-3
    averaging: float = 0.005

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, 1)
        require_integer("tasks", self.tasks, 1)
        require_integer("updates", self.updates, 1)
        require_integer("minibatch_size", self.minibatch_size, 1)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("averaging", self.averaging, 0, 1, above=True)


class Resources:
    """The stage: rounds of solving tasks and learning; see `agents.training.Stage`."""

    name = "resources"
    measures: tuple[Measure, ...] = (Measure("wrong_split", "share of splits that are not the best", "log"),)
    network: BatteryNetwork
    optimizer: torch.optim.Optimizer

    def __init__(self, scenario: Scenario, config: ResourcesConfig, seed: int) -> None:
        """Set the stage.

        Args:
            scenario: What tasks are drawn from.
            config: How.
            seed: Seed of the training.
        """
        self.rounds = config.rounds
        self._scenario, self._config, self._seed = scenario, config, seed

    def begin(self, average: BatteryNetwork) -> None:
        """Learn from these weights on, and move them along."""
        self._average = average
        self.network = copy.deepcopy(average)
        self.optimizer = torch.optim.AdamW(_part(self.network).parameters(), weight_decay=1e-5)

    def round(self, number: int, place: int) -> dict[str, float]:
        """One round: solve and learn.

        Args:
            number: Number of the round in the whole training, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets the learning rate.

        Returns:
            What to log: ``loss``, ``wrong_split`` as a share, ``states``.
        """
        config = self._config
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number))
        torch.manual_seed(small_seed(TRAINING_STREAM, self._seed, number))
        examples = solve_tasks(self._scenario, config.tasks, rng)
        n_examples, reports = len(examples[0]), []
        for update in range(config.updates):
            progress = (place + update / config.updates) / config.rounds
            rows = torch.from_numpy(rng.integers(n_examples, size=config.minibatch_size))
            for group in self.optimizer.param_groups:
                group["lr"] = config.learning_rate * (1 - progress)
            loss, wrong = _loss(self.network, *(part[rows] for part in examples))
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(_part(self.network).parameters(), 1.0)
            self.optimizer.step()
            update_average(_part(self._average), _part(self.network), config.averaging)
            reports.append((loss.item(), wrong))
        loss_value, wrong_split = np.mean(reports, axis=0).tolist()
        return {"loss": loss_value, "wrong_split": wrong_split, "states": float(n_examples)}


def _part(network: BatteryNetwork) -> nn.Module:
    assert network.resources is not None
    return network.resources


def _loss(network: BatteryNetwork, inputs: Tensor, chosen: Tensor, split: Tensor) -> tuple[Tensor, float]:
    """Error of power and frequency, where there are any, and of the split; share of wrong splits."""
    found, scores = network.choose_resources(*torch.split(inputs, 1, dim=1))
    matters = ~chosen.isnan()
    error = nn.functional.smooth_l1_loss(found[matters], chosen[matters], beta=0.02)
    wrong = (scores.argmax(dim=1) != split).float().mean().item()
    return 20 * error + nn.functional.cross_entropy(scores, split), wrong


def solve_tasks(scenario: Scenario, n_tasks: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Random tasks at random levels within the battery's capacity.

    Args:
        scenario: What they are drawn from.
        n_tasks: How many to draw.
        rng: The source of all randomness.

    Returns:
        float32 (n, 4), deadline, gain and energy as observed, and the kept fraction; float32 (n, 2), power and
        frequency as an action says them, NaN where the split needs none; int64 (n,), the split's place.
    """
    instance = scenario.override(n_tasks=n_tasks).sample(rng)
    level = rng.integers(instance.n_levels, size=n_tasks)
    costs = instance.menus[np.arange(n_tasks), level]
    level = np.where(costs <= instance.capacity_j, level, -1)
    plan = Plan.from_levels(instance, level)
    served = np.flatnonzero(level >= 0)
    low, high = scenario.deadline
    with np.errstate(divide="ignore"):
        decibel = 10 * np.log10(instance.gain)
    observed = [
        np.clip((instance.deadline - low) / max(high - low, 1e-9), 0, 1),
        np.clip((decibel - LOWEST_GAIN_DB) / GAIN_RANGE_DB, 0, 1),
        np.minimum(1.0, costs / instance.capacity_j),
        plan.kept,
    ]
    inputs = np.stack(observed, axis=1)[served].astype(np.float32)
    points = np.array([plan.point(int(task), instance) for task in served], dtype=np.float32)
    split = points[:, 3:].argmax(axis=1)
    chosen = points[:, 1:3].copy()
    chosen[instance.model.n_splits - 1 == plan.split[served]] = np.nan  # alone, and as fast as the deadline needs
    chosen[plan.split[served] == 0, 1] = np.nan
    return torch.from_numpy(inputs), torch.from_numpy(chosen), torch.from_numpy(split)
