"""The agent of streams: legal everywhere, blind to what is to come, and better than the planners that it corrects."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import agents
import baselines
from agents.agent import TRAINED
from agents.cold_start_stream.agent import Agent
from agents.cold_start_stream.imitation import ImitationConfig, label
from agents.cold_start_stream.jobs import JOBS
from agents.cold_start_stream.network import CandidateNetwork, NetworkConfig
from agents.cold_start_stream.recipes import RECIPES
from agents.cold_start_stream.training import TrainingConfig, train
from pl_env.cold_start_stream import Instance, Plan, Scenario, check
from pl_env.cold_start_stream.env import ColdStartStreamEnv
from pl_env.errors import InvalidValue
from tests import cold_start_stream_helpers as helpers

SHORT = Scenario(n_prompts=6)
SMALL = TrainingConfig(
    network=NetworkConfig(8), imitation=ImitationConfig(rounds=2, episodes=2, updates=3, minibatch_size=8)
)


def play(policy, env: ColdStartStreamEnv, **reset) -> Plan:
    observation, info = env.reset(**reset)
    while env.any_legal:
        observation, _, _, _, info = env.step(np.int64(policy.act(observation, info, env)))
    return env.plan


def noisy() -> Agent:
    """Weights that choose all kinds of candidates."""
    torch.manual_seed(0)
    network = CandidateNetwork(NetworkConfig(8))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return Agent(network)


def test_fresh_weights_play_as_the_myopic_planner():
    agent, env = Agent(CandidateNetwork(NetworkConfig())), ColdStartStreamEnv(SHORT, invalid_action="raise")
    for seed in range(3):
        plan = play(agent, env, seed=seed)
        assert plan.stages.tolist() == baselines.solve(env.instance, "myopic").stages.tolist()


@pytest.mark.parametrize("name", Scenario.presets())
def test_it_acts_legally_on_every_preset(name):
    env = ColdStartStreamEnv(name, invalid_action="raise")
    for seed in range(2):
        check(play(noisy(), env, seed=seed), env.instance)


def test_it_plays_given_instances_from_anywhere():
    for seed in range(30):
        given = helpers.placeable(np.random.default_rng(seed), n_prompts=3, going_on=seed % 2 == 0)
        env = helpers.env_for(given, invalid_action="raise")
        check(play(noisy(), env, options={"instance": given}), given)


def test_it_does_not_look_at_what_is_to_come():
    """Other prompts after the last arrival that it could see change no decision."""
    instance = SHORT.sample(np.random.default_rng(4))
    t = instance.tables
    late = t.arrival_ns + np.where(np.arange(6) >= 3, 10**12, 0)  # the last three arrive when the first are long done
    model = np.where(np.arange(6) >= 3, (t.model + 1) % 3, t.model)
    one = Instance(*t._replace(arrival_ns=late))
    other = Instance(*t._replace(arrival_ns=late + np.where(np.arange(6) >= 3, 10**9, 0), model=model))
    agent, plans = noisy(), []
    for given in (one, other):
        env = ColdStartStreamEnv(SHORT, invalid_action="raise")
        plans.append(play(agent, env, options={"instance": given}))
    first = [plan.stages[: int(np.searchsorted(np.cumsum(plan.stages[:, 1]), instance.n_layers[t.model[:3]].sum())) + 1]
             for plan in plans]  # fmt: skip
    np.testing.assert_array_equal(*first)


def test_labels_are_what_candidates_cost_later():
    """With no prompt behind, a candidate that is not myopic costs at least nothing; the myopic one always 0."""
    labels = label(Scenario(n_prompts=1), ImitationConfig(episodes=8), (17, 1))
    assert (labels.cost[:, 0] == 0).all()
    assert (labels.cost >= 0).all()
    assert (label(SHORT, ImitationConfig(episodes=8), (17, 1)).cost < 0).any()


def test_a_run_that_was_killed_resumes_to_the_same_bits(tmp_path):
    whole = train(SHORT, SMALL, tmp_path / "whole", progress=False).agent

    class Killed(Exception):
        pass

    def kill(agent, states):
        raise Killed

    with pytest.raises(Killed):
        train(SHORT, SMALL, tmp_path / "killed", progress=False, watch=kill)
    resumed = train(SHORT, SMALL, tmp_path / "killed", progress=False, resume=True).agent
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name])
    with pytest.raises(InvalidValue, match="n_prompts is 7"):
        train(Scenario(n_prompts=7), SMALL, tmp_path / "killed", progress=False, resume=True)


def test_it_is_saved_and_loaded(tmp_path):
    agent = noisy()
    agent.save(tmp_path / "agent")
    twin = agents.load(tmp_path / "agent")
    env = ColdStartStreamEnv(SHORT, invalid_action="raise")
    assert play(agent, env, seed=1).stages.tolist() == play(twin, env, seed=1).stages.tolist()


@pytest.mark.parametrize("field", ["rounds", "episodes", "updates", "minibatch_size"])
def test_configs_are_checked(field):
    with pytest.raises(InvalidValue, match=f"{field} is 0"):
        ImitationConfig(**{field: 0})


def test_every_recipe_has_a_job_and_an_agent():
    assert set(RECIPES) == set(JOBS)
    for name in RECIPES:
        assert (TRAINED / "cold_start_stream" / name).is_dir()
        assert JOBS[name].description


def test_what_ships_is_better_than_the_planners():
    """60 streams of the validation episodes."""
    agent, env = agents.load("cold_start_stream/default"), ColdStartStreamEnv("default", invalid_action="raise")
    saved = []
    for seed in range(60):
        instance = env.scenario.sample(np.random.default_rng((19, 1, seed)))
        ours = play(agent, env, options={"instance": instance}).objective
        assert ours < baselines.solve(instance, "fixed-shares").objective * 1.2
        saved.append(1 - ours / baselines.solve(instance, "myopic").objective)
    assert np.mean(saved) > 2 * np.std(saved) / np.sqrt(len(saved))
