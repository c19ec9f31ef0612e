"""Slide's agent: legal everywhere, saved and loaded; and what ships is better than the tuned rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import agents
from agents.slide.agent import Agent
from agents.slide.network import AdmissionNetwork, NetworkConfig
from agents.slide.recipes import RECIPES
from baselines.slide.online import Rule
from pl_env.errors import InvalidValue
from pl_env.seeds import VALIDATION_STREAM
from pl_env.slide import Scenario, check
from pl_env.slide.env import SlideEnv
from tests import slide_helpers


def play(policy, env: SlideEnv, **reset) -> int:
    observation, info = env.reset(**reset)
    while env.any_legal:
        observation, _, _, _, info = env.step(np.int64(policy.act(observation, info, env)))
        assert not info["invalid_action"]
    return info["served"]


@pytest.fixture(scope="module")
def fresh() -> Agent:
    torch.manual_seed(0)
    return Agent(AdmissionNetwork(NetworkConfig(8, 1)), {"config": {"seed": 0}})


@pytest.mark.parametrize("name", Scenario.presets())
def test_it_acts_legally_with_any_models_and_users(name, fresh):
    env = SlideEnv(name, invalid_action="raise")
    play(fresh, env, seed=0)
    check(env.plan, env.instance)


def test_it_plays_given_instances(fresh):
    for seed in range(20):
        given = slide_helpers.random_instance(np.random.default_rng(seed), arrivals=True, committed=True)
        env = slide_helpers.env_for(given)
        play(fresh, env, options={"instance": given})
        check(env.plan, given)


def test_a_models_value_does_not_depend_on_the_other_models(fresh):
    observation, _ = SlideEnv("zoo").reset(seed=1)
    batch = {key: torch.from_numpy(value)[None] for key, value in observation.items()}
    some = batch | {key: batch[key][:, 1:3] for key in ("need", "download")}
    whole, part = fresh.network(batch), fresh.network(some)
    assert whole.shape == (1, 6)
    assert whole[0, 0] == 0
    torch.testing.assert_close(whole[:, 2:4], part[:, 1:])


def test_it_saves_and_loads(tmp_path, fresh):
    fresh.save(tmp_path / "agent")
    loaded = agents.load(tmp_path / "agent")
    assert isinstance(loaded, Agent)
    assert loaded.trained_on == fresh.trained_on
    torch.testing.assert_close(loaded.network.state_dict(), fresh.network.state_dict(), rtol=0, atol=0)


def test_a_network_without_units_is_refused():
    with pytest.raises(InvalidValue, match="width is 0; it must be an integer from 1"):
        NetworkConfig(width=0)


@pytest.mark.parametrize("name", RECIPES)
def test_what_ships_serves_more_users_than_the_tuned_rule(name):
    agent = agents.load(f"slide/{name}")
    rules = {"agent": agent, "backlog": Rule(*RECIPES[name].imitation.rule)}
    result = agents.evaluate(rules, Scenario.preset(name), episodes=60, stream=VALIDATION_STREAM)
    mean, low, _ = result.difference("agent", "backlog")
    assert low > 0, mean


def test_what_ships_was_trained_by_its_recipe():
    for name, recipe in RECIPES.items():
        trained_on = agents.load(f"slide/{name}").trained_on
        assert trained_on["scenario"] == Scenario.preset(name).to_dict()
        assert trained_on["config"]["imitation"]["rule"] == list(recipe.imitation.rule)
        assert trained_on["rounds"] == recipe.imitation.rounds
