"""How the cold start's agent is trained: by imitation of exact action values, a stage of `agents.training`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from agents.cold_start.agent import Agent
from agents.cold_start.imitation import Imitation, ImitationConfig
from agents.cold_start.network import NetworkConfig, PlacementNetwork
from agents.training import TrainingResult, train_in_stages
from pl_env.cold_start.scenario import Scenario
from pl_env.ranges import require_integer
from pl_env.seeds import TRAINING_STREAM, small_seed

LABELS = "labels"
"""Name of the labels' folder in the output folder."""


@dataclass(frozen=True)
class TrainingConfig:
    """What network to train, and how.

    Attributes:
        seed: Seed of weights, episodes and minibatches.
        network: Its size.
        threads: Threads of torch in this process.
        imitation: The stage.

    Raises:
        InvalidValue: A field is out of range.
    """

    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    threads: int = 1
    imitation: ImitationConfig = field(default_factory=ImitationConfig)

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, 2**31)
        require_integer("threads", self.threads, 1, 1024)


def train(
    scenarios: Mapping[str, Scenario],
    config: TrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    watch: Callable[[Agent, float], None] | None = None,
) -> TrainingResult[Agent]:
    """Train an agent; leaves ``checkpoint/``, ``labels/`` and ``tensorboard/`` in the output folder.

    Args:
        scenarios: What to train on, by names to remember; their episodes take turns.
        config: How.
        out: Output folder.
        resume: Continue from the folder's checkpoint; it must be of the same scenarios and config, but for ``threads``.
        progress: Show a progress bar.
        watch: Is shown the agent after every round, and the states seen so far.

    Raises:
        FileFormatError: ``resume`` finds no checkpoint or not all labels, or damaged ones.
        InvalidValue: ``resume`` finds a checkpoint of something else; or ``out`` holds a run and ``resume`` is False.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(small_seed(TRAINING_STREAM, config.seed))
    of = {name: scenario.to_dict() for name, scenario in scenarios.items()}
    trained_on = {"scenarios": of, "config": asdict(config)}
    agent = Agent(PlacementNetwork(config.network), trained_on)
    stage = Imitation(tuple(scenarios.values()), config.imitation, config.seed, out / LABELS)
    return train_in_stages(agent, [stage], out, resume=resume, progress=progress, watch=watch)
