"""How the agent is trained: by imitation of foresight, a stage of `agents.training`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from agents.cold_start_stream.agent import Agent
from agents.cold_start_stream.imitation import Imitation, ImitationConfig
from agents.cold_start_stream.network import CandidateNetwork, NetworkConfig
from agents.training import TrainingResult, train_in_stages
from pl_env.cold_start_stream.scenario import Scenario
from pl_env.ranges import require_integer
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class TrainingConfig:
    """What network to train, and how.

    Attributes:
        seed: Seed of weights, episodes and minibatches.
        network: Its size.
        imitation: The stage.

    Raises:
        InvalidValue: A field is out of range.
    """

    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    imitation: ImitationConfig = field(default_factory=ImitationConfig)

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, 2**31)


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
        watch: Is shown the agent after every round, and the prompts seen so far.

    Raises:
        FileFormatError: ``resume`` finds no checkpoint, or a damaged one.
        InvalidValue: ``resume`` finds a checkpoint of something else; or ``out`` holds a run and ``resume`` is False.
    """
    torch.set_num_threads(1)
    torch.manual_seed(small_seed(TRAINING_STREAM, config.seed))
    trained_on = {"scenario": scenario.to_dict(), "config": asdict(config)}
    agent = Agent(CandidateNetwork(config.network), trained_on)
    stage = Imitation(scenario, config.imitation, config.seed)
    return train_in_stages(agent, [stage], out, resume=resume, progress=progress, watch=watch)
