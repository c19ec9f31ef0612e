"""How the agent is trained: by evolution strategies on whole streams, a stage of `agents.training`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agents.cold_start_stream.agent import Agent
from agents.cold_start_stream.network import PriceNetwork
from agents.cold_start_stream.playing import play_many
from agents.evolution import Evolution, EvolutionConfig
from agents.training import TrainingResult, train_in_stages
from baselines.cold_start_stream.serving import serve_myopically
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.scenario import Scenario
from pl_env.ranges import require_integer
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        seed: Seed of episodes and noise.
        evolution: The stage.

    Raises:
        InvalidValue: A field is out of range.
    """

    seed: int = 0
    evolution: EvolutionConfig = field(
        default_factory=lambda: EvolutionConfig(
            rounds=30, generations=4, pairs=12, episodes=12, noise=0.1, learning_rate=0.03, averaging=0.1
        )
    )

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, 2**31)
        require_integer("evolution.rounds", self.evolution.rounds, 1)


class WholeStreams:
    """Lets policies play whole streams for `agents.evolution`.

    The return is the share of the myopic planner's latency that is saved, so that slow sites count as much as others.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def __call__(
        self, weights: NDArray[np.float64], episodes: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], int]:
        """Play; see `agents.evolution.Play`."""
        saved = np.empty((len(weights), episodes))
        for episode in range(episodes):
            instance = self._scenario.sample(rng)
            latency = np.empty(len(weights))
            play_many(instance.tables, instance.begun(), weights, latency)
            saved[:, episode] = 1.0 - latency / myopic_latency(instance)
        return saved, len(weights) * episodes * self._scenario.n_prompts


def myopic_latency(instance: Instance) -> float:
    """Sum of the myopic planner's latencies, nanoseconds, at least 1."""
    memory = instance.begun()
    serve_myopically(instance.tables, memory, instance.n_prompts, True)
    return max(1.0, float((memory.finish_ns - instance.arrival_ns).sum()))


def train(
    scenario: Scenario,
    config: TrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    watch: Callable[[Agent, float], None] | None = None,
) -> TrainingResult[Agent]:
    """Train an agent; leaves ``checkpoint/`` and ``tensorboard/`` in the output folder.

    Args:
        scenario: What to train on.
        config: How.
        out: Output folder.
        resume: Continue from the folder's checkpoint; it must be of the same scenario and config.
        progress: Show a progress bar.
        watch: Is shown the agent after every round, and the decisions so far.

    Raises:
        FileFormatError: ``resume`` finds no checkpoint, or a damaged one.
        InvalidValue: ``resume`` finds a checkpoint of something else; or ``out`` holds a run and ``resume`` is False.
    """
    torch.set_num_threads(1)
    torch.manual_seed(small_seed(TRAINING_STREAM, config.seed))
    trained_on = {"scenario": scenario.to_dict(), "config": asdict(config)}
    agent = Agent(PriceNetwork(), trained_on)
    stage = Evolution(WholeStreams(scenario), config.evolution, config.seed)
    return train_in_stages(agent, [stage], out, resume=resume, progress=progress, watch=watch)
