"""The agent: legal everywhere, saved and loaded; and what ships is better than `replan`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import agents
import baselines
from agents.agent import TRAINED
from agents.online.agent import Agent
from agents.online.families import Drawn, Family, parameters_of
from agents.online.network import CompiledNetwork, NetworkConfig
from agents.online.playing import Player, compiled_weights
from agents.online.recipes import RECIPES
from baselines.online.policies import plan_by
from pl_env.online import Scenario, check
from pl_env.online.arrays import MODEL, READY
from pl_env.online.env import PartialLoadingOnlineEnv
from pl_env.online.plan import ROW_START
from pl_env.seeds import VALIDATION_STREAM


@pytest.fixture(scope="module")
def fresh() -> Agent:
    torch.manual_seed(0)
    network = CompiledNetwork(NetworkConfig(4, 8))
    with torch.no_grad():
        network.out.normal_()
    return Agent(network, {"config": {"seed": 0}})


def play(policy, env: PartialLoadingOnlineEnv, **reset) -> float:
    observation, info = env.reset(**reset)
    while env.any_legal:
        observation, _, _, _, info = env.step(policy.act(observation, info, env))
        assert not info["invalid_action"]
    check(env.plan, env.instance)
    return info["goodput"]


@pytest.mark.parametrize(
    "fields",
    [
        {"scenario": "tiny"},
        {"episode_seconds": 1.0},
        {"episode_seconds": 1.0, "eviction": "lru", "overlap": "upload"},
        {"episode_seconds": 1.0, "eviction": "previous"},
        {"episode_seconds": 1.0, "eviction": "agent", "upload": "on-arrival"},
        {"episode_seconds": 1.0, "n_models": 7, "max_batch_size": 3, "cache_bytes": 120_000_000},
    ],
)
def test_it_acts_legally_everywhere(fields, fresh):
    play(fresh, PartialLoadingOnlineEnv(**fields, invalid_action="raise"), seed=0)


@pytest.mark.parametrize("ahead", [0, 4])
def test_it_sees_nobody_to_come(ahead, fresh):
    """Who comes later may be anybody else: until then it decides the same."""
    network = CompiledNetwork(NetworkConfig(4, 8, ahead))
    network.load_state_dict(fresh.network.state_dict())
    scenario, later_ns = Scenario(episode_seconds=1.5), 700_000_000
    instance = scenario.sample(np.random.default_rng(3))
    users = instance.users.copy()
    later = users[:, READY] > later_ns
    users[later, MODEL] = 49 - users[later, MODEL]
    one, other = (plan_by(each, Agent(network), "agent") for each in (instance, scenario.instance(users)))
    decided = one.history[:, ROW_START] <= later_ns
    assert decided.sum() > 10
    np.testing.assert_array_equal(one.history[decided], other.history[: decided.sum()])
    assert not np.array_equal(one.history, other.history)


def test_it_saves_and_loads(tmp_path, fresh):
    fresh.save(tmp_path / "agent")
    loaded = agents.load(tmp_path / "agent")
    assert isinstance(loaded, Agent)
    assert loaded.trained_on == fresh.trained_on
    torch.testing.assert_close(loaded.network.state_dict(), fresh.network.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("eviction", ["demand", "lru"])
def test_what_ships_is_above_replan(eviction):
    """On validation episodes of 6 s."""
    agent, scenario = agents.load("online/default"), Scenario(eviction=eviction, episode_seconds=6.0)
    instances = [scenario.sample(np.random.default_rng((VALIDATION_STREAM, 1, n))) for n in range(24)]
    family = Family(scenario, (120.0, 120.0), (eviction,))
    drawn = [Drawn(scenario.tables, instance.users, parameters_of(scenario.tables)) for instance in instances]
    served, _ = Player(family, agent.network.config).play(drawn, compiled_weights(agent.network)[None])
    goodput = served[0] / [instance.n_users for instance in instances]
    others = [baselines.solve(instance, "replan").objective for instance in instances]
    assert (goodput - others).mean() > 0


def test_what_ships_was_trained_by_its_recipe():
    for name, recipe in RECIPES.items():
        trained_on = agents.load(f"online/{name}").trained_on
        assert sum(file.stat().st_size for file in (TRAINED / "online" / name).iterdir()) < 100_000
        assert trained_on["family"] == Family().to_dict()
        for stage in ("improvement", "refinement", "evolution"):
            assert trained_on["config"].get(stage, {"rounds": 0})["rounds"] == getattr(recipe, stage).rounds
        assert trained_on["rounds"] == sum(
            stage.rounds for stage in (recipe.improvement, recipe.refinement, recipe.evolution)
        )
