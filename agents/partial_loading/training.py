"""How PartialLoading's agents are trained: by imitation, then by fine-tuning, each a stage of `agents.training`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from agents.agent import load
from agents.partial_loading.agent import Agent
from agents.partial_loading.families import Family
from agents.partial_loading.fine_tuning import FineTuning, FineTuningConfig
from agents.partial_loading.imitation import Imitation, ImitationConfig
from agents.partial_loading.network import NetworkConfig, SchedulingNetwork
from agents.partial_loading.teachers import plays_for
from agents.training import Stage, TrainingResult, train_in_stages
from pl_env.ranges import require, require_integer
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class TrainingConfig:
    """What network to train, and how.

    Attributes:
        seed: Seed of weights, episodes and minibatches.
        initial: Agent to begin with, a name or a folder for `agents.load`; "" for fresh weights.
        width: Channels of the network's codes.
        layers: Attention layers.
        heads: Attention heads of a layer.
        planned_values: Whether the network is shown what a planner expects of each action. For clustered sharing; it
            is of use where channels are drawn anew.
        threads: Threads of torch in this process. More gain nothing for networks this small, and where other
            programs want the cores they wait for each other: two threads took 8 times as long as one.
        processes: This one, in which imitation learns, and those that play the next round meanwhile; 1 to do one after
            the other. The weights are the same.
        imitation: The first stage.
        fine_tuning: The second.

    Raises:
        InvalidValue: A field is out of range.
    """

    seed: int = 0
    initial: str = ""
    width: int = 64
    layers: int = 2
    heads: int = 4
    planned_values: bool = False
    threads: int = 1
    processes: int = 2
    imitation: ImitationConfig = field(default_factory=ImitationConfig)
    fine_tuning: FineTuningConfig = field(default_factory=FineTuningConfig)

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, 2**31)
        require(isinstance(self.initial, str), "initial", self.initial, "the name or folder of an agent, or empty")
        self.network(1)
        require_integer("threads", self.threads, 1, 1024)
        require_integer("processes", self.processes, 1, 64)
        require_integer("imitation.rounds + fine_tuning.rounds", self.rounds, 1)

    def network(self, batch_cap: int) -> NetworkConfig:
        """The network to train."""
        return NetworkConfig(batch_cap, self.width, self.layers, self.heads, self.planned_values)

    @property
    def rounds(self) -> int:
        """Rounds of both stages."""
        return self.imitation.rounds + self.fine_tuning.rounds


def train(
    family: Family,
    config: TrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    watch: Callable[[Agent, float], None] | None = None,
) -> TrainingResult[Agent]:
    """Train an agent; leaves ``checkpoint/`` and ``tensorboard/`` in the output folder.

    Args:
        family: What to train on.
        config: How.
        out: Output folder.
        resume: Continue from the folder's checkpoint; it must be of the same family and config, but for ``threads``
            and ``processes``.
        progress: Show a progress bar.
        watch: Is shown the agent after every round, and the states seen so far.

    Raises:
        FileFormatError: ``resume`` finds no checkpoint, or a damaged one.
        InvalidValue: ``resume`` finds a checkpoint of something else; or ``out`` holds a run and ``resume`` is False;
            or fine-tuning is asked for and the family is more than one scenario, or the network is shown a plan and
            libraries differ.
        UnsupportedInstance: No teacher covers the family.
    """
    one = family.is_one_scenario or config.fine_tuning.rounds == 0
    require(one, "fine_tuning.rounds", config.fine_tuning.rounds, "0 where deadline or theta is a range")
    unknown = config.planned_values and config.fine_tuning.rounds > 0 and family.scenario.resample_library
    require(not unknown, "planned_values", True, "False to fine-tune where libraries differ")
    torch.set_num_threads(config.threads)
    torch.manual_seed(small_seed(TRAINING_STREAM, config.seed))
    network = SchedulingNetwork(config.network(family.scenario.max_batch_size))
    if config.initial and not resume:
        _begin_with(network, load(config.initial))
    agent = Agent(network, {"family": family.to_dict(), "config": asdict(config)})
    return train_in_stages(agent, _stages(family, config), out, resume=resume, progress=progress, watch=watch)


def _begin_with(network: SchedulingNetwork, initial: Agent) -> None:
    before, now = initial.network.config, network.config
    require(before == now, "network of the initial agent", before, f"{now}")
    network.load_state_dict(initial.network.state_dict())


def _stages(family: Family, config: TrainingConfig) -> list[Stage]:
    stages: list[Stage] = []
    if config.imitation.rounds > 0:
        stages.append(Imitation(plays_for(family, config.imitation), config.imitation, config.seed, config.processes))
    if config.fine_tuning.rounds > 0:
        stages.append(FineTuning(family.scenario, config.fine_tuning, config.seed))
    return stages
