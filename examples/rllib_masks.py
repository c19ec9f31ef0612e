"""RLlib's PPO with action masks, on any environment whose actions are discrete; Ray spreads its workers.

pip install 'pl-env[ecosystem]'
python examples/rllib_masks.py Slide-v0
python examples/rllib_masks.py ColdStart-v0 --iterations 20 --workers 4 --address auto   # on a cluster that runs

Nothing is tuned: it shows how environments, masks and RLlib fit together.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import ray
import tyro
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.tune.registry import register_env

import pl_env
from pl_env.command_line import exit_code
from pl_env.ranges import require_integer


@dataclass(frozen=True)
class Arguments:
    """Train PPO with action masks.

    Attributes:
        env: Id of an environment of discrete actions.
        iterations: Rounds of playing and learning.
        steps: Environment steps of a round.
        workers: Ray workers that play; 0 to play in this process.
        address: A Ray cluster's; a cluster of this machine's cores unless given.
        seed: Seed of episodes and weights.
    """

    env: tyro.conf.Positional[str] = "Slide-v0"
    iterations: int = 5
    steps: int = 2000
    workers: int = 0
    address: str = "local"
    seed: int = 0

    def __post_init__(self) -> None:
        require_integer("iterations", self.iterations, 1)
        require_integer("steps", self.steps, 10)
        require_integer("workers", self.workers, 0)
        require_integer("seed", self.seed, 0)


def masked(config: dict[str, Any]) -> gym.Env[Any, Any]:
    """The environment as RLlib's masking wants it: observation and mask in one dictionary, the former one Box."""
    return pl_env.MaskedObservation(pl_env.FlatObservation(gym.make(config["id"])))


def train(arguments: Arguments) -> list[float]:
    """Mean return of the episodes that ended in each round."""
    register_env("masked", masked)
    if not ray.is_initialized():
        ray.init(arguments.address, log_to_driver=False)
    algorithm = (
        PPOConfig()
        .environment("masked", env_config={"id": arguments.env})
        .env_runners(num_env_runners=arguments.workers)
        .training(train_batch_size_per_learner=arguments.steps, minibatch_size=arguments.steps // 10, gamma=1.0)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule))
        .debugging(seed=arguments.seed)
        .build_algo()
    )
    returns = []
    for iteration in range(arguments.iterations):
        episodes = algorithm.train()["env_runners"]
        returns.append(float(episodes["episode_return_mean"]))
        print(f"iteration {iteration + 1}: mean return {returns[-1]:.4f} of {episodes['num_episodes']:.0f} episodes")
    algorithm.stop()
    return returns


if __name__ == "__main__":
    sys.exit(exit_code(lambda: train(tyro.cli(Arguments))))
