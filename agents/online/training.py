"""How PartialLoadingOnline's agents are trained: policy improvement by own play, then evolution strategies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agents.evolution import Evolution, EvolutionConfig
from agents.online.agent import Agent
from agents.online.families import Family
from agents.online.improving import Improvement, ImprovementConfig
from agents.online.network import CompiledNetwork, NetworkConfig
from agents.online.playing import Player
from agents.training import Stage, TrainingResult, train_in_stages
from pl_env.ranges import require_integer
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class TrainingConfig:
    """What network to train, and how.

    Attributes:
        seed: Seed of weights and episodes.
        network: Its size.
        threads: Threads that play; they change no bits.
        improvement: The first stage.
        refinement: The second, likewise.
        evolution: The third.

    Raises:
        InvalidValue: A field is out of range.
    """

    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    threads: int = 1
    improvement: ImprovementConfig = field(default_factory=ImprovementConfig)
    refinement: ImprovementConfig = field(default_factory=lambda: ImprovementConfig(rounds=0))
    evolution: EvolutionConfig = field(default_factory=lambda: EvolutionConfig(rounds=0))

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, 2**31)
        require_integer("threads", self.threads, 1, 1024)
        rounds = self.improvement.rounds + self.refinement.rounds + self.evolution.rounds
        require_integer("improvement.rounds + refinement.rounds + evolution.rounds", rounds, 1)


class WholeEpisodes:
    """Lets policies play whole episodes for `agents.evolution`; the return is the goodput."""

    def __init__(self, family: Family, network: NetworkConfig, threads: int) -> None:
        self._family, self._player = family, Player(family, network, threads)

    def __call__(
        self, weights: NDArray[np.float64], episodes: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], int]:
        """Play; see `agents.evolution.Play`."""
        drawn = self._family.sample(rng, episodes)
        served, decisions = self._player.play(drawn, weights.astype(np.float32))
        return served / np.array([len(each.users) for each in drawn]), decisions


def train(
    family: Family,
    config: TrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    watch: Callable[[Agent, float], None] | None = None,
) -> TrainingResult[Agent]:
    """Train an agent; leaves ``checkpoint/`` and ``tensorboard/`` in the output folder. No planner takes part.

    Args:
        family: What to train on.
        config: How.
        out: Output folder.
        resume: Continue from the folder's checkpoint; it must be of the same family and config, but for ``threads``.
        progress: Show a progress bar.
        watch: Is shown the agent after every round, and the decisions so far.

    Raises:
        FileFormatError: ``resume`` finds no checkpoint, or a damaged one.
        InvalidValue: ``resume`` finds a checkpoint of something else; or ``out`` holds a run and ``resume`` is False.
    """
    torch.set_num_threads(1)
    torch.manual_seed(small_seed(TRAINING_STREAM, config.seed))
    agent = Agent(CompiledNetwork(config.network), {"family": family.to_dict(), "config": asdict(config)})
    stages: list[Stage] = []
    for name, stage in (("improvement", config.improvement), ("refinement", config.refinement)):
        if stage.rounds > 0:
            stages.append(Improvement(name, family, stage, config.seed, config.threads))
    if config.evolution.rounds > 0:
        play = WholeEpisodes(family, config.network, config.threads)
        stages.append(Evolution(play, config.evolution, config.seed))
    return train_in_stages(agent, stages, out, resume=resume, progress=progress, watch=watch)
