"""Imitation of foresight: each candidate is labelled with what it costs later on, when the prompts to come are known.

A label is the sum of latencies of the prompt and some behind it, which the myopic planner serves, less the same of the
myopic plan. The learner never sees these prompts. So in the mean over futures it learns what a candidate is worth.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.cold_start_stream.network import CandidateNetwork
from agents.training import Measure, update_average
from baselines.cold_start_stream.candidates import AFTER, CANDIDATES, CONTEXT, Scene, describe, new_scene, take
from baselines.cold_start_stream.search import copy_memory
from baselines.cold_start_stream.serving import serve_myopically
from pl_env.cold_start_stream.dynamics import PROMPT, Memory, Tables
from pl_env.cold_start_stream.scenario import Scenario
from pl_env.cold_start_stream.stepping import unit_ns
from pl_env.compiling import compiled
from pl_env.ranges import require_integer, require_real
from pl_env.seeds import TRAINING_STREAM, small_seed

Floats = NDArray[np.float64]

_TAIL = 4
"""Prompts behind the horizon that wait for what a label's last one leaves behind."""

_LARGEST = 5.0
"""Labels are cut at so many T0: what a candidate loses beyond that teaches nothing."""


@dataclass(frozen=True)
class ImitationConfig:
    """How to imitate.

    Attributes:
        rounds: Rounds of playing and learning.
        episodes: Streams that a round plays.
        horizon: Prompts behind the present one that a label counts.
        exploration: Probability of a random candidate.
        updates: Minibatches that a round learns from.
        minibatch_size: Prompts in a minibatch.
        learning_rate: AdamW's at its highest; it falls linearly to 0.
        averaging: Each update's share in the moving average of weights, which is what is evaluated.
        temperature: T0; a candidate is sampled with weight exp(-score / temperature) in the loss.

    Raises:
        InvalidValue: A field is out of range.
    """

    rounds: int = 10
    episodes: int = 16
    horizon: int = 8
    exploration: float = 0.2
    updates: int = 250
    minibatch_size: int = 128
    learning_rate: float = 3e-3
    averaging: float = 0.01
    temperature: float = 0.2

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, 1)
        require_integer("episodes", self.episodes, 1)
        require_integer("horizon", self.horizon, 0)
        require_real("exploration", self.exploration, 0, 1)
        require_integer("updates", self.updates, 1)
        require_integer("minibatch_size", self.minibatch_size, 1)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("averaging", self.averaging, 0, 1, above=True)
        require_real("temperature", self.temperature, 0, above=True)


@dataclass(frozen=True)
class Labels:
    """Prompts with their candidates, and what these cost more than the myopic plan.

    Attributes:
        context: float32 (N, 8), see `baselines.cold_start_stream.candidates.Scene`.
        after: float32 (N, 12, 12), likewise.
        cost: float32 (N, 12), T0.
    """

    context: Tensor
    after: Tensor
    cost: Tensor

    def __len__(self) -> int:
        return len(self.cost)

    def take(self, rows: Tensor) -> Labels:
        """Some of the prompts."""
        return Labels(self.context[rows], self.after[rows], self.cost[rows])


class Imitation:
    """The stage: rounds of playing, labelling and learning from all labels so far; see `agents.training.Stage`."""

    name = "imitation"
    measures: tuple[Measure, ...] = (Measure("cost", "cost of a choice\n(T0, myopic: 0)"),)
    network: CandidateNetwork
    optimizer: torch.optim.Optimizer

    def __init__(self, scenario: Scenario, config: ImitationConfig, seed: int) -> None:
        """Set the stage.

        Args:
            scenario: What to play.
            config: How.
            seed: Seed of the training.
        """
        self.rounds = config.rounds
        self._scenario, self._config, self._seed = scenario, config, seed
        self._labels: dict[int, Labels] = {}

    def begin(self, average: CandidateNetwork) -> None:
        """Learn from these weights on, and move them along."""
        self._average = average
        self.network = copy.deepcopy(average)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=1e-3)

    def round(self, number: int, place: int) -> dict[str, float]:
        """One round: label, learn.

        Args:
            number: Number of the round in the whole training, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets the learning rate.

        Returns:
            What to log: ``loss``, ``cost`` of a sampled choice in T0, ``states``.
        """
        config = self._config
        for before in range(number + 1):  # those of rounds before are drawn again where a run is resumed
            if before not in self._labels:
                self._labels[before] = label(self._scenario, config, (TRAINING_STREAM, self._seed, before))
        parts = [self._labels[before] for before in range(number + 1)]
        joined = (torch.cat([getattr(part, name) for part in parts]) for name in ("context", "after", "cost"))
        labels = Labels(*joined)
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number, 1))
        torch.manual_seed(small_seed(TRAINING_STREAM, self._seed, number))
        reports = []
        for update in range(config.updates):
            progress = (place + update / config.updates) / config.rounds
            rows = torch.from_numpy(rng.integers(len(labels), size=config.minibatch_size))
            reports.append(self._update(labels.take(rows), config.learning_rate * (1 - progress)))
        loss, cost = np.mean(reports, axis=0).tolist()
        return {"loss": loss, "cost": cost, "states": float(len(self._labels[number]))}

    def _update(self, labels: Labels, learning_rate: float) -> tuple[float, float]:
        """Learn from a minibatch; gives the loss, and the cost of a choice."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        scores = self.network(labels.context, labels.after)
        error = nn.functional.smooth_l1_loss(scores, labels.cost, beta=0.5)
        choice = torch.softmax(-scores / self._config.temperature, dim=1)
        cost = (choice * labels.cost).sum(dim=1).mean()
        loss = error + cost
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        update_average(self._average, self.network, self._config.averaging)
        return loss.item(), cost.item()


def label(scenario: Scenario, config: ImitationConfig, seed: tuple[int, ...]) -> Labels:
    """Label the prompts of some streams, which the myopic planner plays, and now and then a random candidate."""
    rng, n = np.random.default_rng(seed), scenario.n_prompts
    context = np.zeros((config.episodes, n, CONTEXT))
    after, cost = np.zeros((config.episodes, n, CANDIDATES, AFTER)), np.zeros((config.episodes, n, CANDIDATES))
    for episode in range(config.episodes):
        instance = scenario.sample(rng)
        others = rng.integers(1, CANDIDATES, size=n)
        taken = np.where(rng.random(n) < config.exploration, others, 0)
        memories = (instance.begun(), instance.begun())
        label_stream(instance.tables, *memories, taken, config.horizon, context[episode], after[episode], cost[episode])
    cut = np.clip(cost, -_LARGEST, _LARGEST)
    arrays = (context.reshape(-1, CONTEXT), after.reshape(-1, CANDIDATES, AFTER), cut.reshape(-1, CANDIDATES))
    return Labels(*(torch.from_numpy(array.astype(np.float32)) for array in arrays))


@compiled
def label_stream(
    t: Tables, m: Memory, trial: Memory, taken: NDArray[np.int64], horizon: int, context: Floats, after: Floats,
    cost: Floats,
) -> None:  # fmt: skip
    """Label every prompt of a stream; see `Labels`.

    Args:
        t: The instance.
        m: Its beginning; in and out.
        trial: Room for another such.
        taken: int64 (N,), the candidate that is played for each prompt.
        horizon: Prompts behind each that count.
        context: float64 (N, 8), out.
        after: float64 (N, 12, 12), out.
        cost: float64 (N, 12), out.
    """
    scene, unit = new_scene(len(t.memory_bytes), len(t.n_layers)), unit_ns(t)
    while m.state[PROMPT] < len(t.model):
        prompt = m.state[PROMPT]
        describe(t, m, trial, scene)
        context[prompt], after[prompt] = scene.context, scene.after
        for candidate in range(CANDIDATES):
            cost[prompt, candidate] = _later(t, m, trial, scene, candidate, horizon) / unit
        cost[prompt] -= cost[prompt, 0]
        take(t, m, scene, taken[prompt])


@compiled
def _later(t: Tables, m: Memory, trial: Memory, scene: Scene, candidate: int, horizon: int) -> float:
    """Latencies of the present prompt and those behind it, myopic, and of some more; from the prompt's arrival on."""
    copy_memory(m, trial)
    first = m.state[PROMPT]
    take(t, trial, scene, candidate)
    serve_myopically(t, trial, first + 1 + horizon, True)
    last, value = trial.state[PROMPT], 0.0
    for n in range(first, last):
        value += float(trial.finish_ns[n] - t.arrival_ns[first])
    return float(value + float(trial.finish_ns[last - 1] - t.arrival_ns[first]) * min(len(t.model) - last, _TAIL))
