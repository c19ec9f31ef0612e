"""Fine-tuning with sb3-contrib's MaskablePPO: what goes beyond the teacher where it cannot plan, as under fading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecMonitor

from agents.partial_loading.network import SchedulingNetwork
from agents.partial_loading.sb3_policy import MaskableSchedulingPolicy, SchedulingPolicy
from agents.partial_loading.sb3_vec_env import PartialLoadingVecEnv
from agents.training import Measure, update_average
from pl_env.partial_loading.scenario import Scenario
from pl_env.ranges import require, require_integer, require_real
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class FineTuningConfig:
    """MaskablePPO's arguments.

    Attributes:
        rounds: Rollouts, each followed by an update; 0 for none.
        n_envs: Environments that run side by side.
        rollout_steps: Steps of each environment in a round.
        minibatch_size: Steps in a minibatch.
        epochs: Passes over each rollout.
        learning_rate: Adam's, falling linearly to 0.
        discount: gamma; 1 makes the return the served user ratio.
        gae_lambda: lambda of generalised advantage estimation.
        clip_range: PPO's clipping.
        entropy_coefficient: Weight of the entropy bonus.
        value_coefficient: Weight of the value's loss.
        averaging: Each round's share in the moving average of weights, which is what is evaluated.
        masks: Whether the policy knows which actions are legal. Without them it is stable-baselines3's PPO, for
            comparison; an illegal action ends the episode.

    Raises:
        InvalidValue: A field is out of range.
    """

    rounds: int = 0
    n_envs: int = 64
    rollout_steps: int = 64
    minibatch_size: int = 512
    epochs: int = 3
    learning_rate: float = 3e-4
    discount: float = 1.0
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.5
    averaging: float = 0.1
    masks: bool = True

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, 0)
        require_integer("n_envs", self.n_envs, 1, 4096)
        require_integer("rollout_steps", self.rollout_steps, 2)
        require_integer("minibatch_size", self.minibatch_size, 2)
        require_integer("epochs", self.epochs, 1)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("discount", self.discount, 0, 1)
        require_real("gae_lambda", self.gae_lambda, 0, 1)
        require_real("clip_range", self.clip_range, 0, 1, above=True)
        require_real("entropy_coefficient", self.entropy_coefficient, 0)
        require_real("value_coefficient", self.value_coefficient, 0)
        require_real("averaging", self.averaging, 0, 1, above=True)
        steps = self.n_envs * self.rollout_steps
        left = steps % min(self.minibatch_size, steps)
        require(left != 1, "minibatch_size", self.minibatch_size, f"such that {steps} steps do not leave 1 over")
        require(isinstance(self.masks, bool), "masks", self.masks, "True or False")


class FineTuning:
    """The stage: MaskablePPO, one round at a time; see `agents.training.Stage`."""

    name = "fine-tuning"
    measures: tuple[Measure, ...] = (Measure("served_ratio", "served user ratio, exploring"),)

    def __init__(self, scenario: Scenario, config: FineTuningConfig, seed: int) -> None:
        """Set the stage.

        Args:
            scenario: What to play.
            config: How.
            seed: Seed of the training.
        """
        self.rounds = config.rounds
        self._scenario, self._config, self._seed = scenario, config, seed

    def begin(self, average: SchedulingNetwork) -> None:
        """Put a copy of these weights into MaskablePPO, and move them along."""
        config, self._average = self._config, average
        planned_values = average.config.planned_values
        self._environments = VecMonitor(
            PartialLoadingVecEnv(config.n_envs, self._scenario, loading=True, planned_values=planned_values)
        )
        algorithm = MaskablePPO if config.masks else PPO
        policy: Any = MaskableSchedulingPolicy if config.masks else SchedulingPolicy
        self._model = algorithm(
            policy,
            self._environments,
            learning_rate=config.learning_rate,
            n_steps=config.rollout_steps,
            batch_size=min(config.minibatch_size, config.n_envs * config.rollout_steps),
            n_epochs=config.epochs,
            gamma=config.discount,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip_range,
            ent_coef=config.entropy_coefficient,
            vf_coef=config.value_coefficient,
            stats_window_size=config.n_envs * config.rollout_steps,
            policy_kwargs={"network": average.config},
            device="cpu",
        )
        self._model.set_logger(Logger(folder=None, output_formats=[]))
        self.network.load_state_dict(average.state_dict())

    @property
    def network(self) -> SchedulingNetwork:
        """The network that is trained."""
        assert isinstance(self._model.policy, (MaskableSchedulingPolicy, SchedulingPolicy))
        return self._model.policy.network

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The network's optimiser."""
        return self._model.policy.optimizer

    def round(self, number: int, place: int) -> dict[str, float]:
        """Roll out from fresh episodes, update, and move the average.

        Args:
            number: Number of the round in the whole training, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets the learning rate.

        Returns:
            What to log: ``served_ratio`` of the rollout's whole episodes, and ``states``.
        """
        model, config = self._model, self._config
        learning_rate = config.learning_rate * (1 - place / config.rounds)
        model.lr_schedule = lambda _: learning_rate
        round_seed = small_seed(TRAINING_STREAM, self._seed, number)
        set_random_seed(round_seed)
        model._last_obs = None  # begin with fresh episodes, seeded by the round
        self._environments.seed(round_seed)
        model.learn(config.n_envs * config.rollout_steps, reset_num_timesteps=True)
        update_average(self._average, self.network, config.averaging)
        ended = list(model.ep_info_buffer or ())
        return {
            "served_ratio": float(np.mean([episode["r"] for episode in ended])) if ended else float("nan"),
            "states": float(config.n_envs * config.rollout_steps),
        }
