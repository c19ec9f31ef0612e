"""The flat observation."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import pl_env


@pytest.mark.parametrize("preset", ["bls", "fading", "tiny"])
def test_it_equals_gymnasiums_own_wrapper(preset):
    flat = pl_env.FlatObservation(gym.make("PartialLoading-v0", scenario=preset))
    reference = gym.wrappers.FlattenObservation(gym.make("PartialLoading-v0", scenario=preset))
    assert flat.observation_space == reference.observation_space
    assert flat.action_space == reference.action_space
    (one, info), (other, _) = flat.reset(seed=0), reference.reset(seed=0)
    terminated = False
    while not terminated:
        assert np.array_equal(one, other)
        assert one in flat.observation_space
        action = int(np.argmax(info["action_mask"]))
        one, reward, terminated, _, info = flat.step(action)
        other, other_reward, *_ = reference.step(action)
        assert reward == other_reward


def test_it_is_one_float32_vector_in_the_order_of_the_keys():
    env = pl_env.FlatObservation(gym.make("PartialLoading-v0", scenario="tiny"))
    observation, _ = env.reset(seed=0)
    inside, _ = env.env.reset(seed=0)
    assert (observation.dtype, observation.shape) == (np.float32, (1 + 4 + 3 + 3 + 6 + 6,))
    keys = ["batch_time", "budget", "load_time", "pending", "resident", "upload_time"]
    assert np.array_equal(observation, np.concatenate([inside[key].ravel() for key in keys]))


@pytest.mark.parametrize(
    ("policy", "wrap"), [("MultiInputPolicy", lambda env: env), ("MlpPolicy", pl_env.FlatObservation)]
)
def test_ppo_trains_on_dict_and_flat_observations(policy, wrap):
    from stable_baselines3 import PPO

    env = wrap(gym.make("PartialLoading-v0", n_users=20))
    model = PPO(policy, env, n_steps=64, batch_size=32, n_epochs=1, seed=0, device="cpu")
    model.learn(128)
    assert model.num_timesteps == 128
    assert env.action_space.contains(int(model.predict(env.reset(seed=0)[0])[0]))
