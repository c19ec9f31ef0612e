"""How co-inference's agents are trained: by imitation of the online optimum; where they must, of least energies too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from agents.co_inference.agent import Agent
from agents.co_inference.imitation import Imitation, ImitationConfig
from agents.co_inference.network import BatteryNetwork, NetworkConfig
from agents.co_inference.resources import Resources, ResourcesConfig
from agents.training import Stage, TrainingResult, train_in_stages
from pl_env.co_inference.scenario import Scenario
from pl_env.ranges import require_integer
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class TrainingConfig:
    """What network to train, and how.

    Attributes:
        seed: Seed of weights, episodes and minibatches.
        width: Units of the network's hidden layers.
        layers: Hidden layers.
        threads: Threads of torch in this process; more gain nothing for a network this small.
        imitation: The stage that learns levels.
        resources: The stage that learns power, frequency and split; left out where levels alone are chosen.

    Raises:
        InvalidValue: A field is out of range.
    """

    seed: int = 0
    width: int = 64
    layers: int = 2
    threads: int = 1
    imitation: ImitationConfig = field(default_factory=ImitationConfig)
    resources: ResourcesConfig = field(default_factory=ResourcesConfig)

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, 2**31)
        require_integer("width", self.width, 1, 4096)
        require_integer("layers", self.layers, 1, 16)
        require_integer("threads", self.threads, 1, 1024)


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
        resume: Continue from the folder's checkpoint; it must be of the same scenario and config, but for ``threads``.
        progress: Show a progress bar.
        watch: Is shown the agent after every round, and the states seen so far.

    Raises:
        FileFormatError: ``resume`` finds no checkpoint, or a damaged one.
        InvalidValue: ``resume`` finds a checkpoint of something else; or ``out`` holds a run and ``resume`` is False.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(small_seed(TRAINING_STREAM, config.seed))
    trained_on = {"scenario": scenario.to_dict(), "config": asdict(config)}
    network = BatteryNetwork(NetworkConfig.of(scenario, config.width, config.layers))
    stages: list[Stage] = [Imitation(scenario, config.imitation, config.seed)]
    if scenario.continuous:
        stages.append(Resources(scenario, config.resources, config.seed))
    return train_in_stages(Agent(network, trained_on), stages, out, resume=resume, progress=progress, watch=watch)
