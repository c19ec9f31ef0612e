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


def test_the_mask_beside_the_observation():
    env = pl_env.MaskedObservation(gym.make("PartialLoading-v0", scenario="tiny"), "obs", "mask")
    plain = gym.make("PartialLoading-v0", scenario="tiny")
    (observation, info), (inside, _) = env.reset(seed=0), plain.reset(seed=0)
    terminated = False
    while not terminated:
        assert set(observation) == {"obs", "mask"}
        assert observation in env.observation_space
        assert np.array_equal(observation["mask"], info["action_mask"])
        assert all(np.array_equal(observation["obs"][key], value) for key, value in inside.items())
        action = int(np.argmax(observation["mask"]))
        observation, _, terminated, _, info = env.step(action)
        inside, *_ = plain.step(action)


def test_the_mask_goes_with_the_flat_observation():
    env = pl_env.MaskedObservation(pl_env.FlatObservation(gym.make("PartialLoading-v0")))
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert observation["observations"].shape == (984,)


@pytest.mark.parametrize("keys", [("same", "same"), ("obs", 3)])
def test_keys_that_are_not_two_names(keys):
    with pytest.raises(pl_env.InvalidValue, match=r"observation and mask is .*; it must be two different names"):
        pl_env.MaskedObservation(gym.make("PartialLoading-v0"), *keys)


def test_actions_without_masks_are_refused():
    with pytest.raises(pl_env.InvalidValue, match=r"action_space is Box.*; it must be Discrete"):
        pl_env.MaskedObservation(gym.make("Pendulum-v1"))
