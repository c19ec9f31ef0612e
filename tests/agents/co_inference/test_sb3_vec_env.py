"""The vector environment of stable-baselines3 against the single one, and its conventions."""

from __future__ import annotations

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from agents.co_inference.sb3_vec_env import CoInferenceVecEnv, flat
from pl_env.co_inference import Scenario
from pl_env.co_inference.continuous_env import CoInferenceContinuousEnv
from pl_env.errors import InvalidValue

SCENARIO = Scenario.preset("continuous", n_tasks=6)


def actions(rng: np.random.Generator, count: int) -> np.ndarray:
    """Some of them outside the box, as a Gaussian policy's are."""
    return (1.4 * rng.uniform(-1, 1, (count, 7))).astype(np.float32)


def test_steps_are_the_single_environments():
    """Two episodes of three environments; the single one replays the tasks that were drawn."""
    rng = np.random.default_rng(0)
    envs = CoInferenceVecEnv(3, SCENARIO)
    envs.seed(5)
    seen = envs.reset()
    for _ in range(2):
        singles = [CoInferenceContinuousEnv(SCENARIO) for _ in range(3)]
        for env, tasks, one in zip(singles, envs.tasks, seen, strict=True):
            first, _ = env.reset(options={"instance": SCENARIO.instance(tasks.copy())})
            np.testing.assert_array_equal(flat(first), one)
        for task in range(6):
            asked = actions(rng, 3)
            seen, rewards, dones, infos = envs.step(asked)
            assert dones.tolist() == [task == 5] * 3
            for i, env in enumerate(singles):
                after, reward, terminated, _, _ = env.step(np.clip(asked[i], -1, 1))
                assert terminated == dones[i]
                assert rewards[i] == np.float32(reward * 6)
                np.testing.assert_array_equal(flat(after), infos[i]["terminal_observation"] if terminated else seen[i])


def test_the_same_seed_draws_the_same():
    first, second, third = (CoInferenceVecEnv(2, SCENARIO) for _ in range(3))
    for envs, seed in ((first, 1), (second, 1), (third, 2)):
        envs.seed(seed)
    assert np.array_equal(first.reset(), second.reset())
    assert not np.array_equal(first.reset(), third.reset())


def test_levels_are_refused():
    with pytest.raises(InvalidValue, match=r"scenario\.continuous is False; it must be True"):
        CoInferenceVecEnv(2, "default")


def test_an_algorithm_of_the_library_learns_with_it():
    envs = VecMonitor(CoInferenceVecEnv(4, SCENARIO))
    model = PPO("MlpPolicy", envs, n_steps=12, batch_size=24, n_epochs=1, device="cpu", seed=0)
    model.learn(96)
    assert 0 <= np.mean([episode["r"] for episode in model.ep_info_buffer]) <= 6 * 2.8
    assert envs.get_attr("render_mode") == [None] * 4
    assert envs.env_is_wrapped(VecMonitor) == [False] * 4
    for call in (lambda: envs.set_attr("x", 1), lambda: envs.env_method("x")):
        with pytest.raises(NotImplementedError):
            call()
