"""Tianshou: a deep Q-network that sees the mask, collects and learns. ``make ecosystem`` installs it."""

from __future__ import annotations

import gymnasium as gym
import pytest

import pl_env

pytest.importorskip("tianshou")


def make():
    return pl_env.MaskedObservation(pl_env.FlatObservation(gym.make("PartialLoading-v0", n_users=20)), "obs", "mask")


def test_a_deep_q_network_with_masks_collects_and_learns():
    from tianshou.algorithm import DQN
    from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv
    from tianshou.utils.net.common import Net

    env = make()
    shape = env.observation_space["obs"].shape
    policy = DiscreteQLearningPolicy(
        model=Net(state_shape=shape, action_shape=env.action_space.n, hidden_sizes=[32]),
        action_space=env.action_space,
        eps_training=0.5,
    )
    algorithm = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3))
    collector = Collector(algorithm, DummyVectorEnv([make] * 2), VectorReplayBuffer(500, 2), exploration_noise=True)
    collector.reset()
    collected = collector.collect(n_step=200)
    assert collected.n_collected_episodes > 0
    assert not collector.buffer.info["invalid_action"].any()
    with policy_training(algorithm):
        loss = algorithm.update(buffer=collector.buffer, sample_size=32).loss
    assert loss >= 0


def policy_training(algorithm):
    from contextlib import ExitStack

    from tianshou.utils.torch_utils import policy_within_training_step, torch_train_mode

    stack = ExitStack()
    stack.enter_context(policy_within_training_step(algorithm.policy))
    stack.enter_context(torch_train_mode(algorithm))
    return stack
