"""The environments: battery and observations in plain Python, illegal actions, the continuous one, rendering."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import baselines
import pl_env
from pl_env.co_inference import CoInferenceContinuousEnv, CoInferenceEnv, Plan, Scenario, check
from tests import co_inference_helpers as helpers
from tests.contract import co_inference as case
from tests.contract.golden import random_action

IDS = ("CoInference-v0", "CoInferenceContinuous-v0")


@pytest.mark.parametrize("preset", Scenario.presets())
def test_gymnasium_checks_every_preset_without_a_warning(preset):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make("CoInference-v0", scenario=preset).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
@pytest.mark.parametrize("name", IDS)
def test_gymnasium_checks_rendering_without_a_warning(name, mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(name, n_tasks=3, render_mode=mode).unwrapped)


def test_the_scenario_decides_which_environment_it_is():
    assert isinstance(gym.make("CoInference-v0").unwrapped, CoInferenceEnv)
    assert isinstance(gym.make("CoInferenceContinuous-v0").unwrapped, CoInferenceContinuousEnv)
    assert isinstance(gym.make("CoInference-v0", scenario="static").unwrapped, CoInferenceContinuousEnv)
    assert CoInferenceEnv("budget").action_space == gym.spaces.Discrete(12)
    assert CoInferenceContinuousEnv().action_space.shape == (7,)


def test_make_vec():
    for name in IDS:
        envs = gym.make_vec(name, num_envs=3)
        observation, _ = envs.reset(seed=0)
        assert observation["energy"].shape == (3, 11)
        assert envs.step(np.zeros_like(envs.action_space.sample()))[1].shape == (3,)


@pytest.mark.parametrize("preset", ["default", "budget", "continuous"])
def test_battery_and_observations_in_plain_python(preset):
    env, rng = gym.make("CoInference-v0", scenario=preset, n_tasks=20).unwrapped, np.random.default_rng(0)
    env.action_space.seed(0)
    observation, info = env.reset(seed=3)
    instance, battery, total = env.instance, env.scenario.battery_j, 0.0
    n_splits = instance.model.n_splits
    assert instance == env.scenario.sample(np.random.default_rng(3))
    for task in range(20):
        assert observation["battery"][0] == pytest.approx(battery / instance.capacity_j, rel=1e-5, abs=1e-6)
        assert observation["tasks_left"][0] == pytest.approx((20 - task) / 20)
        assert observation["link"].tolist() == [float(n == instance.link[task]) for n in range(3)]
        assert observation["sun"].tolist() == [float(n == instance.sun[task]) for n in range(2)]
        assert observation["deadline"][0] == pytest.approx((instance.deadline[task] - 4) / 6, abs=1e-6)
        decibel = 10 * np.log10(instance.gain[task])
        assert observation["gain"][0] == pytest.approx(np.clip((decibel + 150) / 50, 0, 1), abs=1e-6)
        assert observation["weight"][0] == pytest.approx(instance.weight[task] / 5)
        if task % 7 == 0:
            costs = [min(helpers.least_energy(instance, task, s, r) for s in (0, 1, 40, n_splits - 1))
                     for r in instance.levels.tolist()[::5]]  # fmt: skip
            expected = np.minimum(1, np.array(costs) / instance.capacity_j)
            assert observation["energy"][::5] == pytest.approx(expected, rel=1e-4)
            if "action_mask" in info:
                assert info["action_mask"][1::5].tolist() == [int(cost <= battery) for cost in costs]
        action = random_action(env, info) if rng.random() < 0.7 else env.action_space.sample() * 0
        observation, reward, terminated, truncated, info = env.step(action)
        if info["split"] < 0:
            assert info["energy_joules"] == info["kept_fraction"] == reward == 0
        else:
            quality = helpers.quality(info["kept_fraction"])
            assert reward == pytest.approx(instance.weight[task] * quality / (20 * 1.8))
            assert info["energy_joules"] <= battery * (1 + 1e-12)
        before = battery - info["energy_joules"] + instance.harvest[task]
        battery, total = min(instance.capacity_j, before), total + reward
        assert info["battery_joules"] == pytest.approx(battery, abs=1e-12)
        assert info["wasted_joules"] == pytest.approx(max(0, before - instance.capacity_j), abs=1e-12)
        assert (terminated, truncated) == (task == 19, False)
    for key, value in observation.items():
        assert (value == 0).all() or key == "battery"
    assert env.remaining().n_tasks == 0
    assert env.plan.objective == pytest.approx(total)
    assert info["served"] == env.plan.served
    check(env.plan, instance)


def test_the_tiny_instance_played_by_hand():
    instance, optimum = case.tiny()
    env = CoInferenceEnv("tiny")
    env.reset(options={"instance": instance})
    total = sum(env.step(action)[1] for action in (0, 1, 7, 7))
    assert total == pytest.approx(optimum)
    assert env.plan.split[0] == -1
    assert env.step(0)[2]


# ---------------------------------------------------------------- illegal actions and arguments


def test_illegal_actions_end_the_episode_or_raise():
    instance, _ = case.tiny()
    env = CoInferenceEnv("tiny")
    env.reset(options={"instance": instance})
    _, reward, terminated, _, info = env.step(11)
    assert (reward, terminated, info["invalid_action"], info["split"]) == (0, True, True, -1)
    env = CoInferenceEnv("tiny", invalid_action="raise")
    env.reset(options={"instance": instance})
    with pytest.raises(pl_env.InvalidAction, match=r"action is 11, level 10 for task 0; it takes .* J, the battery"):
        env.step(11)
    for action in (0, 1, 7, 7):
        env.step(action)
    with pytest.raises(pl_env.InvalidAction, match="all tasks have been decided on"):
        env.step(0)
    hopeless = Scenario.preset("tiny").instance([[0.1, 1, 1e-14, 0, 2, 0]])
    env.reset(options={"instance": hopeless})
    with pytest.raises(pl_env.InvalidAction, match="its deadline is too short"):
        env.step(1)


def test_after_the_last_task_of_the_continuous_environment():
    env = CoInferenceContinuousEnv("static", invalid_action="raise")
    env.reset(seed=0)
    action = np.zeros(7, dtype=np.float32)
    assert env.step(action)[2]
    with pytest.raises(pl_env.InvalidAction, match="after the last task"):
        env.step(action)
    lenient = CoInferenceContinuousEnv("static")
    lenient.reset(seed=0)
    lenient.step(action)
    assert lenient.step(action)[4]["invalid_action"]


def test_bad_arguments():
    for arguments, message in (
        ({"scenario": "bls"}, "there is no preset 'bls'"),
        ({"invalid_action": "ignore"}, "invalid_action is 'ignore'"),
        ({"render_mode": "svg"}, "render_mode is 'svg'"),
        ({"n_tasks": 0}, "n_tasks is 0; it must be an integer from 1 to"),
        ({"scenario": "continuous"}, "scenario.continuous is True; it must be False in CoInferenceEnv"),
    ):
        with pytest.raises(pl_env.PlEnvError, match=message):
            CoInferenceEnv(**arguments)
    env = CoInferenceEnv("tiny")
    for ask in (lambda: env.instance, lambda: env.step(0), env.remaining, env.action_masks):
        with pytest.raises(gym.error.ResetNeeded):
            ask()
    other = Scenario.preset("tiny", n_levels=3).sample(np.random.default_rng(0))
    with pytest.raises(pl_env.InvalidValue, match=r"instance.n_levels is 3; it must be 11"):
        env.reset(options={"instance": other})
    few = helpers.random_instance(np.random.default_rng(0), n_tasks=1, continuous=True)
    with pytest.raises(pl_env.InvalidValue, match=r"instance.continuous is True"):
        CoInferenceEnv(n_levels=2).reset(options={"instance": few})
    resnet = Scenario.preset("static", model="resnet152", n_levels=11).sample(np.random.default_rng(0))
    with pytest.raises(pl_env.InvalidValue, match=r"len\(instance.useful_splits\) is 5; it must be 4"):
        CoInferenceContinuousEnv("static").reset(options={"instance": resnet})


def test_another_battery_and_hardware_are_replayed_and_then_forgotten():
    env = CoInferenceEnv("default")
    other = Scenario.preset("default", capacity_j=9.0, bandwidth_hz=2e6, n_tasks=7).sample(np.random.default_rng(0))
    observation, _ = env.reset(options={"instance": other})
    assert observation["battery"][0] == pytest.approx(1.5 / 9)
    assert env.costs == pytest.approx(other.menus[0])
    observation, _ = env.reset(seed=0)
    assert observation["battery"][0] == 0.5
    assert env.instance.n_tasks == 40
    assert env.costs == pytest.approx(env.instance.menus[0])


# ---------------------------------------------------------------- continuous actions


def test_what_an_action_means():
    env = CoInferenceContinuousEnv("continuous", battery_j=3.0)
    env.reset(seed=1)
    _, _, _, _, info = env.step(np.array([0.5, 1 / 3, -1 / 3, -1, 1, -1, -1]))
    assert info["split"] == 1
    assert info["power_watts"] == pytest.approx(0.2 * 10**-1)
    assert info["device_hertz"] == pytest.approx(0.4 * 2e9)
    times = info["device_seconds"], info["radio_seconds"], info["server_seconds"]
    assert sum(times) == pytest.approx(env.instance.deadline[0])
    assert info["kept_fraction"] <= 0.75 + 1e-12
    for action in (np.array([-0.1, 1, 1, 1, 0, 0, 0]), np.array([0.5, -1, 1, 1, 0, 0, 0])):  # skips; power too low
        assert env.step(action)[4]["split"] == -1
    check(env.plan, env.instance)


def test_on_the_device_alone_it_is_as_fast_as_the_deadline_needs():
    scenario = Scenario.preset("continuous", battery_j=3.0)
    instance = scenario.instance([[10.0, 1, 1e-14, 0, 2, 0]] * 2)
    env = CoInferenceContinuousEnv(scenario)
    env.reset(options={"instance": instance})
    _, _, _, _, info = env.step(np.array([0.0, 0, -1, -1, -1, -1, 1]))
    assert info["split"] == 72
    assert info["kept_fraction"] == pytest.approx(0.5)
    assert info["device_seconds"] == pytest.approx(10)
    _, _, _, _, info = env.step(np.array([1.0, 0, -1, -1, -1, -1, 1]))
    assert info["kept_fraction"] == pytest.approx(10 / (instance.model.total_flop / 32 / 2e9))
    check(env.plan, instance)


def test_the_fraction_falls_to_what_the_battery_allows():
    env = CoInferenceContinuousEnv("continuous")
    for seed in range(20):
        env.action_space.seed(seed)
        env.reset(seed=seed)
        while env.any_legal:
            env.step(env.action_space.sample())
        check(env.plan, env.instance)
    env = CoInferenceContinuousEnv("static")
    instance = Scenario.preset("static").instance([[4.0, 1.0, 5e-13, 0.0, 1, 0]])
    env.reset(options={"instance": instance})
    _, _, _, _, info = env.step(np.array([1.0, 1, 1, -1, 1, -1, -1]))
    assert info["energy_joules"] == pytest.approx(2.0)
    assert info["kept_fraction"] == pytest.approx(0.726211, abs=1e-5)  # the optimum at split 1: both at their limits


def test_the_exact_optimum_is_an_action():
    env, scenario = CoInferenceContinuousEnv("static"), Scenario.preset("static")
    for seed in range(30):
        instance = scenario.sample(np.random.default_rng(seed))
        plan = baselines.solve(instance, "optimal")
        env.reset(options={"instance": instance})
        env.step(np.array(plan.actions(env)[0]))
        assert env.plan.objective == pytest.approx(plan.objective, rel=1e-6)


def test_how_often_uniform_actions_serve():
    """About a third of those that ask for anything."""
    env = CoInferenceContinuousEnv("continuous")
    env.action_space.seed(0)
    asked = served = 0
    for seed in range(60):
        env.reset(seed=seed)
        while env.any_legal:
            action = env.action_space.sample()
            _, _, _, _, info = env.step(action)
            asked += action[0] >= 0
            served += info["split"] >= 0
    assert served / asked == pytest.approx(0.35, abs=0.04)


# ---------------------------------------------------------------- rendering


def test_rendering():
    text = CoInferenceEnv("tiny", render_mode="ansi")
    text.reset(seed=0)
    while text.any_legal:
        assert "of 4" in text.render()
        text.step(int(np.flatnonzero(text.action_masks())[-1]))
    assert "█" in text.render()
    frames = CoInferenceEnv("tiny", render_mode="rgb_array")
    frames.reset(seed=0)
    before = frames.render()
    frames.step(int(np.flatnonzero(frames.action_masks())[-1]))
    after = frames.render()
    assert before.shape == after.shape
    assert (before != after).any()
    frames.close()


def test_a_picture_of_a_plan(tmp_path):
    from pl_env.co_inference import timeline

    instance, _ = case.tiny()
    timeline(Plan.from_levels(instance, [-1, 0, 6, 6]), instance).savefig(tmp_path / "plan.png")
    assert (tmp_path / "plan.png").stat().st_size > 10_000


def test_a_window_is_drawn_at_every_step(monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "pause", lambda seconds: drawn.append(seconds))
    drawn: list[float] = []
    with plt.rc_context({"backend": "agg"}):
        env = CoInferenceEnv("tiny", render_mode="human")
        env.reset(seed=0)
        for _ in range(4):
            env.step(0)
        env.close()
    assert len(drawn) == 5
