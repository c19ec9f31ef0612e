"""How agents with the small network are trained: policy improvement by own play, then evolution strategies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agents.evolution import Evolution, EvolutionConfig
from agents.partial_loading.compiled.agent import CompiledAgent
from agents.partial_loading.compiled.improving import Improvement, ImprovementConfig
from agents.partial_loading.compiled.network import CompiledNetwork, NetworkConfig
from agents.partial_loading.compiled.playing import NO_CHANNELS, Player
from agents.partial_loading.families import Family
from agents.training import Stage, TrainingResult, train_in_stages
from baselines.partial_loading.expected_uploads import later_upload_ns
from pl_env.partial_loading.episodes import Episodes
from pl_env.ranges import require_integer
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class CompiledTrainingConfig:
    """What network to train, and how.

    Attributes:
        seed: Seed of weights and episodes.
        message: Units of what a model hears from another.
        hidden: Units of an action's hidden layer.
        threads: Threads that play; they change no bits.
        improvement: The first stage.
        evolution: The second.

    Raises:
        InvalidValue: A field is out of range.
    """

    seed: int = 0
    message: int = 16
    hidden: int = 32
    threads: int = 2
    improvement: ImprovementConfig = field(default_factory=ImprovementConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, 2**31)
        self.network(1)
        require_integer("threads", self.threads, 1, 1024)
        require_integer("improvement.rounds + evolution.rounds", self.rounds, 1)

    def network(self, batch_cap: int) -> NetworkConfig:
        """The network to train."""
        return NetworkConfig(batch_cap, self.message, self.hidden)

    @property
    def rounds(self) -> int:
        """Rounds of both stages."""
        return self.improvement.rounds + self.evolution.rounds


class WholeEpisodes:
    """Lets policies play whole episodes for `agents.evolution`; the return is users, and a part of one more."""

    def __init__(self, family: Family, network: NetworkConfig, threads: int) -> None:
        self._family, self._cap, self._player = family, network.batch_cap, Player(network, threads)

    def __call__(
        self, weights: NDArray[np.float64], episodes: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], int]:
        """Play; see `agents.evolution.Play`. All policies meet the same channels."""
        begun = Episodes(self._family.sample(rng, episodes), self._cap)
        later_ns, most = later_upload_ns(begun), int(begun.n_users.max())
        channels = rng.random((episodes, most, most)) if begun.redraws else NO_CHANNELS
        episode = np.tile(np.arange(episodes), len(weights))
        played = self._player.play(
            begun.branch(episode), weights.astype(np.float32), later_ns[episode],
            policy=np.repeat(np.arange(len(weights)), episodes), channels=channels,
            channel=episode if begun.redraws else np.zeros_like(episode),
        )  # fmt: skip
        return played.value.reshape(len(weights), episodes), played.decisions


def train(
    family: Family,
    config: CompiledTrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    watch: Callable[[CompiledAgent, float], None] | None = None,
) -> TrainingResult[CompiledAgent]:
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
    network = CompiledNetwork(config.network(family.scenario.max_batch_size))
    agent = CompiledAgent(network, {"family": family.to_dict(), "config": asdict(config)})
    return train_in_stages(
        agent, _stages(family, config, network.config), out, resume=resume, progress=progress, watch=watch
    )


def _stages(family: Family, config: CompiledTrainingConfig, network: NetworkConfig) -> list[Stage]:
    stages: list[Stage] = []
    if config.improvement.rounds > 0:
        stages.append(Improvement(family, config.improvement, config.seed, config.threads))
    if config.evolution.rounds > 0:
        play = WholeEpisodes(family, network, config.threads)
        stages.append(Evolution(play, config.evolution, config.seed))
    return stages
