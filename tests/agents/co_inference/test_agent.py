"""The agent: what its network computes by hand, legal actions in both environments, stages, resuming, what ships."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
from agents.co_inference.agent import Agent, best_levels, points
from agents.co_inference.imitation import ImitationConfig, play
from agents.co_inference.network import STATE, BatteryNetwork, NetworkConfig
from agents.co_inference.recipes import RECIPES
from agents.co_inference.resources import ResourcesConfig, solve_tasks
from agents.co_inference.training import TrainingConfig, train
from pl_env.co_inference import CoInferenceContinuousEnv, CoInferenceEnv, Scenario, check
from pl_env.errors import InvalidValue

SMALL = TrainingConfig(
    width=8,
    layers=1,
    imitation=ImitationConfig(rounds=2, episodes=3, updates=5, minibatch_size=16),
    resources=ResourcesConfig(rounds=1, tasks=40, updates=5, minibatch_size=16),
)


def network(scenario, seed=0):
    torch.manual_seed(seed)
    return BatteryNetwork(NetworkConfig.of(scenario, 16, 1)).eval()


def batch_of(observation):
    return {key: torch.from_numpy(value)[None] for key, value in observation.items()}


def test_what_an_action_gains_by_hand():
    """Without anything to come, what it earns; else by the battery that it leaves."""
    scenario = Scenario.preset("default", n_tasks=3)
    net = network(scenario)
    env = CoInferenceEnv(scenario)
    observation, _ = env.reset(seed=0)
    quality = net.quality.numpy() * observation["weight"]
    with torch.no_grad():
        for parameter in net.worth.parameters():
            parameter.zero_()
        assert net(batch_of(observation))[0].numpy() == pytest.approx(np.append(0, quality), abs=1e-6)
        net.worth[0].weight[0, 0] = 1.0  # silu(battery after), doubled
        net.worth[2].weight[0, 0] = 2.0
        sun = 1 / 3 * observation["sun"][1]
        spent = np.append(0, observation["energy"])
        after = np.minimum(1, np.maximum(0, observation["battery"] - spent) + sun)
        worth = 2 * after / (1 + np.exp(-after))
        expected = np.append(0, quality) + worth - worth[0]
        assert net(batch_of(observation))[0].numpy() == pytest.approx(expected, abs=1e-5)
        env.step(0)
        observation = env.step(0)[0]  # the last task: the battery is worth nothing
        quality = net.quality.numpy() * observation["weight"]
        assert net(batch_of(observation))[0].numpy() == pytest.approx(np.append(0, quality), abs=1e-6)


@pytest.mark.parametrize("kind", [CoInferenceEnv, CoInferenceContinuousEnv])
def test_it_plays_legally(kind):
    env = kind("default" if kind is CoInferenceEnv else "continuous", invalid_action="raise")
    agent = Agent(network(env.scenario))
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        while env.any_legal:
            observation, _, _, _, info = env.step(agent.act(observation, info, env))
        check(env.plan, env.instance)


def test_levels_and_points_agree():
    scenario = Scenario.preset("continuous")
    net = network(scenario)
    env = CoInferenceContinuousEnv(scenario)
    for seed in range(10):
        batch = batch_of(env.reset(seed=seed)[0])
        with torch.inference_mode():
            action, point = int(best_levels(net, batch)[0]), points(net, batch)[0]
        assert point[0] == pytest.approx(-1 if action == 0 else (action - 1) / 10, abs=1e-6)
        assert (point[3:] == 1).sum() == 1
        assert env.action_space.contains(point)


def test_labels_are_the_online_optimums_values():
    from baselines.co_inference.forecast import family_of
    from baselines.co_inference.online_dp import action_values, tables

    scenario = Scenario.preset("tiny")
    config = ImitationConfig(episodes=4, exploration=0.5)
    labels, _ = play(network(scenario), scenario, config, np.random.default_rng(0))
    assert set(labels.observation) == set(STATE)
    assert labels.mask[:, 0].all()
    assert (labels.gained[~labels.mask] == 0).all()
    nothing = scenario.nothing
    future = tables(family_of(nothing), nothing.capacity_j, 4)
    last = labels.observation["tasks_left"][:, 0] == 0.25
    gained = labels.gained[last] * 5
    quality = labels.observation["weight"][last] * 5 * torch.tensor(nothing.levels * (1 - np.log(nothing.levels)))
    expected = torch.where(labels.mask[last][:, 1:], quality, 0.0)
    assert gained[:, 1:].numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    assert action_values(future[0, 0, 0], np.array([0.1]), np.array([0.8]), 1.0, 0.5, 0.0, 1.0)[1] == 0.8


def test_examples_of_resources():
    inputs, chosen, split = solve_tasks(Scenario.preset("continuous"), 300, np.random.default_rng(0))
    assert inputs.shape[1] == 4
    assert ((inputs >= 0) & (inputs <= 1)).all()
    assert len(inputs) == len(chosen) == len(split)
    alone = split == 3
    assert chosen[alone].isnan().all()
    assert not chosen[~alone][:, 0].isnan().any()
    assert chosen[split == 0][:, 1].isnan().all()


@pytest.mark.parametrize("preset", ["default", "continuous"])
def test_training_learns_resumes_and_loads(preset, tmp_path):
    scenario = Scenario.preset(preset, n_tasks=6)
    whole = train(scenario, SMALL, tmp_path / "whole", progress=False)
    assert [point["stage"] for point in whole.curve] == ["imitation"] * 2 + ["resources"] * (preset == "continuous")
    again = train(scenario, SMALL, tmp_path / "again", progress=False)
    for one, other in zip(whole.agent.network.parameters(), again.agent.network.parameters(), strict=True):
        assert torch.equal(one, other)
    loaded = agents.load(tmp_path / "whole" / "checkpoint")
    observation, info = gym.make("CoInference-v0", scenario=scenario).unwrapped.reset(seed=0)
    assert np.array_equal(loaded.act(observation, info, None), whole.agent.act(observation, info, None))
    with pytest.raises(InvalidValue, match="seed is 1; it must be 0"):
        train(scenario, replace(SMALL, seed=1), tmp_path / "whole", resume=True, progress=False)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    class Stop(Exception):
        pass

    def stop(agent, states):
        if agent.trained_on["rounds"] == 1:
            raise Stop

    scenario = Scenario.preset("default", n_tasks=6)
    whole = train(scenario, SMALL, tmp_path / "whole", progress=False)
    with pytest.raises(Stop):
        train(scenario, SMALL, tmp_path / "part", progress=False, watch=stop)
    resumed = train(scenario, SMALL, tmp_path / "part", resume=True, progress=False)
    for one, other in zip(whole.agent.network.parameters(), resumed.agent.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (NetworkConfig, {"width": 0}, "width is 0"),
        (NetworkConfig, {"least_kept": 2.0}, "least_kept is 2.0"),
        (ImitationConfig, {"rounds": 0}, "rounds is 0"),
        (ImitationConfig, {"temperature": 0.0}, "temperature is 0.0"),
        (ResourcesConfig, {"tasks": 0}, "tasks is 0"),
        (TrainingConfig, {"seed": -1}, "seed is -1"),
    ],
)
def test_bad_configs(config, fields, message):
    with pytest.raises(InvalidValue, match=message):
        config(**fields)


@pytest.mark.parametrize("name", RECIPES)
def test_what_ships_beats_the_tuned_rule(name):
    """On 40 evaluation episodes; the table of 1,000 is in the document."""
    agent = agents.load(f"co_inference/{name}")
    found = agents.evaluate({"agent": agent, "rule": "battery-price"}, f"co_inference/{name}", episodes=40)
    assert found["agent"].mean > found["rule"].mean
