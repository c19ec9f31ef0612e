from __future__ import annotations

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

import agents
import pl_env
from agents.partial_loading.network import NetworkConfig
from agents.partial_loading.observing import plan_of
from agents.partial_loading.sb3_policy import MaskableSchedulingPolicy, SchedulingPolicy


def legal_actions(environments, rng):
    return np.array([rng.choice(np.flatnonzero(mask)) for mask in environments.env_method("action_masks")])


@pytest.mark.parametrize("preset", ["bls", "fading", "tiny"])
def test_equals_a_dummy_vec_env_of_single_environments(preset):
    ours = agents.PartialLoadingVecEnv(5, preset, n_users=15)
    theirs = DummyVecEnv([lambda: pl_env.PartialLoadingEnv(preset, n_users=15)] * 5)
    results = []
    for environments in (ours, theirs):
        environments.seed(4)
        results.append(environments.reset())
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(150):
        for key in results[0]:
            np.testing.assert_array_equal(results[0][key], results[1][key])
        actions = legal_actions(ours, rng)
        np.testing.assert_array_equal(ours.env_method("action_masks"), theirs.env_method("action_masks"))
        (one, rewards, dones, infos), (two, rewards_2, dones_2, infos_2) = ours.step(actions), theirs.step(actions)
        results = [one, two]
        assert rewards.dtype == rewards_2.dtype
        np.testing.assert_array_equal(rewards, rewards_2)
        np.testing.assert_array_equal(dones, dones_2)
        for i in np.flatnonzero(dones):
            ended += 1
            assert infos[i]["TimeLimit.truncated"] is infos_2[i]["TimeLimit.truncated"] is False
            assert infos[i]["served"] == infos_2[i]["served"]
            for key, value in infos_2[i]["terminal_observation"].items():
                np.testing.assert_array_equal(infos[i]["terminal_observation"][key], value)
    assert ended > 5


def test_plans_are_those_of_the_single_environments():
    scenario = pl_env.Scenario.preset("fading", n_users=15)
    ours = agents.PartialLoadingVecEnv(3, scenario, loading=True, planned_values=True)
    theirs = [pl_env.PartialLoadingEnv(scenario) for _ in range(3)]
    ours.seed(4)
    observations = ours.reset()
    for i, env in enumerate(theirs):
        env.reset(seed=4 + i)
    for name in ("planned_value", "later_upload"):
        assert ours.observation_space[name].contains(observations[name][0])
    while all(env.any_legal for env in theirs):
        for i, env in enumerate(theirs):
            for name, value in plan_of(env.episodes).items():
                np.testing.assert_array_equal(observations[name][i], value[0])
        actions = observations["planned_value"].argmax(axis=1)
        observations, _, dones, infos = ours.step(actions)
        for env, action in zip(theirs, actions, strict=True):
            env.step(action)
    ended = int(dones.argmax())
    assert set(infos[ended]["terminal_observation"]) == set(observations)


def test_terminal_observations_and_observations_are_copies():
    environments = agents.PartialLoadingVecEnv(3, "tiny")
    environments.seed(0)
    first = environments.reset()
    kept = {key: value.copy() for key, value in first.items()}
    rng = np.random.default_rng(0)
    terminal = None
    for _ in range(30):
        _, _, dones, infos = environments.step(legal_actions(environments, rng))
        if terminal is None and dones.any():
            terminal = infos[int(np.argmax(dones))]["terminal_observation"]
            terminal_kept = {key: value.copy() for key, value in terminal.items()}
    for key in kept:
        np.testing.assert_array_equal(first[key], kept[key])
        np.testing.assert_array_equal(terminal[key], terminal_kept[key])


def test_vec_monitor_reports_the_served_ratio_of_episodes():
    environments = VecMonitor(agents.PartialLoadingVecEnv(2, "tiny"))
    environments.seed(1)
    environments.reset()
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(40):
        _, _, dones, infos = environments.step(legal_actions(environments, rng))
        for i in np.flatnonzero(dones):
            ratios.append((infos[i]["episode"]["r"], infos[i]["served"] / 5))
    assert ratios
    assert [round(float(a), 6) for a, _ in ratios] == [round(b, 6) for _, b in ratios]


@pytest.mark.parametrize(("algorithm", "policy"), [(MaskablePPO, MaskableSchedulingPolicy), (PPO, SchedulingPolicy)])
def test_vec_normalize_and_both_kinds_of_ppo_run_on_it(algorithm, policy):
    torch.manual_seed(0)
    environments = VecNormalize(
        VecMonitor(agents.PartialLoadingVecEnv(4, "tiny", loading=True)), norm_obs=False, norm_reward=True, gamma=1.0
    )
    network = NetworkConfig(2, 8)
    model = algorithm(policy, environments, n_steps=8, batch_size=16, policy_kwargs={"network": network}, seed=0)
    model.learn(64)
    assert model.num_timesteps == 64


@pytest.mark.parametrize("resample_library", [False, True])
def test_loading_times_between_models_are_those_of_each_episode(resample_library):
    overrides = {"n_models": 4, "n_users": 6, "resample_library": resample_library}
    environments = agents.PartialLoadingVecEnv(3, "bls", loading=True, **overrides)
    environments.seed(5)
    observations = environments.reset()
    assert environments.observation_space.contains({key: value[0] for key, value in observations.items()})
    for i in range(3):
        single = pl_env.PartialLoadingEnv("bls", **overrides)
        single.reset(seed=5 + i)
        expected = np.minimum(1, single.instance.load_ns / single.instance.deadline_ns)
        np.testing.assert_allclose(observations["loading"][i], expected, rtol=1e-6)
    assert resample_library == bool((observations["loading"][0] != observations["loading"][1]).any())


def test_what_it_answers_about_its_environments():
    environments = agents.PartialLoadingVecEnv(3, "tiny")
    assert environments.has_attr("action_masks")
    assert not environments.has_attr("nonsense")
    assert environments.get_attr("scenario", [0, 2]) == [environments.envs.scenario] * 2
    assert environments.env_is_wrapped(VecMonitor) == [False] * 3
    environments.seed(0)
    environments.reset()
    assert len(environments.env_method("action_masks", indices=[1])) == 1
    with pytest.raises(NotImplementedError, match="no attributes of their own"):
        environments.set_attr("scenario", None)
