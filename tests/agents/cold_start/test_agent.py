"""The cold start's agent: legal everywhere, saved and loaded; and what ships is close to the optimum."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import agents
import baselines
from agents.agent import TRAINED
from agents.cold_start import BestOf
from agents.cold_start.agent import Agent
from agents.cold_start.describing import PLANNED, begun, branched, describe
from agents.cold_start.jobs import JOBS
from agents.cold_start.network import NetworkConfig, PlacementNetwork
from agents.cold_start.recipes import RECIPES
from pl_env.cold_start import Plan, Scenario, check
from pl_env.cold_start.env import ColdStartEnv
from pl_env.cold_start.stepping import place
from pl_env.errors import InvalidValue
from pl_env.seeds import VALIDATION_STREAM
from tests import cold_start_helpers as helpers


def play(policy, env: ColdStartEnv, **reset) -> Plan:
    observation, info = env.reset(**reset)
    while env.any_legal:
        observation, _, _, _, info = env.step(np.int64(policy.act(observation, info, env)))
    return env.plan


@pytest.fixture(scope="module")
def fresh() -> Agent:
    torch.manual_seed(0)
    return Agent(PlacementNetwork(NetworkConfig(8, 1, 2, 8)), {"config": {"seed": 0}})


@pytest.mark.parametrize("name", Scenario.presets())
def test_it_acts_legally_on_every_preset(name, fresh):
    env = ColdStartEnv(name, invalid_action="raise")
    for seed in range(3):
        check(play(fresh, env, seed=seed), env.instance)
        check(play(BestOf(fresh, 4), env, seed=seed), env.instance)


@pytest.mark.parametrize("equal", [True, False])
def test_it_plays_given_instances_from_anywhere(fresh, equal):
    for seed in range(30):
        given = helpers.placeable(np.random.default_rng(seed), equal=equal, going_on=seed % 2 == 0)
        env = helpers.env_for(given, invalid_action="raise")
        check(play(fresh, env, options={"instance": given}), given)


@pytest.mark.parametrize("fields", [{"n_devices": 12}, {"model": "gpt2", "ends": True}, {"model": "llama3-8b"}])
def test_it_plays_other_devices_and_layers(fresh, fields):
    env = ColdStartEnv("default", invalid_action="raise", **fields)
    check(play(fresh, env, seed=0), env.instance)


def test_actions_are_scored_state_by_state(fresh):
    """The scores of a state do not depend on the states beside it, nor on room for more devices."""
    instances = [Scenario(n_devices=k).sample(np.random.default_rng(k)) for k in (4, 8, 5)]
    episodes = [begun(instance) for instance in instances]
    place(episodes[1], int(np.flatnonzero(episodes[1].mask)[0]))
    together = fresh.network(describe(episodes))
    alone = torch.cat([fresh.network(describe([episode])) for episode in episodes])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_what_is_described():
    """Test A at the start: u is 80/9 ns; both devices hold two layers, and nothing else is legal."""
    states = describe([begun(helpers.test_a())])
    unit = 80 / 9
    assert states.number.tolist() == [1, 5]
    assert states.owner.tolist() == [0, 1]
    assert states.is_device.tolist() == [[True, True]]
    load, compute, holds = states.devices[0, :, :3].T
    np.testing.assert_allclose(load, np.log(np.array([12, 4]) / unit + 1e-3), rtol=1e-5)
    np.testing.assert_allclose(compute, np.log(np.array([4, 16]) / unit + 1e-3), rtol=1e-5)
    assert holds.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(states.actions[:, 3], np.log(np.array([8, 10]) / unit + 1e-3), rtol=1e-5)


@pytest.mark.parametrize("preset", ["default", "tight"])
def test_what_is_planned_is_what_order_dp_makes_of_the_rest(preset):
    env, rng = ColdStartEnv(preset), np.random.default_rng(0)
    for seed in range(3):
        env.reset(seed=seed)
        while env.any_legal:
            states = describe([begun(env.remaining())])
            n_layers = env.remaining().n_layers
            ends = []
            for number in states.number.tolist():
                twin = copy.deepcopy(env)
                twin.step(number // n_layers * env.most_layers + number % n_layers)
                ends.append(baselines.solve(twin.remaining(), "order-dp").finish_ns)
            later = np.minimum(1, np.array(ends) / min(ends) - 1)
            np.testing.assert_allclose(states.actions[:, PLANNED], later, atol=1e-5)
            env.step(int(rng.choice(np.flatnonzero(env.action_masks()))))


def test_branches_go_their_own_ways():
    first = begun(helpers.test_a())
    other = branched(first)
    place(other, 5)
    assert first.state[0] == 0
    assert other.state[0] == 2
    assert first.mask.sum() == 2


def test_some_of_the_states():
    instances = [Scenario(n_devices=k).sample(np.random.default_rng(k)) for k in (4, 8, 5)]
    states = describe([begun(instance) for instance in instances])
    taken, actions = states.take(torch.tensor([2, 0]))
    assert taken.state.tolist() == sorted(taken.state.tolist())
    again = describe([begun(instances[2]), begun(instances[0])])
    torch.testing.assert_close(taken.actions, again.actions)
    torch.testing.assert_close(states.number[actions], again.number)
    torch.testing.assert_close(taken.owner, again.owner)
    torch.testing.assert_close(taken.devices[:, :5], again.devices)


def test_it_saves_and_loads(tmp_path, fresh):
    fresh.save(tmp_path / "agent")
    loaded = agents.load(tmp_path / "agent")
    assert isinstance(loaded, Agent)
    assert loaded.trained_on == fresh.trained_on
    torch.testing.assert_close(loaded.network.state_dict(), fresh.network.state_dict(), rtol=0, atol=0)


def test_sizes_out_of_range(fresh):
    for fields, message in (
        ({"width": 0}, "width is 0"),
        ({"width": 10}, "width is 10; it must be a multiple of heads"),
    ):
        with pytest.raises(InvalidValue, match=message):
            NetworkConfig(**fields)
    for arguments in ({"samples": 0}, {"temperature": 0}, {"seed": -1}):
        with pytest.raises(InvalidValue):
            BestOf(fresh, **arguments)


def test_best_of_follows_the_best_of_its_plans(fresh):
    instance = Scenario().sample(np.random.default_rng(0))
    plans = [Plan.of(instance, BestOf(fresh, samples).plan(instance)).finish_ns for samples in (1, 2, 8, 32)]
    assert max(plans) == plans[0]
    assert plans[-1] < plans[0]
    again = BestOf(fresh, 8).plan(instance)
    assert again == BestOf(fresh, 8).plan(instance)
    greedy = play(fresh, ColdStartEnv(), options={"instance": instance})
    assert greedy.finish_ns == plans[0], "arg-max is the first of the samples"


@pytest.mark.parametrize("preset", ["default", "tight"])
def test_what_ships_is_close_to_the_optimum(preset):
    agent, scenario, ratios = agents.load("cold_start/default"), Scenario.preset(preset), []
    env = ColdStartEnv(scenario)
    for n in range(60):
        instance = scenario.sample(np.random.default_rng((VALIDATION_STREAM, 0, n)))
        best = baselines.solve(instance).finish_ns
        ratios.append(play(agent, env, options={"instance": instance}).finish_ns / best)
    assert np.mean(ratios) < 1.03


def test_what_ships_was_trained_by_its_recipe():
    for name, recipe in RECIPES.items():
        trained_on = agents.load(f"cold_start/{name}").trained_on
        assert sum(file.stat().st_size for file in (TRAINED / "cold_start" / name).iterdir()) < 1_000_000
        assert trained_on["scenarios"] == {one: Scenario.preset(one).to_dict() for one in JOBS[name].PRESETS}
        assert trained_on["config"]["imitation"]["episodes"] == recipe.imitation.episodes
        assert trained_on["rounds"] == recipe.imitation.rounds
