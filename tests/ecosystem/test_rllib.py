"""RLlib: PPO with action masks, one iteration. ``make ecosystem`` installs it."""

from __future__ import annotations

import gymnasium as gym
import pytest

import pl_env

pytest.importorskip("ray.rllib")


def make(_config=None):
    return pl_env.MaskedObservation(pl_env.FlatObservation(gym.make("PartialLoading-v0", n_users=20)))


def test_ppo_with_action_masks_runs_an_iteration():
    import ray
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec
    from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
    from ray.tune.registry import register_env

    register_env("masked-partial-loading", make)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        config = (
            PPOConfig()
            .environment("masked-partial-loading")
            .env_runners(num_env_runners=0)
            .training(train_batch_size_per_learner=200, minibatch_size=100, num_epochs=1)
            .rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule))
        )
        algorithm = config.build_algo()
        result = algorithm.train()
        episodes = result["env_runners"]
        assert episodes["num_episodes"] > 0
        # Random play without masks serves nobody in most episodes: an illegal action ends them.
        assert episodes["episode_return_mean"] > 0.2
        algorithm.stop()
    finally:
        ray.shutdown()
